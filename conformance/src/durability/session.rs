//! One client's conversation with the server: a kept connection, a token, and the moment the server is gone.

use std::time::{Duration, Instant};

use super::tally::Tally;
use crate::{
    Failure, Outcome,
    http::{Client, Connection, Request, Response},
    image::digest,
    server::{ADMIN, PASSWORD},
};

/// The server went away, or the connection did: what was asked may have happened or not.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<Failure> for Gone {
    fn from(_: Failure) -> Self {
        Self
    }
}

/// A token is used no longer than this: no server gives one for less than a minute.
const TOKEN_AGE: Duration = Duration::from_secs(45);

/// What a step of a client gives; it ends early when the server goes away.
pub(crate) type Step<T> = Result<T, Gone>;

#[derive(Debug)]
pub(crate) struct Session {
    port: u16,
    repository: String,
    /// Repositories that blobs are mounted from.
    neighbours: Vec<String>,
    /// Empty where the server asks for none; with the time it was given.
    authorization: Option<(String, Instant)>,
    connection: Option<Connection>,
}

impl Session {
    pub(crate) fn new(port: u16, repository: &str, neighbours: &[String]) -> Self {
        let (repository, neighbours) = (repository.to_owned(), neighbours.to_vec());
        Self { port, repository, neighbours, authorization: None, connection: None }
    }

    /// Forgets the connection: the next request opens another.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    pub(crate) fn server_listens(&self) -> bool {
        Connection::open(self.port).is_ok()
    }

    /// A path below `/v2/<repository>/`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    pub(crate) fn exchange(&mut self, request: Request) -> Step<Response> {
        let answer = self.with_connection(request, |connection, request| connection.exchange(&request))?;
        Ok(answer)
    }

    /// Sends a body in chunks of the given pieces, one write each, so that a kill may fall between them.
    pub(crate) fn stream(&mut self, request: Request, pieces: &[&[u8]]) -> Step<Response> {
        let answer = self.with_connection(request.header("Transfer-Encoding", "chunked"), |connection, request| {
            connection.send_head(&request)?;
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                connection.write_chunk(piece)?;
            }
            connection.write_chunk(b"")?;
            connection.receive(&request.method)
        })?;
        Ok(answer)
    }

    /// Reads a blob and compares its bytes with its digest. `None` when it is not there.
    pub(crate) fn read_blob(&mut self, wanted: &str, tally: &mut Tally) -> Step<Option<bool>> {
        let answer = self.exchange(Request::new("GET", self.path(&format!("blobs/{wanted}"))))?;
        match answer.status {
            200 => {
                tally.rehashed += 1;
                Ok(Some(digest(&answer.body) == wanted))
            }
            404 => Ok(None),
            _ => {
                tally.refuse("GET of a blob", &self.repository, &answer);
                Ok(None)
            }
        }
    }

    fn with_connection(
        &mut self,
        request: Request,
        talk: impl FnOnce(&mut Connection, Request) -> Outcome<Response>,
    ) -> Outcome<Response> {
        let authorization = self.authorize()?;
        let request = if authorization.is_empty() { request } else { request.header("Authorization", authorization) };
        let mut connection = self.connection.take().map_or_else(|| Connection::open(self.port), Ok)?;
        let answer = talk(&mut connection, request)?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        // An answer to a request that was not read to its end closes the connection after it.
        if !closes && answer.status < 400 {
            self.connection = Some(connection);
        }
        if answer.status == 401 {
            self.authorization = None;
        }
        Ok(answer)
    }

    fn authorize(&mut self) -> Outcome<String> {
        if let Some((known, since)) = &self.authorization
            && since.elapsed() < TOKEN_AGE
        {
            return Ok(known.clone());
        }
        let ping = Connection::open(self.port)?.exchange(&Request::new("GET", "/v2/"))?;
        let fresh = if ping.status == 200 {
            String::new()
        } else {
            let own = format!("repository:{}:pull,push,delete", self.repository);
            let others = self.neighbours.iter().map(|name| format!("repository:{name}:pull"));
            let scopes = std::iter::once(own).chain(others).collect::<Vec<_>>();
            let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>();
            Client::new(self.port, ADMIN, PASSWORD).authorization(&scopes)?
        };
        self.authorization = Some((fresh.clone(), Instant::now()));
        Ok(fresh)
    }
}
