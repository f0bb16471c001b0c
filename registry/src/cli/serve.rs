//! `hallmark serve`.

use clap::Args;

use super::output::Failure;
use super::settings::Settings;
use crate::{serve, telemetry};

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let _logging = telemetry::start_logging(&config.log)
            .map_err(|error| Failure::Failed(format!("logging cannot be started: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
        let served = runtime.block_on(serve::run(config));
        // Dropped, it would wait for every thread, and one may hang in a store that does not answer.
        runtime.shutdown_timeout(serve::LAST_THREADS);
        served.map_err(|error| Failure::Failed(telemetry::chain(&error)))
    }
}
