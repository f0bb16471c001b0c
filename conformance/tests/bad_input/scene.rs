//! A server with one image, and a look at everything in it: what a refused request must leave as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    failure::While,
    http::{Request, Response},
    image::Image,
    process::run,
    registry::Registry,
    server::{Plan, Server},
    tools,
};

/// The repository that the image stands in.
pub(crate) const REPOSITORY: &str = "admin/app";

/// The tables that change without anybody changing anything: what a process lays ready and has done, when something was last pulled,
/// as it is by looking at it, bytes that nothing names and that wait to be deleted, the registry's own keys, sums that are drawn up.
const RESTLESS: [&str; 7] =
    ["id_blocks ", "settings ", "last_pulls ", "key_deletions ", "signer_", "trust_files", "usage_"];
/// In rows that count who came and who was sent away, written down once a second.
const SIGN_INS: [&str; 3] = [",'signed_in',", ",'sign_in_failed',", ",'access_refused',"];

/// Everything that is kept: what a client sees, the rows of the database, and the files of bytes with their lengths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Each repository with its tags, and each tag with its digest.
    images: BTreeMap<String, BTreeMap<String, String>>,
    /// Every row, as it would be inserted.
    rows: BTreeSet<String>,
    /// The path of each file of bytes with its length.
    files: BTreeMap<String, u64>,
}

impl Look {
    /// What stands in one and not in the other, a line each.
    pub(crate) fn changes(&self, after: &Self) -> String {
        let mut lines = Vec::new();
        if self.images != after.images {
            lines.push(format!("{:?} became {:?}", self.images, after.images));
        }
        lines.extend(self.rows.difference(&after.rows).map(|row| format!("- {row}")));
        lines.extend(after.rows.difference(&self.rows).map(|row| format!("+ {row}")));
        if self.files != after.files {
            lines.push(format!("{:?} became {:?}", self.files, after.files));
        }
        lines.join("\n")
    }
}

/// A server that holds one image, `admin/app:1`.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) registry: Registry,
    pub(crate) image: Image,
}

impl Scene {
    pub(crate) fn new() -> Outcome<Self> {
        Self::with(Plan::default())
    }

    pub(crate) fn with(plan: Plan) -> Outcome<Self> {
        let server = plan.start()?;
        let registry = server.registry();
        let image = Image::random(1, &[1_000, 2_000]);
        registry.push_image(REPOSITORY, "1", &image)?;
        Ok(Self { server, registry, image })
    }

    /// Sends a request as the admin, and holds that it is refused with one of these statuses and codes and that nothing
    /// changed.
    pub(crate) fn refuses(&self, request: &Request, statuses: &[u16], codes: &[&str]) -> Outcome<Response> {
        let before = self.look()?;
        let answer = self.registry.client().send(request)?;
        let context = format!("{} {}", request.method, request.target);
        refused(&answer, statuses, codes).or_fail(context.clone())?;
        self.is_still(&before).or_fail(context)?;
        Ok(answer)
    }

    /// Holds that all is as it was.
    pub(crate) fn is_still(&self, before: &Look) -> Outcome<()> {
        let after = self.look()?;
        holds(*before == after, || format!("this changed:\n{}", before.changes(&after)))
    }

    /// Everything in the registry. The images' bytes are read: that is part of looking.
    pub(crate) fn look(&self) -> Outcome<Look> {
        let mut images = BTreeMap::new();
        for repository in self.registry.catalog()? {
            let mut tags = BTreeMap::new();
            for tag in self.registry.tags(&repository)? {
                let digest = self.registry.check_image(&repository, &tag)?;
                tags.insert(tag, digest);
            }
            images.insert(repository, tags);
        }
        let data = self.server.data();
        let (going, rows) = rows(&data.join("hallmark.db"))?;
        let mut files = files(&data.join("blobs"))?;
        files.retain(|path, _| !going.iter().any(|row| row.contains(path.rsplit('/').next().unwrap_or_default())));
        Ok(Look { images, rows, files })
    }

    /// Holds that a blob is nowhere to be read.
    pub(crate) fn absent(&self, digest: &str) -> Outcome<()> {
        let answer = self.registry.blob(REPOSITORY, digest)?;
        refused(&answer, &[404], &["BLOB_UNKNOWN"])
    }
}

/// The rows that are restless, and all others.
fn rows(database: &Path) -> Outcome<(BTreeSet<String>, BTreeSet<String>)> {
    let dump = run(Command::new(tools::locate("sqlite3")?).arg("-readonly").arg(database).arg(".dump"))?;
    let restless = |row: &String| {
        RESTLESS.iter().any(|table| row.starts_with(table)) || SIGN_INS.iter().any(|kind| row.contains(kind))
    };
    let rows = dump.lines().filter_map(|line| line.strip_prefix("INSERT INTO ")).map(str::to_owned);
    let (restless, rows): (BTreeSet<_>, BTreeSet<_>) = rows.partition(restless);
    holds(!rows.is_empty(), || format!("no row is in the database:\n{dump}"))?;
    Ok((restless, rows))
}

fn files(folder: &Path) -> Outcome<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A store that was put elsewhere has no folder here.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path().display().to_string(), entry.metadata()?.len());
            }
        }
    }
    Ok(found)
}
