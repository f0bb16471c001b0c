//! `hallmark signer`.

use clap::{Args, Subcommand};

use super::ask::{Asked, AskedServer, not_understood};
use super::output::{self, Failure, Format};
use super::settings::SignerSettings;
use crate::control::{Answer, Command, SignatureLine, SignerKeyLine};
use crate::{serve, signing, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum SignerVerb {
    /// Sign for registries until told to stop: a process that holds the keys, so that no registry does.
    ///
    /// It has a data folder and a database of its own, and is reached over mutual TLS only: tls.certificate and tls.key are its
    /// own, tls.client_ca is the authority of its clients, and signer.clients may name which of them it takes. A registry
    /// reaches it with signer.url, signer.ca_file, signer.certificate_file and signer.key_file.
    Serve(Serve),
    /// List the signatures that were made, the newest first: when, for whom, over what, by which key.
    Log(Log),
    /// List the keys, never their private parts.
    Keys(Keys),
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SignerSettings,
}

#[derive(Args, Debug)]
pub(super) struct Log {
    /// How many signatures to show
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
pub(super) struct Keys {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

impl SignerVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Log(log) => log.run(),
            Self::Keys(keys) => keys.run(),
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

impl Log {
    fn run(self) -> Result<(), Failure> {
        let mut left = self.limit;
        if self.output == Format::Text {
            output::say(format_args!(
                "{:<22} {:<10} {:>10} {:<12} {:<50} CALLER",
                "AT", "ROLE", "VERSION", "KEY", "COLLECTION"
            ))?;
        }
        super::block_on(Asked::from(self.asked).converse(|answer| {
            let before = match answer {
                None => None,
                Some(Answer::SignerLog { lines, next }) => {
                    lines.iter().take(left).try_for_each(|line| say_signature(line, self.output))?;
                    left = left.saturating_sub(lines.len());
                    match next.filter(|_| left > 0) {
                        Some(next) => Some(next),
                        None => return Ok(None),
                    }
                }
                Some(_) => return Err(not_understood()),
            };
            Ok(Some(Command::SignerLog { before }))
        }))?
    }
}

impl Keys {
    fn run(self) -> Result<(), Failure> {
        if self.output == Format::Text {
            output::say(format_args!(
                "{:<64} {:<10} {:<8} {:<22} {:<22} COLLECTION",
                "KEY", "ROLE", "KIND", "MADE", "USED"
            ))?;
        }
        super::block_on(Asked::from(self.asked).converse(|answer| {
            let after = match answer {
                None => None,
                Some(Answer::SignerKeys { keys, next }) => {
                    keys.iter().try_for_each(|key| say_key(key, self.output))?;
                    match next {
                        Some(next) => Some(next),
                        None => return Ok(None),
                    }
                }
                Some(_) => return Err(not_understood()),
            };
            Ok(Some(Command::SignerKeys { after }))
        }))?
    }
}

fn say_signature(line: &SignatureLine, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::say_json(line);
    }
    let key: String = line.key.chars().take(12).collect();
    let (at, role) = (output::time(line.at), &line.role);
    output::say(format_args!(
        "{at:<22} {role:<10} {:>10} {key:<12} {:<50} {}",
        line.version, line.collection, line.caller
    ))
}

fn say_key(key: &SignerKeyLine, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::say_json(key);
    }
    let (made, used) = (output::time(key.made_at), key.used_at.map_or_else(|| "never".to_owned(), output::time));
    let SignerKeyLine { id, collection, role, algorithm, .. } = key;
    output::say(format_args!("{id:<64} {role:<10} {algorithm:<8} {made:<22} {used:<22} {collection}"))
}
