//! What rights cost where there are many people, teams and repositories.

use hallmark_conformance::Outcome;

use super::{
    World,
    list::{FEW, PAGE, check_page},
    read::repeat_with,
};
use crate::{load::Sample, seed, server::Server, token::Access};

/// Repositories that the member may read: ten for each of a hundred teams.
const READABLE: usize = 1_000;
/// Repositories that one team may read, one after another in the order of names.
const OF_TEAM: usize = 10;

/// Sees to it that there is an organization of `count` people, teams and repositories.
pub(super) fn prepare(world: &World<'_>, server: &mut Server, count: usize) -> Outcome<()> {
    seed::people(server, world.setup, organization(count), member(count), count)
}

/// Pages of what the member may read.
pub(super) fn list(world: &World<'_>, server: &Server, count: usize) -> Outcome<Sample> {
    let page = |number| format!("/v2/_catalog?n={PAGE}&last={}", readable(count, number * PAGE));
    // A page begins after the place that it names, so the last one would lack an entry.
    let targets = (0..READABLE / PAGE - 1).map(page).collect::<Vec<_>>();
    let token = server.authorization_of(member(count), world.setup, &[Access::Catalog])?;
    check_page(server, &targets[targets.len() / 2], token.as_deref())?;
    repeat_with(world, server, &targets, token)
}

/// `GET` of a manifest by its tag, as the member.
pub(super) fn read(world: &World<'_>, server: &Server, count: usize) -> Outcome<Sample> {
    let repository = readable(count, 0);
    let token = server.authorization_of(member(count), world.setup, &[Access::Repository(&repository)])?;
    repeat_with(world, server, &[format!("/v2/{repository}/manifests/v000000")], token)
}

/// The repository that stands at this place among those that the member may read.
fn readable(count: usize, place: usize) -> String {
    let apart = count / READABLE;
    let (team, at) = (place / OF_TEAM, place % OF_TEAM);
    format!("{}/r{:06}", organization(count), team * apart * OF_TEAM + at)
}

fn organization(count: usize) -> &'static str {
    if count == FEW { "few" } else { "many" }
}

fn member(count: usize) -> &'static str {
    if count == FEW { "few-member" } else { "many-member" }
}
