use super::{MasterKey, MasterKeyInvalid, OpenRefused};

const NONCE: [u8; 12] = [7; 12];

#[test]
fn what_was_sealed_opens_for_the_same_purpose() {
    let master = MasterKey::new(&[1; 32]);
    let sealed = master.seal("token key a", NONCE, b"private");
    assert_eq!(*master.open("token key a", &sealed).unwrap(), b"private");
}

#[test]
fn two_sealed_keys_cannot_be_swapped() {
    let master = MasterKey::new(&[1; 32]);
    let sealed = master.seal("token key a", NONCE, b"private");
    assert_eq!(master.open("token key b", &sealed), Err(OpenRefused::Forged));
}

#[test]
fn every_flipped_bit_is_refused() {
    let master = MasterKey::new(&[1; 32]);
    let sealed = master.seal("token key a", NONCE, b"private");
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(master.open("token key a", &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_shortened_envelope_is_refused() {
    let master = MasterKey::new(&[1; 32]);
    let sealed = master.seal("token key a", NONCE, b"private");
    for length in 0..sealed.len() {
        assert!(master.open("token key a", &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn another_master_key_is_named_as_the_cause() {
    let sealed = MasterKey::new(&[1; 32]).seal("token key a", NONCE, b"private");
    assert_eq!(MasterKey::new(&[2; 32]).open("token key a", &sealed), Err(OpenRefused::OtherMasterKey));
}

#[test]
fn a_master_key_is_thirty_two_bytes_in_base64() {
    let text = MasterKey::generate_text(&[5; 32]);
    let sealed = MasterKey::new(&[5; 32]).seal("x", NONCE, b"y");
    assert_eq!(*text.parse::<MasterKey>().unwrap().open("x", &sealed).unwrap(), b"y");
    for bad in ["", "AAAA", &"A".repeat(44), &"*".repeat(44), &text.trim()[1..], &text.repeat(2)] {
        assert_eq!(bad.parse::<MasterKey>().err(), Some(MasterKeyInvalid), "{bad:?}");
    }
}

#[test]
fn a_master_key_prints_as_nothing() {
    assert_eq!(format!("{:?}", MasterKey::new(&[0xab; 32])), "MasterKey([secret])");
}
