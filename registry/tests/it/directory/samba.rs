//! A domain controller of Active Directory: Samba's, with a domain and a folder of its own, on a loopback address of its own, since its
//! ports are fixed. Nothing of the system's Samba is read or written; it is stopped when it is dropped.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark::auth::directory::{Account, Bind, DirectoryConfig, GroupConfig, SubjectAttribute};
use hallmark::config::Secret;
use tempfile::TempDir;

use super::slapd::{program, program_of, run, write_certificates_for};

/// The whole domain, in which the server also names other places to ask (referrals).
pub(super) const DOMAIN: &str = "DC=example,DC=com";
pub(super) const PEOPLE: &str = "CN=Users,DC=example,DC=com";
pub(super) const GROUPS: &str = "OU=Groups,DC=example,DC=com";
/// The account that searches, as one that is created is called: `account@domain`.
pub(super) const SEARCHER: &str = "searcher@example.com";
const SEARCHER_PASSWORD: &str = "Searcher's own 1";
const ADMINISTRATOR: &str = "administrator@example.com";
const ADMINISTRATOR_PASSWORD: &str = "Administrator's own 1";

const PACKAGES: &str = "samba samba-ad-provision samba-dsdb-modules samba-vfs-modules";
/// Where it listens for LDAP and for LDAPS, whatever one would like.
const PORTS: [u16; 2] = [389, 636];
/// How long it may take to listen.
const START: Duration = Duration::from_secs(60);
/// How often is looked whether it listens.
const POLL: Duration = Duration::from_millis(20);

/// A running domain controller.
pub(super) struct Samba {
    folder: TempDir,
    process: Child,
    address: Ipv4Addr,
}

impl Samba {
    /// Makes a domain with the searcher and the entries of `ldif`, and serves it.
    pub(super) fn start(ldif: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another run of the tests has another process, and no two processes one address.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | a, b, c);
        write_certificates_for(folder.path(), &[&address.to_string()]);
        let configuration = configure(folder.path(), address);
        provision(&configuration);
        let process = serve(&configuration, address);
        let samba = Self { folder, process, address };
        let searcher = person("Searcher", "searcher", SEARCHER_PASSWORD);
        let groups = format!("dn: {GROUPS}\nobjectClass: organizationalUnit\n\n");
        samba.change("ldapadd", &format!("{groups}{searcher}{ldif}"));
        samba
    }

    /// The settings that the documents give for Active Directory, by LDAPS: nested groups are the server's to follow.
    pub(super) fn config(&self) -> DirectoryConfig {
        DirectoryConfig {
            name: "example".to_owned(),
            url: format!("ldaps://{}", self.address).parse().unwrap(),
            start_tls: false,
            ca_file: Some(self.ca_file()),
            insecure: false,
            timeout: Duration::from_secs(20),
            connections: 4,
            account: Some(Account { dn: SEARCHER.to_owned(), password: Secret::new(SEARCHER_PASSWORD.to_owned()) }),
            base: PEOPLE.to_owned(),
            bind: Bind::Search { filter: "(&(objectClass=user)(sAMAccountName={name}))".to_owned() },
            name_attribute: "sAMAccountName".to_owned(),
            subject_attribute: SubjectAttribute::ObjectGuid,
            groups: Some(GroupConfig {
                base: GROUPS.to_owned(),
                filter: "(member:1.2.840.113556.1.4.1941:={dn})".to_owned(),
                depth: 1,
            }),
        }
    }

    /// As [`Self::config`], by StartTLS.
    pub(super) fn start_tls(&self) -> DirectoryConfig {
        let url = format!("ldap://{}", self.address).parse().unwrap();
        DirectoryConfig { url, start_tls: true, ..self.config() }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Applies LDIF as the domain's administrator, by `ldapadd` or `ldapmodify`.
    pub(super) fn change(&self, by: &str, ldif: &str) {
        run(self.client(by, ADMINISTRATOR, ADMINISTRATOR_PASSWORD).arg("-c"), ldif);
    }

    /// Whether another client than ours binds so. What is asked then, anybody may read.
    pub(super) fn lets_in(&self, name: &str, password: &str) -> bool {
        let mut command = self.client("ldapsearch", name, password);
        command.args(["-s", "base", "-b", "", "defaultNamingContext"]).output().unwrap().status.success()
    }

    fn client(&self, name: &str, by: &str, password: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env("LDAPTLS_CACERT", self.ca_file());
        command.args(["-x", "-H", &format!("ldaps://{}", self.address), "-D", by, "-w", password]);
        command
    }

    /// Stops the server and waits until it is gone.
    pub(super) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Somebody in LDIF.
pub(super) fn person(common_name: &str, name: &str, password: &str) -> String {
    format!(
        "dn: CN={common_name},{PEOPLE}\nobjectClass: user\nsAMAccountName: {name}\n\
         userPrincipalName: {name}@example.com\nunicodePwd:: {}\nuserAccountControl: 512\n\n",
        unicode(password)
    )
}

/// A group in LDIF.
pub(super) fn group(name: &str, members: &[&str]) -> String {
    let members: String = members.iter().map(|member| format!("member: {member}\n")).collect();
    format!("dn: CN={name},{GROUPS}\nobjectClass: group\nsAMAccountName: {name}\n{members}\n")
}

/// A password as it is set: quoted, in UTF-16, and in LDIF as base64.
pub(super) fn unicode(password: &str) -> String {
    let quoted = format!("\"{password}\"");
    STANDARD.encode(quoted.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
}

/// Writes the settings; where they are. Every folder that Samba would otherwise have in the system is named. A controller takes
/// the password before the present one for an hour unless it is told otherwise, and the tests do not wait so long.
fn configure(folder: &Path, address: Ipv4Addr) -> PathBuf {
    for name in ["private", "state", "cache", "lock", "pid", "ncalrpc"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let path = folder.join("smb.conf");
    let folder = folder.display();
    let settings = format!(
        "[global]\nnetbios name = DC\nworkgroup = EXAMPLE\nrealm = EXAMPLE.COM\n\
         server role = active directory domain controller\nserver services = ldap\n\
         interfaces = {address}/8\nbind interfaces only = yes\n\
         private dir = {folder}/private\nstate directory = {folder}/state\ncache directory = {folder}/cache\n\
         lock directory = {folder}/lock\npid directory = {folder}/pid\nncalrpc dir = {folder}/ncalrpc\n\
         log file = {folder}/samba.log\nposix:eadb = {folder}/private/eadb.tdb\n\
         tdb:nosync = true\nldb:nosync = true\nold password allowed period = 0\n\
         tls enabled = yes\ntls cafile = {folder}/ca.pem\ntls certfile = {folder}/server.pem\n\
         tls keyfile = {folder}/server.key\n\
         [sysvol]\npath = {folder}/state/sysvol\nread only = no\n\
         [netlogon]\npath = {folder}/state/sysvol/example.com/scripts\nread only = no\n"
    );
    fs::write(&path, settings).unwrap();
    // A key that others could read is refused.
    run(Command::new("chmod").arg("600").arg(path.with_file_name("server.key")), "");
    path
}

/// Makes the domain; it is offline, and takes some seconds.
fn provision(configuration: &Path) {
    let mut command = Command::new(program_of("samba-tool", PACKAGES));
    command.args(["domain", "provision", "--configfile"]).arg(configuration).args([
        "--realm=EXAMPLE.COM",
        "--domain=EXAMPLE",
        "--host-name=dc",
        "--server-role=dc",
        "--dns-backend=NONE",
        "--host-ip=127.0.0.1",
    ]);
    run(command.arg(format!("--adminpass={ADMINISTRATOR_PASSWORD}")), "");
}

fn serve(configuration: &Path, address: Ipv4Addr) -> Child {
    let log = configuration.with_file_name("output");
    let output = fs::File::create(&log).unwrap();
    let mut command = Command::new(program_of("samba", PACKAGES));
    // In the foreground and in one process, which also ends when its standard input does: with the test, however that ends.
    command.args(["--interactive", "--model=single", "--debug-stdout", "--configfile"]).arg(configuration);
    let mut process = command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let told = || fs::read_to_string(&log).unwrap_or_default();
    let began = Instant::now();
    while began.elapsed() < START {
        if let Some(status) = process.try_wait().unwrap() {
            panic!("samba ended with {status}; its ports are below 1024 and take root: {}", told());
        }
        if PORTS.iter().all(|port| TcpStream::connect((address, *port)).is_ok()) {
            return process;
        }
        std::thread::sleep(POLL);
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("samba does not listen on {address}: {}", told());
}
