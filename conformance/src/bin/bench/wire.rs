//! The load client's HTTP/1.1: one keep-alive connection on blocking calls, with as little work for each request as there can be.
//! Never a general client: requests are bytes made ahead, and of an answer only what the jobs look at is parsed.
//! Start at `Connection::exchange`.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use hallmark_conformance::{Failure, Outcome, failure::While};

use crate::content::Layer;

/// What one read asks for. Larger reads cost the client fewer calls for each GiB; above this nothing more is won.
const READ_SIZE: usize = 512 * 1024;
/// How long a server may be silent before the benchmark gives up: longer than a slow disk needs to sync 32 GiB.
const SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// The bytes of one request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    is_head: bool,
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &str, target: &str, token: Option<&str>) -> Self {
        Self::with_headers(method, target, token, "")
    }

    /// A request whose small body travels in the same write as its head.
    pub(crate) fn with_body(method: &str, target: &str, token: Option<&str>, content_type: &str, body: &[u8]) -> Self {
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        let mut request = Self::with_headers(method, target, token, &headers);
        request.bytes.extend_from_slice(body);
        request
    }

    /// A request with further header lines, each ended by CRLF.
    pub(crate) fn with_headers(method: &str, target: &str, token: Option<&str>, headers: &str) -> Self {
        let mut head = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = write!(head, "{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(token) = token {
            let _ = write!(head, "Authorization: {token}\r\n");
        }
        if method == "GET" && target.contains("/manifests/") {
            head.push_str(
                "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json\r\n",
            );
        }
        head.push_str(headers);
        if matches!(method, "POST" | "PUT" | "PATCH") && !headers.contains("Content-Length") {
            head.push_str("Content-Length: 0\r\n");
        }
        head.push_str("\r\n");
        Self { bytes: head.into_bytes(), is_head: method == "HEAD" }
    }
}

/// What the jobs look at in an answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of the body that arrived.
    pub(crate) length: u64,
    /// The `Location` header.
    pub(crate) location: Option<String>,
    /// The `WWW-Authenticate` header.
    pub(crate) challenge: Option<String>,
}

impl Answer {
    /// The answer, if it has this status.
    ///
    /// # Errors
    /// It has another one.
    pub(crate) fn expect(self, status: u16, what: &str) -> Outcome<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(Failure::new(format!("{what}: answered {} and not {status}", self.status)))
    }

    /// The path and query of `Location`, whether the server sent it absolute or relative.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn target(&self) -> Outcome<&str> {
        let location = self.location.as_deref().or_fail("the answer has no Location")?;
        let Some((_, rest)) = location.split_once("://") else {
            return Ok(location);
        };
        rest.find('/').map(|slash| &rest[slash..]).or_fail("the Location has no path")
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(u64),
    Chunked,
}

/// A keep-alive connection; opened again when the server closes it between two requests.
#[derive(Debug)]
pub(crate) struct Connection {
    port: u16,
    stream: TcpStream,
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    closing: bool,
}

impl Connection {
    /// Connects to the loopback `port`.
    ///
    /// # Errors
    /// Nothing listens there.
    pub(crate) fn open(port: u16) -> Outcome<Self> {
        Ok(Self {
            port,
            stream: connect(port).or_fail(format!("cannot connect to 127.0.0.1:{port}"))?,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            begin: 0,
            end: 0,
            closing: false,
        })
    }

    /// Sends a request and throws the answer's body away.
    ///
    /// # Errors
    /// The connection broke or the answer is not HTTP/1.1.
    pub(crate) fn exchange(&mut self, request: &Request) -> Outcome<Answer> {
        self.send(request)?;
        self.receive(request.is_head, |_| {})
    }

    /// Sends a request and gives each piece of the answer's body to `sink`.
    ///
    /// # Errors
    /// As for [`Connection::exchange`].
    pub(crate) fn exchange_into(&mut self, request: &Request, sink: impl FnMut(&[u8])) -> Outcome<Answer> {
        self.send(request)?;
        self.receive(request.is_head, sink)
    }

    /// Sends a request whose body is a layer; its head must state the layer's size.
    ///
    /// # Errors
    /// As for [`Connection::exchange`].
    pub(crate) fn upload(&mut self, request: &Request, layer: &Layer<'_>) -> Outcome<Answer> {
        self.send(request)?;
        for piece in layer.pieces() {
            self.stream.write_all(piece).or_fail("the server closed the connection in mid-layer")?;
        }
        self.receive(false, |_| {})
    }

    fn send(&mut self, request: &Request) -> Outcome<()> {
        if self.closing {
            *self = Self::open(self.port)?;
        }
        self.stream.write_all(&request.bytes).or_fail("cannot send a request")
    }

    fn receive(&mut self, without_body: bool, mut sink: impl FnMut(&[u8])) -> Outcome<Answer> {
        let head_end = self.fill_head()?;
        let head = str::from_utf8(&self.buffer[self.begin..head_end]).or_fail("the answer's head is not UTF-8")?;
        let (mut answer, framing, closing) = parse_head(head)?;
        self.begin = head_end;
        self.closing = closing;
        let bodiless = without_body || answer.status == 204 || answer.status == 304;
        answer.length = match framing {
            _ if bodiless => 0,
            Framing::Length(length) => self.drain(length, &mut sink)?,
            Framing::Chunked => self.drain_chunks(&mut sink)?,
        };
        Ok(answer)
    }

    /// Reads until a whole head stands in the buffer; its end.
    fn fill_head(&mut self) -> Outcome<usize> {
        self.compact();
        let mut searched = 0_usize;
        loop {
            let from = searched.saturating_sub(3);
            let held = &self.buffer[..self.end];
            if let Some(at) = held[from..].windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(from + at + 4);
            }
            searched = self.end;
            self.read_more()?;
        }
    }

    fn drain(&mut self, length: u64, sink: &mut impl FnMut(&[u8])) -> Outcome<u64> {
        let mut left = length;
        while left > 0 {
            if self.begin == self.end {
                self.compact();
                self.read_more()?;
            }
            let held = (self.end - self.begin).min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&self.buffer[self.begin..self.begin + held]);
            self.begin += held;
            left -= held as u64;
        }
        Ok(length)
    }

    fn drain_chunks(&mut self, sink: &mut impl FnMut(&[u8])) -> Outcome<u64> {
        let mut total = 0;
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).or_fail("a chunk has no size")?;
            total += self.drain(size, sink)?;
            if size == 0 {
                // Trailers, of which there are normally none, end with an empty line.
                while !self.line()?.is_empty() {}
                return Ok(total);
            }
            self.line()?;
        }
    }

    fn line(&mut self) -> Outcome<String> {
        loop {
            let held = &self.buffer[self.begin..self.end];
            if let Some(at) = held.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&held[..at]).into_owned();
                self.begin += at + 2;
                return Ok(line);
            }
            self.compact();
            self.read_more()?;
        }
    }

    /// Moves what is unread to the front; usually there is nothing.
    fn compact(&mut self) {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
    }

    fn read_more(&mut self) -> Outcome<()> {
        let read = self.stream.read(&mut self.buffer[self.end..]).or_fail("cannot read the answer")?;
        if read == 0 {
            return Err(Failure::new("the server closed the connection before its answer ended"));
        }
        self.end += read;
        Ok(())
    }
}

/// A connection that sends small writes at once.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    Ok(stream)
}

fn parse_head(head: &str) -> Outcome<(Answer, Framing, bool)> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
    let mut answer = Answer {
        status: status.and_then(|digits| digits.parse().ok()).or_fail("the answer is not HTTP/1.1")?,
        ..Answer::default()
    };
    let mut framing = Framing::Length(0);
    let mut closing = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse().or_fail("Content-Length is not a number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("location") {
            answer.location = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("www-authenticate") {
            answer.challenge = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("connection") {
            closing = value.eq_ignore_ascii_case("close");
        }
    }
    Ok((answer, framing, closing))
}
