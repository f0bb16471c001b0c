//! A request as a test writes it and a response as it came.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{Failure, Outcome, failure::While};

/// The body of a request and how its end is told.
#[derive(Clone, Debug)]
pub enum Body {
    /// No body and no Content-Length.
    None,
    /// A body with its Content-Length.
    Sized(Vec<u8>),
    /// A body with `Transfer-Encoding: chunked`, one chunk for each part.
    Chunked(Vec<Vec<u8>>),
    /// A Content-Length that promises `promised` bytes, of which only `sent` are sent.
    Truncated {
        /// The value of Content-Length.
        promised: u64,
        /// The bytes that are sent.
        sent: Vec<u8>,
    },
}

/// A request, sent exactly as it stands here: no header is added but the one that tells the body's end, and Host.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, such as `PATCH`.
    pub method: String,
    /// The request target, path and query, as it goes on the wire.
    pub target: String,
    /// The headers in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Body::None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sets a body with a Content-Length.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body(Body::Sized(bytes.into()))
    }

    /// The head as it goes on the wire, with the empty line that ends it.
    pub fn head(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.names("host") {
            let _ = write!(head, "Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match &self.body {
            Body::None => {
                let expects_body = ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
                if expects_body && !self.names("content-length") && !self.names("transfer-encoding") {
                    head.push_str("Content-Length: 0\r\n");
                }
            }
            Body::Sized(bytes) => {
                let _ = write!(head, "Content-Length: {}\r\n", bytes.len());
            }
            Body::Truncated { promised, .. } => {
                let _ = write!(head, "Content-Length: {promised}\r\n");
            }
            Body::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The body as it goes on the wire.
    pub fn wire_body(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(bytes) | Body::Truncated { sent: bytes, .. } => bytes.clone(),
            Body::Chunked(parts) => {
                let mut wire = Vec::new();
                for part in parts.iter().filter(|part| !part.is_empty()) {
                    wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    wire.extend_from_slice(part);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
                wire
            }
        }
    }

    fn names(&self, header: &str) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header))
    }
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in order, names as they were sent.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of a chunked one.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    ///
    /// # Errors
    /// There is no such header.
    pub fn required(&self, name: &str) -> Outcome<&str> {
        self.header(name).or_fail(format!("the answer {self} has no header {name}"))
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn json(&self) -> Outcome<Value> {
        serde_json::from_slice(&self.body).or_fail(format!("the body of {self} is not JSON"))
    }

    /// The code of the first error in the specification's envelope.
    pub fn error_code(&self) -> Option<String> {
        let envelope: Value = serde_json::from_slice(&self.body).ok()?;
        Some(envelope.pointer("/errors/0/code")?.as_str()?.to_owned())
    }

    /// The response itself if it has this status.
    ///
    /// # Errors
    /// It has another one; the failure shows the whole answer.
    pub fn expect(self, status: u16) -> Outcome<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(Failure::new(format!("{status} was expected and this came: {self}")))
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 600;
        write!(formatter, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(formatter, " | {name}: {value}")?;
        }
        let text = self.text();
        let shown: String = text.chars().take(SHOWN).collect();
        write!(formatter, " | {shown}")
    }
}

/// Percent-encodes everything that is not unreserved, for a query value or one path component.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
