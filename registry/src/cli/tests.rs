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
        "signer log --limit 10 --output json --data /s",
        "signer rewrap --key-file k --data /s",
        "signer rewrap --passphrase-file p",
        "signer rewrap --pkcs11-module m --pkcs11-token t --pkcs11-key k --pkcs11-pin-file p",
        "signer backup keys.bak --passphrase-file p --data /s",
        "signer restore keys.bak --passphrase-file p --data /s --config /c.toml",
        "signer abandon --new-root --yes --data /s",
        "signer keys --output json --data /s",
        "signer serve --data /s --listen 127.0.0.1:5001 --tls-certificate c --tls-key k --tls-client-ca a --log-level debug",
        "token-key list --output json --data /d",
        "user list --context work --output json",
        "user add ann --context work --admin --password-stdin",
        "user show ann",
        "user role ann auditor --context work",
        "user disable ann --output json",
        "login https://r.example.com --user ann --password-stdin --name work --scopes api:read --expires 12h --ca c.pem",
        "login http://r.example.com --insecure-http",
        "login https://r.example.com --device --name work",
        "logout",
        "logout work --forget",
        "context list --output json",
        "context use work",
        "context remove work",
        "org list --context work --output json",
        "org create acme --owner ann",
        "org set acme --create-on-push true",
        "org member add acme bob --owner",
        "team create acme/dev --description x",
        "team member add acme/dev bob --context work",
        "repo create acme/web --public --description x",
        "repo set acme/web --private --description x",
        "repo rename acme/web acme/shop",
        "repo transfer acme/web beta/web",
        "repo delete acme/web",
        "robot create acme+ci --repository acme/web",
        "robot set acme+ci --disable",
        "robot rotate acme+ci --expires 90d --overlap 0s",
        "robot revoke acme+ci 4",
        "robot rule add acme+ci --issuer https://i --audience r --claim a=b --claim c=d=e",
        "token create laptop --scopes read on:acme/* --expires 1d",
        "token revoke 4",
        "grant list acme/web",
        "grant list --account acme",
        "grant put acme/web-* team:acme/dev read+sign",
        "grant take acme/web user:ann",
        "certificate list --context work --output json",
        "certificate add robot:acme+ci dns *.build.example.com",
        "certificate remove 4",
        "quota show acme",
        "quota set acme --soft 800MiB --hard 1GB --context work",
        "quota remove acme/web",
        "size acme/web --output json",
        "access ann acme/web --output json",
        "explain anybody pull acme/web",
        "audit list --follow-pages --kind grant_put --account acme --since 2031-01-31T00:00:00Z --output json",
        "apply -f acme.toml --dry-run --prune --context work",
        "apply -f -",
        "completion zsh",
        "man /tmp/man1",
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
        ("quota set acme --hard much", ErrorKind::ValueValidation),
        ("user add ann --password hunter2", ErrorKind::UnknownArgument),
        ("user add ann --password-stdin --generate", ErrorKind::ArgumentConflict),
        ("repository public a --offline", ErrorKind::UnknownArgument),
        ("repository delete", ErrorKind::MissingRequiredArgument),
        ("repository delete a --offline", ErrorKind::UnknownArgument),
        ("token-key rotate --offline", ErrorKind::UnknownArgument),
        ("user list --output xml", ErrorKind::InvalidValue),
        ("readonly", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("user list --context work --data /d", ErrorKind::ArgumentConflict),
        ("user add ann --context work --offline", ErrorKind::ArgumentConflict),
        ("user password ann --context work", ErrorKind::UnknownArgument),
        ("user role ann king", ErrorKind::InvalidValue),
        ("login https://r --password hunter2", ErrorKind::UnknownArgument),
        ("login https://r --device --user ann", ErrorKind::ArgumentConflict),
        ("login https://r --device --password-stdin", ErrorKind::ArgumentConflict),
        ("login https://r --expires soon", ErrorKind::ValueValidation),
        ("org set acme", ErrorKind::MissingRequiredArgument),
        ("repo set acme/web", ErrorKind::MissingRequiredArgument),
        ("repo set acme/web --public --private", ErrorKind::ArgumentConflict),
        ("robot set acme+ci", ErrorKind::MissingRequiredArgument),
        ("robot set acme+ci --enable --disable", ErrorKind::ArgumentConflict),
        ("robot rule add acme+ci --issuer i --audience r", ErrorKind::MissingRequiredArgument),
        ("grant list", ErrorKind::MissingRequiredArgument),
        ("grant list acme/web --account acme", ErrorKind::ArgumentConflict),
        ("certificate add user:ann serial 4", ErrorKind::InvalidValue),
        ("certificate remove four", ErrorKind::ValueValidation),
        ("explain ann fly acme/web", ErrorKind::InvalidValue),
        ("audit list --limit 0", ErrorKind::ValueValidation),
        ("apply", ErrorKind::MissingRequiredArgument),
        ("completion elvish", ErrorKind::InvalidValue),
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
        (Failure::NotFound(String::new()), 4),
        (Failure::NotAllowed(String::new()), 5),
        (Failure::NotSignedIn(String::new()), 5),
    ];
    for (failure, expected) in table {
        assert_eq!(failure.code(), ExitCode::from(expected), "{failure:?}");
    }
}
