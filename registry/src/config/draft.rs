//! The settings while they are filled in, and the rules that need several of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::http::uri::Authority;
use hallmark_signer::Rates;
use hallmark_signer::keys::MasterKey;
use hallmark_storage::blobs::{S3Config, StorageConfig};
use hallmark_storage::metadata::DatabaseConfig;
use url::Url;

use super::keys::{Hidden, KEYS};
use super::source::{Gathered, Place};
use super::value::{Refused, Setting};
use super::{
    Audit, Config, Gc, Http, Limits, Log, LogFormat, Names, Network, Passwords, Purpose, RemoteSigner, Secret, Signer,
    Tls, Tokens, Uploads,
};

/// What the table's setters fill. A value that has a default is there after [`fill`]; the others are options.
pub(super) struct Draft {
    pub(super) data: PathBuf,
    pub(super) listen: Option<SocketAddr>,
    pub(super) insecure_http: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) public_url: Option<Url>,
    pub(super) aliases: Vec<Authority>,
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) database_url: Option<DatabaseUrl>,
    pub(super) max_database_connections: u32,
    pub(super) storage_url: Option<StorageUrl>,
    pub(super) s3: S3,
    pub(super) log: Log,
    pub(super) http: Http,
    pub(super) tokens: Tokens,
    pub(super) passwords: Passwords,
    pub(super) names: Names,
    pub(super) uploads: Uploads,
    pub(super) gc: Gc,
    pub(super) limits: Limits,
    pub(super) audit: Audit,
    pub(super) allowed_private_hosts: Vec<String>,
    pub(super) master_key_file: Option<PathBuf>,
    pub(super) master_key: Option<Secret>,
    pub(super) passphrase: Option<Secret>,
    pub(super) passphrase_file: Option<PathBuf>,
    pub(super) token: TokenDraft,
    pub(super) admin_password: Option<Secret>,
    pub(super) signer: SignerDraft,
}

/// The settings of a token of PKCS#11.
#[derive(Default)]
pub(super) struct TokenDraft {
    pub(super) module: Option<PathBuf>,
    pub(super) token: Option<String>,
    pub(super) key: Option<String>,
    pub(super) pin_file: Option<PathBuf>,
}

/// The settings of the signer.
#[derive(Default)]
pub(super) struct SignerDraft {
    pub(super) url: Option<Url>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) clients: Vec<String>,
    pub(super) rates: Rates,
}

/// The settings of an S3 store beside its URL.
#[derive(Default)]
pub(super) struct S3 {
    pub(super) endpoint: Option<Url>,
    pub(super) region: Option<String>,
    pub(super) path_style: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<Secret>,
    pub(super) allow_http: bool,
    pub(super) part_size: usize,
    pub(super) part_memory: usize,
}

/// What `database.url` names.
pub(super) enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(String),
}

impl DatabaseUrl {
    pub(super) fn parse(value: &Setting) -> Result<Self, Refused> {
        let text = value.text()?;
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let url = Url::parse(text).map_err(Refused::because)?;
            return match url.host_str() {
                Some(host) if !host.is_empty() && url.path().len() > 1 => Ok(Self::Postgres(text.to_owned())),
                _ => Err(Refused::because("host or database is missing")),
            };
        }
        if text.contains("://") {
            return Err(Refused::default());
        }
        value.path().map(Self::Sqlite)
    }
}

/// What `storage.url` names.
pub(super) enum StorageUrl {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl StorageUrl {
    pub(super) fn parse(value: &Setting) -> Result<Self, Refused> {
        let text = value.text()?;
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let bucket_is_plain = bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            if bucket.is_empty() || !bucket_is_plain {
                return Err(Refused::because("the bucket is missing or not a name"));
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() });
        }
        if text.contains("://") {
            return Err(Refused::default());
        }
        value.path().map(Self::Folder)
    }
}

/// `public_url`: nothing behind the port, so that a realm and a location can be made of it.
pub(super) fn public_url(text: &str) -> Result<Url, Refused> {
    let url = endpoint(text)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Refused::because("there is more behind the host"));
    }
    Ok(url)
}

/// A URL without a name or password, which would be printed with it.
pub(super) fn endpoint(text: &str) -> Result<Url, Refused> {
    let url = Url::parse(text).map_err(Refused::because)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::because("it holds a user name or password"));
    }
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) if !host.is_empty() => Ok(url),
        _ => Err(Refused::default()),
    }
}

/// A passphrase, by its length only.
pub(super) fn passphrase(text: &str) -> Result<Secret, Refused> {
    if text.len() < hallmark_signer::keys::PASSPHRASE_BYTES {
        Err(Refused::default())
    } else {
        Ok(Secret::new(text.to_owned()))
    }
}

/// `signer.url`: nothing behind the port, and nothing but TLS.
pub(super) fn signer_url(text: &str) -> Result<Url, Refused> {
    let url = public_url(text)?;
    if url.scheme() == "https" { Ok(url) } else { Err(Refused::because("it is not https://")) }
}

/// A name in a certificate: a subject or an alternative name, spelled as the certificate spells it.
pub(super) fn client(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

pub(super) fn master_key(text: &str) -> Result<Secret, Refused> {
    match text.parse::<MasterKey>() {
        Ok(_) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(Refused::default()),
    }
}

/// A name of this registry: a host, perhaps with a port.
pub(super) fn alias(text: &str) -> Result<Authority, &'static str> {
    let authority = text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
    authority.ok_or("it is not a host or host:port")
}

/// A private host that may be asked: a name or an address, without a port.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    let authority = alias(text)?;
    if authority.port().is_some() { Err("it has a port") } else { Ok(authority.as_str().to_ascii_lowercase()) }
}

pub(super) fn log_level(text: &str) -> Result<String, Refused> {
    let known = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    let accepted = text.split(',').all(|directive| match directive.split_once('=') {
        Some((module, level)) => !module.is_empty() && known(level),
        None => known(directive),
    });
    accepted.then(|| text.to_owned()).ok_or_else(Refused::default)
}

/// Fills the draft from the defaults and then from what was gathered; every refusal becomes a problem.
pub(super) fn fill(gathered: &mut Gathered) -> Draft {
    let mut draft = Draft::empty();
    for key in KEYS {
        if let Some(default) = key.default {
            let setting = Setting::typed(default.to_owned(), Place::Default);
            // An empty list has no text, and a default that its own key refuses fails the tests of this room.
            let _ = (key.set)(&mut draft, &setting);
        }
        let Some(setting) = gathered.settings.get(key.name) else { continue };
        if let Err(Refused(reason)) = (key.set)(&mut draft, setting) {
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let given = match key.hidden {
                Hidden::Nothing => format!("`{}`", setting.raw),
                Hidden::Password | Hidden::Everything => "this value".to_owned(),
            };
            let message = format!("{given} is not accepted for `{}`{reason}: it takes {}", key.name, key.accepts);
            let place = setting.place.clone();
            gathered.refuse(place, message);
        }
    }
    draft
}

/// Checks what several settings say together and makes the configuration; none if a part is missing.
pub(super) fn finish(draft: Draft, purpose: Purpose, gathered: &mut Gathered) -> Option<Config> {
    let listen = draft.listen?;
    let tls = tls(draft.certificate, draft.key, draft.client_ca, gathered);
    let wants_tls = gathered.is_set("tls.certificate") || gathered.is_set("tls.key");
    if purpose == Purpose::Serve && !wants_tls && !draft.insecure_http && !listen.ip().is_loopback() {
        let message = format!(
            "listening on {listen} without TLS would send passwords and tokens in the clear: set tls.certificate and tls.key, \
             or insecure_http = true (--insecure-http) where a proxy in front of this server speaks TLS"
        );
        gathered.refuse(gathered.place("listen"), message);
    }
    if draft.tokens.refresh_lifetime < draft.tokens.lifetime {
        let message =
            "`tokens.refresh_lifetime` is shorter than `tokens.lifetime`: a refresh token must outlive what it renews";
        gathered.refuse(gathered.place("tokens.refresh_lifetime"), message.to_owned());
    }
    let database = match draft.database_url {
        None => DatabaseConfig::Sqlite { path: draft.data.join("hallmark.db") },
        Some(DatabaseUrl::Sqlite(path)) => DatabaseConfig::Sqlite { path },
        Some(DatabaseUrl::Postgres(url)) => {
            DatabaseConfig::Postgres { url, max_connections: draft.max_database_connections }
        }
    };
    let storage = storage(draft.storage_url, draft.s3, &draft.data, gathered);
    let signer = signer(draft.signer, purpose, gathered)?;
    let key_file = draft.master_key_file.unwrap_or_else(|| draft.data.join("master.key"));
    let sources = (draft.master_key, draft.passphrase, draft.passphrase_file, draft.token);
    let master_key = master_source(sources, key_file, gathered);
    Some(Config {
        listen,
        tls,
        insecure_http: draft.insecure_http,
        sections: super::section::finish(draft.public_url.as_ref(), gathered),
        public_url: draft.public_url,
        aliases: draft.aliases,
        trusted_proxies: draft.trusted_proxies,
        database,
        storage,
        log: draft.log,
        http: draft.http,
        tokens: draft.tokens,
        passwords: draft.passwords,
        names: draft.names,
        uploads: draft.uploads,
        gc: draft.gc,
        limits: draft.limits,
        audit: draft.audit,
        allowed_private_hosts: draft.allowed_private_hosts,
        master_key,
        signer,
        admin_password: draft.admin_password,
        data: draft.data,
    })
}

fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    gathered: &mut Gathered,
) -> Option<Tls> {
    for (one, other) in [("tls.certificate", "tls.key"), ("tls.key", "tls.certificate")] {
        if gathered.is_set(one) && !gathered.is_set(other) {
            gathered.refuse(gathered.place(one), format!("`{one}` is set without `{other}`: TLS needs both"));
        }
    }
    if client_ca.is_some() && certificate.is_none() {
        let message = "`tls.client_ca` is set without `tls.certificate`: clients show certificates in TLS only";
        gathered.refuse(gathered.place("tls.client_ca"), message.to_owned());
    }
    Some(Tls { certificate: certificate?, key: key?, client_ca })
}

/// The one place that a master key comes from.
fn master_source(
    (given, passphrase, passphrase_file, token): (Option<Secret>, Option<Secret>, Option<PathBuf>, TokenDraft),
    key_file: PathBuf,
    gathered: &mut Gathered,
) -> super::MasterKey {
    const TOKEN: [&str; 4] = ["pkcs11.module", "pkcs11.token", "pkcs11.key", "pkcs11.pin_file"];
    let of_token = TOKEN.into_iter().find(|key| gathered.is_set(key));
    if let Some(given) = of_token {
        for missing in TOKEN.into_iter().filter(|key| !gathered.is_set(key)).collect::<Vec<_>>() {
            gathered
                .refuse(gathered.place(given), format!("`{given}` is set without `{missing}`: a token needs all four"));
        }
    }
    let places = ["master_key", "master_key_file", "master_passphrase", "master_passphrase_file"];
    let set: Vec<_> = places.into_iter().filter(|key| gathered.is_set(key)).chain(of_token).collect();
    // A key that is given beside its file has always been the stronger one.
    if set.len() > 1 && set != ["master_key", "master_key_file"] {
        let message = format!("there is one master key, and {} name several", set.join(" and "));
        gathered.refuse(gathered.place(set[0]), message);
    }
    let TokenDraft { module, token, key, pin_file } = token;
    match (given, passphrase, passphrase_file, (module, token, key, pin_file)) {
        (Some(key), ..) => super::MasterKey::Given(key),
        (_, Some(words), ..) => super::MasterKey::Passphrase(words),
        (_, _, Some(path), _) => super::MasterKey::PassphraseFile(path),
        (_, _, _, (Some(module), Some(token), Some(key), Some(pin_file))) => {
            super::MasterKey::Token(super::Token { module, token, key, pin_file })
        }
        _ => super::MasterKey::File(key_file),
    }
}

/// A signer that is another process is described in full or not at all; that process needs to know its clients.
fn signer(draft: SignerDraft, purpose: Purpose, gathered: &mut Gathered) -> Option<Signer> {
    const PARTS: [&str; 4] = ["signer.url", "signer.ca_file", "signer.certificate_file", "signer.key_file"];
    if let Some(given) = PARTS.into_iter().find(|key| gathered.is_set(key)) {
        for missing in PARTS.into_iter().filter(|key| !gathered.is_set(key)).collect::<Vec<_>>() {
            let message =
                format!("`{given}` is set without `{missing}`: a signer of its own is reached over mutual TLS");
            gathered.refuse(gathered.place(given), message);
        }
        if purpose == Purpose::Sign {
            let message = format!("`{given}` has no meaning for the signer itself: it is how a registry reaches it");
            gathered.refuse(gathered.place(given), message);
        }
    }
    if purpose == Purpose::Sign {
        let needed = ["tls.certificate", "tls.key", "tls.client_ca"];
        for key in needed.into_iter().filter(|key| !gathered.is_set(key)).collect::<Vec<_>>() {
            let message = format!("`{key}` is not set: a signer is reached over mutual TLS only");
            gathered.refuse(gathered.place(key), message);
        }
    }
    let SignerDraft { url, ca, certificate, key, listen, clients, rates } = draft;
    let remote = match (url, ca, certificate, key) {
        (Some(url), Some(ca), Some(certificate), Some(key)) => Some(RemoteSigner { url, ca, certificate, key }),
        _ => None,
    };
    Some(Signer { remote, listen: listen?, clients, rates })
}

fn storage(url: Option<StorageUrl>, s3: S3, data: &std::path::Path, gathered: &mut Gathered) -> StorageConfig {
    let (bucket, prefix) = match url {
        Some(StorageUrl::S3 { bucket, prefix }) => (bucket, prefix),
        Some(StorageUrl::Folder(path)) => {
            refuse_s3_keys(gathered);
            return StorageConfig::Folder { path };
        }
        None => {
            if !gathered.is_set("storage.url") {
                refuse_s3_keys(gathered);
            }
            return StorageConfig::Folder { path: data.join("blobs") };
        }
    };
    let plain = s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
    if plain && !s3.allow_http {
        let message =
            "plain HTTP to the store sends images in the clear: use https://, or set storage.s3.allow_http = true";
        gathered.refuse(gathered.place("storage.s3.endpoint"), message.to_owned());
    }
    let (id, key) = ("storage.s3.access_key_id", "storage.s3.secret_access_key");
    for (one, other) in [(id, key), (key, id)] {
        if gathered.is_set(one) && !gathered.is_set(other) {
            gathered
                .refuse(gathered.place(one), format!("`{one}` is set without `{other}`: S3 needs both, or neither"));
        }
    }
    StorageConfig::S3(S3Config {
        bucket,
        prefix,
        endpoint: s3.endpoint.map(String::from),
        region: s3.region,
        access_key: s3.access_key_id,
        secret_key: s3.secret_access_key.map(|secret| secret.expose().to_owned()),
        path_style: s3.path_style,
        ca_file: s3.ca_file,
        allow_http: s3.allow_http,
        part_size: s3.part_size as u64,
        part_memory: s3.part_memory as u64,
    })
}

/// Settings of S3 beside a folder are a mistake: whoever wrote them believes that images go to S3.
fn refuse_s3_keys(gathered: &mut Gathered) {
    for key in KEYS.iter().filter(|key| key.name.starts_with("storage.s3.")) {
        if gathered.is_set(key.name) {
            let message = format!("`{}` has no meaning while `storage.url` is not s3://bucket/prefix", key.name);
            gathered.refuse(gathered.place(key.name), message);
        }
    }
}

impl Draft {
    /// Zeros, for the defaults of the table to be written over.
    fn empty() -> Self {
        let never = Duration::ZERO;
        Self {
            data: PathBuf::new(),
            listen: None,
            insecure_http: false,
            certificate: None,
            key: None,
            client_ca: None,
            public_url: None,
            aliases: Vec::new(),
            trusted_proxies: Vec::new(),
            database_url: None,
            max_database_connections: 0,
            storage_url: None,
            s3: S3::default(),
            log: Log { format: LogFormat::Text, level: String::new() },
            http: Http {
                header_timeout: never,
                idle_timeout: never,
                body_timeout: never,
                max_connections: 0,
                drain_timeout: never,
            },
            tokens: Tokens { lifetime: never, refresh_lifetime: never },
            passwords: Passwords { min_length: 0, breached: None },
            names: Names { rest: never },
            uploads: Uploads { expiry: never },
            gc: Gc {
                shown: never,
                margin: never,
                byte_grace: never,
                trash_window: never,
                scrub_interval: never,
                scrub_bytes: 0,
                compare_interval: never,
                retention_interval: never,
                retention_rate: 0,
            },
            limits: Limits { manifest_bytes: 0, account_bytes: None },
            audit: Audit { retention: never, pulls: false },
            allowed_private_hosts: Vec::new(),
            master_key_file: None,
            master_key: None,
            passphrase: None,
            passphrase_file: None,
            token: TokenDraft::default(),
            admin_password: None,
            signer: SignerDraft::default(),
        }
    }
}
