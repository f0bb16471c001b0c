//! A client of an S3 service, from its configuration.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use url::Url;

use super::super::{Error, S3Config};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the service may be silent, from the first byte of a request on. There is no limit to a whole answer here: a slow client
/// may read a large blob for hours.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a failed request is sent again, and for how long.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 },
    max_retries: 5,
    retry_timeout: Duration::from_secs(30),
};

/// A client for the bucket. Nothing is sent yet.
pub(super) async fn connect(config: &S3Config) -> Result<AmazonS3, Error> {
    let refuse = |source: object_store::Error| Error::configuration(&config.bucket, source);
    let mut builder = credentials(config)?
        .with_bucket_name(&config.bucket)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_allow_http(config.allow_http)
        .with_retry(RETRIES)
        .with_client_options(client_options(config).await?);
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        let endpoint = bucket_endpoint(endpoint, config)?;
        // TLS guards the payload already; hashing every part a second time for its signature would double the work.
        builder = builder.with_unsigned_payload(endpoint.scheme() == "https").with_endpoint(endpoint);
    } else {
        builder = builder.with_unsigned_payload(true);
    }
    builder.build().map_err(refuse)
}

/// The credentials: those of the configuration and nothing else, or the chain that the environment begins.
fn credentials(config: &S3Config) -> Result<AmazonS3Builder, Error> {
    match (&config.access_key, &config.secret_key) {
        (Some(key), Some(secret)) => Ok(AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(secret)),
        (None, None) => Ok(AmazonS3Builder::from_env()),
        _ => Err(Error::configuration(&config.bucket, "an access key and its secret are set together or not at all")),
    }
}

async fn client_options(config: &S3Config) -> Result<ClientOptions, Error> {
    let options = ClientOptions::new()
        .with_allow_http(config.allow_http)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(SILENCE_TIMEOUT);
    let Some(path) = &config.ca_file else { return Ok(options) };
    let pem = tokio::fs::read(path).await.map_err(|source| Error::io("read", path.display(), source))?;
    let authorities =
        Certificate::from_pem_bundle(&pem).map_err(|source| Error::configuration(path.display(), source))?;
    if authorities.is_empty() {
        return Err(Error::configuration(path.display(), "the file holds no certificate"));
    }
    Ok(authorities.into_iter().fold(options, ClientOptions::with_root_certificate))
}

/// The endpoint, with the bucket in its host unless it goes into the path.
fn bucket_endpoint(endpoint: &str, config: &S3Config) -> Result<Url, Error> {
    let mut url = Url::parse(endpoint).map_err(|invalid| Error::configuration(endpoint, invalid))?;
    if !config.path_style {
        let host = url.host_str().map(|host| format!("{}.{host}", config.bucket));
        url.set_host(host.as_deref()).map_err(|_invalid| {
            Error::configuration(endpoint, "the bucket does not fit into this host: use path style")
        })?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path_style: bool) -> S3Config {
        S3Config { path_style, ..S3Config::new("images") }
    }

    #[test]
    fn the_bucket_goes_into_the_host_unless_path_style_is_asked_for() {
        let host = |path_style| bucket_endpoint("https://s3.example:9000", &config(path_style)).unwrap().to_string();
        assert_eq!(host(false), "https://images.s3.example:9000/");
        assert_eq!(host(true), "https://s3.example:9000/");
    }

    #[tokio::test]
    async fn a_key_without_its_secret_is_refused() {
        let config = S3Config { access_key: Some("key".into()), ..config(true) };
        assert!(connect(&config).await.is_err());
    }

    #[tokio::test]
    async fn a_ca_file_without_a_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = S3Config { ca_file: Some(file.path().into()), ..config(true) };
        assert!(connect(&config).await.unwrap_err().to_string().contains("configuration"));
    }
}
