//! One connection: requests out, responses in, each byte of the body when the test wants it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use super::{Request, Response};
use crate::{Failure, Outcome, failure::While};

/// How long a response may take before the test fails. Longer than any limit of the server.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// A head longer than this is not a registry's.
const HEAD_LIMIT: usize = 256 * 1024;

/// A connection to a server on 127.0.0.1.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects to a port on 127.0.0.1.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn open(port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)));
        let stream = stream.or_fail(format!("cannot connect to port {port}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream: BufReader::new(stream), host: format!("localhost:{port}") })
    }

    /// Sets how long a read may wait.
    ///
    /// # Errors
    /// The limit is zero.
    pub fn patience(&mut self, limit: Duration) -> Outcome<()> {
        Ok(self.stream.get_ref().set_read_timeout(Some(limit))?)
    }

    /// Sends a whole request and reads its response.
    ///
    /// A failure to send does not end the exchange: a server may answer and close before it has read the body.
    ///
    /// # Errors
    /// No response came.
    pub fn exchange(&mut self, request: &Request) -> Outcome<Response> {
        self.send_head(request)?;
        let sent = self.write(&request.wire_body());
        match self.receive(&request.method) {
            Ok(response) => Ok(response),
            Err(failure) => sent.and(Err(failure)),
        }
    }

    /// Sends a whole request and reads nothing, so that another may follow on its heels.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, request: &Request) -> Outcome<()> {
        self.send_head(request)?;
        self.write(&request.wire_body())
    }

    /// Sends only the head of a request.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send_head(&mut self, request: &Request) -> Outcome<()> {
        let head = request.head(&self.host);
        self.write(&head)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        let mut stream = self.stream.get_ref();
        stream.write_all(bytes).or_fail("the server closed the connection while a request was sent")
    }

    /// Sends one chunk of a body with `Transfer-Encoding: chunked`; an empty one ends the body.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn write_chunk(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.write(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.write(bytes)?;
        self.write(b"\r\n")
    }

    /// Tells the server that nothing more comes; answers can still be read.
    ///
    /// # Errors
    /// The connection is closed already.
    pub fn finish_writing(&mut self) -> Outcome<()> {
        Ok(self.stream.get_ref().shutdown(Shutdown::Write)?)
    }

    /// Reads one response to a request of this method, skipping `1xx` ones.
    ///
    /// # Errors
    /// The connection ends or times out first, or what comes is not HTTP/1.1.
    pub fn receive(&mut self, method: &str) -> Outcome<Response> {
        let mut body = Vec::new();
        let mut response = self.receive_into(method, &mut body)?;
        response.body = body;
        Ok(response)
    }

    /// As [`Connection::receive`], with the body written to `sink` as it comes and left empty in the response.
    ///
    /// # Errors
    /// As for [`Connection::receive`], or the sink fails.
    pub fn receive_into(&mut self, method: &str, sink: &mut impl Write) -> Outcome<Response> {
        let response = self.receive_head()?;
        let none = method == "HEAD" || response.status == 204 || response.status == 304;
        if none {
            return Ok(response);
        }
        let chunked = response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            self.copy_chunks(sink)?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().or_fail("Content-Length is not a number")?;
            self.copy_exactly(length, sink)?;
        } else {
            std::io::copy(&mut self.stream, sink)?;
        }
        Ok(response)
    }

    /// Reads the head of a response, skipping `1xx` ones; the body is left on the connection.
    ///
    /// # Errors
    /// The connection ends or times out first, or what comes is not HTTP/1.1.
    pub fn receive_head(&mut self) -> Outcome<Response> {
        loop {
            let response = self.one_head()?;
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }

    /// Reads up to `limit` bytes of whatever comes next; empty at the end of the connection.
    ///
    /// # Errors
    /// The read fails or times out.
    pub fn read_some(&mut self, limit: usize) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; limit];
        let count = self.stream.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Whether the server has closed its side, or closes it within the patience of this connection.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }

    fn one_head(&mut self) -> Outcome<Response> {
        let status_line = self.line(0)?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .or_fail(format!("this is not a status line: {status_line:?}"))?;
        let mut headers = Vec::new();
        let mut read = status_line.len();
        loop {
            let line = self.line(read)?;
            read += line.len();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').or_fail(format!("not a header: {line:?}"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Response { status, headers, body: Vec::new() })
    }

    fn line(&mut self, read: usize) -> Outcome<String> {
        let mut line = Vec::new();
        let limit = u64::try_from(HEAD_LIMIT.saturating_sub(read)).unwrap_or(u64::MAX);
        let mut stream = (&mut self.stream).take(limit);
        stream.read_until(b'\n', &mut line).or_fail("no answer came")?;
        if line.pop() != Some(b'\n') {
            return Err(Failure::new("the connection ended before an answer was whole"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn copy_exactly(&mut self, length: u64, sink: &mut impl Write) -> Outcome<()> {
        let copied = std::io::copy(&mut (&mut self.stream).take(length), sink)?;
        if copied == length {
            return Ok(());
        }
        Err(Failure::new(format!("the body ended after {copied} of {length} bytes")))
    }

    fn copy_chunks(&mut self, sink: &mut impl Write) -> Outcome<()> {
        loop {
            let line = self.line(0)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).or_fail(format!("not a chunk size: {line:?}"))?;
            self.copy_exactly(size, sink)?;
            self.line(0)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}
