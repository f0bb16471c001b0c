//! Devices that are signed in by a typed code: guessing, pestering, and coming twice (threat 18).

use std::net::IpAddr;

use crate::auth::oidc::device::{Begun, Busy, CodeRefused, Decision, Devices, LIFETIME, Poll, RANDOM_BYTES};

const NOW: i64 = 1_800_000_000_000;
const ANN: i64 = 12;
const BOB: i64 = 13;

fn place(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn random(seed: u64) -> [u8; RANDOM_BYTES] {
    let mut random = [0; RANDOM_BYTES];
    random[..8].copy_from_slice(&seed.to_be_bytes());
    random[40..].copy_from_slice(&seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    random
}

fn begin(devices: &Devices, seed: u64) -> Begun {
    devices.begin("hallmark", place(&format!("10.0.{}.{}", seed / 256, seed % 256)), &random(seed), NOW).unwrap()
}

#[test]
fn a_device_is_approved_by_a_person_and_comes_once() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    assert_eq!((begun.expires_in, begun.interval, begun.device_code.len(), begun.user_code.len()), (600, 5, 43, 9));
    assert_eq!(devices.poll(&begun.device_code, NOW), Poll::Pending);
    let asked = devices.look(&begun.user_code, ANN, NOW).unwrap();
    assert_eq!((&*asked.client, asked.place, asked.at), ("hallmark", place("10.0.0.1"), NOW));
    devices.decide(&begun.user_code, ANN, Decision::Approve(ANN), NOW).unwrap();
    assert_eq!(devices.decide(&begun.user_code, BOB, Decision::Approve(BOB), NOW), Err(CodeRefused::Unknown), "once");
    assert_eq!(devices.poll(&begun.device_code, NOW + 5000), Poll::Approved(ANN));
    assert_eq!(devices.poll(&begun.device_code, NOW + 10_000), Poll::Gone, "one redemption");
    assert_eq!(devices.open(NOW), 0);
}

#[test]
fn a_device_is_denied_once_and_then_gone() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    devices.decide(&begun.user_code, ANN, Decision::Deny, NOW).unwrap();
    assert_eq!(devices.poll(&begun.device_code, NOW), Poll::Denied);
    assert_eq!(devices.poll(&begun.device_code, NOW), Poll::Gone);
}

#[test]
fn one_of_many_that_come_at_once_is_approved() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    devices.decide(&begun.user_code, ANN, Decision::Approve(ANN), NOW).unwrap();
    let approved = std::thread::scope(|scope| {
        let polls: Vec<_> = (0..8).map(|_| scope.spawn(|| devices.poll(&begun.device_code, NOW))).collect();
        polls.into_iter().map(|poll| poll.join().unwrap()).filter(|poll| *poll == Poll::Approved(ANN)).count()
    });
    assert_eq!(approved, 1);
}

#[test]
fn a_code_is_typed_in_any_way() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    let code = begun.user_code.replace('-', "");
    for text in [begun.user_code.to_lowercase(), code.clone(), format!(" {} {} ", &code[..4], &code[4..])] {
        devices.look(&text, ANN, NOW).unwrap();
    }
    for (text, person) in [(&code[1..], 1), ("", 2), ("AAAAAAAA", 3), ("BBBB-BBBé", 4), (&*format!("{code}B"), 5)] {
        assert_eq!(devices.look(text, person, NOW), Err(CodeRefused::Unknown), "{text:?}");
    }
    assert_eq!(devices.look(&format!("{code}{}", "-".repeat(100)), 6, NOW), Err(CodeRefused::Unknown));
    assert_eq!(devices.look(&begun.device_code, 7, NOW), Err(CodeRefused::Unknown));
    assert_eq!(devices.poll(&begun.user_code, NOW), Poll::Gone, "nor does the person's code redeem");
}

#[test]
fn codes_are_of_consonants_and_spread() {
    let devices = Devices::default();
    let codes: std::collections::BTreeSet<_> = (0..500).map(|seed| begin(&devices, seed).user_code).collect();
    assert_eq!(codes.len(), 500);
    for code in &codes {
        let (left, right) = code.split_once('-').unwrap();
        assert!(left.len() == 4 && right.len() == 4, "{code}");
        assert!((left.to_owned() + right).bytes().all(|byte| b"BCDFGHJKLMNPQRSTVWXZ".contains(&byte)), "{code}");
    }
    let first = begin(&Devices::default(), 1);
    assert_ne!(first.user_code, begin(&Devices::default(), 2).user_code);
}

#[test]
fn two_requests_never_share_a_code() {
    let devices = Devices::default();
    let (mut one, mut other) = (random(1), random(1));
    (one[0], other[0]) = (1, 2);
    let one = devices.begin("a", place("10.0.0.1"), &one, NOW).unwrap();
    let other = devices.begin("b", place("10.0.0.1"), &other, NOW).unwrap();
    assert_ne!(one.user_code, other.user_code);
    assert_eq!(devices.look(&other.user_code, ANN, NOW).unwrap().client, "b");
}

#[test]
fn a_device_that_asks_too_often_waits_longer() {
    let devices = Devices::default();
    let code = begin(&devices, 1).device_code;
    for (at, expected) in [
        (0, Poll::Pending),
        (5000, Poll::Pending),
        (9999, Poll::SlowDown(10)),
        (15_000, Poll::SlowDown(15)),
        (30_000, Poll::Pending),
        (44_999, Poll::SlowDown(20)),
    ] {
        assert_eq!(devices.poll(&code, NOW + at), expected, "{at}");
    }
}

#[test]
fn codes_end_after_ten_minutes() {
    let devices = Devices::default();
    let (early, approved) = (begin(&devices, 1), begin(&devices, 2));
    devices.decide(&approved.user_code, ANN, Decision::Approve(ANN), NOW).unwrap();
    assert!(devices.look(&early.user_code, ANN, NOW + LIFETIME - 1).is_ok());
    let end = NOW + LIFETIME;
    assert_eq!(devices.look(&early.user_code, ANN, end), Err(CodeRefused::Unknown));
    assert_eq!(devices.decide(&early.user_code, ANN, Decision::Approve(ANN), end), Err(CodeRefused::Unknown));
    assert_eq!(devices.poll(&early.device_code, end), Poll::Gone);
    assert_eq!(devices.poll(&approved.device_code, end), Poll::Gone, "an approval that nobody came for");
    assert_eq!(devices.open(end), 0);
}

#[test]
fn a_person_who_guesses_is_stopped() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    for guess in 0..5 {
        assert_eq!(devices.look("BBBB-BBBB", ANN, NOW + guess), Err(CodeRefused::Unknown));
    }
    assert_eq!(devices.look(&begun.user_code, ANN, NOW + 5), Err(CodeRefused::TooMany), "the right one neither");
    assert_eq!(devices.decide(&begun.user_code, ANN, Decision::Deny, NOW + 5), Err(CodeRefused::TooMany));
    assert!(devices.look(&begun.user_code, BOB, NOW + 5).is_ok(), "others go on");
    let begun = devices.begin("a", place("10.0.0.1"), &random(9), NOW + 5).unwrap();
    assert!(devices.look(&begun.user_code, ANN, NOW + LIFETIME).is_ok());
}

#[test]
fn one_place_cannot_take_all_of_the_memory() {
    let devices = Devices::default();
    for seed in 0..20 {
        devices.begin("a", place("192.0.2.1"), &random(seed), NOW).unwrap();
        devices.begin("a", place(&format!("2001:db8::{seed:x}")), &random(100 + seed), NOW).unwrap();
    }
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff:1"] {
        assert_eq!(devices.begin("a", place(address), &random(999), NOW), Err(Busy), "{address}");
    }
    devices.begin("a", place("2001:db8:0:1::1"), &random(999), NOW).unwrap();
    assert!(devices.begin("a", place("192.0.2.1"), &random(999), NOW + LIFETIME).is_ok(), "a place is given back");
}

#[test]
fn the_memory_is_bounded() {
    let devices = Devices::default();
    for seed in 0..10_000 {
        begin(&devices, seed);
    }
    assert_eq!(devices.begin("a", place("192.0.2.1"), &random(1), NOW), Err(Busy));
    assert_eq!(devices.open(NOW), 10_000);
    assert!(devices.begin("a", place("192.0.2.1"), &random(1), NOW + LIFETIME).is_ok());
    assert_eq!(devices.open(NOW + LIFETIME), 1);
}

#[test]
fn only_the_hash_of_a_devices_code_is_kept() {
    let devices = Devices::default();
    let begun = begin(&devices, 1);
    assert!(!format!("{devices:?}").contains(&begun.device_code));
}

#[test]
fn what_a_client_calls_itself_is_cut() {
    let devices = Devices::default();
    let begun = devices.begin(&"n\u{1b}".repeat(500), place("192.0.2.1"), &random(1), NOW).unwrap();
    assert_eq!(devices.look(&begun.user_code, ANN, NOW).unwrap().client, "n".repeat(100));
}
