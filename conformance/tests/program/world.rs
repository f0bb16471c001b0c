//! What the tests of the program share: what a verb said, and whether a name and password open the registry.

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::{Credentials, Request, Response},
    image::Image,
    process::Ran,
    server::Server,
};

/// The repository that most tests push to.
pub(crate) const REPOSITORY: &str = "admin/app";

/// A ready server that holds one image, `admin/app:1`.
pub(crate) fn with_image() -> Outcome<(Server, Image)> {
    let server = Server::fresh()?;
    let image = Image::random(1, &[100_000]);
    server.registry().push_image(REPOSITORY, "1", &image)?;
    Ok((server, image))
}

/// Holds that a program ended with this exit code and said each of these words, on whichever output.
pub(crate) fn says(ran: &Ran, code: i32, words: &[&str]) -> Outcome<()> {
    let said = format!("{}{}", ran.output, ran.complaints);
    holds(ran.status.code() == Some(code), || format!("exit code {code} was expected, not {}: {said}", ran.status))?;
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    holds(missing.is_empty(), || format!("{missing:?} is not in: {said}"))
}

/// What the token endpoint answers to a name and password, with nothing asked for.
pub(crate) fn login(server: &Server, user: &str, password: &str) -> Outcome<Response> {
    let credentials = Credentials { user: user.to_owned(), password: password.to_owned() };
    let request = Request::new("GET", "/token?service=hallmark").header("Authorization", credentials.basic());
    server.anonymous().send_plain(&request)
}

/// Holds that a name and password are taken by the token endpoint.
pub(crate) fn logs_in(server: &Server, user: &str, password: &str) -> Outcome<()> {
    login(server, user, password)?.expect(200).map(drop)
}

/// Holds that a name and password are refused by the token endpoint.
pub(crate) fn is_refused(server: &Server, user: &str, password: &str) -> Outcome<()> {
    login(server, user, password)?.expect(401).map(drop)
}

/// What a request with this `Authorization` is answered.
pub(crate) fn with_authorization(server: &Server, target: &str, value: &str) -> Outcome<Response> {
    server.anonymous().send_plain(&Request::new("GET", target).header("Authorization", value))
}
