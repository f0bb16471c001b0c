//! A root whose key never leaves a token: SoftHSM2, asked by OpenSC's `pkcs11-tool`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Outcome, check::holds, process::run, tools};

use super::{
    people::{CURRENT, by_password, fails, id_of_the_point, openssl},
    signed_tags::Reader,
    world::World,
};

/// Where Debian's softhsm2 puts its module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "8642";

/// A token in a folder of its own, with one key on P-256.
struct Token {
    home: PathBuf,
}

impl Token {
    fn new(home: &Path) -> Outcome<Self> {
        holds(Path::new(MODULE).exists(), || {
            format!("{MODULE} is not there: run `apt-get install --no-install-recommends softhsm2 opensc`")
        })?;
        let (home, tokens) = (home.to_owned(), home.join("tokens"));
        fs::create_dir(&tokens)?;
        let settings = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(home.join("softhsm2.conf"), settings)?;
        let token = Self { home };
        let words = ["--init-token", "--free", "--label", "people", "--so-pin", "1357", "--pin", PIN];
        token.run("softhsm2-util", &words)?;
        token.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "eve", "--id", "01"])?;
        token.tool(&["--read-object", "--type", "pubkey", "--label", "eve", "--output-file", "token.der"])?;
        openssl(&token.home, &["pkey", "-pubin", "-inform", "DER", "-in", "token.der", "-out", "token.pub"])?;
        Ok(token)
    }

    fn run(&self, program: &str, words: &[&str]) -> Outcome<String> {
        let mut command = Command::new(tools::locate(program)?);
        run(command.current_dir(&self.home).env("SOFTHSM2_CONF", self.home.join("softhsm2.conf")).args(words))
    }

    fn tool(&self, words: &[&str]) -> Outcome<String> {
        let login = ["--module", MODULE, "--token-label", "people", "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&login, words].concat())
    }

    /// The token signs a draft: what `payload` writes is hashed outside, and the signature is put in.
    fn signs(&self, reader: &Reader<'_>, draft: &str) -> Outcome<()> {
        reader.hallmark(&["trust", "root", "payload", draft, "--out", "payload"])?;
        openssl(&self.home, &["dgst", "-sha256", "-binary", "-out", "payload.sha256", "payload"])?;
        let how = ["--sign", "--mechanism", "ECDSA", "--signature-format", "openssl", "--label", "eve"];
        self.tool(&[&how[..], &["--input-file", "payload.sha256", "--output-file", "token.sig"]].concat())?;
        let id = id_of_the_point(&self.home, draft)?;
        let words = ["trust", "root", "sign", draft, "--signature", "token.sig", "--key-id", &id];
        reader.hallmark(&words).map(drop)
    }
}

#[test]
fn a_root_is_signed_by_a_key_that_never_leaves_its_token_and_an_old_pin_follows() -> Outcome<()> {
    let world = World::new()?;
    let reader = Reader::begin(&world)?;
    let one = reader.push("1", 1)?;
    reader.hallmark(&["sign", &reader.image("1")])?;
    reader.all_find("1", Some(&one))?;
    let token = Token::new(reader.home())?;
    by_password(&reader, &["trust", "root", "init", "--key", "token.pub", "--threshold", "1", "--out", "first.draft"])?;
    fails(&reader, &["trust", "root", "publish", "first.draft"], "where 1 are needed")?;
    token.signs(&reader, "first.draft")?;
    by_password(&reader, &["trust", "root", "publish", "first.draft"])?;
    reader.all_find("1", Some(&one))?;

    reader.hallmark(&CURRENT)?;
    let rotate = ["trust", "root", "rotate", "--role", "snapshot", "--role", "timestamp", "--out", "second.draft"];
    reader.hallmark(&rotate)?;
    token.signs(&reader, "second.draft")?;
    reader.hallmark(&["trust", "root", "publish", "second.draft"])?;
    let told = reader.hallmark(&["trust", "root", "get", "--out", "held.json", "--output", "json"])?;
    holds(told.contains("\"version\":3"), || format!("the third root was to hold: {told}"))?;
    reader.all_find("1", Some(&one))
}
