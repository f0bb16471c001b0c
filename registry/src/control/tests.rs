//! The socket: commands and answers over a real one, its limits, and who may use it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as DeadServer;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Secret;

/// A server that notes what it is asked and answers each command with the next prepared answer.
struct Server {
    data: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _lock: FolderLock,
}

impl Server {
    fn start(answers: Vec<Answer>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(data.path()).unwrap();
        let server = ControlServer::bind(data.path(), &lock).unwrap();
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), Mutex::new(answers.into_iter()));
        let noted = Arc::clone(&asked);
        let handler = move |command| {
            noted.lock().unwrap().push(serde_json::to_string(&command).unwrap());
            let answer = answers.lock().unwrap().next().unwrap();
            async move { answer }
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(handler, async { drop(stopped.await) }));
        Self { data, asked, stop, task, _lock: lock }
    }

    async fn call(&self, command: Command) -> Result<Answer, CallError> {
        call(self.data.path(), &command).await
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(socket_path(self.data.path())).await.unwrap()
    }

    async fn stop(self) -> Vec<String> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        assert!(!socket_path(self.data.path()).exists(), "the socket is left behind");
        Arc::try_unwrap(self.asked).unwrap().into_inner().unwrap()
    }
}

fn done() -> Answer {
    Answer::Done { message: "done".to_owned() }
}

fn every_answer() -> Vec<Answer> {
    let user = UserLine { name: "ann".to_owned(), admin: true, disabled: false };
    let repository = RepositoryLine { name: "ann/app".to_owned(), visibility: Visibility::Private };
    let report = StatusReport {
        version: "1.2.3".to_owned(),
        pid: 7,
        listen: "127.0.0.1:5000".parse().unwrap(),
        read_only: true,
        foreign_store: false,
        clock_ahead: 0,
        database: Health::Ok { duration_ms: 1 },
        storage: Health::Failed { message: "no".to_owned() },
    };
    vec![
        done(),
        Answer::Refused { message: "no such user".to_owned() },
        Answer::Users { users: vec![user], next: Some("ann".to_owned()) },
        Answer::Repositories { repositories: vec![repository], next: None },
        Answer::ReadOnly { on: false },
        Answer::TokenKey { kid: "k1".to_owned() },
        Answer::TokenKeys {
            keys: vec![
                TokenKeyLine { kid: "k0".to_owned(), created_at: 1, retires_at: Some(3) },
                TokenKeyLine { kid: "k1".to_owned(), created_at: 2, retires_at: None },
            ],
        },
        Answer::Status(report),
    ]
}

#[tokio::test]
async fn every_command_arrives_as_it_was_sent() {
    let commands = [
        (
            Command::UserAdd { name: "ann".to_owned(), password: Secret::new("p\"1\n".to_owned()), admin: true },
            r#"{"command":"user_add","name":"ann","password":"p\"1\n","admin":true}"#,
        ),
        (Command::UserRemove { name: "ann".to_owned() }, r#"{"command":"user_remove","name":"ann"}"#),
        (
            Command::UserPassword { name: "ann".to_owned(), password: Secret::new("p2".to_owned()) },
            r#"{"command":"user_password","name":"ann","password":"p2"}"#,
        ),
        (Command::UserLogout { name: "ann".to_owned() }, r#"{"command":"user_logout","name":"ann"}"#),
        (Command::UserList { after: None }, r#"{"command":"user_list","after":null}"#),
        (
            Command::RepositoryVisibility { name: "a/b".to_owned(), visibility: Visibility::Public },
            r#"{"command":"repository_visibility","name":"a/b","visibility":"public"}"#,
        ),
        (Command::RepositoryDelete { name: "a/b".to_owned() }, r#"{"command":"repository_delete","name":"a/b"}"#),
        (Command::RepositoryList { after: Some("a".to_owned()) }, r#"{"command":"repository_list","after":"a"}"#),
        (Command::ReadOnly { change: SwitchChange::Keep }, r#"{"command":"read_only","change":"keep"}"#),
        (Command::TokenKeyRotate, r#"{"command":"token_key_rotate"}"#),
        (Command::TokenKeyList, r#"{"command":"token_key_list"}"#),
        (Command::Status, r#"{"command":"status"}"#),
    ];
    let server = Server::start(commands.iter().map(|_| done()).collect());
    let mut expected = Vec::new();
    for (command, line) in commands {
        server.call(command).await.unwrap();
        expected.push(line);
    }
    assert_eq!(server.stop().await, expected);
}

#[tokio::test]
async fn every_answer_arrives_as_it_was_given() {
    let server = Server::start(every_answer());
    for expected in every_answer() {
        assert_eq!(server.call(Command::Status).await.unwrap(), expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn one_connection_may_send_many_commands() {
    let server = Server::start(vec![done(), done()]);
    let mut stream = server.connect().await;
    stream.write_all(b"{\"command\":\"status\"}\n{\"command\":\"status\"}\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "{\"answer\":\"done\",\"message\":\"done\"}\n".repeat(2));
}

#[tokio::test]
async fn what_is_no_command_is_refused_and_not_done() {
    let table = [
        ("{\"command\":\"dance\"}\n", "unknown variant `dance`"),
        ("{\"command\":\"user_remove\"}\n", "missing field `name`"),
        ("{\"command\":\"user_remove\",\"name\":\"a\",\"force\":true}\n", "unknown field `force`"),
        ("\n", "EOF while parsing"),
    ];
    let server = Server::start(Vec::new());
    for (line, reason) in table {
        let mut stream = server.connect().await;
        stream.write_all(line.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("{\"answer\":\"refused\"") && answer.contains(reason), "{line}: {answer}");
    }
    assert_eq!(server.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_is_too_long_ends_the_connection() {
    let server = Server::start(Vec::new());
    let mut stream = server.connect().await;
    stream.write_all(&vec![b'x'; 16 * 1024 + 1]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "{\"answer\":\"refused\",\"message\":\"a command is at most 16384 bytes\"}\n");
}

#[tokio::test]
async fn a_command_that_breaks_off_is_not_done() {
    let server = Server::start(Vec::new());
    let mut stream = server.connect().await;
    stream.write_all(b"{\"command\":\"token_key_rotate\"}").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!((answer, server.stop().await), (String::new(), Vec::new()));
}

#[tokio::test]
async fn the_socket_belongs_to_its_owner_alone() {
    let server = Server::start(Vec::new());
    let mode = std::fs::metadata(socket_path(server.data.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_running_command_is_finished_before_the_server_ends() {
    let data = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(data.path()).unwrap();
    let server = ControlServer::bind(data.path(), &lock).unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handler = move |_| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            done()
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(handler, async { drop(stopped.await) }));
    let path = data.path().to_owned();
    let asked = tokio::spawn(async move { call(&path, &Command::Status).await });
    begun.notified().await;
    stop.send(()).unwrap();
    go_on.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), done());
    task.await.unwrap();
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_end() {
    let server = Server::start(vec![done()]);
    let mut idle = server.connect().await;
    idle.write_all(b"{\"command\":\"status\"}\n").await.unwrap();
    let mut answer = [0; 8];
    idle.read_exact(&mut answer).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_socket_of_a_dead_server_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    drop(DeadServer::bind(socket_path(data.path())).unwrap());
    let lock = FolderLock::take(data.path()).unwrap();
    ControlServer::bind(data.path(), &lock).unwrap();
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(socket_path(data.path()), "mine").unwrap();
    let lock = FolderLock::take(data.path()).unwrap();
    let error = ControlServer::bind(data.path(), &lock).unwrap_err();
    assert_eq!(error.to_string(), "it exists and is not a socket");
}

#[tokio::test]
async fn without_a_server_the_caller_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let error = call(data.path(), &Command::Status).await.unwrap_err();
    let path = socket_path(data.path());
    assert_eq!(
        error.to_string(),
        format!("no server answers on {} (No such file or directory (os error 2))", path.display())
    );
    drop(DeadServer::bind(&path).unwrap());
    let error = call(data.path(), &Command::Status).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no server answers on {} (Connection refused (os error 111))", path.display())
    );
}

#[test]
fn a_folder_has_one_user_at_a_time() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let lock = FolderLock::take(&data).unwrap();
    let refused = FolderLock::take(&data).unwrap_err().to_string();
    assert_eq!(refused, format!("the data folder {} is in use by another hallmark process", data.display()));
    drop(lock);
    FolderLock::take(&data).unwrap();
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}
