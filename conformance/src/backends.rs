//! Where a server under test keeps facts and bytes, when it is not SQLite and a folder: a database and a prefix of its own.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Failure, Outcome, failure::While, process::run, settings, tools};

/// The server's variables for a database and a store that nobody has used yet; none, where the defaults are tested.
///
/// # Errors
/// The database cannot be created.
pub(crate) fn fresh() -> Outcome<Vec<(String, String)>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let mut variables = Vec::new();
    if let Some(url) = settings::test_database() {
        variables.push(("HALLMARK_DATABASE_URL".to_owned(), create_database(&url, &name)?));
    }
    if let Some(s3) = settings::test_s3() {
        let mut set = |key: &str, value: &str| {
            variables.push((format!("HALLMARK_STORAGE_{key}"), value.to_owned()));
        };
        set("URL", &format!("s3://{}/{name}", s3.bucket));
        set("S3_ENDPOINT", &s3.endpoint);
        set("S3_REGION", "us-east-1");
        set("S3_PATH_STYLE", "true");
        set("S3_ALLOW_HTTP", "true");
        set("S3_ACCESS_KEY_ID", &s3.access_key_id);
        set("S3_SECRET_ACCESS_KEY", &s3.secret_access_key);
    }
    Ok(variables)
}

/// Creates a database beside the one that a URL names, and gives its URL.
fn create_database(url: &str, name: &str) -> Outcome<String> {
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = before.rsplit_once('/').or_fail("the test database's URL names no database")?;
    if !server.contains("//") {
        return Err(Failure::new("the test database's URL is postgres://user@host/database"));
    }
    let statement = format!("CREATE DATABASE {name}");
    run(Command::new(tools::locate("psql")?).args(["--quiet", "--no-psqlrc", "--command", &statement, url]))?;
    let separator = if query.is_empty() { "" } else { "?" };
    Ok(format!("{server}/{name}{separator}{query}"))
}
