//! How a verb gets its answer: from the running server, or with `--offline` from the stores themselves.

use std::path::Path;

use clap::Args;
use hallmark_storage::metadata::DatabaseConfig;

use super::output::Failure;
use super::settings::Where;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Answer, CallError, Command, FolderError, FolderLock};
use crate::{operate, telemetry};

/// Where to ask.
#[derive(Args, Clone, Debug)]
pub(super) struct Asked {
    #[command(flatten)]
    place: Where,
    /// Work on the data folder itself while no server runs
    #[arg(long)]
    offline: bool,
}

impl Asked {
    /// Does the commands that `next` gives, one after another, until it gives none. Each time it is shown the answer to the
    /// command before, at first none; a refusal ends the conversation.
    pub(super) async fn converse(
        &self,
        mut next: impl FnMut(Option<Answer>) -> Result<Option<Command>, Failure>,
    ) -> Result<(), Failure> {
        let respondent = self.respondent().await?;
        let mut answer = None;
        while let Some(command) = next(answer)? {
            answer = match respondent.answer(command).await? {
                Answer::Refused { message } => {
                    respondent.close().await;
                    return Err(Failure::Failed(message));
                }
                given => Some(given),
            };
        }
        respondent.close().await;
        Ok(())
    }

    /// Does one command.
    pub(super) async fn ask(&self, command: Command) -> Result<Answer, Failure> {
        let (mut command, mut given) = (Some(command), None);
        self.converse(|answer| {
            given = answer;
            Ok(command.take())
        })
        .await?;
        given.ok_or_else(not_understood)
    }

    async fn respondent(&self) -> Result<Respondent, Failure> {
        if self.offline {
            let config = self.place.load_offline()?.config;
            return Ok(Respondent::Offline(Box::new(Offline::open(config).await?)));
        }
        Ok(Respondent::Server { data: self.place.data_folder()? })
    }
}

enum Respondent {
    Server { data: std::path::PathBuf },
    Offline(Box<Offline>),
}

impl Respondent {
    async fn answer(&self, command: Command) -> Result<Answer, Failure> {
        match self {
            Self::Server { data } => control::call(data, &command).await.map_err(|error| unanswered(error, data)),
            Self::Offline(offline) => Ok(operate::perform(&offline.app, offline.app.config.listen, command).await),
        }
    }

    async fn close(&self) {
        if let Self::Offline(offline) = self {
            offline.app.metadata.close().await;
        }
    }
}

/// The stores, opened by this process; the lock says that no server has them.
struct Offline {
    _lock: FolderLock,
    app: std::sync::Arc<App>,
}

impl Offline {
    async fn open(config: Config) -> Result<Self, Failure> {
        if let DatabaseConfig::Sqlite { path } = &config.database
            && !path.exists()
        {
            return Err(Failure::Failed(format!(
                "there is no registry in {} yet ({} is missing): name its folder with --data, or start it once with `hallmark serve`",
                config.data.display(),
                path.display()
            )));
        }
        let lock = FolderLock::take(&config.data).map_err(|error| in_use(&error))?;
        let app = App::open(config, Clock::System).await.map_err(|error| Failure::Failed(telemetry::chain(&error)))?;
        Ok(Self { _lock: lock, app })
    }
}

fn in_use(error: &FolderError) -> Failure {
    match error {
        FolderError::InUse { .. } => {
            Failure::Failed(format!("{error}: stop the server first, or leave out --offline to ask it"))
        }
        FolderError::Unusable { .. } => Failure::Failed(error.to_string()),
    }
}

fn unanswered(error: CallError, data: &Path) -> Failure {
    match error {
        CallError::NoServer { .. } => Failure::NoServer(format!(
            "{error}: start it with `hallmark serve --data {}`, name another folder with --data, or, where the verb knows \
             it, add --offline to work on the folder itself",
            data.display()
        )),
        CallError::Forbidden { .. } | CallError::Broken(_) | CallError::TimedOut | CallError::NotUnderstood(_) => {
            Failure::Failed(error.to_string())
        }
    }
}

/// For an answer that does not belong to its command.
pub(super) fn not_understood() -> Failure {
    Failure::Failed("the answer of the server is not understood: is it another version of hallmark?".to_owned())
}

/// For the verbs that only a running server can do.
#[derive(Args, Clone, Debug)]
pub(super) struct AskedServer {
    #[command(flatten)]
    place: Where,
}

impl From<AskedServer> for Asked {
    fn from(asked: AskedServer) -> Self {
        Self { place: asked.place, offline: false }
    }
}

#[cfg(test)]
mod tests;
