//! `hallmark signer`.

use clap::{Args, Subcommand};

use super::output::Failure;
use super::settings::SignerSettings;
use crate::{serve, signing, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum SignerVerb {
    /// Sign for registries until told to stop: a process that holds the keys, so that no registry does.
    ///
    /// It has a data folder and a database of its own, and is reached over mutual TLS only: tls.certificate and tls.key are its
    /// own, tls.client_ca is the authority of its clients, and signer.clients may name which of them it takes. A registry
    /// reaches it with signer.url, signer.ca_file, signer.certificate_file and signer.key_file.
    Serve(Serve),
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SignerSettings,
}

impl SignerVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
        }
    }
}

impl Serve {
    fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let _logging = telemetry::start_logging(&config.log)
            .map_err(|error| Failure::Failed(format!("logging cannot be started: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
        let served = runtime.block_on(signing::process::run(config));
        runtime.shutdown_timeout(serve::LAST_THREADS);
        served.map_err(|error| Failure::Failed(telemetry::chain(&error)))
    }
}
