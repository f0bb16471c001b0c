//! zot without extensions, synced, with the bearer tokens that it takes.
//! Never weaker in what it promises than it can be made.
//! Start at `command`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Outcome, failure::While, settings::tools_folder, tools};
use serde_json::json;

use crate::token::{Issuer, SERVICE};

/// For the report.
pub(super) const CONDITIONS: &str = "built without extensions, `commit` on (it syncs each file, and no folder), deduplication as by \
     default, collection off but where it is measured, log level error; bearer tokens from the benchmark's issuer, of RS256, the only kind it takes, verified by each request. It has \
     no pages in its catalog, so it has no such row";

/// A file of this name beside the data has the server collect with each change, as the version that can be had does.
const COLLECTS: &str = "collects";

/// Lets a server collect from its next start on.
pub(crate) fn let_collect(folder: &Path) -> Outcome<()> {
    fs::write(folder.join(COLLECTS), "").or_fail("cannot write a peer's file")
}

/// The command that serves `folder/data` on `port`, with its configuration written beside.
pub(super) fn command(issuer: &Issuer, folder: &Path, port: u16) -> Outcome<Command> {
    let program = tools::locate("zot")?;
    let collects = folder.join(COLLECTS).exists();
    let (key, configuration) = (folder.join("issuer.pem"), folder.join("config.json"));
    fs::write(&key, issuer.rsa_public())?;
    let bearer = json!({"realm": format!("http://127.0.0.1:{port}/token"), "service": SERVICE, "cert": key});
    let settings = json!({
        "distSpecVersion": "1.0.1-dev",
        "storage": {"rootDirectory": folder.join("data"), "commit": true, "gc": collects, "gcDelay": "1s"},
        "http": {"address": "127.0.0.1", "port": port.to_string(), "auth": {"bearer": bearer}},
        "log": {"level": "error"},
    });
    fs::write(&configuration, settings.to_string())?;
    let mut command = Command::new(program);
    command.arg("serve").arg(configuration);
    Ok(command)
}

/// The pinned version, from the mark that its installation leaves: the program states none.
pub(super) fn version() -> Outcome<String> {
    tools::locate("zot")?;
    Ok(fs::read_to_string(tools_folder().join("zot.version"))?.trim().to_owned())
}

/// The bytes of something in a repository: each has its own.
pub(crate) fn blob_file(data: &Path, repository: &str, digest: &str) -> PathBuf {
    data.join(repository).join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// The file that lists a repository's tags.
pub(crate) fn index_file(data: &Path, repository: &str) -> PathBuf {
    data.join(repository).join("index.json")
}
