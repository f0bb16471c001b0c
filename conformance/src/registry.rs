//! The protocol's verbs as a client says them, each answer checked for what every client depends on.

use std::io::Write;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    Failure, Outcome,
    failure::While,
    http::{Client, Connection, Request, Response, encode},
    image::{Content, Image, Index, digest, hex},
};

/// A registry and the one who speaks to it.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
}

impl Registry {
    /// A registry that this client speaks to.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens an upload and gives its Location.
    ///
    /// # Errors
    /// The answer is not 202 with a Location.
    pub fn begin_upload(&self, repository: &str) -> Outcome<String> {
        let request = Request::new("POST", format!("/v2/{repository}/blobs/uploads/"));
        let answer = self.client.send(&request)?.expect(202)?;
        Ok(answer.required("location")?.to_owned())
    }

    /// Sends a chunk that begins at `start` and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn append(&self, location: &str, start: usize, bytes: &[u8]) -> Outcome<Response> {
        let range = format!("{start}-{}", (start + bytes.len()).saturating_sub(1));
        let request = Request::new("PATCH", path_of(location))
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", range)
            .bytes(bytes);
        self.client.send(&request)
    }

    /// Sends the rest of an upload with its digest and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn finish(&self, location: &str, digest: &str, bytes: &[u8]) -> Outcome<Response> {
        let request = Request::new("PUT", with_query(location, "digest", digest))
            .header("Content-Type", "application/octet-stream")
            .bytes(bytes);
        self.client.send(&request)
    }

    /// How many bytes of an upload the registry holds: what it says in `Range`.
    ///
    /// # Errors
    /// The answer is not 204 with a Range.
    pub fn received(&self, location: &str) -> Outcome<usize> {
        Ok(self.status(location)?.1)
    }

    /// Where an upload goes on, and how many bytes of it the registry holds.
    ///
    /// # Errors
    /// The answer is not 204 with a Location and a Range.
    pub fn status(&self, location: &str) -> Outcome<(String, usize)> {
        let answer = self.client.send(&Request::new("GET", path_of(location)))?.expect(204)?;
        let range = answer.required("range")?;
        let last = range.strip_prefix("0-").and_then(|last| last.parse::<usize>().ok());
        let last = last.or_fail(format!("the Range {range:?} is not 0-<last byte>"))?;
        let location = answer.required("location")?.to_owned();
        // `0-0` is said of no byte and of one; no test here stops after one.
        Ok((location, if last == 0 { 0 } else { last + 1 }))
    }

    /// Pushes a blob in two requests.
    ///
    /// # Errors
    /// An answer is not what it must be.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> Outcome<String> {
        let digest = digest(bytes);
        let location = self.begin_upload(repository)?;
        let answer = self.finish(&location, &digest, bytes)?.expect(201)?;
        let told = answer.required("docker-content-digest")?;
        if told == digest {
            return Ok(digest);
        }
        Err(Failure::new(format!("{digest} was pushed and {told} was answered")))
    }

    /// Mounts a blob of another repository and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn mount(&self, repository: &str, digest: &str, from: Option<&str>) -> Outcome<Response> {
        let mut target = format!("/v2/{repository}/blobs/uploads/?mount={}", encode(digest));
        if let Some(from) = from {
            target.push_str("&from=");
            target.push_str(&encode(from));
        }
        self.client.send(&Request::new("POST", target))
    }

    /// Puts a manifest and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn put_manifest(&self, repository: &str, reference: &str, manifest: &Content) -> Outcome<Response> {
        let request = Request::new("PUT", format!("/v2/{repository}/manifests/{reference}"))
            .header("Content-Type", &manifest.media_type)
            .bytes(manifest.bytes.clone());
        self.client.send(&request)
    }

    /// Pushes an image under a tag or its digest, blobs first.
    ///
    /// # Errors
    /// An answer is not what it must be.
    pub fn push_image(&self, repository: &str, reference: &str, image: &Image) -> Outcome<()> {
        for blob in image.blobs() {
            self.push_blob(repository, &blob.bytes)?;
        }
        let answer = self.put_manifest(repository, reference, &image.manifest)?.expect(201)?;
        let told = answer.required("docker-content-digest")?;
        if told == image.manifest.digest {
            return Ok(());
        }
        Err(Failure::new(format!("{} was pushed and {told} was answered", image.manifest.digest)))
    }

    /// Pushes an index and its images.
    ///
    /// # Errors
    /// An answer is not what it must be.
    pub fn push_index(&self, repository: &str, reference: &str, index: &Index) -> Outcome<()> {
        for image in &index.images {
            self.push_image(repository, &image.manifest.digest, image)?;
        }
        self.put_manifest(repository, reference, &index.manifest)?.expect(201)?;
        Ok(())
    }

    /// Gets a manifest and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn manifest(&self, repository: &str, reference: &str) -> Outcome<Response> {
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json";
        let request = Request::new("GET", format!("/v2/{repository}/manifests/{reference}"));
        self.client.send(&request.header("Accept", accept))
    }

    /// Gets a blob and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn blob(&self, repository: &str, digest: &str) -> Outcome<Response> {
        let target = format!("/v2/{repository}/blobs/{digest}");
        self.client.send(&Request::new("GET", target))
    }

    /// Reads a blob without holding it and checks that its bytes are those of its digest. Gives its size.
    ///
    /// # Errors
    /// The blob is absent, short, or not what its digest says.
    pub fn check_blob(&self, repository: &str, digest: &str) -> Outcome<u64> {
        let target = format!("/v2/{repository}/blobs/{digest}");
        let scope = format!("repository:{repository}:pull");
        let request = Request::new("GET", target).header("Authorization", self.client.authorization(&[&scope])?);
        let mut connection = Connection::open(self.client.port())?;
        connection.send(&request)?;
        let mut sink = Hashing::default();
        connection.receive_into("GET", &mut sink)?.expect(200)?;
        let found = format!("sha256:{}", hex(&sink.hasher.finalize()));
        if found == digest {
            return Ok(sink.size);
        }
        Err(Failure::new(format!("{digest} in {repository} has the bytes of {found}")))
    }

    /// Pulls what a reference names, whole, down to each blob's bytes, and gives the digest of its manifest.
    ///
    /// # Errors
    /// Anything is absent or not what its digest says.
    pub fn check_image(&self, repository: &str, reference: &str) -> Outcome<String> {
        let answer = self.manifest(repository, reference)?.expect(200)?;
        let found = digest(&answer.body);
        if reference.contains(':') && found != reference {
            return Err(Failure::new(format!("{reference} in {repository} has the bytes of {found}")));
        }
        let manifest = answer.json()?;
        for child in entries(&manifest, "manifests") {
            self.check_image(repository, digest_in(child)?)?;
        }
        for blob in manifest.get("config").into_iter().chain(entries(&manifest, "layers")) {
            self.check_blob(repository, digest_in(blob)?)?;
        }
        Ok(found)
    }

    /// Every tag of a repository, over all pages.
    ///
    /// # Errors
    /// An answer is not 200 with a list.
    pub fn tags(&self, repository: &str) -> Outcome<Vec<String>> {
        self.pages(format!("/v2/{repository}/tags/list"), "tags")
    }

    /// Every repository that the caller may see, over all pages.
    ///
    /// # Errors
    /// An answer is not 200 with a list.
    pub fn catalog(&self) -> Outcome<Vec<String>> {
        self.pages("/v2/_catalog".to_owned(), "repositories")
    }

    /// The descriptors that refer to a digest.
    ///
    /// # Errors
    /// The answer is not 200 with an index.
    pub fn referrers(&self, repository: &str, subject: &str) -> Outcome<Vec<Value>> {
        let request = Request::new("GET", format!("/v2/{repository}/referrers/{subject}"));
        let answer = self.client.send(&request)?.expect(200)?.json()?;
        Ok(entries(&answer, "manifests").cloned().collect())
    }

    /// Deletes a tag, or a manifest by its digest, and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn delete_manifest(&self, repository: &str, reference: &str) -> Outcome<Response> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.client.send(&Request::new("DELETE", target))
    }

    /// Deletes a blob and gives the answer, whatever it is.
    ///
    /// # Errors
    /// No answer came.
    pub fn delete_blob(&self, repository: &str, digest: &str) -> Outcome<Response> {
        let target = format!("/v2/{repository}/blobs/{digest}");
        self.client.send(&Request::new("DELETE", target))
    }

    fn pages(&self, first: String, list: &str) -> Outcome<Vec<String>> {
        /// More pages than any test makes: a Link that never ends is a failure.
        const PAGES: usize = 10_000;
        let mut names = Vec::new();
        let mut next = Some(first);
        for _ in 0..PAGES {
            let Some(target) = next else {
                return Ok(names);
            };
            let answer = self.client.send(&Request::new("GET", target))?.expect(200)?;
            let body = answer.json()?;
            names.extend(entries(&body, list).filter_map(|name| Some(name.as_str()?.to_owned())));
            next = answer.header("link").and_then(|link| {
                let end = link.find('>')?;
                Some(link.strip_prefix('<')?[..end - 1].to_owned())
            });
        }
        Err(Failure::new(format!("the list of {list} has no end")))
    }
}

/// A URL with one more query parameter.
pub fn with_query(location: &str, name: &str, value: &str) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{}{separator}{name}={}", path_of(location), encode(value))
}

/// The path and query of a URL that may be absolute.
pub fn path_of(location: &str) -> &str {
    location.find("://").map_or(location, |scheme| {
        let rest = &location[scheme + 3..];
        rest.find('/').map_or("/", |slash| &rest[slash..])
    })
}

fn entries<'a>(document: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    document.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn digest_in(descriptor: &Value) -> Outcome<&str> {
    let digest = descriptor.get("digest").and_then(Value::as_str);
    digest.or_fail(format!("the descriptor {descriptor} has no digest"))
}

/// Hashes what is written to it.
#[derive(Default)]
struct Hashing {
    hasher: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
