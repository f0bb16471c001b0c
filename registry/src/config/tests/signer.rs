//! What is said of the signer and of the master key, and what contradicts itself in it.

use super::{Purpose, Start, column_of_the_key, file_is_refused, load};

#[test]
fn one_master_key_and_one_signer_are_named_and_in_full() {
    let table = [
        (
            "pkcs11.module = \"m\"\npkcs11.token = \"t\"\npkcs11.key = \"k\"",
            "`pkcs11.module` is set without `pkcs11.pin_file`: a token needs all four",
        ),
        (
            "master_key_file = \"k\"\nmaster_passphrase_file = \"p\"",
            "there is one master key, and master_key_file and master_passphrase_file name several",
        ),
        (
            "signer.url = \"https://s:5001\"\nsigner.ca_file = \"a\"\nsigner.certificate_file = \"c\"",
            "`signer.url` is set without `signer.key_file`: a signer of its own is reached over mutual TLS",
        ),
    ];
    for (text, expected) in table {
        file_is_refused(text, &format!("hallmark.toml:1:{}: {expected}", column_of_the_key(text)));
    }
}

#[test]
fn a_signer_of_its_own_needs_certificates_and_reaches_no_other() {
    let start = Start::new();
    let refused = load(&start.sources, Purpose::Sign).unwrap_err().to_string();
    for key in ["tls.certificate", "tls.key", "tls.client_ca"] {
        assert!(refused.contains(&format!("`{key}` is not set")), "{refused}");
    }
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";
    let start = Start::new().file(tls);
    load(&start.sources, Purpose::Sign).unwrap();
    let far = "[signer]\nurl = \"https://s\"\nca_file = \"a\"\ncertificate_file = \"c\"\nkey_file = \"k\"\n";
    let start = Start::new().file(&format!("{tls}{far}"));
    let refused = load(&start.sources, Purpose::Sign).unwrap_err().to_string();
    assert!(refused.contains("has no meaning for the signer itself"), "{refused}");
    load(&start.sources, Purpose::Serve).unwrap();
}
