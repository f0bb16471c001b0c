//! `Claims::parse` over a document.
//! What is accepted can be written and read again, and whether it holds is an answer, whatever the numbers.

use hallmark_oci::Claims;
use hallmark_oci::limits::SCOPES;

pub(crate) fn run(input: &[u8]) {
    let Ok(claims) = Claims::parse(input) else { return };
    assert!(claims.access.len() <= SCOPES);
    let written = serde_json::to_vec(&claims).expect("claims are JSON");
    assert_eq!(Claims::parse(&written).as_ref(), Ok(&claims));
    let service = claims.aud.first().cloned().unwrap_or_default();
    for now in [i64::MIN, 0, claims.iat, claims.exp.saturating_mul(1000), i64::MAX] {
        let held = claims.check(&claims.iss, &service, now).is_ok();
        let seconds = now.div_euclid(1000);
        let in_time = seconds < claims.exp.saturating_add(60) && seconds.saturating_add(60) >= claims.nbf;
        assert_eq!(held, in_time && !claims.aud.is_empty());
    }
}
