//! Lives here: a signer that is another process, as the registry reaches it, and as a stranger tries to.
//! Never here: what is signed (`trust`, and the tests of the crate `signer`).
//! Start reading at [`Site`].

mod away;
mod backups;
pub(crate) mod binary;
mod bounds;
mod drills;
mod memory;
pub(crate) mod notary;
mod pkcs11;
mod remote;
mod rewrap;
mod strangers;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use hallmark::clock::Clock;
use hallmark::config::{self, Config, Flag, Purpose, RemoteSigner, Sources, Tls};
use hallmark::http::server::Drained;
use hallmark::http::tls::Certificates;
use hallmark::signing::process::Process;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Credentials, NOW, PASSWORD, World, rows};

/// What a signer of its own has of the rows that every database has: none of these is the registry's.
const TABLES: [&str; 4] = ["signer_data_keys", "signer_keys", "signer_floors", "signer_log"];

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// An authority, and files of certificates that it made.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(parameters, key), files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A certificate of this common name and its key, as files `name.pem` and `name.key`.
    fn certify(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        self.certify_with(name, purpose, |_| ())
    }

    fn certify_with(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let mut parameters = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![purpose];
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let (one, other) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        fs::write(&one, certificate.pem()).unwrap();
        fs::write(&other, key.serialize_pem()).unwrap();
        (one, other)
    }

    /// How `name` reaches a signer.
    fn reaching(&self, address: SocketAddr, name: &str) -> RemoteSigner {
        let (certificate, key) = self.certify(name, ExtendedKeyUsagePurpose::ClientAuth);
        RemoteSigner { url: format!("https://{address}").parse().unwrap(), ca: self.path("ca.pem"), certificate, key }
    }
}

/// A signer that listens.
pub(crate) struct Running {
    address: SocketAddr,
    process: Arc<Process>,
    clock: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

impl Running {
    /// Opens a signer in this folder; 0: on any port.
    async fn start(data: &Path, tls: Tls, port: u16, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = settings(data, &tls);
        change(&mut config);
        let clock = Arc::new(AtomicI64::new(NOW));
        let process = Process::open(&config, Clock::Fixed(Arc::clone(&clock))).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let certificates = Certificates::load_for_known(tls).unwrap();
        let serving = Arc::clone(&process).serve(listener, certificates, async { drop(stopped.await) });
        let task = tokio::spawn(serving);
        Self { address, process, clock, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.process.close().await;
    }
}

fn settings(data: &Path, tls: &Tls) -> Config {
    let flag = |key, text: &Path| Flag { key, flag: key, text: text.display().to_string() };
    let flags = vec![
        flag("data", data),
        flag("tls.certificate", &tls.certificate),
        flag("tls.key", &tls.key),
        flag("tls.client_ca", tls.client_ca.as_ref().unwrap()),
    ];
    config::load(&Sources { flags, ..Sources::default() }, Purpose::Sign).unwrap().config
}

/// A registry whose signer is elsewhere.
pub(crate) struct Site {
    pub(crate) world: World,
    signer: Running,
    authority: Authority,
    data: TempDir,
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::with(|_| ()).await
    }

    /// The settings of the signer are changed first.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (authority, data) = (Authority::new(), TempDir::new().unwrap());
        let signer = Running::start(data.path(), tls(&authority), 0, change).await;
        let reaching = authority.reaching(signer.address, "registry");
        let world = World::with(|config| config.signer.remote = Some(reaching)).await;
        Self { world, signer, authority, data }
    }

    /// Stops the signer; what it takes to start it again where it was.
    pub(crate) async fn without_signer(self) -> (World, Stopped) {
        let Self { world, signer, authority, data } = self;
        let port = signer.address.port();
        signer.stop().await;
        (world, Stopped { authority, data, port })
    }

    /// What a query finds in the signer's database.
    async fn look(&self, query: &str) -> Vec<String> {
        rows::look(&self.data.path().join("hallmark.db"), query).await
    }
}

/// A signer that was stopped.
pub(crate) struct Stopped {
    authority: Authority,
    data: TempDir,
    port: u16,
}

impl Stopped {
    pub(crate) async fn start(&self) -> Running {
        Running::start(self.data.path(), tls(&self.authority), self.port, |_| ()).await
    }
}

fn tls(authority: &Authority) -> Tls {
    let (certificate, key) = authority.certify("signer", ExtendedKeyUsagePurpose::ServerAuth);
    Tls { certificate, key, client_ca: Some(authority.path("ca.pem")) }
}

/// That the registry's own database has nothing of the signer's.
async fn holds_no_key(world: &World) {
    for table in TABLES {
        assert_eq!(world.look(&format!("SELECT * FROM {table}")).await, [""; 0], "{table}");
    }
}
