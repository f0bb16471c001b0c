//! The flags that are settings.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Flag, Loaded, Purpose, Sources};

use super::output::Failure;

/// Where the settings and the data are: the flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Where {
    /// The folder that holds the data [default: ./hallmark-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file of settings [default: hallmark.toml in the data folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The settings that are often given as flags.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Settings {
    #[command(flatten)]
    place: Where,
    /// The address and port to listen on [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Serve plain HTTP on an address that others can reach (where a proxy in front speaks TLS)
    #[arg(long)]
    insecure_http: bool,
    /// The certificate chain to serve HTTPS with, in PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// How clients reach this registry, such as https://registry.example.com
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where image data is kept: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    storage_url: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug or trace, alone or as module=level,…
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// The settings of a signer that are often given as flags.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SignerSettings {
    #[command(flatten)]
    place: Where,
    /// The address and port to listen on [default: 127.0.0.1:5001]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The signer's own certificate chain, in PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The authority whose clients may ask, in PEM
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug or trace, alone or as module=level,…
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SignerSettings {
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let mut given = self.place.flags();
        given.extend(flags([
            ("signer.listen", "--listen", &self.listen),
            ("tls.certificate", "--tls-certificate", &self.tls_certificate),
            ("tls.key", "--tls-key", &self.tls_key),
            ("tls.client_ca", "--tls-client-ca", &self.tls_client_ca),
            ("log.format", "--log-format", &self.log_format),
            ("log.level", "--log-level", &self.log_level),
        ]));
        Ok(config::load(&Sources::of_process(given, self.place.config.clone()), Purpose::Sign)?)
    }
}

impl Where {
    fn flags(&self) -> Vec<Flag> {
        flags([("data", "--data", &self.data)])
    }

    fn sources(&self) -> Sources {
        Sources::of_process(self.flags(), self.config.clone())
    }

    /// The data folder, for a command that asks a running server.
    pub(super) fn data_folder(&self) -> Result<PathBuf, Failure> {
        Ok(config::data_folder(&self.sources())?)
    }

    /// All settings, for a command that works on the stores itself.
    pub(super) fn load_offline(&self) -> Result<Loaded, Failure> {
        Ok(config::load(&self.sources(), Purpose::Offline)?)
    }
}

impl Settings {
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        Ok(config::load(&self.sources(), Purpose::Serve)?)
    }

    pub(super) fn sources(&self) -> Sources {
        let mut given = self.place.flags();
        given.extend(flags([
            ("listen", "--listen", &self.listen),
            ("insecure_http", "--insecure-http", &self.insecure_http.then(|| "true".to_owned())),
            ("tls.certificate", "--tls-certificate", &self.tls_certificate),
            ("tls.key", "--tls-key", &self.tls_key),
            ("public_url", "--public-url", &self.public_url),
            ("storage.url", "--storage-url", &self.storage_url),
            ("log.format", "--log-format", &self.log_format),
            ("log.level", "--log-level", &self.log_level),
        ]));
        Sources::of_process(given, self.place.config.clone())
    }
}

fn flags<const N: usize>(given: [(&'static str, &'static str, &Option<String>); N]) -> Vec<Flag> {
    let flag = |(key, flag, text): (&'static str, &'static str, &Option<String>)| {
        text.clone().map(|text| Flag { key, flag, text })
    };
    given.into_iter().filter_map(flag).collect()
}
