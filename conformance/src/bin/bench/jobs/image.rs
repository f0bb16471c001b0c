//! Small images going in, and tags that move.

use hallmark_conformance::Outcome;

use super::{World, push::finish_target, read::CLIENTS};
use crate::{
    content::{Image, MANIFEST_TYPE, Small},
    load::{self, Sample, Until},
    server::Server,
    token::Access,
    wire::{Connection, Request},
};

/// Repositories of each client, so that no repository grows beyond what is usual.
const REPOSITORIES_EACH: usize = 4;
/// Image numbers set aside for each client and round: more than it can push.
const IMAGES_EACH: u64 = 1_000_000;
/// The repository in which tags move.
const TAGGED: &str = "admin/tagged";
/// Tags of each client that move.
const TAGS_EACH: u64 = 8;

/// Whole images: POST and PUT for each of two blobs, PUT of the manifest under a new tag.
pub(super) fn push(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let first = world.image_numbers(IMAGES_EACH * CLIENTS as u64);
    load::run(CLIENTS, Until::Elapsed(world.scale.period), server.watch(), |client| {
        let repositories =
            (0..REPOSITORIES_EACH).map(|number| format!("admin/image-{client}-{number}")).collect::<Vec<_>>();
        let access = repositories.iter().map(|name| Access::Repository(name)).collect::<Vec<_>>();
        let tokens =
            access.iter().map(|access| server.authorization(world.setup, &[*access])).collect::<Outcome<Vec<_>>>()?;
        let mut connection = server.connect()?;
        Ok(move |count: u64| {
            let number = first + client as u64 * IMAGES_EACH + count;
            let turn = usize::try_from(count).unwrap_or(0) % REPOSITORIES_EACH;
            let image = Image::numbered(number);
            push_image(&mut connection, &repositories[turn], &format!("v{number}"), &image, tokens[turn].as_deref())?;
            Ok((image.config.bytes.len() + image.layer.bytes.len()) as u64)
        })
    })
}

/// Pushes one image.
pub(super) fn push_image(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    image: &Image,
    token: Option<&str>,
) -> Outcome<()> {
    push_blob(connection, repository, &image.config, token)?;
    push_blob(connection, repository, &image.layer, token)?;
    push_manifest(connection, repository, tag, (&image.manifest, MANIFEST_TYPE), token)
}

/// PUTs a manifest of a media type under a tag.
pub(super) fn push_manifest(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    (manifest, media_type): (&Small, &str),
    token: Option<&str>,
) -> Outcome<()> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let put = Request::with_body("PUT", &target, token, media_type, &manifest.bytes);
    connection.exchange(&put)?.expect(201, "PUT of a manifest")?;
    Ok(())
}

/// Pushes the two images between which tags move.
pub(super) fn prepare_tags(world: &World<'_>, server: &mut Server) -> Outcome<()> {
    let token = server.authorization(world.setup, &[Access::Repository(TAGGED)])?;
    let mut connection = server.connect()?;
    for image in between() {
        push_image(&mut connection, TAGGED, "first", &image, token.as_deref())?;
    }
    Ok(())
}

/// Every write moves its tag to the manifest that it did not name before.
pub(super) fn move_tags(world: &World<'_>, server: &Server) -> Outcome<Sample> {
    let token = server.authorization(world.setup, &[Access::Repository(TAGGED)])?;
    let token = token.as_deref();
    load::run(CLIENTS, Until::Elapsed(world.scale.period), server.watch(), |client| {
        let images = between();
        let put = |tag: u64, image: &Image| {
            let target = format!("/v2/{TAGGED}/manifests/t{client}-{tag}");
            Request::with_body("PUT", &target, token, MANIFEST_TYPE, &image.manifest.bytes)
        };
        let requests =
            images.iter().flat_map(|image| (0..TAGS_EACH).map(move |tag| put(tag, image))).collect::<Vec<_>>();
        let mut connection = server.connect()?;
        Ok(move |count| {
            let turn = usize::try_from(count).unwrap_or(0) % requests.len();
            connection.exchange(&requests[turn])?.expect(201, "PUT of a tag")?;
            Ok(0)
        })
    })
}

fn between() -> [Image; 2] {
    [Image::numbered(1 << 40), Image::numbered(2 << 40)]
}

fn push_blob(connection: &mut Connection, repository: &str, blob: &Small, token: Option<&str>) -> Outcome<()> {
    let open = Request::new("POST", &format!("/v2/{repository}/blobs/uploads/"), token);
    let opened = connection.exchange(&open)?.expect(202, "POST of an upload")?;
    let target = finish_target(opened.target()?, &blob.digest);
    let put = Request::with_body("PUT", &target, token, "application/octet-stream", &blob.bytes);
    connection.exchange(&put)?.expect(201, "PUT of a blob")?;
    Ok(())
}
