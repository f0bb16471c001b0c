use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The scratch server of this process. Its script stops it when our end of its standard input closes.
struct Server {
    url: String,
    _script: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

fn start() -> Server {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../storage-adapters/tests/postgres.sh");
    let mut child =
        Command::new("sh").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh runs");
    let mut url = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut url).expect("the script prints a URL");
    assert!(!url.is_empty(), "no PostgreSQL: the script says why above");
    Server { url: url.trim().to_owned(), _script: child }
}

/// The URL of a new, empty database.
pub(crate) async fn database() -> String {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start)).await.unwrap();
    let name = format!("world_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    server.url.replace("/postgres?", &format!("/{name}?"))
}
