//! The environment variables of the conformance package, all read here.

use std::path::PathBuf;

/// Where installed tools stand: `HALLMARK_TOOLS`, or `~/.cache/hallmark/tools`.
pub fn tools_folder() -> PathBuf {
    variable("HALLMARK_TOOLS").map_or_else(|| cache_folder().join("tools"), PathBuf::from)
}

/// The server binary under test: `HALLMARK_BINARY`, or the debug build of this workspace.
pub fn binary() -> PathBuf {
    if let Some(binary) = variable("HALLMARK_BINARY") {
        return PathBuf::from(binary);
    }
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let target = variable("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("debug/hallmark")
}

/// The folder that dated records are written to: `HALLMARK_RECORDS`, or `target/records` of this workspace.
pub fn records_folder() -> PathBuf {
    variable("HALLMARK_RECORDS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/records")), PathBuf::from)
}

/// The search path for programs.
#[expect(clippy::disallowed_methods, reason = "the one place of this package that reads the environment")]
pub fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect())
}

/// A number that a long run may change, such as how often a server is killed: the variable's value or `normal`.
pub fn number(name: &str, normal: u64) -> u64 {
    variable(name).and_then(|value| value.parse().ok()).unwrap_or(normal)
}

/// The names of this package's own variables, and of all others that begin as the server's do. A server under test gets
/// none of them: it refuses what it does not know, and a developer's own settings must not change a result.
#[expect(clippy::disallowed_methods, reason = "the one place of this package that reads the environment")]
pub fn server_like_variables() -> Vec<std::ffi::OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("HALLMARK_")).collect()
}

/// The PostgreSQL server on which each server under test gets a database of its own: `HALLMARK_TEST_DATABASE_URL`.
/// Unset, each keeps its facts in SQLite.
pub fn test_database() -> Option<String> {
    variable("HALLMARK_TEST_DATABASE_URL")
}

/// The S3 endpoint at which each server under test gets a prefix of its own: `HALLMARK_TEST_S3_ENDPOINT`. Unset, each
/// keeps its bytes in a folder.
pub fn test_s3() -> Option<TestS3> {
    Some(TestS3 {
        endpoint: variable("HALLMARK_TEST_S3_ENDPOINT")?,
        bucket: variable("HALLMARK_TEST_S3_BUCKET").unwrap_or_else(|| "hallmark-test".to_owned()),
        access_key_id: variable("HALLMARK_TEST_S3_ACCESS_KEY_ID").unwrap_or_default(),
        secret_access_key: variable("HALLMARK_TEST_S3_SECRET_ACCESS_KEY").unwrap_or_default(),
    })
}

/// An S3 server for tests.
#[derive(Clone, Debug)]
pub struct TestS3 {
    /// Its URL.
    pub endpoint: String,
    /// A bucket that exists.
    pub bucket: String,
    /// The name of its key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
}

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place of this package that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn cache_folder() -> PathBuf {
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("hallmark")
}
