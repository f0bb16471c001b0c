//! `hallmark token-key`: keys change under a running server, and no token that was given is void for it.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hallmark_conformance::{
    Failure, Outcome,
    check::holds,
    failure::While,
    http::Request,
    server::{ADMIN, PASSWORD, Server},
};
use serde_json::Value;

use super::world::{login, says, with_authorization};

/// The ids of the keys that the registry shows.
fn shown(server: &Server) -> Outcome<BTreeSet<String>> {
    let set = server.anonymous().send_plain(&Request::new("GET", "/.well-known/jwks.json"))?.expect(200)?.json()?;
    let keys = set["keys"].as_array().or_fail("the key set has no keys")?;
    holds(keys.iter().all(|key| key["alg"] == "ES256" && key.get("d").is_none()), || format!("the key set is {set}"))?;
    Ok(keys.iter().filter_map(|key| Some(key["kid"].as_str()?.to_owned())).collect())
}

fn token(server: &Server) -> Outcome<String> {
    let answer = login(server, ADMIN, PASSWORD)?.expect(200)?.json()?;
    Ok(answer["token"].as_str().or_fail("the answer has no token")?.to_owned())
}

/// The id of the key that a token was signed with.
fn kid(token: &str) -> Outcome<String> {
    let head = token.split('.').next().unwrap_or_default();
    let head = URL_SAFE_NO_PAD.decode(head).or_fail("the head of a token is base64url")?;
    let head: Value = serde_json::from_slice(&head)?;
    head["kid"].as_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("no key is named in {head}")))
}

#[test]
fn after_a_rotation_old_tokens_are_taken_and_both_keys_are_shown() -> Outcome<()> {
    let mut server = Server::fresh()?;
    let before = token(&server)?;
    let old = kid(&before)?;
    holds(shown(&server)? == BTreeSet::from([old.clone()]), || "the first key was to be the only one".into())?;
    let rotated = server.attempt(&["token-key", "rotate"], "")?;
    says(&rotated, 0, &["tokens are signed with key", "from now on"])?;
    let after = token(&server)?;
    let new = kid(&after)?;
    holds(new != old && rotated.output.contains(&new), || format!("{} and tokens name {new}", rotated.output))?;
    let both = BTreeSet::from([old.clone(), new.clone()]);
    holds(shown(&server)? == both, || "both keys were to be shown".into())?;
    let listed = server.attempt(&["token-key", "list"], "")?;
    says(&listed, 0, &[&format!("{old} "), "verifies until", &format!("{new} "), "signs"])?;
    let lines = server.attempt(&["token-key", "list", "--output", "json"], "")?.output;
    let lines = lines.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let told = lines.iter().map(|line| (line["kid"].as_str(), line["retires_at"].is_null())).collect::<Vec<_>>();
    holds(told == [(Some(old.as_str()), false), (Some(new.as_str()), true)], || format!("{lines:?} were listed"))?;
    for token in [&before, &after] {
        with_authorization(&server, "/v2/", &format!("Bearer {token}"))?.expect(200)?;
    }
    // The overlap is a fact, not a memory of the process.
    server.restart()?;
    holds(shown(&server)? == both, || "both keys were to be shown after a restart".into())?;
    for token in [&before, &after] {
        with_authorization(&server, "/v2/", &format!("Bearer {token}"))?.expect(200)?;
    }
    Ok(())
}
