//! The stores that a grown registry stands on go away under pushes, and come back: PostgreSQL, and the S3 server.
//! Never judges the stores: what counts is what clients are told meanwhile, and that no acknowledged image is lost.
//! And the registry itself is killed in the middle of an upload to S3, and looks there for what nothing names. Start at `pushers`,
//! then at the cases below.

mod authority;
mod doctor;
mod leaving;
mod orphans;
mod pushers;

use std::time::Duration;

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    failure::While,
    http::Request,
    relay::{Relay, Seen},
    resume,
    scratch::{ACCESS_KEY_ID, BUCKET, Scratch},
    server::{Plan, Server},
};
use pushers::Pushers;
use serde_json::json;

const SECRET: &str = "test-secret";
/// How long `/readyz` may take to see that a store is gone or back.
const SEEN_LIMIT: Duration = Duration::from_secs(120);

/// A registry on a PostgreSQL and an S3 server of its own.
struct Grown {
    // Ends before its stores.
    server: Server,
    database: Scratch,
    store: Scratch,
}

impl Grown {
    fn start() -> Outcome<Self> {
        Self::with(&[])
    }

    /// A registry with these settings beside those that it needs.
    fn with(settings: &[(&str, &str)]) -> Outcome<Self> {
        Self::reaching(|store| Ok(store.url().to_owned()), settings)
    }

    /// A registry that knows its S3 server by this address.
    fn reaching(address: impl FnOnce(&Scratch) -> Outcome<String>, more: &[(&str, &str)]) -> Outcome<Self> {
        let store = Scratch::s3(SECRET)?;
        let endpoint = address(&store)?;
        let mut grown = Self::on(store, &[("S3_ENDPOINT", &endpoint), ("S3_ALLOW_HTTP", "true")], more)?;
        grown.server.start()?;
        Ok(grown)
    }

    /// A registry on this S3 server that is not started yet, with these settings of the store and variables beside the usual ones.
    fn on(store: Scratch, storage: &[(&str, &str)], more: &[(&str, &str)]) -> Outcome<Self> {
        let database = Scratch::postgres()?;
        let mut plan = Plan::default()
            .variable("HALLMARK_DATABASE_URL", database.url())
            .variable("HALLMARK_STORAGE_URL", format!("s3://{BUCKET}/outages"))
            .variable("HALLMARK_STORAGE_S3_ENDPOINT", store.url())
            .variable("HALLMARK_STORAGE_S3_REGION", "us-east-1")
            .variable("HALLMARK_STORAGE_S3_PATH_STYLE", "true")
            .variable("HALLMARK_STORAGE_S3_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .variable("HALLMARK_STORAGE_S3_SECRET_ACCESS_KEY", SECRET);
        for (key, value) in storage {
            plan = plan.variable(format!("HALLMARK_STORAGE_{key}"), *value);
        }
        for (name, value) in more {
            plan = plan.variable(*name, *value);
        }
        Ok(Self { server: plan.prepare()?, database, store })
    }

    /// Waits until the probe says of database and store what is expected, and the process lives all the while.
    fn is_ready(&self, database: bool, store: bool) -> Outcome<()> {
        let word = |ok: bool| if ok { "ok" } else { "failed" };
        let expected = json!({ "database": word(database), "store": word(store) });
        let begin = std::time::Instant::now();
        loop {
            let probe = self.server.anonymous().send_plain(&Request::new("GET", "/readyz"))?;
            let place = if probe.status == 200 { "/checks" } else { "/errors/0/detail" };
            let told = probe.json()?.pointer(place).cloned().unwrap_or_default();
            if told == expected && (probe.status == 200) == (database && store) {
                if probe.status != 200 {
                    refused(&probe, &[503], &["UNAVAILABLE"])?;
                    probe.required("retry-after")?;
                }
                break;
            }
            holds(begin.elapsed() < SEEN_LIMIT, || {
                format!("{expected} was to be told within {SEEN_LIMIT:?}: {probe}")
            })?;
        }
        self.server.anonymous().send_plain(&Request::new("GET", "/livez"))?.expect(200).map(drop)
    }
}

/// What goes away.
#[derive(Clone, Copy)]
enum Gone {
    Database,
    Store,
}

/// How it goes: every connection breaks, or nothing is answered any more.
#[derive(Clone, Copy)]
enum Outage {
    Crash,
    Silence,
}

/// Pushes, lets the outage begin, looks at what clients and the probe are told, lets it end, and looks at everything.
fn through(gone: Gone, outage: Outage) -> Outcome<()> {
    let mut grown = Grown::start()?;
    let pushers = Pushers::start(&grown.server)?;
    pushers.each_is_acknowledged()?;
    let scratch = |grown: &mut Grown, begins: bool| {
        let scratch = match gone {
            Gone::Database => &mut grown.database,
            Gone::Store => &mut grown.store,
        };
        match (outage, begins) {
            (Outage::Crash, true) => scratch.kill(),
            (Outage::Crash, false) => scratch.revive(),
            (Outage::Silence, true) => scratch.freeze(),
            (Outage::Silence, false) => scratch.thaw(),
        }
    };
    scratch(&mut grown, true)?;
    grown.is_ready(matches!(gone, Gone::Store), matches!(gone, Gone::Database))?;
    pushers.each_is_asked_to_come_back()?;
    scratch(&mut grown, false)?;
    grown.is_ready(true, true)?;
    pushers.each_is_acknowledged()?;
    pushers.stop()?.are_all_there(&grown.server)
}

#[test]
fn pushes_are_asked_to_come_back_while_s3_is_gone_and_nothing_acknowledged_is_lost() -> Outcome<()> {
    through(Gone::Store, Outage::Crash)
}

#[test]
fn pushes_are_asked_to_come_back_while_s3_is_silent_and_nothing_acknowledged_is_lost() -> Outcome<()> {
    through(Gone::Store, Outage::Silence)
}

#[test]
fn pushes_are_asked_to_come_back_while_postgresql_is_gone_and_nothing_acknowledged_is_lost() -> Outcome<()> {
    through(Gone::Database, Outage::Crash)
}

#[test]
fn pushes_are_asked_to_come_back_while_postgresql_is_silent_and_nothing_acknowledged_is_lost() -> Outcome<()> {
    through(Gone::Database, Outage::Silence)
}

/// I3: an object is written once, under the key it keeps. What became durable of an upload is a part of a multipart upload, and the
/// rest of the parts follow.
#[test]
fn i3_an_upload_to_s3_goes_on_after_the_registry_was_killed_and_nothing_is_copied() -> Outcome<()> {
    let mut relay = None;
    let mut grown = Grown::reaching(
        |store| {
            let port = store.url().rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
            let between = Relay::to(port.or_fail(format!("{} has no port", store.url()))?)?;
            Ok(format!("http://{}", relay.insert(between).host()))
        },
        &[],
    )?;
    let relay = relay.or_fail("nothing stands between")?;
    let held = resume::within_a_request(&mut grown.server, "admin/app")?;
    let seen = relay.seen();
    let parts = |seen: &Seen| seen.method == "PUT" && seen.target.contains("partNumber=");
    let sent: u64 = seen.iter().filter(|seen| parts(seen)).map(|seen| seen.body).sum();
    holds(held as u64 <= sent, || format!("{held} bytes were held of {sent} that came as parts"))?;
    let ends = |seen: &&Seen| seen.method == "POST" && seen.target.contains("uploadId=");
    holds(seen.iter().filter(ends).count() == 1, || format!("one upload ends once: {seen:#?}"))?;
    let copied: Vec<_> = seen.iter().filter(|seen| seen.copies).collect();
    holds(copied.is_empty(), || format!("the store was asked to copy: {copied:#?}"))
}
