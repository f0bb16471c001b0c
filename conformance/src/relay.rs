//! A relay in front of a server: it counts what a client sends, and stops a body midway so that a test may act there.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{Failure, Outcome, failure::While, server::free_port};

/// How much is read at once: small, so that a body stops near the byte that was asked for.
const PIECE: usize = 16 * 1024;

/// A request that went through the relay.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The value of Content-Range, if there was one.
    pub content_range: Option<String>,
    /// Whether a store was asked to copy another of its objects.
    pub copies: bool,
    /// How many bytes of the body the client sent, without the framing of chunks.
    pub body: u64,
    /// How many of these the server was given: fewer where the relay swallowed the rest.
    pub passed: u64,
}

impl Seen {
    /// Whether this request carries the bytes of a blob.
    pub fn is_upload(&self) -> bool {
        ["PATCH", "PUT", "POST"].contains(&self.method.as_str()) && self.target.contains("/blobs/uploads")
    }
}

/// What becomes of an upload's body that the relay stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// The client is stopped while it writes, and its connection breaks under its hands.
    Cut,
    /// The client writes its body to the end, as through a proxy that keeps requests, and the server never sees the rest:
    /// the connection breaks while the client waits for the answer.
    Swallow,
}

/// Where the relay stands with the body that is to be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stop {
    #[default]
    None,
    /// Stop an upload's body once so many more bytes of uploads went through.
    After(u64, Manner),
    /// The rest of a body is being swallowed.
    Swallowing,
    /// A body is stopped and its connections wait.
    Stopped,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the test that a body is stopped, waits until it has acted, and gives the reason to end the connection.
    fn hold(&self, mut state: MutexGuard<'_, State>) -> Failure {
        state.stop = Stop::Stopped;
        self.changed.notify_all();
        let waited = self.changed.wait_while(state, |state| state.stop == Stop::Stopped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Failure::new("the relay broke this connection")
    }
}

/// A running relay. It ends with the test's process.
#[derive(Clone, Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

impl Relay {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(target: u16) -> Outcome<Self> {
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let shared = Arc::<Shared>::default();
        let relay = Self { port, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || pass(client, target, &shared));
            }
        });
        Ok(relay)
    }

    /// The relay's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `localhost:<port>`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Everything that went through so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many bytes of blobs went through so far.
    pub fn uploaded(&self) -> u64 {
        self.seen().iter().filter(|seen| seen.is_upload()).map(|seen| seen.body).sum()
    }

    /// Stops an upload once `bytes` more of uploads went through, over however many requests.
    pub fn stop_upload_after(&self, bytes: u64, manner: Manner) {
        self.shared.state().stop = Stop::After(bytes, manner);
    }

    /// Waits until what went through is `enough`.
    ///
    /// # Errors
    /// It was not within `limit`.
    pub fn wait_until_seen(&self, limit: Duration, enough: impl Fn(&[Seen]) -> bool) -> Outcome<()> {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| !enough(&state.seen));
        let (_state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Failure::new(format!("the requests that were waited for did not come within {limit:?}")));
        }
        Ok(())
    }

    /// Waits until an upload is stopped.
    ///
    /// # Errors
    /// None came within `limit`.
    pub fn wait_until_stopped(&self, limit: Duration) -> Outcome<()> {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| state.stop != Stop::Stopped);
        let (_state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Failure::new(format!("no upload got as far as the relay was to stop it within {limit:?}")));
        }
        Ok(())
    }

    /// Breaks the connection that was stopped; all others go on.
    pub fn break_stopped(&self) {
        self.shared.state().stop = Stop::None;
        self.shared.changed.notify_all();
    }
}

/// Passes one client's connection on. Whatever fails, both sides are closed, as when a cable is pulled.
fn pass(client: TcpStream, target: u16, shared: &Shared) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
        return;
    };
    let (Ok(mut answers), Ok(mut back)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let down = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut upstream = server;
    let result = pass_requests(&mut BufReader::new(&client), &mut upstream, shared);
    if result.is_ok() {
        let _ = upstream.shutdown(Shutdown::Write);
        let _ = down.join();
    }
    let _ = upstream.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

fn pass_requests(client: &mut BufReader<&TcpStream>, server: &mut TcpStream, shared: &Shared) -> Outcome<()> {
    loop {
        if !speaks_http(client)? {
            // A client that tries TLS first: what it gets is the server's to say.
            std::io::copy(client, server)?;
            return Ok(());
        }
        let head = read_head(client)?;
        if head.is_empty() {
            return Ok(());
        }
        server.write_all(&head)?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let index = note(&text, shared);
        let mut body = Body { client, server, shared, index, swallowing: false };
        if header(&text, "transfer-encoding").is_some() {
            body.pass_chunks()?;
        } else if let Some(length) = header(&text, "content-length") {
            let length = length.parse().or_fail("Content-Length is not a number")?;
            body.pass_bytes(length)?;
        }
        if body.swallowing {
            return Err(shared.hold(shared.state()));
        }
    }
}

/// The body of one request on its way.
struct Body<'a, 'b> {
    client: &'a mut BufReader<&'b TcpStream>,
    server: &'a mut TcpStream,
    shared: &'a Shared,
    /// The request's place in [`State::seen`].
    index: usize,
    /// Whether the server is given nothing more of it.
    swallowing: bool,
}

impl Body<'_, '_> {
    fn pass_bytes(&mut self, mut left: u64) -> Outcome<()> {
        let mut piece = [0; PIECE];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = self.client.read(&mut piece[..most])?;
            if count == 0 {
                return Err(Failure::new("the client left in the middle of a body"));
            }
            self.give(&piece[..count])?;
            left -= count as u64;
            self.count(count as u64)?;
        }
        Ok(())
    }

    fn pass_chunks(&mut self) -> Outcome<()> {
        loop {
            let size_line = read_line(self.client)?;
            self.give(&size_line)?;
            let text = String::from_utf8_lossy(&size_line).into_owned();
            let size = text.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).or_fail("not a chunk size")?;
            self.pass_bytes(size)?;
            let end = read_line(self.client)?;
            self.give(&end)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn give(&mut self, bytes: &[u8]) -> Outcome<()> {
        if !self.swallowing {
            self.server.write_all(bytes)?;
        }
        Ok(())
    }

    /// Counts what came, and holds the body where a test asked for it.
    fn count(&mut self, bytes: u64) -> Outcome<()> {
        let mut state = self.shared.state();
        let seen = &mut state.seen[self.index];
        seen.body += bytes;
        seen.passed += if self.swallowing { 0 } else { bytes };
        let upload = seen.is_upload();
        match (state.stop, upload) {
            (Stop::After(left, manner), true) if left > bytes => state.stop = Stop::After(left - bytes, manner),
            (Stop::After(_, Manner::Swallow), true) => {
                state.stop = Stop::Swallowing;
                self.swallowing = true;
            }
            (Stop::After(_, Manner::Cut), true) => return Err(self.shared.hold(state)),
            _ => {}
        }
        Ok(())
    }
}

/// Notes a request and gives its place in [`State::seen`].
fn note(head: &str, shared: &Shared) -> usize {
    let mut words = head.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let seen = Seen {
        method: word(),
        target: word(),
        content_range: header(head, "content-range").map(str::to_owned),
        copies: header(head, "x-amz-copy-source").is_some(),
        body: 0,
        passed: 0,
    };
    let mut state = shared.state();
    state.seen.push(seen);
    shared.changed.notify_all();
    state.seen.len() - 1
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Whether what comes next is a request of HTTP/1.1, or the end.
fn speaks_http(client: &mut impl BufRead) -> Outcome<bool> {
    let next = client.fill_buf()?.first().copied();
    Ok(next.is_none_or(|byte| byte.is_ascii_uppercase()))
}

/// The head of the next request with the empty line that ends it; empty when the client is done.
fn read_head(client: &mut impl BufRead) -> Outcome<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let line = read_line(client)?;
        head.extend_from_slice(&line);
        if line.is_empty() || line == b"\r\n" {
            return Ok(head);
        }
    }
}

fn read_line(client: &mut impl BufRead) -> Outcome<Vec<u8>> {
    let mut line = Vec::new();
    client.read_until(b'\n', &mut line)?;
    Ok(line)
}
