//! zot without extensions, synced, and without authentication, which it cannot do as the others do.
//! Never weaker in what it promises than it can be made.
//! Start at `command`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Outcome, failure::While, settings::tools_folder, tools};
use serde_json::json;

/// For the report.
pub(super) const CONDITIONS: &str = "built without extensions, `commit` on (it syncs each file, and no folder), deduplication as by \
     default, collection off but where it is measured, log level error. Without authentication, in its favour: it takes no ES256 tokens, and its passwords \
     cost a bcrypt with each request. It has no pages in its catalog, so it has no such row";

/// A file of this name beside the data has the server collect with each change, as the version that can be had does.
const COLLECTS: &str = "collects";

/// Lets a server collect from its next start on.
pub(crate) fn let_collect(folder: &Path) -> Outcome<()> {
    fs::write(folder.join(COLLECTS), "").or_fail("cannot write a peer's file")
}

/// The command that serves `folder/data` on `port`, with its configuration written beside.
pub(super) fn command(folder: &Path, port: u16) -> Outcome<Command> {
    let program = tools::locate("zot")?;
    let collects = folder.join(COLLECTS).exists();
    let configuration = folder.join("config.json");
    let settings = json!({
        "distSpecVersion": "1.0.1-dev",
        "storage": {"rootDirectory": folder.join("data"), "commit": true, "gc": collects, "gcDelay": "1s"},
        "http": {"address": "127.0.0.1", "port": port.to_string()},
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
