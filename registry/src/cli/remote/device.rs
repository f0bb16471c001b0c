//! `hallmark login --device`: a code that is approved in a browser becomes a token (RFC 8628).

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::client::{Client, Word};
use super::table::harmless;
use crate::cli::output::Failure;

/// What this program calls itself to the person who decides.
const CLIENT_ID: &str = "hallmark";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How much longer to wait after `slow_down` (RFC 8628 section 3.5), and when the registry says nothing of it.
const STEP: Duration = Duration::from_secs(5);
/// The longest wait between two questions, whatever the registry says.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest life of a code, whatever the registry says, in seconds.
const LIFE_SECONDS: u64 = 60 * 60;

/// The token that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// How it is called in the list of tokens.
    pub(super) name: &'a str,
    /// What it is limited to.
    pub(super) scopes: &'a str,
    /// How long it lives.
    pub(super) seconds: u32,
}

/// A request that waits for somebody to decide.
#[derive(Deserialize)]
pub(super) struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    /// In seconds.
    expires_in: u64,
    /// In seconds.
    interval: Option<u64>,
}

/// What an approved request is answered.
#[derive(Deserialize)]
pub(super) struct Redeemed {
    pub(super) access_token: String,
    pub(super) token_id: i64,
    pub(super) username: String,
    pub(super) scope: String,
    /// In seconds.
    pub(super) expires_in: i64,
}

/// Asks for a code.
///
/// # Errors
/// [`Failure::NotFound`] where no browser can sign anybody in; others as every request.
pub(super) async fn begin(client: &Client, wanted: Wanted<'_>) -> Result<Begun, Failure> {
    let seconds = wanted.seconds.to_string();
    let fields = [
        ("client_id", CLIENT_ID),
        ("token_name", wanted.name),
        ("scope", wanted.scopes),
        ("expires_in", seconds.as_str()),
    ];
    let answer = client.form(&["auth", "device"], &fields).await?;
    answer.map_err(|word| Failure::Failed(word.told()))
}

/// Tells the person what to do, and asks until they have decided or the code has ended.
///
/// # Errors
/// [`Failure::NotAllowed`] when they denied it, [`Failure::NotSignedIn`] when the code ended before.
pub(super) async fn wait(client: &Client, begun: &Begun) -> Result<Redeemed, Failure> {
    let life = Duration::from_secs(begun.expires_in.min(LIFE_SECONDS));
    let (page, code) = (harmless(&begun.verification_uri), harmless(&begun.user_code));
    // Not on standard output, which a program may read.
    let _ = writeln!(
        io::stderr(),
        "Open {page} in a browser, sign in there, and type the code {code}\nWaiting for your approval; the code ends in \
         {} minutes",
        life.as_secs().div_ceil(60)
    );
    let end = Instant::now() + life;
    let mut interval = begun.interval.map_or(STEP, Duration::from_secs).clamp(Duration::from_secs(1), LONGEST);
    let fields = [("grant_type", GRANT), ("device_code", begun.device_code.as_str()), ("client_id", CLIENT_ID)];
    loop {
        if Instant::now() + interval >= end {
            return Err(ended());
        }
        sleep(interval).await;
        interval = match client.form(&["auth", "device", "token"], &fields).await {
            Ok(Ok(redeemed)) => return Ok(redeemed),
            Ok(Err(word)) => next(&word, interval)?,
            // It may be back before the code ends, and is asked less often until then (section 3.5).
            Err(Failure::NoServer(_)) => (interval * 2).min(LONGEST),
            Err(failure) => return Err(failure),
        };
    }
}

/// How long to wait after this word, if there is still something to wait for.
fn next(word: &Word, interval: Duration) -> Result<Duration, Failure> {
    match word.error.as_str() {
        "authorization_pending" => Ok(interval),
        "slow_down" => Ok((interval + STEP).min(LONGEST)),
        "access_denied" => Err(Failure::NotAllowed(format!("the sign-in is refused: {}", word.told()))),
        "expired_token" => Err(ended()),
        _ => Err(Failure::Failed(word.told())),
    }
}

fn ended() -> Failure {
    Failure::NotSignedIn("the code ended before it was approved: run `hallmark login` again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(error: &str) -> Word {
        Word { error: error.to_owned(), error_description: Some("so\u{1b}[2J it is".to_owned()) }
    }

    #[test]
    fn slow_down_adds_five_seconds_up_to_a_minute() {
        assert_eq!(next(&word("authorization_pending"), STEP).unwrap(), STEP);
        assert_eq!(next(&word("slow_down"), STEP).unwrap(), Duration::from_secs(10));
        assert_eq!(next(&word("slow_down"), LONGEST).unwrap(), LONGEST);
    }

    #[test]
    fn each_end_has_its_failure_and_none_moves_the_terminal() {
        assert!(matches!(next(&word("access_denied"), STEP), Err(Failure::NotAllowed(_))));
        assert!(matches!(next(&word("expired_token"), STEP), Err(Failure::NotSignedIn(_))));
        let other = next(&word("invalid_request"), STEP).unwrap_err();
        assert!(matches!(other, Failure::Failed(_)) && !other.to_string().contains('\u{1b}'), "{other}");
    }
}
