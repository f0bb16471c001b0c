//! distribution v3 as it serves best: memory cache on, every log and background job off.
//! Never weaker in what it promises than it can be made.
//! Start at `command`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Outcome, process::run, tools};

use crate::token::{ISSUER, Issuer, SERVICE};

/// For the report.
pub(super) const CONDITIONS: &str = "file system driver with its in-memory descriptor cache, access log, tracing, health checks and upload \
     purging off, log level error; bearer tokens (ES256) from the benchmark's issuer through `jwks`, verified by each request. It \
     syncs every file it writes and the folder of each small one; it has no switch for more, and does not sync the folder \
     that a finished blob is moved into, nor make a push's steps one transaction";

/// The command that serves `folder/data` on `port`, with its configuration written beside.
pub(super) fn command(issuer: &Issuer, folder: &Path, port: u16) -> Outcome<Command> {
    let program = tools::locate("distribution")?;
    let (data, keys, configuration) = (folder.join("data"), folder.join("keys.json"), folder.join("config.yml"));
    fs::write(&keys, issuer.key_set())?;
    let text = format!(
        "\
version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage:
  filesystem: {{ rootdirectory: {data} }}
  cache: {{ blobdescriptor: inmemory }}
  delete: {{ enabled: true }}
  maintenance: {{ uploadpurging: {{ enabled: false }} }}
http: {{ addr: '127.0.0.1:{port}', secret: benchmark, relativeurls: true }}
health: {{ storagedriver: {{ enabled: false }} }}
auth:
  token: {{ realm: 'http://127.0.0.1:{port}/token', service: {SERVICE}, issuer: {ISSUER}, jwks: {keys}, signingalgorithms: [ES256] }}
",
        data = data.display(),
        keys = keys.display(),
    );
    fs::write(&configuration, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(configuration).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}

/// The command that collects what no image needs from the data of a server that is stopped: it has no other way.
///
/// # Errors
/// It is not installed.
pub(crate) fn collector(data: &Path) -> Outcome<Command> {
    let mut command = Command::new(tools::locate("distribution")?);
    command.arg("garbage-collect").arg("--quiet").arg(data.with_file_name("config.yml"));
    command.env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}

/// The pinned version, as the program states it.
pub(super) fn version() -> Outcome<String> {
    let printed = run(Command::new(tools::locate("distribution")?).arg("--version"))?;
    Ok(printed.split_whitespace().last().unwrap_or_default().to_owned())
}

/// The file of a blob's or manifest's bytes.
pub(crate) fn blob_file(data: &Path, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    data.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

/// The folder of a repository, for seeding more of them than the API would take in the time there is.
pub(crate) fn repository_folder(data: &Path, repository: &str) -> PathBuf {
    data.join("docker/registry/v2/repositories").join(repository)
}
