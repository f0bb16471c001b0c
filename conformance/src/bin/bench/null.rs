//! A server that answers like a registry and does nothing: the load client's ceiling is measured against it.
//! Never stores or checks a byte; it remembers only how long each pushed blob was, so that a pull of it is as long.
//! Start at `serve`.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use hallmark_conformance::{Outcome, failure::While};
use rustix::net::sockopt::set_tcp_congestion;

use crate::content::empty_index;

/// What one read or write moves.
const BUFFER_SIZE: usize = 512 * 1024;

/// How it avoids congestion, of which there is none on one machine: where the host's default is BBR, which paces what is sent by
/// timers, it would show what those allow.
const UNPACED: &str = "reno";

/// Length of each blob by its digest.
type Sizes = Arc<Mutex<HashMap<String, u64>>>;

/// Answers on the loopback `port` until the process is ended.
///
/// # Errors
/// The port is taken.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).or_fail("the null server cannot listen")?;
    set_tcp_congestion(&listener, UNPACED).or_fail("the kernel has no such congestion control")?;
    let sizes = Sizes::default();
    for stream in listener.incoming() {
        let (stream, sizes) = (stream?, Arc::clone(&sizes));
        // A client that goes away ends its thread, and nobody needs to know.
        thread::spawn(move || converse(stream, &sizes));
    }
    Ok(())
}

fn converse(mut stream: TcpStream, sizes: &Sizes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_SIZE];
    let mut held = 0;
    loop {
        let end = loop {
            if let Some(at) = buffer[..held].windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[held..])? {
                0 => return Ok(()),
                read => held += read,
            }
        };
        let asked = Asked::parse(&String::from_utf8_lossy(&buffer[..end]));
        let here = (held - end).min(usize::try_from(asked.length).unwrap_or(usize::MAX));
        buffer.copy_within(end + here..held, 0);
        held -= end + here;
        let mut left = asked.length - here as u64;
        while left > 0 {
            let wanted = BUFFER_SIZE.min(usize::try_from(left).unwrap_or(usize::MAX));
            match stream.read(&mut buffer[held..held + wanted.min(BUFFER_SIZE - held)])? {
                0 => return Ok(()),
                read => left -= read as u64,
            }
        }
        answer(&mut stream, &asked, sizes)?;
    }
}

/// A request.
#[derive(Debug)]
struct Asked {
    method: String,
    target: String,
    length: u64,
}

impl Asked {
    fn parse(head: &str) -> Self {
        let mut words = head.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        Self { method, target, length }
    }
}

fn answer(stream: &mut TcpStream, asked: &Asked, sizes: &Sizes) -> io::Result<()> {
    let sizes = || sizes.lock().unwrap_or_else(PoisonError::into_inner);
    let (target, digest) = (asked.target.as_str(), asked.target.rsplit(['/', '=']).next().unwrap_or_default());
    match asked.method.as_str() {
        "POST" => send(stream, 202, &format!("Location: {target}1\r\n"), b""),
        "PUT" => {
            if target.contains("/uploads/") {
                sizes().insert(digest.to_owned(), asked.length);
            }
            send(stream, 201, "", b"")
        }
        "HEAD" => send(stream, if sizes().contains_key(digest) { 200 } else { 404 }, "", b""),
        _ if target.contains("/blobs/") => {
            let size = sizes().get(digest).copied().unwrap_or(0);
            send_zeros(stream, size)
        }
        _ if target.contains("/tags/list") => send(stream, 200, "", page("tags").as_bytes()),
        _ if target.contains("_catalog") => send(stream, 200, "", page("repositories").as_bytes()),
        _ => send(stream, 200, "", &empty_index().bytes),
    }
}

/// A list of a hundred names, as long as a registry's.
fn page(of: &str) -> String {
    let names = (0..100).map(|number| format!("\"admin/name-{number:06}\"")).collect::<Vec<_>>();
    format!(r#"{{"name":"admin/list","{of}":[{}]}}"#, names.join(","))
}

/// Head and body in one write.
fn send(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let mut head = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write!(head, "HTTP/1.1 {status} -\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)
}

fn send_zeros(stream: &mut TcpStream, size: u64) -> io::Result<()> {
    static ZEROS: [u8; BUFFER_SIZE] = [0; BUFFER_SIZE];
    let small = usize::try_from(size).ok().and_then(|size| ZEROS.get(..size));
    if let Some(body) = small {
        return send(stream, 200, "", body);
    }
    stream.write_all(format!("HTTP/1.1 200 -\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
    io::copy(&mut io::repeat(0).take(size), &mut io::BufWriter::with_capacity(BUFFER_SIZE, stream))?;
    Ok(())
}
