//! OpenLDAP's slapd on free loopback ports with a folder of its own, stopped when it is dropped.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hallmark::auth::directory::{Account, Bind, DirectoryConfig, GroupConfig, SubjectAttribute};
use hallmark::config::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub(super) const SUFFIX: &str = "dc=example,dc=com";
pub(super) const PEOPLE: &str = "ou=people,dc=example,dc=com";
pub(super) const GROUPS: &str = "ou=groups,dc=example,dc=com";
pub(super) const SEARCHER: &str = "cn=searcher,dc=example,dc=com";
pub(super) const SEARCHER_PASSWORD: &str = "searcher's own";
const ROOT: &str = "cn=root,dc=example,dc=com";
const ROOT_PASSWORD: &str = "root's own";

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);
/// How often is looked whether it listens.
const POLL: Duration = Duration::from_millis(10);
/// How often it is started again because somebody took its port.
const ATTEMPTS: usize = 5;

/// What a server is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// The searcher may read; TLS is there.
    Usual,
    /// Anybody may read.
    Open,
    /// Nobody may read; the searcher may only bind.
    Closed,
    /// No certificate, so StartTLS is refused.
    WithoutTls,
}

/// A running server.
pub(super) struct Slapd {
    folder: TempDir,
    process: Child,
    pub(super) port: u16,
    pub(super) tls_port: u16,
}

impl Slapd {
    /// Starts a server that holds the usual people and groups and the entries of `ldif`.
    pub(super) fn start(setup: Setup, ldif: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(folder.path());
        fs::create_dir(folder.path().join("data")).unwrap();
        let configuration = folder.path().join("slapd.conf");
        fs::write(&configuration, configure(folder.path(), setup)).unwrap();
        let entries = folder.path().join("entries.ldif");
        fs::write(&entries, format!("{ENTRIES}{ldif}")).unwrap();
        run(Command::new(program("slapadd")).arg("-q").arg("-f").arg(&configuration).arg("-l").arg(&entries), "");
        for _ in 0..ATTEMPTS {
            let (port, tls_port) = (free_port(), free_port());
            if let Some(process) = serve(&configuration, port, tls_port) {
                return Self { folder, process, port, tls_port };
            }
        }
        panic!("slapd found no port in {ATTEMPTS} attempts: {}", log(&configuration));
    }

    /// The settings of this server: LDAPS, searching as the searcher for `uid` below people, nested groups.
    pub(super) fn config(&self) -> DirectoryConfig {
        DirectoryConfig {
            name: "example".to_owned(),
            url: format!("ldaps://localhost:{}", self.tls_port).parse().unwrap(),
            start_tls: false,
            ca_file: Some(self.ca_file()),
            insecure: false,
            timeout: Duration::from_secs(20),
            connections: 4,
            account: Some(Account { dn: SEARCHER.to_owned(), password: Secret::new(SEARCHER_PASSWORD.to_owned()) }),
            base: PEOPLE.to_owned(),
            bind: Bind::Search { filter: "(&(objectClass=person)(uid={name}))".to_owned() },
            name_attribute: "uid".to_owned(),
            subject_attribute: SubjectAttribute::EntryUuid,
            groups: Some(GroupConfig {
                base: GROUPS.to_owned(),
                filter: "(member={dn})".to_owned(),
                depth: GroupConfig::DEPTH,
            }),
        }
    }

    /// As [`Self::config`], on the port without TLS.
    pub(super) fn plain(&self) -> DirectoryConfig {
        let url = format!("ldap://127.0.0.1:{}", self.port).parse().unwrap();
        DirectoryConfig { url, ca_file: None, ..self.config() }
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Applies changes in LDIF as the administrator of the server.
    pub(super) fn change(&self, ldif: &str) {
        let url = format!("ldap://127.0.0.1:{}", self.port);
        run(Command::new(program("ldapmodify")).args(["-x", "-H", &url, "-D", ROOT, "-w", ROOT_PASSWORD]), ldif);
    }

    /// What `ldapwhoami` says after a bind; `None` when the bind fails.
    pub(super) fn who_am_i(&self, dn: &str, password: &str) -> Option<String> {
        let url = format!("ldap://127.0.0.1:{}", self.port);
        let mut command = Command::new(program("ldapwhoami"));
        let output = command.args(["-x", "-H", &url, "-D", dn, "-w", password]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Stops the server and waits until it is gone.
    pub(super) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes an authority in a folder, and a certificate of it for this machine.
pub(super) fn write_certificates(folder: &Path) {
    write_certificates_for(folder, &["localhost", "127.0.0.1"]);
}

/// The same for a server of these names.
pub(super) fn write_certificates_for(folder: &Path, names: &[&str]) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn configure(folder: &Path, setup: Setup) -> String {
    let folder = folder.display();
    let tls = match setup {
        Setup::WithoutTls => String::new(),
        Setup::Usual | Setup::Open | Setup::Closed => format!(
            "TLSCACertificateFile {folder}/ca.pem\nTLSCertificateFile {folder}/server.pem\n\
             TLSCertificateKeyFile {folder}/server.key\nTLSVerifyClient never\n"
        ),
    };
    let readers = match setup {
        Setup::Usual | Setup::WithoutTls => format!("by dn.exact=\"{SEARCHER}\" read by * none"),
        Setup::Open => "by * read".to_owned(),
        Setup::Closed => "by * none".to_owned(),
    };
    // The empty password is let in on purpose: only the client stands between it and somebody's account.
    format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/nis.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n{SCHEMA}\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {folder}/pid\nargsfile {folder}/args\n\
         allow bind_anon_cred bind_anon_dn\n{tls}\
         database mdb\nsuffix \"{SUFFIX}\"\ndirectory {folder}/data\nmaxsize 33554432\n\
         rootdn \"{ROOT}\"\nrootpw \"{ROOT_PASSWORD}\"\nindex member eq\n\
         limits dn.exact=\"{SEARCHER}\" size.soft=500 size.hard=500 size.prtotal=unlimited\n\
         access to attrs=userPassword by * auth\naccess to * {readers}\n"
    )
}

/// Starts the server; `None` when it ended before it listened, since somebody else has the port.
fn serve(configuration: &Path, port: u16, tls_port: u16) -> Option<Child> {
    let mut urls = format!("ldap://127.0.0.1:{port}/");
    if fs::read_to_string(configuration).unwrap().contains("TLSCertificateFile") {
        let _ = write!(urls, " ldaps://127.0.0.1:{tls_port}/");
    }
    let log = fs::File::create(configuration.with_extension("log")).unwrap();
    let mut process = Command::new(program("slapd"))
        .args(["-d", "0", "-h", &urls, "-f"])
        .arg(configuration)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < START {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some(process);
        }
        std::thread::sleep(POLL);
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("slapd does not listen: {}", self::log(configuration));
}

fn log(configuration: &Path) -> String {
    fs::read_to_string(configuration.with_extension("log")).unwrap_or_default()
}

/// A program of Debian's `slapd` or `ldap-utils`.
pub(super) fn program(name: &str) -> PathBuf {
    program_of(name, "slapd ldap-utils")
}

/// A program of one of these packages of Debian.
pub(super) fn program_of(name: &str, packages: &str) -> PathBuf {
    let found = ["/usr/sbin", "/usr/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: run `apt-get install --no-install-recommends {packages}`"))
}

pub(super) fn run(command: &mut Command, input: &str) {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A port that nothing listens on now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The attributes of Active Directory that signing in looks at, which OpenLDAP does not bring in a form that can be searched.
const SCHEMA: &str = "
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40{16} SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.96 NAME 'pwdLastSet' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.3.1 NAME 'domainAccount' AUXILIARY
  MAY ( objectGUID $ userAccountControl $ sAMAccountName $ pwdLastSet ) )
";

/// Anna is in `core`, which is in `platform`, which is in `engineering`. Ben is in none.
const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: cn=searcher,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: searcher
userPassword: searcher's own

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: uid=anna,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: Example
mail: anna@example.com
userPassword: anna's own

dn: uid=ben,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ben
cn: Ben
sn: Example
userPassword: ben's own

dn: cn=core,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: core
member: uid=anna,ou=people,dc=example,dc=com

dn: cn=platform,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: platform
member: cn=core,ou=groups,dc=example,dc=com

dn: cn=engineering,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: engineering
member: cn=platform,ou=groups,dc=example,dc=com

";
