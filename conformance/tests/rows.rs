//! Lists of very many entries: every page is whole and in order, and none costs the server its memory (I11).
//! Never timed: what a page costs is the benchmark's to say. Start at `Listing`.
//! The entries are seeded by running `examples/seed` of the storage crate, a program of the same build as the server.

use std::{process::Command, time::Instant};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    http::{Connection, Request},
    process::run,
    server::{ADMIN, Server},
    settings, tools,
};

const PAGE: usize = 1_000;
/// What the server may hold at most while all pages are read, beside its own program: that of a debug build would hide what
/// it holds. The budget of the whole benchmark, 64 MiB with the program, is judged there, of a release build.
const MEMORY: u64 = 48 << 20;

/// A list over HTTP, and what the seed makes of it.
struct Listing {
    /// The words that tell the seed what to make.
    seed: [&'static str; 2],
    path: &'static str,
    member: &'static str,
    scope: &'static str,
    /// What stands before the number of an entry.
    prefix: &'static str,
}

const TAGS: Listing = Listing {
    seed: ["tags", "admin/many"],
    path: "/v2/admin/many/tags/list",
    member: "tags",
    scope: "repository:admin/many:pull",
    prefix: "v",
};

const CATALOG: Listing = Listing {
    seed: ["repositories", "admin/many"],
    path: "/v2/_catalog",
    member: "repositories",
    scope: "registry:catalog:*",
    prefix: "admin/many",
};

/// How many entries: `HALLMARK_ROWS`, a million in the long run, which is also the most that six digits number.
fn rows() -> u64 {
    settings::number("HALLMARK_ROWS", 10_000).min(1_000_000)
}

fn seed(server: &mut Server, listing: &Listing) -> Outcome<()> {
    let program = tools::hallmark()?.with_file_name("examples").join("seed");
    server.stop()?;
    let mut command = Command::new(&program);
    command.arg(server.data().join("hallmark.db")).arg(ADMIN).args(listing.seed).arg(rows().to_string());
    run(&mut command).or_fail("run `cargo build -p hallmark-storage --example seed` if it is not there")?;
    server.start()
}

/// Reads every page and holds that together they are all entries, each once, in order.
fn read_pages(server: &Server, listing: &Listing) -> Outcome<()> {
    let authorization = server.admin().authorization(&[listing.scope])?;
    let mut connection = Connection::open(server.port())?;
    let mut next = Some(format!("{}?n={PAGE}", listing.path));
    // A page is a page, however much is asked for.
    let asked = Request::new("GET", format!("{}?n={}", listing.path, 5 * PAGE)).header("Authorization", &authorization);
    let answer = connection.exchange(&asked)?.expect(200)?;
    let given = answer.json()?[listing.member].as_array().map_or(0, Vec::len);
    let goes_on = answer.header("link").is_some();
    holds(given == PAGE && goes_on, || format!("asked for {}, {given} are given; goes on: {goes_on}", 5 * PAGE))?;
    let mut expected = 0;
    while let Some(target) = next {
        let request = Request::new("GET", target).header("Authorization", &authorization);
        let answer = connection.exchange(&request)?.expect(200)?;
        for found in answer.json()?[listing.member].as_array().into_iter().flatten() {
            let wanted = format!("{}{expected:06}", listing.prefix);
            holds(found.as_str() == Some(&wanted), || format!("{found} stands where {wanted} belongs"))?;
            expected += 1;
        }
        next = answer.header("link").and_then(|link| Some(link.strip_prefix('<')?.split('>').next()?.to_owned()));
    }
    holds(expected == rows(), || format!("{} entries were made and {expected} are listed", rows()))
}

#[expect(clippy::print_stdout, reason = "a run's record quotes how long many rows took")]
fn hold(listing: &Listing) -> Outcome<()> {
    let mut server = Server::fresh()?;
    let begin = Instant::now();
    seed(&mut server, listing)?;
    println!("rows: {} {} seeded in {:?}", rows(), listing.member, begin.elapsed());
    let begin = Instant::now();
    read_pages(&server, listing)?;
    let most = server.memory()?.1.saturating_sub(server.program_memory()?);
    println!("rows: all pages of {PAGE} read in {:?}, at most {} MiB of memory", begin.elapsed(), most >> 20);
    holds(most <= MEMORY, || format!("the server held {most} bytes"))
}

#[test]
fn i11_a_listing_of_many_tags_is_whole_and_in_order_and_holds_the_server_s_memory() -> Outcome<()> {
    hold(&TAGS)
}

#[test]
fn i11_a_catalog_of_many_repositories_is_whole_and_in_order_and_holds_the_server_s_memory() -> Outcome<()> {
    hold(&CATALOG)
}
