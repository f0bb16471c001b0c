//! The table of all settings: name, default, accepted values, and how each fills the draft. Everything that is told about
//! a setting (refusals, `config print`, the reference) is told from here.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::draft::{DatabaseUrl, Draft, StorageUrl};
use super::value::{Refused, Setting};
use super::{LogFormat, Network, Secret};

/// Where data is kept when nobody says.
pub(super) const DATA_DEFAULT: &str = "./hallmark-data";

/// What is kept out of sight when a setting is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    Nothing,
    /// The password inside a URL.
    Password,
    Everything,
}

/// How `config print` spells a value so that it can be loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Path,
    /// A URL, or a path if there is no `://` in it.
    UrlOrPath,
    Number,
    Switch,
    List,
}

/// One setting.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: Option<&'static str>,
    /// The accepted values, to stand after "it takes".
    pub(super) accepts: &'static str,
    pub(super) shape: Shape,
    pub(super) hidden: Hidden,
    /// Never in a file: the value is a secret of the running process.
    pub(super) environment_only: bool,
    pub(super) set: fn(&mut Draft, &Setting) -> Result<(), Refused>,
}

impl Key {
    const fn new(
        name: &'static str,
        default: Option<&'static str>,
        accepts: &'static str,
        set: fn(&mut Draft, &Setting) -> Result<(), Refused>,
    ) -> Self {
        Self { name, default, accepts, shape: Shape::Text, hidden: Hidden::Nothing, environment_only: false, set }
    }

    const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    const fn hidden(self, hidden: Hidden) -> Self {
        Self { hidden, ..self }
    }

    const fn environment_only(self) -> Self {
        Self { environment_only: true, hidden: Hidden::Everything, ..self }
    }

    /// The variable of the environment: `http.idle_timeout` is `HALLMARK_HTTP_IDLE_TIMEOUT`.
    pub(super) fn variable(&self) -> String {
        format!("HALLMARK_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

const fn seconds(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const MIB: usize = 1 << 20;

/// Every setting there is, in the order of the reference.
pub(super) static KEYS: &[Key] = &[
    Key::new("data", Some(DATA_DEFAULT), "a folder", |draft, value| value.path().map(|path| draft.data = path))
        .shaped(Shape::Path),
    Key::new(
        "listen",
        Some("127.0.0.1:5000"),
        "an IP address and a port, such as 127.0.0.1:5000 or [::]:443",
        |draft, value| value.parse::<SocketAddr>().map(|address| draft.listen = Some(address)),
    ),
    Key::new("insecure_http", Some("false"), "true or false", |draft, value| {
        value.switch().map(|switch| draft.insecure_http = switch)
    })
    .shaped(Shape::Switch),
    Key::new("tls.certificate", None, "a file with the certificate chain in PEM", |draft, value| {
        value.path().map(|path| draft.certificate = Some(path))
    })
    .shaped(Shape::Path),
    Key::new("tls.key", None, "a file with the private key in PEM", |draft, value| {
        value.path().map(|path| draft.key = Some(path))
    })
    .shaped(Shape::Path),
    Key::new(
        "tls.client_ca",
        None,
        "a file with the certificate of your authority for clients in PEM",
        |draft, value| value.path().map(|path| draft.client_ca = Some(path)),
    )
    .shaped(Shape::Path),
    Key::new("public_url", None, "scheme, host and port only, such as https://registry.example.com", |draft, value| {
        super::draft::public_url(value.text()?).map(|url| draft.public_url = Some(url))
    }),
    Key::new("aliases", Some(""), "a list of host or host:port", |draft, value| {
        value.list(super::draft::alias).map(|names| draft.aliases = names)
    })
    .shaped(Shape::List),
    Key::new("trusted_proxies", Some(""), "a list of addresses or ranges, such as 10.0.0.0/8", |draft, value| {
        value.list(str::parse::<Network>).map(|networks| draft.trusted_proxies = networks)
    })
    .shaped(Shape::List),
    Key::new("database.url", None, "a file for SQLite, or postgres://user:password@host/database", |draft, value| {
        DatabaseUrl::parse(value).map(|url| draft.database_url = Some(url))
    })
    .shaped(Shape::UrlOrPath)
    .hidden(Hidden::Password),
    Key::new("database.max_connections", Some("16"), "a number from 2 to 1000", |draft, value| {
        value.number(2..=1_000).map(|number| draft.max_database_connections = number)
    })
    .shaped(Shape::Number),
    Key::new("storage.url", None, "a folder, or s3://bucket/prefix", |draft, value| {
        StorageUrl::parse(value).map(|url| draft.storage_url = Some(url))
    })
    .shaped(Shape::UrlOrPath),
    Key::new("storage.s3.endpoint", None, "an http:// or https:// URL", |draft, value| {
        super::draft::endpoint(value.text()?).map(|url| draft.s3.endpoint = Some(url))
    })
    .hidden(Hidden::Password),
    Key::new("storage.s3.region", None, "the name of a region (else AWS_REGION, else us-east-1)", |draft, value| {
        value.text().map(|region| draft.s3.region = Some(region.to_owned()))
    }),
    Key::new("storage.s3.path_style", Some("false"), "true or false", |draft, value| {
        value.switch().map(|switch| draft.s3.path_style = switch)
    })
    .shaped(Shape::Switch),
    Key::new(
        "storage.s3.ca_file",
        None,
        "a file with the certificates of your own authority in PEM",
        |draft, value| value.path().map(|path| draft.s3.ca_file = Some(path)),
    )
    .shaped(Shape::Path),
    Key::new("storage.s3.access_key_id", None, "text", |draft, value| {
        value.text().map(|id| draft.s3.access_key_id = Some(id.to_owned()))
    }),
    Key::new("storage.s3.secret_access_key", None, "text", |draft, value| {
        value.text().map(|key| draft.s3.secret_access_key = Some(Secret::new(key.to_owned())))
    })
    .hidden(Hidden::Everything),
    Key::new("storage.s3.allow_http", Some("false"), "true or false", |draft, value| {
        value.switch().map(|switch| draft.s3.allow_http = switch)
    })
    .shaped(Shape::Switch),
    Key::new("storage.s3.part_size", Some("8MiB"), "a size from 5MiB to 512MiB", |draft, value| {
        value.bytes(5 * MIB..=512 * MIB).map(|size| draft.s3.part_size = size)
    }),
    Key::new("storage.s3.part_memory", Some("256MiB"), "a size from 16MiB to 65536MiB", |draft, value| {
        value.bytes(16 * MIB..=65_536 * MIB).map(|size| draft.s3.part_memory = size)
    }),
    Key::new("log.format", Some("text"), "text or json", |draft, value| {
        let format = match value.text()? {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err(Refused::default()),
        };
        draft.log.format = format;
        Ok(())
    }),
    Key::new(
        "log.level",
        Some("info"),
        "off, error, warn, info, debug or trace, alone or as module=level,…",
        |draft, value| {
            draft.log.level = super::draft::log_level(value.text()?)?;
            Ok(())
        },
    ),
    Key::new("http.header_timeout", Some("10s"), "a time from 1s to 5m", |draft, value| {
        value.duration(seconds(1, 300)).map(|time| draft.http.header_timeout = time)
    }),
    Key::new("http.idle_timeout", Some("2m"), "a time from 1s to 1h", |draft, value| {
        value.duration(seconds(1, HOUR)).map(|time| draft.http.idle_timeout = time)
    }),
    Key::new("http.body_timeout", Some("30s"), "a time from 1s to 1h", |draft, value| {
        value.duration(seconds(1, HOUR)).map(|time| draft.http.body_timeout = time)
    }),
    Key::new("http.max_connections", Some("4096"), "a number from 16 to 1000000", |draft, value| {
        value.number(16..=1_000_000).map(|number| draft.http.max_connections = number as usize)
    })
    .shaped(Shape::Number),
    Key::new("http.drain_timeout", Some("25s"), "a time from 1s to 1h", |draft, value| {
        value.duration(seconds(1, HOUR)).map(|time| draft.http.drain_timeout = time)
    }),
    Key::new("tokens.lifetime", Some("15m"), "a time from 60s to 24h", |draft, value| {
        value.duration(seconds(60, DAY)).map(|time| draft.tokens.lifetime = time)
    }),
    Key::new("tokens.refresh_lifetime", Some("30d"), "a time from 1h to 365d", |draft, value| {
        value.duration(seconds(HOUR, 365 * DAY)).map(|time| draft.tokens.refresh_lifetime = time)
    }),
    Key::new("passwords.min_length", Some("8"), "a number from 8 to 128", |draft, value| {
        value.number(8..=128).map(|number| draft.passwords.min_length = number as usize)
    })
    .shaped(Shape::Number),
    Key::new("passwords.breached", None, "a file", |draft, value| {
        value.path().map(|path| draft.passwords.breached = Some(path))
    })
    .shaped(Shape::Path),
    Key::new("names.rest", Some("14d"), "a time from 0s to 365d", |draft, value| {
        value.duration(seconds(0, 365 * DAY)).map(|time| draft.names.rest = time)
    }),
    Key::new("uploads.expiry", Some("24h"), "a time from 10m to 30d", |draft, value| {
        value.duration(seconds(600, 30 * DAY)).map(|time| draft.uploads.expiry = time)
    }),
    Key::new("gc.shown", Some("24h"), "a time from 1h to 30d", |draft, value| {
        value.duration(seconds(HOUR, 30 * DAY)).map(|time| draft.gc.shown = time)
    }),
    Key::new("gc.margin", Some("24h"), "a time from 24h to 30d", |draft, value| {
        value.duration(seconds(DAY, 30 * DAY)).map(|time| draft.gc.margin = time)
    }),
    Key::new("gc.byte_grace", Some("7d"), "a time from 1h to 365d", |draft, value| {
        value.duration(seconds(HOUR, 365 * DAY)).map(|time| draft.gc.byte_grace = time)
    }),
    Key::new("gc.trash_window", Some("14d"), "a time from 0s to 365d", |draft, value| {
        value.duration(seconds(0, 365 * DAY)).map(|time| draft.gc.trash_window = time)
    }),
    Key::new("gc.scrub_interval", Some("30d"), "a time from 0s to 3650d", |draft, value| {
        value.duration(seconds(0, 3_650 * DAY)).map(|time| draft.gc.scrub_interval = time)
    }),
    Key::new("gc.scrub_bytes", Some("256MiB"), "a size from 1MiB to 65536MiB", |draft, value| {
        value.bytes(MIB..=65_536 * MIB).map(|size| draft.gc.scrub_bytes = size)
    }),
    Key::new("gc.compare_interval", Some("24h"), "a time from 0s to 30d", |draft, value| {
        value.duration(seconds(0, 30 * DAY)).map(|time| draft.gc.compare_interval = time)
    }),
    Key::new("gc.retention_interval", Some("24h"), "a time from 0s to 30d", |draft, value| {
        value.duration(seconds(0, 30 * DAY)).map(|time| draft.gc.retention_interval = time)
    }),
    Key::new("gc.retention_rate", Some("5000"), "a number a minute from 1 to 1000000", |draft, value| {
        value.number(1..=1_000_000).map(|rate| draft.gc.retention_rate = rate)
    })
    .shaped(Shape::Number),
    Key::new("limits.manifest_bytes", Some("4MiB"), "a size from 4MiB to 16MiB", |draft, value| {
        value.bytes(4 * MIB..=16 * MIB).map(|size| draft.limits.manifest_bytes = size)
    }),
    Key::new("limits.account_bytes", None, "a size from 1MiB to 1073741824MiB", |draft, value| {
        value.bytes(MIB..=1_073_741_824 * MIB).map(|size| draft.limits.account_bytes = Some(size as u64))
    }),
    Key::new("audit.retention", Some("365d"), "a time from 1d to 3650d", |draft, value| {
        value.duration(seconds(DAY, 3_650 * DAY)).map(|time| draft.audit.retention = time)
    }),
    Key::new("audit.pulls", Some("false"), "true or false", |draft, value| {
        value.switch().map(|switch| draft.audit.pulls = switch)
    })
    .shaped(Shape::Switch),
    Key::new(
        "network.allowed_private_hosts",
        Some(""),
        "a list of hosts that issuers may be asked at though their addresses are private",
        |draft, value| value.list(super::draft::host).map(|hosts| draft.allowed_private_hosts = hosts),
    )
    .shaped(Shape::List),
    Key::new("signer.url", None, "https:// with host and port of a signer that is another process", |draft, value| {
        super::draft::signer_url(value.text()?).map(|url| draft.signer.url = Some(url))
    }),
    Key::new("signer.ca_file", None, "a file with the authority of that signer in PEM", |draft, value| {
        value.path().map(|path| draft.signer.ca = Some(path))
    })
    .shaped(Shape::Path),
    Key::new(
        "signer.certificate_file",
        None,
        "a file with the certificate that is shown to that signer in PEM",
        |draft, value| value.path().map(|path| draft.signer.certificate = Some(path)),
    )
    .shaped(Shape::Path),
    Key::new("signer.key_file", None, "a file with the private key of that certificate in PEM", |draft, value| {
        value.path().map(|path| draft.signer.key = Some(path))
    })
    .shaped(Shape::Path),
    Key::new(
        "signer.listen",
        Some("127.0.0.1:5001"),
        "an IP address and a port for `hallmark signer serve`",
        |draft, value| value.parse::<SocketAddr>().map(|address| draft.signer.listen = Some(address)),
    ),
    Key::new(
        "signer.clients",
        Some(""),
        "a list of names in client certificates that `hallmark signer serve` takes",
        |draft, value| value.list(super::draft::client).map(|names| draft.signer.clients = names),
    )
    .shaped(Shape::List),
    Key::new(
        "signer.collection_rate",
        Some("120"),
        "a number of signatures a minute from 1 to 60000",
        |draft, value| value.number(1..=60_000).map(|rate| draft.signer.rates.collection = rate),
    )
    .shaped(Shape::Number),
    Key::new("signer.caller_rate", Some("600"), "a number of signatures a minute from 1 to 60000", |draft, value| {
        value.number(1..=60_000).map(|rate| draft.signer.rates.caller = rate)
    })
    .shaped(Shape::Number),
    Key::new("master_key_file", None, "a file", |draft, value| {
        value.path().map(|path| draft.master_key_file = Some(path))
    })
    .shaped(Shape::Path),
    Key::new(
        "master_key",
        None,
        "32 random bytes in base64, such as `openssl rand -base64 32` prints",
        |draft, value| super::draft::master_key(value.text()?).map(|key| draft.master_key = Some(key)),
    )
    .environment_only(),
    Key::new(
        "master_passphrase_file",
        None,
        "a file whose first line is a passphrase of at least 12 bytes",
        |draft, value| value.path().map(|path| draft.passphrase_file = Some(path)),
    )
    .shaped(Shape::Path),
    Key::new("master_passphrase", None, "a passphrase of at least 12 bytes", |draft, value| {
        super::draft::passphrase(value.text()?).map(|words| draft.passphrase = Some(words))
    })
    .environment_only(),
    Key::new("pkcs11.module", None, "a shared library that speaks PKCS#11", |draft, value| {
        value.path().map(|path| draft.token.module = Some(path))
    })
    .shaped(Shape::Path),
    Key::new("pkcs11.token", None, "the label of a token", |draft, value| {
        value.text().map(|label| draft.token.token = Some(label.to_owned()))
    }),
    Key::new("pkcs11.key", None, "the label of an AES key of that token", |draft, value| {
        value.text().map(|label| draft.token.key = Some(label.to_owned()))
    }),
    Key::new("pkcs11.pin_file", None, "a file whose first line is the PIN of the token's user", |draft, value| {
        value.path().map(|path| draft.token.pin_file = Some(path))
    })
    .shaped(Shape::Path),
    Key::new("admin_password", None, "8 to 1024 bytes of text", |draft, value| {
        let text = value.text()?;
        if !(8..=1024).contains(&text.len()) {
            return Err(Refused::default());
        }
        draft.admin_password = Some(Secret::new(text.to_owned()));
        Ok(())
    })
    .environment_only(),
];

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

pub(super) fn find_variable(variable: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.variable() == variable)
}

/// `: did you mean …?`, if a known name is near enough to be what was meant.
pub(super) fn suggestion(unknown: &str, known: impl Iterator<Item = String>) -> String {
    let nearest = known.map(|name| (distance(unknown, &name), name)).min();
    match nearest {
        Some((steps, name)) if steps <= unknown.chars().count() / 3 => format!(": did you mean `{name}`?"),
        _ => ": `hallmark config print` shows every key".to_owned(),
    }
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, candidate) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *candidate);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
