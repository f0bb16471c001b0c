//! Layers going in.

use std::process::Command;

use hallmark_conformance::{Outcome, process::run};

use super::World;
use crate::{
    content::Layer,
    load::{self, Sample, Until},
    machine,
    options::CROWD,
    server::Server,
    token::Access,
    wire::{Connection, Request},
};

/// The repository that layers are pushed to.
const REPOSITORY: &str = "admin/layers";

/// One client, one layer.
pub(super) fn layer(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    push(world, server, 1, world.scale.layer)
}

/// Many clients, a layer each, to a server of its own whose data goes when it is done.
pub(super) fn crowd(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let server = Server::start(server.kind, world.setup)?;
    let sample = push(world, &server, CROWD, world.scale.crowd_layer)?;
    server.remove()?;
    Ok(sample)
}

/// The same on the server that is there, smaller: how much memory parts take does not depend on how many of them follow.
pub(super) fn crowd_to_bucket(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    push(world, server, CROWD, world.scale.bucket_layer)
}

/// Opens an upload and sends the layer in one PUT, as containerd does.
pub(super) fn push_layer(
    connection: &mut Connection,
    repository: &str,
    layer: &Layer<'_>,
    token: Option<&str>,
) -> Outcome<()> {
    let open = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/"), token);
    let opened = connection.exchange(&open)?.expect(202, "POST of an upload")?;
    let headers = format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", layer.size());
    let target = finish_target(opened.target()?, &layer.digest);
    let finish = Request::with_headers("PUT", &target, token, &headers);
    connection.upload(&finish, layer)?.expect(201, "PUT of a layer")?;
    Ok(())
}

/// Where an upload is finished: its location with the digest added to what query there is.
pub(super) fn finish_target(location: &str, digest: &str) -> String {
    let joint = if location.contains('?') { '&' } else { '?' };
    format!("{location}{joint}digest={digest}")
}

fn push(world: &World<'_>, server: &Server, clients: usize, size: u64) -> Outcome<Sample> {
    let token = server.authorization(world.setup, &[Access::Repository(REPOSITORY)])?;
    // What others left to be written must not be paid for by this one.
    run(Command::new("sync").arg("-f").arg(&world.setup.folder))?;
    load::run(clients, Until::Done(1), server.watch(), |number| {
        let layer = world.layers.next(size);
        if number == 0 {
            machine::touch(clients as u64 * size);
        }
        // After it: a server may close a connection that asks nothing for seconds.
        let mut connection = server.connect()?;
        let token = token.as_deref();
        Ok(move |_| {
            push_layer(&mut connection, REPOSITORY, &layer, token)?;
            Ok(size)
        })
    })
}
