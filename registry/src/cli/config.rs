//! `hallmark config`.

use clap::Subcommand;

use super::output::{self, Failure};
use super::settings::Settings;
use crate::{serve, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Say whether the settings and the files that they name would be accepted, and if not, what is wrong.
    Check(Settings),
    /// Print the settings that hold, each with its place, as TOML that can be loaded again; secrets are hidden.
    Print(Settings),
}

impl ConfigVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(settings) => {
                let config = settings.load()?.config;
                serve::check(&config).map_err(|error| Failure::Failed(telemetry::chain(&error)))?;
                if let Some(caution) = config.caution() {
                    output::say(format!("warning: {caution}"))?;
                }
                output::say("ok")
            }
            Self::Print(settings) => output::print(&settings.load()?.to_toml()),
        }
    }
}
