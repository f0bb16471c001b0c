//! A layer so large that it is synced while it is still being sent, and how far the server says it has come.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{checker::Known, content::Content};
use crate::{
    Failure, Outcome,
    http::{Connection, Request, Response},
    image::digest,
    registry::{Registry, path_of},
};

/// A server makes an upload durable after so many bytes of a request, at the latest.
const STEP: usize = 64 << 20;
const SIZE: usize = 100 << 20;
/// What is kept back at first, so that the request does not end.
const KEPT_BACK: usize = 1 << 20;
const PIECE: usize = 1 << 20;
/// How much is sent between two questions.
const TRICKLE: usize = 512;
/// How long the server may take to say that it has made a step.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A large layer on its way.
#[derive(Debug)]
pub struct Layer {
    repository: String,
    content: Content,
    bytes: Vec<u8>,
    location: String,
}

/// A PATCH of it that lacks its last bytes.
#[derive(Debug)]
pub struct Unfinished<'a> {
    layer: &'a Layer,
    connection: Connection,
    sent: usize,
}

impl Layer {
    /// Opens an upload for the layer of this id.
    ///
    /// # Errors
    /// The server refuses or goes away.
    pub fn begin(registry: &Registry, repository: &str, id: u64) -> Outcome<Self> {
        let content = Content::new(id, SIZE);
        let (bytes, location) = (content.bytes(), registry.begin_upload(repository)?);
        Ok(Self { repository: repository.to_owned(), content, bytes, location })
    }

    /// Sends all of it but the last bytes, in one PATCH.
    ///
    /// # Errors
    /// The server goes away, or lets go of the connection.
    pub fn send(&self, registry: &Registry) -> Outcome<Unfinished<'_>> {
        let scope = format!("repository:{}:pull,push", self.repository);
        let request = Request::new("PATCH", path_of(&self.location))
            .header("Authorization", registry.client().authorization(&[&scope])?)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Length", SIZE.to_string());
        let mut connection = Connection::open(registry.client().port())?;
        connection.send_head(&request)?;
        for piece in self.bytes[..SIZE - KEPT_BACK].chunks(PIECE) {
            connection.write(piece)?;
        }
        Ok(Unfinished { layer: self, connection, sent: SIZE - KEPT_BACK })
    }

    /// Goes on from where the server says the upload stands, to its digest.
    ///
    /// # Errors
    /// The server refuses, or what it holds then are other bytes.
    pub fn go_on(&self, registry: &Registry) -> Outcome<()> {
        let (location, from) = registry.status(&self.location)?;
        registry.finish(&location, self.content.digest(), &self.bytes[from..])?.expect(201)?;
        let stored = registry.blob(&self.repository, self.content.digest())?.expect(200)?.body;
        if digest(&stored) == self.content.digest() {
            return Ok(());
        }
        Err(Failure::new(format!("a layer that went on from {from} has other bytes")))
    }

    /// Where the upload is asked for.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Tells a checker of the server's system calls of this layer.
    pub fn make_known(&self, known: &mut Known) {
        known.blobs.insert(self.content.digest().to_owned(), self.content.mark());
        known.uploads.insert(path_of(&self.location).to_owned(), self.content.mark());
    }
}

impl Unfinished<'_> {
    /// Goes on to send, a little at a time, until the server says that a step of the upload is durable; how many bytes it says.
    ///
    /// # Errors
    /// It does not say so in time, or says more than was sent.
    pub fn told(&mut self, registry: &Registry) -> Outcome<usize> {
        let limit = Instant::now() + STEP_LIMIT;
        loop {
            let told = registry.received(&self.layer.location)?;
            if (STEP..=self.sent).contains(&told) {
                return Ok(told);
            }
            if told > self.sent || Instant::now() > limit {
                let sent = self.sent;
                return Err(Failure::new(format!(
                    "{told} bytes of a layer are told to be durable, of which {sent} were sent"
                )));
            }
            // What is durable is told with the next bytes that come.
            let next = (self.sent + TRICKLE).min(SIZE - 1);
            self.connection.write(&self.layer.bytes[self.sent..next])?;
            self.sent = next;
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends the last bytes; the answer to the PATCH.
    ///
    /// # Errors
    /// The server goes away.
    pub fn end(mut self) -> Outcome<Response> {
        self.connection.write(&self.layer.bytes[self.sent..])?;
        self.connection.receive("PATCH")
    }
}
