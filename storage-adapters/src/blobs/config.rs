//! Where blobs are kept and within which bounds.

use std::fmt;
use std::path::PathBuf;

use super::objects::{DEFAULT_PART_MEMORY, DEFAULT_PART_SIZE};

/// The place that holds the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageConfig {
    /// A folder on a local disk, used by one process.
    Folder {
        /// The folder; it is made if it is absent.
        path: PathBuf,
    },
    /// A bucket, shared by any number of replicas.
    S3(S3Config),
    /// Memory, gone with the process: for tests.
    Memory,
}

/// A bucket of an S3 service.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket; it must exist.
    pub bucket: String,
    /// The prefix of every object, without a leading slash; empty for none.
    pub prefix: String,
    /// The URL of the service; `None` is AWS.
    pub endpoint: Option<String>,
    /// The region; `None` takes `AWS_REGION`, then `us-east-1`.
    pub region: Option<String>,
    /// The access key. Without it the usual chain is asked: environment, web identity, container, instance.
    pub access_key: Option<String>,
    /// The secret of the access key; it prints as nothing.
    pub secret_key: Option<String>,
    /// Whether the bucket is named in the path and not in the host, as most services other than AWS want it.
    pub path_style: bool,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// The size in bytes of the first parts of an upload, at least 5 MiB; see [`part_size`](super::part_size).
    pub part_size: u64,
    /// The bytes of memory that the parts of all uploads share; uploads wait for it.
    pub part_memory: u64,
}

impl S3Config {
    /// A bucket of AWS, in the environment's region, with the environment's credentials.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            access_key: None,
            secret_key: None,
            path_style: false,
            ca_file: None,
            allow_http: false,
            part_size: DEFAULT_PART_SIZE,
            part_memory: DEFAULT_PART_MEMORY,
        }
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("path_style", &self.path_style)
            .field("ca_file", &self.ca_file)
            .field("allow_http", &self.allow_http)
            .field("part_size", &self.part_size)
            .field("part_memory", &self.part_memory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_prints_as_nothing() {
        let config = S3Config { secret_key: Some("hunter2".into()), ..S3Config::new("images") };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
