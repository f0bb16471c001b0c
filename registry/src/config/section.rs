//! The tables of the file that have a name of the operator's own: `[directory.NAME]`, `[issuer.NAME]`, `[provider.NAME]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use super::Secret;
use super::source::{Gathered, Place};
use crate::auth::directory::{
    Account, Bind, DirectoryConfig, DistinguishedName, GroupConfig, GroupMapping, SubjectAttribute, TeamName,
};
use crate::auth::oidc::IssuerSettings;
use crate::auth::oidc::people::{Authentication, ClientSecret, ClientSettings};

/// The kinds of such tables.
pub(super) const KINDS: [&str; 3] = ["directory", "issuer", "provider"];
/// How long a directory's sign-in may take when nothing is said, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;
/// How many sign-ins a directory does at once when nothing is said.
const CONNECTIONS: usize = 8;
/// For how many days a provider's word about somebody holds when nothing is said: as long as the token of a login.
const VOUCHED_DAYS: u32 = 90;
/// How often people are looked up again when nothing is said, in minutes.
const SYNC_MINUTES: u64 = 60;

/// One table as it was found.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) place: Place,
    /// The folder that relative paths in it start from.
    pub(super) base: PathBuf,
    pub(super) value: Value,
}

/// A directory that people sign in with.
#[derive(Clone, Debug)]
pub struct DirectorySection {
    /// How it is asked.
    pub directory: DirectoryConfig,
    /// Which of its groups are which teams.
    pub teams: Vec<GroupMapping>,
    /// Whether somebody whom it knows and the registry does not is made a user when they sign in.
    pub create_users: bool,
    /// How often its people are looked up again.
    pub sync_interval: Duration,
}

/// An issuer whose workloads may be robots.
#[derive(Clone, Debug)]
pub struct IssuerSection {
    /// Its name in the settings.
    pub name: String,
    /// How its tokens are checked.
    pub issuer: IssuerSettings,
    /// Whether a token is taken from the first address that shows it only.
    pub bind_address: bool,
}

/// A provider that people sign in with.
#[derive(Clone, Debug)]
pub struct ProviderSection {
    /// Its name in the settings and in paths.
    pub name: String,
    /// How its tokens are checked.
    pub issuer: IssuerSettings,
    /// What the registry is to it.
    pub client: ClientSettings,
    /// Which of its groups are which teams.
    pub teams: Vec<(String, TeamName)>,
    /// For how long after somebody signed in their tokens and teams hold; none means for ever.
    pub vouched_for: Option<Duration>,
    /// Whether somebody whom it knows and the registry does not is made a user when they sign in.
    pub create_users: bool,
}

/// All of them, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// Asked one after another.
    pub directories: Vec<DirectorySection>,
    /// By their exact `iss`.
    pub issuers: Vec<IssuerSection>,
    /// By their names.
    pub providers: Vec<ProviderSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectoryTable {
    url: String,
    #[serde(default)]
    start_tls: bool,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
    timeout_ms: Option<u64>,
    connections: Option<usize>,
    account_dn: Option<String>,
    account_password_file: Option<PathBuf>,
    base: String,
    filter: Option<String>,
    dn_template: Option<String>,
    name_attribute: Option<String>,
    subject_attribute: Option<String>,
    groups: Option<GroupsTable>,
    #[serde(default)]
    teams: Vec<TeamTable>,
    #[serde(default = "yes")]
    create_users: bool,
    sync_interval_minutes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupsTable {
    base: String,
    filter: Option<String>,
    depth: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TeamTable {
    group: String,
    team: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerTable {
    issuer: String,
    audiences: Vec<String>,
    ca_file: Option<PathBuf>,
    jwks_uri: Option<String>,
    #[serde(default)]
    further_hosts: Vec<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default = "yes")]
    bind_address: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderTable {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    #[serde(default)]
    authentication: Authentication,
    #[serde(default)]
    scopes: Vec<String>,
    groups_claim: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    further_hosts: Vec<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    teams: Vec<TeamTable>,
    vouched_for_days: Option<u32>,
    #[serde(default = "yes")]
    create_users: bool,
}

fn yes() -> bool {
    true
}

/// Whether a variable of the environment holds a secret of such a table: `HALLMARK_DIRECTORY_CORP_PASSWORD`.
pub(super) fn is_secret(variable: &str) -> bool {
    let rest = variable.strip_prefix("HALLMARK_").unwrap_or_default();
    rest.starts_with("DIRECTORY_") && rest.ends_with("_PASSWORD")
        || rest.starts_with("PROVIDER_") && rest.ends_with("_CLIENT_SECRET")
}

fn secret_variable(kind: &str, name: &str) -> String {
    let end = if kind == "directory" { "PASSWORD" } else { "CLIENT_SECRET" };
    format!("HALLMARK_{}_{}_{end}", kind.to_ascii_uppercase(), name.replace('-', "_").to_ascii_uppercase())
}

/// Checks every table that was found; what is wrong becomes a problem with the place of its table.
pub(super) fn finish(public_url: Option<&Url>, gathered: &mut Gathered) -> Sections {
    let mut sections = Sections::default();
    let found = std::mem::take(&mut gathered.sections);
    for section in &found {
        let read = match section.kind {
            "directory" => directory(section, gathered).map(|directory| sections.directories.push(directory)),
            "issuer" => issuer(section).map(|issuer| sections.issuers.push(issuer)),
            _ => provider(section, gathered).map(|provider| sections.providers.push(provider)),
        };
        if let Err(why) = read {
            let message = format!("[{}.{}] is refused: {why}", section.kind, section.name);
            gathered.refuse(section.place.clone(), message);
        }
    }
    for (kind, name, message) in contradictions(&sections, public_url) {
        let place = found.iter().find(|section| section.kind == kind && section.name == name);
        let place = place.map_or(Place::Default, |section| section.place.clone());
        gathered.refuse(place, format!("[{kind}.{name}] is refused: {message}"));
    }
    for (variable, place) in gathered.unclaimed_secrets() {
        gathered.refuse(place, format!("{variable} names no table of the file of settings"));
    }
    gathered.sections = found;
    sections
}

/// What tables say that cannot be true together: their kinds, names and why.
fn contradictions(sections: &Sections, public_url: Option<&Url>) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    let mut refuse = |kind, name: &str, why: String| found.push((kind, name.to_owned(), why));
    for (at, issuer) in sections.issuers.iter().enumerate() {
        if let Some(before) = sections.issuers[..at].iter().find(|before| before.issuer.issuer == issuer.issuer.issuer)
        {
            refuse("issuer", &issuer.name, format!("[issuer.{}] has the same issuer", before.name));
        }
    }
    for (at, provider) in sections.providers.iter().enumerate() {
        let url = &provider.issuer.issuer;
        // People are known by issuer and subject, and their teams come from the issuer: of two with one issuer each would
        // take away what the other gave.
        if let Some(before) = sections.providers[..at].iter().find(|before| before.issuer.issuer == *url) {
            refuse("provider", &provider.name, format!("[provider.{}] has the same issuer", before.name));
        }
        // A job of continuous integration chooses the audience of its token: it must not be able to make one for us as a client.
        let shared = sections.issuers.iter().find(|issuer| {
            issuer.issuer.issuer == *url && issuer.issuer.audiences.contains(&provider.client.client_id)
        });
        if let Some(issuer) = shared {
            let why = format!(
                "[issuer.{}] takes tokens of the same issuer for its client_id; use another audience",
                issuer.name
            );
            refuse("provider", &provider.name, why);
        }
        if !public_url.is_some_and(is_safe) {
            let why = "it needs public_url with https, or with http on loopback: browsers are sent back there";
            refuse("provider", &provider.name, why.to_owned());
        }
    }
    found
}

/// Whether cookies, codes and passwords can travel to this URL: by https, or within this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || loopback
}

fn table<T: DeserializeOwned>(section: &Section) -> Result<T, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if section.name.is_empty() || section.name.len() > 32 || !section.name.bytes().all(plain) {
        return Err("its name is up to 32 small letters, digits and '-'".to_owned());
    }
    T::deserialize(&section.value).map_err(|error| error.to_string())
}

/// A secret from its variable, or from a file beside the settings.
fn secret(section: &Section, file: Option<&Path>, gathered: &mut Gathered) -> Result<Option<Secret>, String> {
    let variable = secret_variable(section.kind, &section.name);
    match (gathered.claim_secret(&variable), file) {
        (Some(_), Some(_)) => Err(format!("its secret is given twice: in {variable} and in a file")),
        (Some(text), None) => Ok(Some(Secret::new(text))),
        (None, Some(file)) => {
            let path = section.base.join(file);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())))
        }
        (None, None) => Ok(None),
    }
}

fn directory(section: &Section, gathered: &mut Gathered) -> Result<DirectorySection, String> {
    let table: DirectoryTable = table(section)?;
    let password = secret(section, table.account_password_file.as_deref(), gathered)?;
    let account = match (table.account_dn, password) {
        (Some(dn), Some(password)) => Some(Account { dn, password }),
        (None, None) => None,
        (Some(_), None) => {
            let variable = secret_variable(section.kind, &section.name);
            return Err(format!("account_dn needs a password: in {variable}, or account_password_file"));
        }
        (None, Some(_)) => return Err("there is a password and no account_dn".to_owned()),
    };
    let bind = match (table.filter, table.dn_template) {
        (Some(filter), None) => Bind::Search { filter },
        (None, Some(dn_template)) => Bind::Direct { dn_template },
        (Some(_), Some(_)) | (None, None) => return Err("it needs either filter or dn_template".to_owned()),
    };
    let subject_attribute = match table.subject_attribute.as_deref() {
        None | Some("entryUUID") => SubjectAttribute::EntryUuid,
        Some("objectGUID") => SubjectAttribute::ObjectGuid,
        Some(_) => return Err("subject_attribute takes entryUUID or objectGUID".to_owned()),
    };
    let groups = table.groups.map(|groups| GroupConfig {
        base: groups.base,
        filter: groups.filter.unwrap_or_else(|| "(member={dn})".to_owned()),
        depth: groups.depth.unwrap_or(GroupConfig::DEPTH),
    });
    let directory = DirectoryConfig {
        name: section.name.clone(),
        url: Url::parse(&table.url).map_err(|error| format!("url: {error}"))?,
        start_tls: table.start_tls,
        ca_file: table.ca_file.map(|path| section.base.join(path)),
        insecure: table.insecure,
        timeout: Duration::from_millis(table.timeout_ms.unwrap_or(TIMEOUT_MS)),
        connections: table.connections.unwrap_or(CONNECTIONS),
        account,
        base: table.base,
        bind,
        name_attribute: table.name_attribute.unwrap_or_else(|| "uid".to_owned()),
        subject_attribute,
        groups,
    };
    crate::auth::directory::Directory::new(&directory).map_err(|error| error.to_string())?;
    let teams = table.teams.into_iter().map(|line| {
        let group: DistinguishedName =
            line.group.parse().map_err(|_| format!("{:?} is no group's name", line.group))?;
        Ok(GroupMapping { group, team: team(&line.team)? })
    });
    Ok(DirectorySection {
        directory,
        teams: teams.collect::<Result<_, String>>()?,
        create_users: table.create_users,
        sync_interval: minutes(table.sync_interval_minutes)?,
    })
}

fn minutes(given: Option<u64>) -> Result<Duration, String> {
    let minutes = given.unwrap_or(SYNC_MINUTES);
    if (1..=7 * 24 * 60).contains(&minutes) {
        return Ok(Duration::from_secs(minutes * 60));
    }
    Err("sync_interval_minutes takes 1 to 10080".to_owned())
}

fn days(given: Option<u32>) -> Result<Option<Duration>, String> {
    match given.unwrap_or(VOUCHED_DAYS) {
        0 => Ok(None),
        days @ 1..=366 => Ok(Some(Duration::from_secs(u64::from(days) * 24 * 60 * 60))),
        _ => Err("vouched_for_days takes 1 to 366, or 0 for no end".to_owned()),
    }
}

fn team(text: &str) -> Result<TeamName, String> {
    let (organization, team) = text.split_once('/').ok_or_else(|| format!("{text:?} is no team: write acme/dev"))?;
    Ok(TeamName { organization: organization.to_owned(), team: team.to_owned() })
}

fn issuer(section: &Section) -> Result<IssuerSection, String> {
    let table: IssuerTable = table(section)?;
    let issuer = IssuerSettings {
        issuer: table.issuer,
        audiences: table.audiences,
        ca_file: table.ca_file.map(|path| section.base.join(path)),
        jwks_uri: table.jwks_uri,
        further_hosts: table.further_hosts,
        insecure: table.insecure,
    };
    crate::auth::oidc::Issuer::new(issuer.clone()).map_err(|error| error.to_string())?;
    Ok(IssuerSection { name: section.name.clone(), issuer, bind_address: table.bind_address })
}

fn provider(section: &Section, gathered: &mut Gathered) -> Result<ProviderSection, String> {
    let table: ProviderTable = table(section)?;
    let secret = secret(section, table.client_secret_file.as_deref(), gathered)?;
    let groups_claim = table.groups_claim.map(|text| text.parse()).transpose();
    let issuer = IssuerSettings {
        issuer: table.issuer,
        audiences: vec![table.client_id.clone()],
        ca_file: table.ca_file.map(|path| section.base.join(path)),
        jwks_uri: None,
        further_hosts: table.further_hosts,
        insecure: table.insecure,
    };
    crate::auth::oidc::Issuer::new(issuer.clone()).map_err(|error| error.to_string())?;
    let client = ClientSettings {
        client_id: table.client_id,
        client_secret: secret.map(|secret| ClientSecret::new(secret.expose().to_owned())),
        authentication: table.authentication,
        scopes: table.scopes,
        groups_claim: groups_claim.map_err(|_| "groups_claim is no claim".to_owned())?,
    };
    let teams = table.teams.into_iter().map(|line| Ok((line.group, team(&line.team)?)));
    Ok(ProviderSection {
        name: section.name.clone(),
        issuer,
        client,
        teams: teams.collect::<Result<_, String>>()?,
        vouched_for: days(table.vouched_for_days)?,
        create_users: table.create_users,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_provider_holds_for_ninety_days_unless_said() {
        let held = |given| days(given).map(|time| time.map(|time| time.as_secs() / 86_400));
        for (given, expected) in [(None, Some(90)), (Some(1), Some(1)), (Some(366), Some(366)), (Some(0), None)] {
            assert_eq!(held(given), Ok(expected), "{given:?}");
        }
        assert!(held(Some(367)).unwrap_err().contains("1 to 366"));
    }
}
