//! `hallmark user`: who may log in, from the next request on.

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    server::{ADMIN, PASSWORD, Server},
};
use serde_json::Value;

use super::world::{is_refused, login, logs_in, says, with_authorization, with_image};

const ANN: &str = "a password of ann";
const OTHER: &str = "another one of hers";

#[test]
fn an_added_user_logs_in_and_owns_the_repositories_of_their_name() -> Outcome<()> {
    let (server, image) = with_image()?;
    says(&server.attempt(&["user", "add", "ann", "--password-stdin"], ANN)?, 0, &["user ann added"])?;
    logs_in(&server, "ann", ANN)?;
    let ann = hallmark_conformance::registry::Registry::new(server.client("ann", ANN));
    ann.push_image("ann/app", "1", &image)?;
    let foreign = ann.manifest("admin/app", "1")?;
    // Whether it is there or not: the token that ann gets does not reach it.
    let challenge = foreign.required("www-authenticate")?;
    holds(foreign.status == 401 && challenge.contains("error=\"insufficient_scope\""), || {
        format!("ann was to be refused: {foreign}")
    })
}

#[test]
fn a_user_without_a_given_password_gets_one_that_is_printed_once() -> Outcome<()> {
    let server = Server::fresh()?;
    let printed = server.verb(&["user", "add", "ann"])?;
    let password = printed.lines().find_map(|line| line.strip_prefix("password: "));
    logs_in(&server, "ann", password.or_fail(format!("no password was printed: {printed}"))?)
}

#[test]
fn a_user_who_cannot_be_is_refused_with_the_reason() -> Outcome<()> {
    let server = Server::fresh()?;
    let add = |name: &str, password: &str| server.attempt(&["user", "add", name, "--password-stdin"], password);
    server.add_user("bob", ANN)?;
    says(&add("bob", ANN)?, 1, &["\"bob\" is taken"])?;
    says(&add("admin", ANN)?, 1, &["\"admin\" is reserved"])?;
    says(&add("library", ANN)?, 1, &["\"library\" is reserved"])?;
    says(&add("Ann", ANN)?, 1, &["cannot be a user's name", "lower-case"])?;
    says(&add("a/b", ANN)?, 1, &["cannot be a user's name"])?;
    says(&add("ann", "short")?, 1, &["at least 8 characters"])?;
    says(&add("ann", "")?, 2, &["no password on standard input"])?;
    is_refused(&server, "ann", "short")
}

#[test]
fn users_are_listed_for_people_and_for_programs() -> Outcome<()> {
    let server = Server::fresh()?;
    server.add_user("ann", ANN)?;
    let lines = server.verb(&["user", "list"])?;
    let names: Vec<_> = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    holds(
        names == [vec!["NAME", "ADMIN", "STATE"], vec![ADMIN, "yes", "active"], vec!["ann", "no", "active"]],
        || format!("the list is {lines}"),
    )?;
    let json = server.verb(&["user", "list", "--output", "json"])?;
    let users: Vec<Value> = json.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ann = serde_json::json!({ "name": "ann", "admin": false, "disabled": false });
    holds(users.len() == 2 && users[1] == ann, || format!("the list is {json}"))
}

#[test]
fn another_password_ends_the_old_one_and_every_token_made_with_it() -> Outcome<()> {
    let server = Server::fresh()?;
    server.add_user("ann", ANN)?;
    let token = login(&server, "ann", ANN)?.expect(200)?.json()?;
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap_or_default());
    with_authorization(&server, "/v2/", &bearer)?.expect(200)?;
    says(&server.attempt(&["user", "password", "ann", "--password-stdin"], OTHER)?, 0, &["was changed"])?;
    is_refused(&server, "ann", ANN)?;
    with_authorization(&server, "/v2/", &bearer)?.expect(401)?;
    logs_in(&server, "ann", OTHER)?;
    let unknown = server.attempt(&["user", "password", "bob", "--password-stdin"], OTHER)?;
    says(&unknown, 1, &["there is no user \"bob\""])
}

#[test]
fn a_removed_user_is_nobody_and_one_with_repositories_stays() -> Outcome<()> {
    let (server, image) = with_image()?;
    server.add_user("ann", ANN)?;
    server.add_user("bob", ANN)?;
    logs_in(&server, "ann", ANN)?;
    says(&server.attempt(&["user", "remove", "ann"], "")?, 0, &["user ann removed"])?;
    is_refused(&server, "ann", ANN)?;
    says(&server.attempt(&["user", "remove", "ann"], "")?, 1, &["there is no user \"ann\""])?;

    let bob = hallmark_conformance::registry::Registry::new(server.client("bob", ANN));
    bob.push_image("bob/app", "1", &image)?;
    says(
        &server.attempt(&["user", "remove", "bob"], "")?,
        1,
        &["still has repositories", "delete or move them first"],
    )?;
    logs_in(&server, "bob", ANN)?;
    bob.begin_upload("bob/app")?;
    says(&server.attempt(&["repository", "delete", "bob/app"], "")?, 0, &["is deleted"])?;
    says(&server.attempt(&["user", "remove", "bob"], "")?, 0, &["user bob removed"])?;
    is_refused(&server, "bob", ANN)?;
    says(&server.attempt(&["user", "remove", ADMIN], "")?, 1, &[ADMIN])?;
    logs_in(&server, ADMIN, PASSWORD)
}

#[test]
fn a_forgotten_administrator_s_password_is_set_offline_and_only_while_no_server_runs() -> Outcome<()> {
    let mut server = Server::fresh()?;
    let words = ["user", "password", ADMIN, "--offline", "--password-stdin"];
    let running = server.attempt(&words, OTHER)?;
    says(&running, 1, &["in use by another hallmark process", "stop the server first"])?;
    logs_in(&server, ADMIN, PASSWORD)?;
    server.stop()?;
    says(&server.attempt(&words, OTHER)?, 0, &["the password of admin was changed"])?;
    server.start()?;
    is_refused(&server, ADMIN, PASSWORD)?;
    logs_in(&server, ADMIN, OTHER)
}

#[test]
fn users_are_added_listed_and_removed_offline() -> Outcome<()> {
    let mut server = Server::fresh()?;
    server.stop()?;
    says(&server.attempt(&["user", "add", "ann", "--password-stdin", "--offline"], ANN)?, 0, &["user ann added"])?;
    says(&server.attempt(&["user", "add", "bob", "--password-stdin", "--offline"], ANN)?, 0, &["user bob added"])?;
    says(&server.attempt(&["user", "remove", "bob", "--offline"], "")?, 0, &["user bob removed"])?;
    says(&server.attempt(&["user", "list", "--offline"], "")?, 0, &["ann"])?;
    server.start()?;
    logs_in(&server, "ann", ANN)?;
    is_refused(&server, "bob", ANN)
}

#[test]
fn without_a_server_a_verb_says_what_to_do() -> Outcome<()> {
    let mut server = Server::fresh()?;
    server.stop()?;
    for words in [
        ["user", "list"].as_slice(),
        &["repository", "list"],
        &["repository", "delete", "admin/app"],
        &["readonly", "on"],
        &["token-key", "rotate"],
    ] {
        let told = ["no server answers", "hallmark serve", "--offline"];
        says(&server.attempt(words, "")?, 3, &told).or_fail(format!("{words:?}"))?;
    }
    Ok(())
}
