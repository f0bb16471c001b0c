//! `hallmark config`.

use clap::Subcommand;

use super::output::{self, Failure};
use super::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Say whether the settings would be accepted, and if not, everything that is wrong.
    Check(Settings),
    /// Print the settings that hold, each with its place, as TOML that can be loaded again; secrets are hidden.
    Print(Settings),
}

impl ConfigVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(settings) => {
                if let Some(caution) = settings.load()?.config.caution() {
                    output::say(format!("warning: {caution}"))?;
                }
                output::say("ok")
            }
            Self::Print(settings) => output::print(&settings.load()?.to_toml()),
        }
    }
}
