//! Settings: which source wins, what each key takes, and every refusal word by word.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallmark_storage::blobs::{DEFAULT_PART_MEMORY, DEFAULT_PART_SIZE, S3Config, StorageConfig};
use hallmark_storage::metadata::DatabaseConfig;
use tempfile::TempDir;

use super::keys::{KEYS, Key};
use super::*;
mod collector;
mod signer;

/// A start with a data folder of its own, no file and no variable.
struct Start {
    folder: TempDir,
    sources: Sources,
}

impl Start {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Flag { key: "data", flag: "--data", text: folder.path().display().to_string() };
        Self { folder, sources: Sources { flags: vec![data], ..Sources::default() } }
    }

    fn flag(mut self, key: &'static str, flag: &'static str, text: &str) -> Self {
        self.sources.flags.push(Flag { key, flag, text: text.to_owned() });
        self
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.sources.environment.push((name.into(), text.into()));
        self
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.path(), text).unwrap();
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE_NAME)
    }

    fn load(&self) -> Result<Loaded, ConfigInvalid> {
        load(&self.sources, Purpose::Serve)
    }

    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    /// The refusal, with the name of the temporary folder left out.
    fn refusal(&self) -> String {
        let refusal = self.load().unwrap_err().to_string();
        refusal.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn without_a_setting_the_defaults_hold() {
    let start = Start::new();
    let config = start.config();
    let data = start.folder.path();
    assert_eq!(config.data, data);
    assert_eq!(config.listen, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(config.tls, None);
    assert!(!config.insecure_http);
    assert_eq!(config.public_url, None);
    assert!(config.aliases.is_empty());
    assert!(config.trusted_proxies.is_empty());
    assert!(matches!(&config.database, DatabaseConfig::Sqlite { path } if *path == data.join("hallmark.db")));
    assert_eq!(config.storage, StorageConfig::Folder { path: data.join("blobs") });
    assert_eq!(config.log, Log { format: LogFormat::Text, level: "info".to_owned() });
    assert_eq!(
        config.http,
        Http {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(30),
            max_connections: 4096,
            drain_timeout: Duration::from_secs(25),
        }
    );
    assert_eq!(config.tokens.lifetime, Duration::from_secs(900));
    assert_eq!(config.tokens.refresh_lifetime, Duration::from_secs(30 * 86_400));
    assert_eq!(config.uploads.expiry, Duration::from_secs(86_400));
    assert_eq!(config.names.rest, Duration::from_secs(14 * 86_400));
    assert_eq!(config.gc.graces(), Graces::default());
    assert_eq!(config.limits.manifest_bytes, 4 << 20);
    assert_eq!(config.master_key, MasterKey::File(data.join("master.key")));
    assert_eq!(config.admin_password, None);
}

#[test]
fn the_data_folder_is_beside_the_caller_when_nobody_names_it() {
    assert_eq!(load(&Sources::default(), Purpose::Serve).unwrap().config.data, Path::new("./hallmark-data"));
}

#[test]
fn a_flag_is_stronger_than_a_variable_and_a_variable_than_the_file() {
    let file = Start::new().file("listen = \"127.0.0.1:1\"");
    assert_eq!(file.config().listen.port(), 1);
    let variable = file.variable("HALLMARK_LISTEN", "127.0.0.1:2");
    assert_eq!(variable.config().listen.port(), 2);
    let flag = variable.flag("listen", "--listen", "127.0.0.1:3");
    assert_eq!(flag.config().listen.port(), 3);
}

#[test]
fn a_named_file_is_read_instead_of_the_one_in_the_data_folder() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (by_variable, by_flag) = (elsewhere.path().join("a.toml"), elsewhere.path().join("b.toml"));
    fs::write(&by_variable, "listen = \"127.0.0.1:2\"").unwrap();
    fs::write(&by_flag, "listen = \"127.0.0.1:3\"").unwrap();
    let mut start =
        Start::new().file("listen = \"127.0.0.1:1\"").variable("HALLMARK_CONFIG", by_variable.to_str().unwrap());
    assert_eq!(start.config().listen.port(), 2);
    start.sources.config_file = Some(by_flag.clone());
    let loaded = start.load().unwrap();
    assert_eq!((loaded.config.listen.port(), loaded.file), (3, Some(by_flag)));
}

#[test]
fn the_data_folder_of_a_variable_is_where_the_file_is_looked_for() {
    let mut start = Start::new().file("listen = \"127.0.0.1:7\"");
    start.sources.flags.clear();
    let data = start.folder.path().display().to_string();
    assert_eq!(start.variable("HALLMARK_DATA", &data).config().listen.port(), 7);
}

#[test]
fn a_relative_path_in_the_file_starts_at_the_file() {
    let start = Start::new().file("tls.certificate = \"tls/cert.pem\"\ntls.key = \"/etc/key.pem\"");
    let expected =
        Tls { certificate: start.folder.path().join("tls/cert.pem"), key: "/etc/key.pem".into(), client_ca: None };
    assert_eq!(start.config().tls, Some(expected));
}

#[test]
fn a_relative_path_in_a_flag_starts_at_the_working_folder() {
    let start = Start::new().flag("storage.url", "--storage-url", "blobs here");
    assert_eq!(start.config().storage, StorageConfig::Folder { path: "blobs here".into() });
}

#[test]
fn lists_are_given_as_such_in_the_file_and_with_commas_elsewhere() {
    let file = Start::new().file("aliases = [\"a.example\", \"b.example:8443\"]\ntrusted_proxies = [\"10.0.0.0/8\"]");
    let variable = Start::new()
        .variable("HALLMARK_ALIASES", "a.example, b.example:8443")
        .variable("HALLMARK_TRUSTED_PROXIES", "10.0.0.0/8");
    for start in [file, variable] {
        let config = start.config();
        assert_eq!(config.aliases, ["a.example", "b.example:8443"]);
        assert!(config.trusts_proxy("10.9.9.9".parse().unwrap()));
        assert!(!config.trusts_proxy("11.0.0.1".parse().unwrap()));
    }
}

#[test]
fn postgres_is_named_by_its_url() {
    let url = "postgres://hallmark:s3cret@db.example/hallmark";
    let start = Start::new().variable("HALLMARK_DATABASE_URL", url).variable("HALLMARK_DATABASE_MAX_CONNECTIONS", "40");
    let expected = DatabaseConfig::Postgres { url: url.to_owned(), max_connections: 40 };
    assert_eq!(start.config().database, expected);
}

#[test]
fn a_database_that_is_no_url_is_a_file() {
    let start = Start::new().file("[database]\nurl = \"facts.db\"");
    assert_eq!(start.config().database, DatabaseConfig::Sqlite { path: start.folder.path().join("facts.db") });
}

#[test]
fn a_bucket_is_described_by_its_url_and_the_s3_keys() {
    let start = Start::new()
        .file(
            "[storage]\nurl = \"s3://images/registry/\"\n[storage.s3]\nendpoint = \"https://s3.example:9000\"\n\
             region = \"eu-1\"\npath_style = true\nca_file = \"ca.pem\"\naccess_key_id = \"AKIA\"\npart_size = \"16MiB\"\n",
        )
        .variable("HALLMARK_STORAGE_S3_SECRET_ACCESS_KEY", "shh");
    let expected = S3Config {
        bucket: "images".to_owned(),
        prefix: "registry".to_owned(),
        endpoint: Some("https://s3.example:9000/".to_owned()),
        region: Some("eu-1".to_owned()),
        access_key: Some("AKIA".to_owned()),
        secret_key: Some("shh".to_owned()),
        path_style: true,
        ca_file: Some(start.folder.path().join("ca.pem")),
        allow_http: false,
        part_size: 16 << 20,
        part_memory: DEFAULT_PART_MEMORY,
    };
    assert_eq!(start.config().storage, StorageConfig::S3(expected));
}

#[test]
fn the_defaults_of_a_bucket_are_those_of_the_store() {
    let config = Start::new().flag("storage.url", "--storage-url", "s3://images").config();
    assert_eq!(config.storage, StorageConfig::S3(S3Config::new("images")));
    assert_eq!(S3Config::new("images").part_size, DEFAULT_PART_SIZE);
}

#[test]
fn secrets_come_from_variables_and_print_as_nothing() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let start = Start::new().variable("HALLMARK_MASTER_KEY", key).variable("HALLMARK_ADMIN_PASSWORD", "correct horse");
    let loaded = start.load().unwrap();
    assert_eq!(loaded.config.admin_password.as_ref().map(Secret::expose), Some("correct horse"));
    assert_eq!(loaded.config.master_key, MasterKey::Given(Secret::new(key.to_owned())));
    let everything = format!("{loaded:?} {}", loaded.to_toml());
    assert!(!everything.contains("horse") && !everything.contains("AAEC"), "{everything}");
}

#[test]
fn variables_of_others_and_those_of_kubernetes_services_are_left_alone() {
    let start = Start::new()
        .variable("PATH", "/bin")
        .variable("HALLMARK_PORT", "tcp://10.0.0.1:5000")
        .variable("HALLMARK_SERVICE_HOST", "10.0.0.1")
        .variable("HALLMARK_SERVICE_PORT_HTTP", "5000")
        .variable("HALLMARK_PORT_5000_TCP_ADDR", "10.0.0.1")
        .variable("HALLMARK_POSTGRES_PORT_5432_TCP", "tcp://10.0.0.2:5432");
    start.load().unwrap();
}

#[test]
fn everything_that_is_wrong_is_told_at_once_each_with_its_place() {
    let start = Start::new()
        .file("# settings\nlisten = \"here\"\n\n[http]\nheader_timout = \"5s\"\nidle_timeout = 7\n")
        .variable("HALLMARK_LOG_LEVEL", "loud")
        .variable("HALLMARK_LISTN", "x")
        .flag("public_url", "--public-url", "example.com");
    assert_eq!(
        start.refusal(),
        "the configuration is refused:\
         \n  HALLMARK_LISTN: unknown variable: did you mean `HALLMARK_LISTEN`?\
         \n  hallmark.toml:5:1: unknown key `http.header_timout`: did you mean `http.header_timeout`?\
         \n  hallmark.toml:2:1: `here` is not accepted for `listen`: it takes an IP address and a port, such as 127.0.0.1:5000 or [::]:443\
         \n  --public-url: `example.com` is not accepted for `public_url` (relative URL without a base): it takes scheme, host and port only, such as https://registry.example.com\
         \n  HALLMARK_LOG_LEVEL: `loud` is not accepted for `log.level`: it takes off, error, warn, info, debug or trace, alone or as module=level,…\
         \n  hallmark.toml:6:1: `7` is not accepted for `http.idle_timeout`: it takes a time from 1s to 1h"
    );
}

/// One refusal of a file: its text, and all that is said.
fn file_is_refused(text: &str, expected: &str) {
    assert_eq!(Start::new().file(text).refusal(), format!("the configuration is refused:\n  {expected}"), "{text}");
}

/// A dotted key is told at its last part, counted from one.
fn column_of_the_key(text: &str) -> usize {
    let (key, _) = text.split_once(" =").unwrap();
    key.rfind('.').map_or(1, |dot| dot + 2)
}

#[test]
fn a_file_is_refused_where_its_form_is_wrong() {
    let table = [
        ("listen = ", "hallmark.toml:1:10: this is not TOML: string values must be quoted, expected literal string"),
        ("colour = 1", "hallmark.toml:1:1: unknown key `colour`: `hallmark config print` shows every key"),
        ("http = 3", "hallmark.toml:1:1: `http` is a table: set the keys in it, such as `http.header_timeout`"),
        (
            "[storage]\ns3 = true",
            "hallmark.toml:2:1: `storage.s3` is a table: set the keys in it, such as `storage.s3.endpoint`",
        ),
        ("insecure_http = 1.5", "hallmark.toml:1:1: `insecure_http` takes true or false, not a fraction"),
        (
            "[log.level]\nx = 1",
            "hallmark.toml:1:6: `log.level` takes off, error, warn, info, debug or trace, alone or as module=level,…, not a table",
        ),
        (
            "aliases = [1]",
            "hallmark.toml:1:1: `aliases` takes a list of host or host:port, not a list of other things than text",
        ),
        (
            "data = \"other\"",
            "hallmark.toml:1:1: `data` is decided before this file is found in the data folder: name the folder with --data or HALLMARK_DATA, or the file with --config",
        ),
        (
            "master_key = \"x\"",
            "hallmark.toml:1:1: `master_key` is a secret of this process: give it in HALLMARK_MASTER_KEY",
        ),
        (
            "admin_password = \"x\"",
            "hallmark.toml:1:1: `admin_password` is a secret of this process: give it in HALLMARK_ADMIN_PASSWORD",
        ),
    ];
    for (text, expected) in table {
        file_is_refused(text, expected);
    }
}

#[test]
fn each_key_refuses_what_it_does_not_take() {
    let table = [
        (
            "listen = \"localhost:5000\"",
            "`localhost:5000` is not accepted for `listen`: it takes an IP address and a port, such as 127.0.0.1:5000 or [::]:443",
        ),
        ("insecure_http = \"yes\"", "`yes` is not accepted for `insecure_http`: it takes true or false"),
        (
            "public_url = \"ftp://a\"",
            "`ftp://a` is not accepted for `public_url`: it takes scheme, host and port only, such as https://registry.example.com",
        ),
        (
            "public_url = \"https://a/b\"",
            "`https://a/b` is not accepted for `public_url` (there is more behind the host): it takes scheme, host and port only, such as https://registry.example.com",
        ),
        (
            "public_url = \"https://u:p@a\"",
            "`https://u:p@a` is not accepted for `public_url` (it holds a user name or password): it takes scheme, host and port only, such as https://registry.example.com",
        ),
        (
            "storage.s3.endpoint = \"https://key:secret@s3\"\nstorage.url = \"s3://b\"",
            "this value is not accepted for `storage.s3.endpoint` (it holds a user name or password): it takes an http:// or https:// URL",
        ),
        (
            "aliases = [\"a b\"]",
            "`a b` is not accepted for `aliases` (`a b`: it is not a host or host:port): it takes a list of host or host:port",
        ),
        (
            "aliases = [\"u@a\"]",
            "`u@a` is not accepted for `aliases` (`u@a`: it is not a host or host:port): it takes a list of host or host:port",
        ),
        (
            "trusted_proxies = [\"10.0.0.1/8\"]",
            "`10.0.0.1/8` is not accepted for `trusted_proxies` (`10.0.0.1/8`: address bits are set behind the prefix): it takes a list of addresses or ranges, such as 10.0.0.0/8",
        ),
        (
            "database.url = \"mysql://a/b\"",
            "this value is not accepted for `database.url`: it takes a file for SQLite, or postgres://user:password@host/database",
        ),
        (
            "database.url = \"postgres://u:p@host\"",
            "this value is not accepted for `database.url` (host or database is missing): it takes a file for SQLite, or postgres://user:password@host/database",
        ),
        (
            "database.max_connections = 1",
            "`1` is not accepted for `database.max_connections`: it takes a number from 2 to 1000",
        ),
        (
            "storage.url = \"s3:///x\"",
            "`s3:///x` is not accepted for `storage.url` (the bucket is missing or not a name): it takes a folder, or s3://bucket/prefix",
        ),
        (
            "storage.url = \"gs://x\"",
            "`gs://x` is not accepted for `storage.url`: it takes a folder, or s3://bucket/prefix",
        ),
        ("log.format = \"xml\"", "`xml` is not accepted for `log.format`: it takes text or json"),
        (
            "http.header_timeout = \"10\"",
            "`10` is not accepted for `http.header_timeout`: it takes a time from 1s to 5m",
        ),
        (
            "http.header_timeout = \"0s\"",
            "`0s` is not accepted for `http.header_timeout`: it takes a time from 1s to 5m",
        ),
        (
            "http.body_timeout = \"99999999999999999999s\"",
            "`99999999999999999999s` is not accepted for `http.body_timeout`: it takes a time from 1s to 1h",
        ),
        (
            "http.max_connections = -1",
            "`-1` is not accepted for `http.max_connections`: it takes a number from 16 to 1000000",
        ),
        ("tokens.lifetime = \"59s\"", "`59s` is not accepted for `tokens.lifetime`: it takes a time from 60s to 24h"),
        ("uploads.expiry = \"1 d\"", "`1 d` is not accepted for `uploads.expiry`: it takes a time from 10m to 30d"),
        (
            "limits.manifest_bytes = \"4MB\"",
            "`4MB` is not accepted for `limits.manifest_bytes`: it takes a size from 4MiB to 16MiB",
        ),
        (
            "limits.manifest_bytes = 100",
            "`100` is not accepted for `limits.manifest_bytes`: it takes a size from 4MiB to 16MiB",
        ),
        ("master_key_file = \"\"", "`` is not accepted for `master_key_file`: it takes a file"),
    ];
    for (text, expected) in table {
        file_is_refused(text, &format!("hallmark.toml:1:{}: {expected}", column_of_the_key(text)));
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let table = [
        (
            "listen = \"0.0.0.0:5000\"",
            "listening on 0.0.0.0:5000 without TLS would send passwords and tokens in the clear: set tls.certificate and tls.key, or insecure_http = true (--insecure-http) where a proxy in front of this server speaks TLS",
        ),
        ("tls.certificate = \"c.pem\"", "`tls.certificate` is set without `tls.key`: TLS needs both"),
        ("tls.key = \"k.pem\"", "`tls.key` is set without `tls.certificate`: TLS needs both"),
        (
            "tokens.refresh_lifetime = \"1h\"\ntokens.lifetime = \"2h\"",
            "`tokens.refresh_lifetime` is shorter than `tokens.lifetime`: a refresh token must outlive what it renews",
        ),
        (
            "storage.s3.region = \"x\"",
            "`storage.s3.region` has no meaning while `storage.url` is not s3://bucket/prefix",
        ),
        (
            "storage.s3.endpoint = \"http://s3\"\nstorage.url = \"s3://b\"",
            "plain HTTP to the store sends images in the clear: use https://, or set storage.s3.allow_http = true",
        ),
        (
            "storage.s3.access_key_id = \"x\"\nstorage.url = \"s3://b\"",
            "`storage.s3.access_key_id` is set without `storage.s3.secret_access_key`: S3 needs both, or neither",
        ),
        (
            "storage.s3.secret_access_key = \"x\"\nstorage.url = \"s3://b\"",
            "`storage.s3.secret_access_key` is set without `storage.s3.access_key_id`: S3 needs both, or neither",
        ),
    ];
    for (text, expected) in table {
        file_is_refused(text, &format!("hallmark.toml:1:{}: {expected}", column_of_the_key(text)));
    }
}

#[test]
fn plain_http_on_loopback_needs_no_word_and_elsewhere_one_or_tls() {
    for text in [
        "listen = \"127.0.0.2:5000\"",
        "listen = \"[::1]:5000\"",
        "listen = \"0.0.0.0:5000\"\ninsecure_http = true",
        "listen = \"0.0.0.0:5000\"\ntls.certificate = \"c\"\ntls.key = \"k\"",
    ] {
        Start::new().file(text).config();
    }
}

#[test]
fn whoever_does_not_listen_need_not_say_how() {
    let start = Start::new().file("listen = \"0.0.0.0:5000\"");
    load(&start.sources, Purpose::Offline).unwrap();
    assert_eq!(data_folder(&start.sources).unwrap(), start.folder.path());
}

#[test]
fn a_secret_is_not_repeated_in_its_refusal() {
    let refusal =
        Start::new().variable("HALLMARK_MASTER_KEY", "c2hvcnQ=").variable("HALLMARK_ADMIN_PASSWORD", "short").refusal();
    assert_eq!(
        refusal,
        "the configuration is refused:\
         \n  HALLMARK_MASTER_KEY: this value is not accepted for `master_key`: it takes 32 random bytes in base64, such as `openssl rand -base64 32` prints\
         \n  HALLMARK_ADMIN_PASSWORD: this value is not accepted for `admin_password`: it takes 8 to 1024 bytes of text"
    );
}

#[test]
fn a_variable_that_is_empty_or_not_text_is_refused() {
    let mut start = Start::new().variable("HALLMARK_PUBLIC_URL", "");
    start.sources.environment.push(("HALLMARK_LISTEN".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(
        start.refusal(),
        "the configuration is refused:\
         \n  HALLMARK_LISTEN: its value is not UTF-8 text\
         \n  HALLMARK_PUBLIC_URL: it is empty: unset it, or give it a value"
    );
}

#[test]
fn a_named_file_that_is_not_there_is_refused() {
    let mut start = Start::new();
    start.sources.config_file = Some(start.folder.path().join("absent.toml"));
    assert_eq!(
        start.refusal(),
        "the configuration is refused:\n  absent.toml: the file of settings cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn what_is_printed_can_be_loaded_again_and_means_the_same() {
    let text = "listen = \"127.0.0.1:7000\"\npublic_url = \"https://r.example\"\naliases = [\"a\", \"b:1\"]\n\
                storage.url = \"more \\\"blobs\\\"\"\nlimits.manifest_bytes = 5000000\ninsecure_http = true\n";
    let first = Start::new().file(text).variable("HALLMARK_LOG_FORMAT", "json");
    let printed = first.load().unwrap().to_toml();
    let elsewhere = tempfile::tempdir().unwrap();
    let saved = elsewhere.path().join("saved.toml");
    fs::write(&saved, &printed).unwrap();
    let again = load(&Sources { config_file: Some(saved), ..Sources::default() }, Purpose::Serve).unwrap();
    assert_eq!(format!("{:?}", again.config), format!("{:?}", first.config()));
}

#[test]
fn the_print_tells_each_value_with_its_place_and_hides_secrets() {
    let start = Start::new()
        .file("storage.url = \"s3://b\"\nstorage.s3.access_key_id = \"AKIA\"\nstorage.s3.secret_access_key = \"shh\"\n")
        .variable("HALLMARK_DATABASE_URL", "postgres://u:p@db/h")
        .flag("listen", "--listen", "127.0.0.1:1");
    let printed = start.load().unwrap().to_toml();
    let place = start.path().display().to_string();
    for line in [
        "listen = \"127.0.0.1:1\"  # --listen\n".to_owned(),
        "# insecure_http = false  # default\n".to_owned(),
        "# public_url =  # not set; takes scheme, host and port only, such as https://registry.example.com\n"
            .to_owned(),
        "# database.url =  # [secret] from HALLMARK_DATABASE_URL\n".to_owned(),
        "# database.max_connections = 16  # default\n".to_owned(),
        format!("storage.s3.access_key_id = \"AKIA\"  # {place}:2:12\n"),
        format!("# storage.s3.secret_access_key =  # [secret] from {place}:3:12\n"),
    ] {
        assert!(printed.contains(&line), "{line} in\n{printed}");
    }
    assert_eq!(printed.lines().count(), KEYS.len());
}

#[test]
fn every_default_is_one_that_its_key_takes() {
    for key in KEYS {
        let Some(default) = key.default.filter(|default| !default.is_empty()) else { continue };
        let mut start = Start::new();
        start.sources.flags.push(Flag { key: key.name, flag: "--x", text: default.to_owned() });
        let alone = load(&start.sources, Purpose::Offline);
        let refused = alone.err().map(|invalid| invalid.to_string()).filter(|text| !text.contains("has no meaning"));
        assert_eq!(refused, None, "{}", key.name);
    }
}

#[test]
fn no_two_keys_share_a_variable() {
    let mut variables: Vec<_> = KEYS.iter().map(Key::variable).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), KEYS.len());
}

const PROVIDER: &str = "[provider.corp]\nissuer = \"https://id.example\"\nclient_id = \"registry\"\n";

#[test]
fn a_provider_needs_a_url_that_browsers_come_back_to() {
    for url in ["https://registry.example", "http://localhost:5000", "http://127.0.0.1:5000", "http://[::1]:5000"] {
        let start = Start::new().file(&format!("public_url = \"{url}\"\n{PROVIDER}"));
        assert_eq!(start.config().sections.providers.len(), 1, "{url}");
    }
    for url in ["", "public_url = \"http://registry.example\"\n", "public_url = \"http://192.0.2.1\"\n"] {
        let refusal = Start::new().file(&format!("{url}{PROVIDER}")).refusal();
        assert!(refusal.contains("[provider.corp] is refused: it needs public_url with https"), "{refusal}");
    }
}

/// A job of continuous integration chooses the audience of its token.
#[test]
fn a_provider_and_an_issuer_of_one_url_share_no_audience() {
    let issuer = |audience: &str| {
        format!(
            "public_url = \"https://registry.example\"\n{PROVIDER}\n[issuer.ci]\nissuer = \"https://id.example\"\n\
             audiences = [\"https://registry.example\", \"{audience}\"]\n"
        )
    };
    Start::new().file(&issuer("another")).config();
    let refusal = Start::new().file(&issuer("registry")).refusal();
    let expected = "[provider.corp] is refused: [issuer.ci] takes tokens of the same issuer for its client_id";
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn an_issuer_is_named_once() {
    let twice = |kind: &str, more: &str| {
        let table = |name: &str| format!("[{kind}.{name}]\nissuer = \"https://id.example\"\n{more}\n");
        let text = format!("public_url = \"https://registry.example\"\n{}{}", table("one"), table("two"));
        Start::new().file(&text).refusal()
    };
    for (kind, more) in [("provider", "client_id = \"registry\""), ("issuer", "audiences = [\"a\"]")] {
        let refusal = twice(kind, more);
        let expected = format!("[{kind}.two] is refused: [{kind}.one] has the same issuer");
        assert!(refusal.contains(&expected), "{refusal}");
    }
}

/// What the documentation tells people to write is accepted.
#[test]
fn every_example_of_signing_in_is_accepted() {
    let text = include_str!("../../../docs/sign-in.md");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in examples {
        let mut start = Start::new().file(&format!("public_url = \"https://registry.example\"\n{example}"));
        for (table, variable) in [
            ("account_dn", "HALLMARK_DIRECTORY_CORP_PASSWORD"),
            ("[provider.corp]", "HALLMARK_PROVIDER_CORP_CLIENT_SECRET"),
        ] {
            if example.contains(table) {
                start = start.variable(variable, "a secret");
            }
        }
        start.load().unwrap_or_else(|refused| panic!("{refused} in\n{example}"));
    }
}

#[test]
fn the_chosen_context_of_a_person_is_no_setting_of_a_server() {
    assert_eq!(Start::new().variable("HALLMARK_CONTEXT", "work").config().listen.port(), 5000);
}
