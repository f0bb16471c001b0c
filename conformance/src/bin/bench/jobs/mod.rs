//! The jobs, each one file: what is made ready, and what is measured.
//! Never knows how a server is configured or what a budget is.
//! Start at `JOBS`.

mod collect;
mod image;
mod list;
mod people;
mod pull;
mod push;
mod read;
mod sign;
mod start;

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use hallmark_conformance::Outcome;

use crate::{
    content::{Layer, Layers},
    load::Sample,
    options::Scale,
    server::{Kind, Server, Setup, engine::Engine},
};

/// What all jobs share.
#[derive(Debug)]
pub(crate) struct World<'a> {
    /// How servers are started and asked for tokens.
    pub(crate) setup: &'a Setup,
    /// How much work there is.
    pub(crate) scale: Scale,
    /// Makes what is pushed.
    pub(crate) layers: &'a Layers,
    pulled: OnceLock<Layer<'a>>,
    images: AtomicU64,
}

impl<'a> World<'a> {
    /// A world in which nothing was pushed yet.
    pub(crate) fn new(setup: &'a Setup, scale: Scale, layers: &'a Layers) -> Self {
        Self { setup, scale, layers, pulled: OnceLock::new(), images: AtomicU64::new(1) }
    }

    /// The layer that is pulled: the same on all servers.
    fn pulled(&self) -> &Layer<'a> {
        self.pulled.get_or_init(|| self.layers.next(self.scale.layer))
    }

    /// The first of `count` image numbers that nobody else has.
    fn image_numbers(&self, count: u64) -> u64 {
        self.images.fetch_add(count, Ordering::Relaxed)
    }
}

/// What a rate and the cost of an operation are told in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// MiB a second; processor seconds a GiB.
    Bytes,
    /// Operations a second; processor microseconds each.
    Operations,
    /// Milliseconds until it happens.
    Wait,
    /// Bytes held; the less, the better.
    Memory,
}

/// One row of the tables for each server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// How `--only` and the budgets name it.
    pub(crate) name: &'static str,
    /// What is done, for the report.
    pub(crate) what: &'static str,
    /// How it is told.
    pub(crate) unit: Unit,
    /// Which servers can do it.
    pub(crate) on: fn(Kind) -> bool,
    /// Whether the rounds are repeated; if not, one is enough, or takes long.
    pub(crate) repeats: bool,
    /// What Hallmark alone, freshly started for this job, keeps its facts or bytes in. `None`: all servers, as they are.
    pub(crate) engine: Option<Engine>,
    /// Makes everything ready on a running server. Done before the first round.
    pub(crate) prepare: fn(&World<'_>, &mut Server) -> Outcome<()>,
    /// One round.
    pub(crate) measure: fn(&World<'_>, &Server) -> Outcome<Sample>,
}

/// All jobs, in the order in which they run.
pub(crate) const JOBS: &[Job] = &[
    Job {
        name: "start.empty",
        what: "from the program's start on an empty folder to its first answer on `/v2/`",
        unit: Unit::Wait,
        on: Kind::keeps,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: start::empty,
    },
    Job {
        name: "start.again",
        what: "the same on a folder that it has used before",
        unit: Unit::Wait,
        on: Kind::keeps,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: start::again,
    },
    Job {
        name: "idle",
        what: "memory held two seconds after the first start, nothing asked but one `/v2/`",
        unit: Unit::Memory,
        on: Kind::keeps,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: start::idle,
    },
    Job {
        name: "push.layer",
        what: "one client pushes one layer of 1 GiB (POST, then PUT with the whole body)",
        unit: Unit::Bytes,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: push::layer,
    },
    Job {
        name: "pull.layer.1",
        what: "one client pulls a layer of 1 GiB, three times (from the page cache)",
        unit: Unit::Bytes,
        on: all,
        repeats: true,
        engine: None,
        prepare: pull::prepare,
        measure: |world, server| pull::measure(world, server, 1, 3),
    },
    Job {
        name: "pull.layer.8",
        what: "eight clients pull it at once (from the page cache)",
        unit: Unit::Bytes,
        on: all,
        repeats: true,
        engine: None,
        prepare: pull::prepare,
        measure: |world, server| pull::measure(world, server, 8, 1),
    },
    Job {
        name: "read.manifest",
        what: "eight clients GET a manifest of 500 bytes by tag",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: read::prepare,
        measure: read::manifest,
    },
    Job {
        name: "read.blob",
        what: "eight clients GET a blob of 4 KiB",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: read::prepare,
        measure: read::blob,
    },
    Job {
        name: "image.push",
        what: "eight clients push images of 2 blobs (300 bytes, 4 KiB) and 1 manifest, 5 requests each, over 32 repositories",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: image::push,
    },
    Job {
        name: "tag.write",
        what: "eight clients move tags between two manifests (PUT of a manifest that is there)",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: image::prepare_tags,
        measure: image::move_tags,
    },
    Job {
        name: "list.tags.2000",
        what: "eight clients list 100 of 2,000 tags, from places all over the list",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: |world, server| list::prepare_tags(world, server, list::FEW),
        measure: |world, server| list::tags(world, server, list::FEW),
    },
    Job {
        name: "list.catalog.2000",
        what: "eight clients list 100 of 2,000 repositories",
        unit: Unit::Operations,
        on: Kind::pages_catalog,
        repeats: true,
        engine: None,
        prepare: |world, server| list::prepare_catalog(world, server, list::FEW),
        measure: |world, server| list::catalog(world, server, list::FEW),
    },
    Job {
        name: "list.member.2000",
        what: "eight clients list 100 of the 1,000 repositories that a member of 100 teams may read, of 2,000 with 2,000 users \
               and 200 teams",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: None,
        prepare: |world, server| people::prepare(world, server, list::FEW),
        measure: |world, server| people::list(world, server, list::FEW),
    },
    Job {
        name: "list.tags.100000",
        what: "eight clients list 100 of 100,000 tags",
        unit: Unit::Operations,
        on: Kind::is_registry,
        repeats: true,
        engine: None,
        prepare: |world, server| list::prepare_tags(world, server, world.scale.many),
        measure: |world, server| list::tags(world, server, world.scale.many),
    },
    Job {
        name: "list.catalog.100000",
        what: "eight clients list 100 of 100,000 repositories",
        unit: Unit::Operations,
        on: Kind::pages_catalog,
        repeats: true,
        engine: None,
        prepare: |world, server| list::prepare_catalog(world, server, world.scale.many),
        measure: |world, server| list::catalog(world, server, world.scale.many),
    },
    Job {
        name: "list.member.100000",
        what: "eight clients list 100 of the 1,000 repositories that a member of 100 teams may read, of 100,000 with 100,000 \
               users and 10,000 teams",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: None,
        prepare: |world, server| people::prepare(world, server, world.scale.many),
        measure: |world, server| people::list(world, server, world.scale.many),
    },
    Job {
        name: "read.member.100000",
        what: "eight clients, all that member, GET a manifest by tag from a repository that a team of theirs may read",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: None,
        prepare: nothing,
        measure: |world, server| people::read(world, server, world.scale.many),
    },
    Job {
        name: "sign.ask",
        what: "Hallmark alone: eight clients sign tags of a repository of 100 signed tags, each signature a request; what is published of them meanwhile \
               is in it",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: Some(Engine::Alone),
        prepare: |world, server| sign::prepare(world, server, sign::FEW),
        measure: sign::ask,
    },
    Job {
        name: "read.timestamp",
        what: "Hallmark alone: eight clients GET the `timestamp.json` of a repository",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: Some(Engine::Alone),
        prepare: |world, server| sign::prepare(world, server, sign::FEW),
        measure: sign::timestamp,
    },
    Job {
        name: "sign.publish.100",
        what: "Hallmark alone: one tag of 100 signed ones is signed anew and its publish waited for, twenty times. *Server* is without what \
               an idle server spends in that time",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: Some(Engine::Alone),
        prepare: |world, server| sign::prepare(world, server, sign::FEW),
        measure: |world, server| sign::publish(world, server, sign::FEW),
    },
    Job {
        name: "sign.publish.1000000",
        what: "Hallmark alone: the same in a repository of 1,000,000 signed tags",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: Some(Engine::Alone),
        prepare: |world, server| sign::prepare(world, server, sign::MANY),
        measure: |world, server| sign::publish(world, server, sign::MANY),
    },
    Job {
        name: "sign.renew",
        what: "Hallmark alone: 10,000 repositories (or as many as --renewals says) whose timestamps are due are renewed; the rate counts \
               from the start of the server",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::Alone),
        prepare: sign::prepare_renewal,
        measure: sign::renew,
    },
    Job {
        name: "collect.10000",
        what: "1,000 images that were deleted are collected beside 10,000 that stay, each of two small blobs of its own. Hallmark does it \
               while it serves, on SQLite; so small a blob lies in the database, so that no file is deleted in this row or the next ones, and none would \
               be before `gc.byte_grace`. Distribution is stopped for it, deletes a file for each blob, and looks through all that it has; zot, of the version that can be had, looks through a repository with each change of it: here with \
               one deletion",
        unit: Unit::Operations,
        on: Kind::keeps,
        repeats: false,
        engine: None,
        prepare: nothing,
        measure: collect::beside_few,
    },
    Job {
        name: "collect.100000",
        what: "Hallmark alone: the same beside 100,000 images",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::Alone),
        prepare: |world, server| collect::prepare(world, server, collect::MANY),
        measure: collect::garbage,
    },
    Job {
        name: "collect.1000000",
        what: "Hallmark alone: the same beside 1,000,000 images",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::Alone),
        prepare: |world, server| collect::prepare(world, server, collect::MOST),
        measure: collect::garbage,
    },
    Job {
        name: "collect.half",
        what: "Hallmark alone: half of 100,000 images are collected while one client pushes images of 2 blobs and 1 manifest, 5 requests each. \
               *Server* is with these pushes",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::Alone),
        prepare: collect::prepare_half,
        measure: collect::beside_pushes,
    },
    Job {
        name: "push.crowd",
        what: "32 clients push a layer each at once, to a server freshly started",
        unit: Unit::Bytes,
        on: Kind::keeps,
        repeats: false,
        engine: None,
        prepare: nothing,
        measure: push::crowd,
    },
    Job {
        name: "read.manifest.postgres",
        what: "Hallmark alone, its facts in PostgreSQL: eight clients GET a manifest of 500 bytes by tag. *Server* is Hallmark's \
               process; the database's own processor time is not in it",
        unit: Unit::Operations,
        on: Kind::is_hallmark,
        repeats: true,
        engine: Some(Engine::Postgres),
        prepare: read::prepare,
        measure: read::manifest,
    },
    Job {
        name: "pull.layer.s3",
        what: "Hallmark alone, its bytes in S3: one client pulls a layer of 1 GiB, three times. *Server* is Hallmark's process; the \
               S3 server's own processor time is not in it",
        unit: Unit::Bytes,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::S3),
        prepare: pull::prepare,
        measure: |world, server| pull::measure(world, server, 1, 3),
    },
    Job {
        name: "push.crowd.s3",
        what: "Hallmark alone, its bytes in S3, freshly started: 32 clients push a layer each at once. *Server* and *memory* are of \
               Hallmark's process",
        unit: Unit::Bytes,
        on: Kind::is_hallmark,
        repeats: false,
        engine: Some(Engine::S3),
        prepare: nothing,
        measure: push::crowd_to_bucket,
    },
];

fn nothing(_: &World<'_>, _: &mut Server) -> Outcome<()> {
    Ok(())
}

fn all(_: Kind) -> bool {
    true
}
