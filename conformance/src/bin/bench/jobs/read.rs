//! Small things going out: a manifest by tag, a small blob.

use hallmark_conformance::Outcome;

use super::{World, image::push_image};
use crate::{
    content::Image,
    load::{self, Sample, Until},
    server::Server,
    token::Access,
    wire::Request,
};

/// The repository that is read from.
const REPOSITORY: &str = "admin/read";
/// The tag that is read.
const TAG: &str = "1.0";
/// Connections that ask at once.
pub(super) const CLIENTS: usize = 8;

/// Pushes the image that is read.
pub(super) fn prepare(world: &World<'_>, server: &mut Server) -> Outcome<()> {
    let token = server.authorization(world.setup, &[Access::Repository(REPOSITORY)])?;
    push_image(&mut server.connect()?, REPOSITORY, TAG, &Image::numbered(0), token.as_deref())
}

/// `GET` of the manifest by its tag.
pub(super) fn manifest(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    repeat(world, server, &[format!("/v2/{REPOSITORY}/manifests/{TAG}")], Access::Repository(REPOSITORY))
}

/// `GET` of the image's layer.
pub(super) fn blob(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let digest = Image::numbered(0).layer.digest;
    repeat(world, server, &[format!("/v2/{REPOSITORY}/blobs/{digest}")], Access::Repository(REPOSITORY))
}

/// `GET`s the targets in turn, for the period of the scale.
pub(super) fn repeat(world: &World<'_>, server: &Server, targets: &[String], access: Access<'_>) -> Outcome<Sample> {
    let token = server.authorization(world.setup, &[access])?;
    repeat_with(world, server, targets, token)
}

/// The same with this `Authorization`.
pub(super) fn repeat_with(
    world: &World<'_>,
    server: &Server,
    targets: &[String],
    token: Option<String>,
) -> Outcome<Sample> {
    let requests = targets.iter().map(|target| Request::new("GET", target, token.as_deref())).collect::<Vec<_>>();
    let requests = &requests;
    load::run(CLIENTS, Until::Elapsed(world.scale.period), server.watch(), |client| {
        let mut connection = server.connect()?;
        // The clients walk at some distance from each other.
        let mut turn = requests.iter().cycle().skip(client * requests.len() / CLIENTS);
        Ok(move |_| {
            let answer = turn.next().map(|request| connection.exchange(request)).transpose()?;
            Ok(answer.unwrap_or_default().expect(200, "a GET")?.length)
        })
    })
}
