//! nginx sending a file with sendfile: what a pull can reach at all on this machine.
//! Never a registry: it checks no token and knows no digest.
//! Start at `command`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Outcome, process::attempt, tools};

/// For the report.
pub(super) const CONDITIONS: &str =
    "one worker a core, sendfile, no log, no authentication; the file stands where a registry would serve it";

/// The command that serves the files of `folder/data` on `port`.
pub(super) fn command(folder: &Path, port: u16) -> Outcome<Command> {
    let program = tools::locate("nginx")?;
    fs::create_dir(folder.join("data")).or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    let configuration = folder.join("nginx.conf");
    let text = format!(
        "\
daemon off;
user root;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  client_body_temp_path {folder}/temporary;
  proxy_temp_path {folder}/temporary;
  fastcgi_temp_path {folder}/temporary;
  uwsgi_temp_path {folder}/temporary;
  scgi_temp_path {folder}/temporary;
  server {{ listen 127.0.0.1:{port}; root {folder}/data; }}
}}
",
        folder = folder.display(),
    );
    fs::write(&configuration, text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(configuration);
    command.arg("-e").arg(folder.join("error.log"));
    Ok(command)
}

/// What `nginx -v` states, on standard error.
pub(super) fn version() -> Outcome<String> {
    let printed = attempt(Command::new(tools::locate("nginx")?).arg("-v"))?.complaints;
    Ok(printed.trim().rsplit('/').next().unwrap_or_default().to_owned())
}

/// Where the file of a blob stands, so that the path is the one a registry has.
pub(crate) fn blob_file(data: &Path, repository: &str, digest: &str) -> PathBuf {
    data.join("v2").join(repository).join("blobs").join(digest)
}
