use super::*;

#[test]
fn the_password_on_standard_input_is_its_first_line() {
    for (text, expected) in [
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        ("  two words \nand more", "  two words "),
        ("p\u{e4}ss", "p\u{e4}ss"),
    ] {
        assert_eq!(from_reader(text.as_bytes()).unwrap().expose(), expected);
    }
}

#[test]
fn what_is_no_password_on_standard_input_is_refused() {
    let long = "x".repeat(1025);
    let table: [(&[u8], &str); 4] = [
        (b"", "there is no password on standard input"),
        (b"\nsecret", "there is no password on standard input"),
        (long.as_bytes(), "a password is at most 1024 bytes"),
        (b"\xff\xfe", "the password on standard input is not UTF-8 text"),
    ];
    for (text, expected) in table {
        assert_eq!(from_reader(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_generated_password_is_long_and_never_the_same() {
    let generate = || PasswordSource { generate: true, ..PasswordSource::default() }.choose(Otherwise::Prompt).unwrap();
    let (one, other) = (generate(), generate());
    assert!(one.generated && one.password.expose().len() >= 22);
    assert_ne!(one.password, other.password);
}
