//! Verbs and a server that answers them over its socket, or is not there.

use std::path::Path;
use std::sync::Mutex;

use clap::Parser;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::control::{ControlServer, UserLine};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    asked: Asked,
}

fn asked(data: &Path, more: &[&str]) -> Asked {
    let data = data.to_str().unwrap();
    Line::try_parse_from(["verb", "--data", data].iter().chain(more)).unwrap().asked
}

/// Serves the folder with these answers, one after another, until what it gives is dropped or told to.
fn serve(data: &Path, answers: Vec<Answer>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let lock = FolderLock::take(data).unwrap();
    let server = ControlServer::bind(data, &lock).unwrap();
    let answers = Mutex::new(answers.into_iter());
    let (stop, stopped) = oneshot::channel();
    let handler = move |_| {
        let answer = answers.lock().unwrap().next().unwrap();
        async move { answer }
    };
    let task = tokio::spawn(async move {
        server.run(handler, async { drop(stopped.await) }).await;
        drop(lock);
    });
    (stop, task)
}

fn page(names: &[&str], next: Option<&str>) -> Answer {
    let user = |name: &&str| UserLine { name: (*name).to_owned(), admin: false, disabled: false };
    Answer::Users { users: names.iter().map(user).collect(), next: next.map(str::to_owned) }
}

#[tokio::test]
async fn a_list_is_read_page_by_page_to_its_end() {
    let data = tempfile::tempdir().unwrap();
    let _server = serve(data.path(), vec![page(&["a", "b"], Some("b")), page(&["c"], None)]);
    let mut names = Vec::new();
    let pages = asked(data.path(), &[]);
    let read = pages.converse(|answer| {
        let Some(Answer::Users { users, next }) = answer else { return Ok(Some(Command::UserList { after: None })) };
        names.extend(users.into_iter().map(|user| user.name));
        Ok(next.map(|after| Command::UserList { after: Some(after) }))
    });
    read.await.unwrap();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_refusal_is_a_failure_in_the_words_of_the_server() {
    let data = tempfile::tempdir().unwrap();
    let _server = serve(data.path(), vec![Answer::Refused { message: "there is no user \"x\"".to_owned() }]);
    let failure = asked(data.path(), &[]).ask(Command::UserRemove { name: "x".to_owned() }).await.unwrap_err();
    assert!(matches!(failure, Failure::Failed(message) if message == "there is no user \"x\""));
}

#[tokio::test]
async fn without_a_server_a_verb_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let failure = asked(data.path(), &[]).ask(Command::Status).await.unwrap_err();
    let shown = data.path().display();
    let expected = format!(
        "no server answers on {shown}/control.sock (No such file or directory (os error 2)): start it with `hallmark serve \
         --data {shown}`, name another folder with --data, or, where the verb knows it, add --offline to work on the folder \
         itself"
    );
    assert!(matches!(&failure, Failure::NoServer(_)), "{failure:?}");
    assert_eq!(failure.to_string(), expected);
}

#[tokio::test]
async fn offline_does_not_make_a_registry_where_there_is_none() {
    let data = tempfile::tempdir().unwrap();
    let failure = asked(data.path(), &["--offline"]).ask(Command::Status).await.unwrap_err();
    let shown = data.path().display();
    assert_eq!(
        failure.to_string(),
        format!(
            "there is no registry in {shown} yet ({shown}/hallmark.db is missing): name its folder with --data, or start it \
             once with `hallmark serve`"
        )
    );
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn offline_leaves_the_folder_of_a_running_server_alone() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("hallmark.db"), "").unwrap();
    let _server = serve(data.path(), Vec::new());
    let failure = asked(data.path(), &["--offline"]).ask(Command::Status).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        format!(
            "the data folder {} is in use by another hallmark process: stop the server first, or leave out --offline to ask it",
            data.path().display()
        )
    );
}

#[tokio::test]
async fn offline_works_on_the_stores_as_a_server_would() {
    let data = tempfile::tempdir().unwrap();
    let sources = crate::config::Sources {
        flags: vec![crate::config::Flag { key: "data", flag: "--data", text: data.path().display().to_string() }],
        environment: vec![("HALLMARK_ADMIN_PASSWORD".into(), "correct horse".into())],
        ..Default::default()
    };
    let config = crate::config::load(&sources, crate::config::Purpose::Offline).unwrap().config;
    App::open(config, Clock::System).await.unwrap().metadata.close().await;
    let offline = asked(data.path(), &["--offline"]);
    let password = crate::config::Secret::new("battery staple".to_owned());
    let added = offline.ask(Command::UserAdd { name: "ann".to_owned(), password, admin: false }).await.unwrap();
    assert_eq!(added, Answer::Done { message: "user ann added".to_owned() });
    let Answer::Users { users, .. } = offline.ask(Command::UserList { after: None }).await.unwrap() else { panic!() };
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["admin", "ann"]);
}

#[tokio::test]
async fn a_server_that_stops_ends_the_conversation() {
    let data = tempfile::tempdir().unwrap();
    let (stop, task) = serve(data.path(), vec![page(&[], None)]);
    asked(data.path(), &[]).ask(Command::UserList { after: None }).await.unwrap();
    stop.send(()).unwrap();
    task.await.unwrap();
    let failure = asked(data.path(), &[]).ask(Command::Status).await.unwrap_err();
    assert!(matches!(failure, Failure::NoServer(_)), "{failure:?}");
}
