//! Layers going out.

use std::{fs, io::Write as _};

use hallmark_conformance::{Failure, Outcome, failure::While};
use sha2::{Digest as _, Sha256};

use super::{World, push::push_layer};
use crate::{
    load::{self, Sample, Until},
    server::{Kind, Server, nginx},
    token::Access,
    wire::Request,
};

/// The repository that holds the layer.
const REPOSITORY: &str = "admin/pulled";

/// Puts the layer on the server and pulls it once, hashing, so that it is known to be whole and in the page cache.
pub(super) fn prepare(world: &World<'_>, server: &mut Server) -> Outcome<()> {
    let layer = world.pulled();
    let token = server.authorization(world.setup, &[Access::Repository(REPOSITORY)])?;
    let target = format!("/v2/{REPOSITORY}/blobs/{}", layer.digest);
    let mut connection = server.connect()?;
    let present = connection.exchange(&Request::new("HEAD", &target, token.as_deref()))?.status == 200;
    if !present && server.kind == Kind::Nginx {
        let file = nginx::blob_file(&server.data(), REPOSITORY, &layer.digest);
        fs::create_dir_all(file.parent().or_fail("a blob's file has a folder")?)?;
        let mut file = fs::File::create(file)?;
        layer.pieces().try_for_each(|piece| file.write_all(piece))?;
        file.sync_all()?;
    } else if !present {
        push_layer(&mut connection, REPOSITORY, layer, token.as_deref())?;
    }
    if server.kind == Kind::Null {
        return Ok(());
    }
    let mut hash = Sha256::new();
    connection
        .exchange_into(&Request::new("GET", &target, token.as_deref()), |piece| hash.update(piece))?
        .expect(200, "GET of a layer")?;
    if layer.hashes_to(&hash.finalize()) {
        return Ok(());
    }
    Err(Failure::new(format!("{} serves other bytes than were pushed", server.kind)))
}

/// Each client pulls the layer so many times.
pub(super) fn measure(world: &World<'_>, server: &Server, clients: usize, times: u64) -> Outcome<Sample> {
    let layer = world.pulled();
    let token = server.authorization(world.setup, &[Access::Repository(REPOSITORY)])?;
    let request = Request::new("GET", &format!("/v2/{REPOSITORY}/blobs/{}", layer.digest), token.as_deref());
    load::run(clients, Until::Done(times), server.watch(), |_| {
        let mut connection = server.connect()?;
        let request = request.clone();
        Ok(move |_| {
            let answer = connection.exchange(&request)?.expect(200, "GET of a layer")?;
            if answer.length == layer.size() {
                return Ok(answer.length);
            }
            Err(Failure::new("a pulled layer is too short"))
        })
    })
}
