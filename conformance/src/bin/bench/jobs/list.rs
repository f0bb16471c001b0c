//! Pages of long lists.

use hallmark_conformance::{Failure, Outcome};
use serde_json::Value;

use super::{
    World,
    image::push_manifest,
    read::{CLIENTS, repeat},
};
use crate::{
    content::{INDEX_TYPE, empty_index},
    load::{self, Sample, Until},
    seed::{self, Entries},
    server::{Kind, Server},
    token::Access,
    wire::{Connection, Request},
};

/// Entries of the short lists.
pub(super) const FEW: usize = 2_000;
/// Entries of a page.
pub(super) const PAGE: usize = 100;
/// Places in a list at which pages begin.
const PLACES: usize = 64;
/// What the names of listed repositories begin with.
const PREFIX: &str = "admin/listed-";
/// Repositories that one token is asked for while seeding.
const TOKEN_SPAN: usize = 25;

/// Sees to it that the repository of `count` tags has them.
pub(super) fn prepare_tags(world: &World<'_>, server: &mut Server, count: usize) -> Outcome<()> {
    let repository = tagged(count);
    if server.kind == Kind::Null {
        return Ok(());
    }
    let access = [Access::Repository(&repository)];
    push_index(&mut server.connect()?, &repository, &tag(0), server.authorization(world.setup, &access)?.as_deref())?;
    let entries = entries(count, tag);
    if count > FEW && seed::tags(server, world.setup, &repository, &entries)? {
        return Ok(());
    }
    let server = &*server;
    let token = server.authorization(world.setup, &access)?;
    load::run(CLIENTS, Until::Done((count / CLIENTS) as u64), server.watch(), |client| {
        let (mut connection, names) = (server.connect()?, &entries.names);
        let (repository, token) = (&repository, token.as_deref());
        Ok(move |turn| {
            let number = client * (count / CLIENTS) + usize::try_from(turn).unwrap_or(0);
            push_index(&mut connection, repository, &names[number], token)?;
            Ok(0)
        })
    })?;
    Ok(())
}

/// Sees to it that there are `count` repositories.
pub(super) fn prepare_catalog(world: &World<'_>, server: &mut Server, count: usize) -> Outcome<()> {
    if server.kind == Kind::Null {
        return Ok(());
    }
    let entries = entries(count, repository);
    if count > FEW && seed::repositories(server, world.setup, PREFIX, &entries)? {
        return Ok(());
    }
    let spans = entries.names.chunks(TOKEN_SPAN).collect::<Vec<_>>();
    let (spans, server) = (&spans, &*server);
    let turns = spans.len() / CLIENTS;
    load::run(CLIENTS, Until::Done(turns as u64), server.watch(), |client| {
        let mut connection = server.connect()?;
        Ok(move |turn| {
            let names = spans[client * turns + usize::try_from(turn).unwrap_or(0)];
            let access = names.iter().map(|name| Access::Repository(name)).collect::<Vec<_>>();
            let token = server.authorization(world.setup, &access)?;
            for name in names {
                push_index(&mut connection, name, &tag(0), token.as_deref())?;
            }
            Ok(0)
        })
    })?;
    Ok(())
}

/// Pages of tags.
pub(super) fn tags(world: &World<'_>, server: &Server, count: usize) -> Outcome<Sample> {
    let repository = tagged(count);
    let targets = places(count).map(|place| tags_target(&repository, PAGE, place)).collect::<Vec<_>>();
    let access = Access::Repository(&repository);
    let token = server.authorization(world.setup, &[access])?;
    check_page(server, &targets[PLACES / 2], token.as_deref())?;
    repeat(world, server, &targets, access)
}

/// Pages of repositories.
pub(super) fn catalog(world: &World<'_>, server: &Server, count: usize) -> Outcome<Sample> {
    let target = |place| format!("/v2/_catalog?n={PAGE}&last={}", repository(place));
    let targets = places(count).map(target).collect::<Vec<_>>();
    let token = server.authorization(world.setup, &[Access::Catalog])?;
    check_page(server, &targets[PLACES / 2], token.as_deref())?;
    repeat(world, server, &targets, Access::Catalog)
}

/// A page must be full, or the rate of empty pages would be measured.
pub(super) fn check_page(server: &Server, target: &str, token: Option<&str>) -> Outcome<()> {
    let mut body = Vec::new();
    server
        .connect()?
        .exchange_into(&Request::new("GET", target, token), |piece| body.extend_from_slice(piece))?
        .expect(200, target)?;
    let list = serde_json::from_slice::<Value>(&body)?;
    let entries = list["tags"].as_array().or(list["repositories"].as_array()).map_or(0, Vec::len);
    if entries == PAGE {
        return Ok(());
    }
    Err(Failure::new(format!("{}: {target} lists {entries} entries and not {PAGE}", server.kind)))
}

fn entries(count: usize, name: fn(usize) -> String) -> Entries {
    let paged = places(count).flat_map(|place| place..=place + PAGE).collect();
    Entries { names: (0..count).map(name).collect(), paged }
}

/// Places spread over a list of `count`, each with a whole page after it.
fn places(count: usize) -> impl Iterator<Item = usize> {
    (0..PLACES).map(move |place| place * (count - PAGE - 1) / PLACES)
}

fn push_index(connection: &mut Connection, repository: &str, tag: &str, token: Option<&str>) -> Outcome<()> {
    push_manifest(connection, repository, tag, (&empty_index(), INDEX_TYPE), token)
}

fn tagged(count: usize) -> String {
    format!("admin/tags-{count}")
}

fn tags_target(repository: &str, page: usize, after: usize) -> String {
    format!("/v2/{repository}/tags/list?n={page}&last={}", tag(after))
}

fn tag(number: usize) -> String {
    format!("v{number:06}")
}

fn repository(number: usize) -> String {
    format!("{PREFIX}{number:06}")
}
