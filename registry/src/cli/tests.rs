//! What can be typed, and what is said to the shell.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::config::ConfigInvalid;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("hallmark").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_verb_of_the_manual_can_be_typed() {
    for line in [
        "serve",
        "serve --data /d --listen 127.0.0.1:5000 --config /c.toml --insecure-http",
        "serve --tls-certificate c.pem --tls-key k.pem --public-url https://r --storage-url s3://b --log-format json --log-level debug",
        "config check --config /c.toml",
        "config print --data /d",
        "user add ann",
        "user add ann --admin --password-stdin",
        "user add ann --prompt --offline --data /d",
        "user remove ann --offline",
        "user password ann --offline",
        "user password ann --generate",
        "user logout ann --offline",
        "user list --output json --offline",
        "repository public ann/app",
        "repository private ann/app --data /d",
        "repository delete ann/app --data /d",
        "repository list --output json",
        "readonly on",
        "readonly off --offline",
        "readonly status",
        "doctor --output json --listen 127.0.0.1:1",
        "token-key rotate --data /d",
        "token-key list --output json --data /d",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let table = [
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("serve --colour", ErrorKind::UnknownArgument),
        ("user add", ErrorKind::MissingRequiredArgument),
        ("user add ann --password hunter2", ErrorKind::UnknownArgument),
        ("user add ann --password-stdin --generate", ErrorKind::ArgumentConflict),
        ("repository public a --offline", ErrorKind::UnknownArgument),
        ("repository delete", ErrorKind::MissingRequiredArgument),
        ("repository delete a --offline", ErrorKind::UnknownArgument),
        ("token-key rotate --offline", ErrorKind::UnknownArgument),
        ("user list --output xml", ErrorKind::InvalidValue),
        ("readonly", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
    ];
    for (line, expected) in table {
        assert_eq!(parse(line).unwrap_err().kind(), expected, "{line}");
    }
}

#[test]
fn the_version_is_told() {
    let told = parse("--version").unwrap_err();
    assert_eq!(told.to_string(), format!("hallmark {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let table = [
        (Failure::Failed(String::new()), 1),
        (Failure::Shown, 1),
        (Failure::Usage(String::new()), 2),
        (Failure::Configuration(ConfigInvalid { problems: Vec::new() }), 2),
        (Failure::NoServer(String::new()), 3),
    ];
    for (failure, expected) in table {
        assert_eq!(failure.code(), ExitCode::from(expected), "{failure:?}");
    }
}
