//! A signer in a process of its own, reached over mutual TLS: the registry holds no key, and the clients see no difference.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    process::{Process, run},
    server::Plan,
    settings, tools,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::{
    client::{Notary, text},
    signed_tags::Reader,
    world::World,
};

/// How long a signer may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The process, its folder, and the settings by which a registry reaches it.
struct Signer {
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Signer {
    /// A signer that runs, with an authority of its own in a folder that is there.
    fn start_in(folder: &Path) -> Outcome<Self> {
        let mut authority = CertificateParams::new(Vec::new()).or_fail("an authority has parameters")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().or_fail("a key can be made")?;
        let certificate = authority.self_signed(&key).or_fail("an authority can be made")?;
        fs::write(folder.join("ca.pem"), certificate.pem())?;
        let issuer = Issuer::new(authority, key);
        for (name, purpose) in
            [("signer", ExtendedKeyUsagePurpose::ServerAuth), ("registry", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut parameters = CertificateParams::new(names).or_fail("a certificate has parameters")?;
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.extended_key_usages = vec![purpose];
            let key = KeyPair::generate().or_fail("a key can be made")?;
            let certificate = parameters.signed_by(&key, &issuer).or_fail("a certificate can be made")?;
            fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
            fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut signer = Self { folder: folder.to_owned(), port, process: None };
        fs::write(signer.settings(), signer.section())?;
        signer.start()?;
        Ok(signer)
    }

    /// The registry's file of settings.
    fn settings(&self) -> PathBuf {
        self.folder.join("registry.toml")
    }

    fn section(&self) -> String {
        let file = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "[signer]\nurl = \"https://127.0.0.1:{}\"\nca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
            self.port,
            file("ca.pem"),
            file("registry.pem"),
            file("registry.key")
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, words: &[&str]) -> Outcome<Command> {
        let mut command = Command::new(tools::hallmark()?);
        for name in settings::server_like_variables() {
            command.env_remove(name);
        }
        command.arg("signer").args(words).arg("--data").arg(self.data());
        Ok(command)
    }

    fn start(&mut self) -> Outcome<()> {
        let mut command = self.command(&["serve"])?;
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        for (flag, file) in
            [("--tls-certificate", "signer.pem"), ("--tls-key", "signer.key"), ("--tls-client-ca", "ca.pem")]
        {
            command.arg(flag).arg(self.folder.join(file));
        }
        let mut process = Process::start(command, &self.folder.join("signer.log"))?;
        process
            .wait_until("the signer listens", START_LIMIT, || TcpStream::connect(("127.0.0.1", self.port)).is_ok())?;
        self.process = Some(process);
        Ok(())
    }

    fn kill(&mut self) -> Outcome<()> {
        self.process.take().or_fail("the signer does not run")?.kill()
    }

    /// What one of its own verbs prints.
    fn says(&self, words: &[&str]) -> Outcome<String> {
        run(&mut self.command(words)?)
    }
}

/// A registry without keys, and the signer that it asks.
fn apart(folder: &Path) -> Outcome<(Signer, World)> {
    let signer = Signer::start_in(folder)?;
    let settings = signer.settings().display().to_string();
    let world = World::with(|plan: Plan| plan.flag("--config").flag(settings))?;
    Ok((signer, world))
}

#[test]
fn notary_publishes_and_rotates_by_a_signer_of_its_own() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let (mut signer, world) = apart(folder.path())?;
    let (notary, gun) = (Notary::admin(&world, "ann")?, world.gun("admin/app"));
    let file = notary.content("one", 500)?;
    notary.run(&["init", &gun, "-p"])?;
    notary.run(&["add", &gun, "v1", text(&file), "-p"])?;
    notary.run(&["key", "rotate", &gun, "snapshot", "-r"])?;
    notary.run(&["key", "rotate", &gun, "timestamp", "-r"])?;
    notary.run(&["add", &gun, "v2", text(&file), "-p"])?;
    notary.lists(&gun, &["v1", "v2"])?;

    // Away: a publish is refused whole, and what stands is read.
    signer.kill()?;
    notary.run(&["add", &gun, "v3", text(&file)])?;
    notary.refused(&["publish", &gun], "503")?;
    Notary::admin(&world, "bob")?.lists(&gun, &["v1", "v2"])?;
    signer.start()?;
    notary.run(&["publish", &gun])?;
    Notary::admin(&world, "eve")?.lists(&gun, &["v1", "v2", "v3"])?;

    let log = signer.says(&["log", "--output", "json"])?;
    let names_both = log.contains("CN=registry") && log.contains(&gun);
    holds(names_both, || format!("neither the certificate nor the collection is in the signer's log: {log}"))
}

#[test]
fn strangers_find_what_a_signer_of_its_own_has_signed() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let (mut signer, world) = apart(folder.path())?;
    let reader = Reader::begin(&world)?;
    let one = reader.push("1", 1)?;
    reader.hallmark(&["sign", &reader.image("1")])?;
    reader.all_find("1", Some(&one))?;
    reader.hallmark(&["trust", "rotate", "timestamp"])?;
    reader.all_find("1", Some(&one))?;

    // Away: the word is taken, and published when the signer is back.
    signer.kill()?;
    let two = reader.push("2", 2)?;
    reader.hallmark(&["sign", &reader.image("2")])?;
    reader.all_find("1", Some(&one))?;
    // Nor is published that a tag has moved: the metadata vouches for what it was, and the registry's own word decides.
    let three = reader.push("1", 3)?;
    reader.metadata_vouches("1", &one)?;
    let told = reader.refused_by_verify("1")?;
    holds(told.contains(&format!("the tag points to {three}")), || format!("of a tag that moved verify said {told}"))?;
    signer.start()?;
    reader.all_find("2", Some(&two))?;
    reader.all_find("1", None)?;
    let keys = signer.says(&["keys"])?;
    holds(keys.contains("timestamp"), || format!("the signer has no key of the timestamp: {keys}"))
}
