//! `hallmark trust`: who signed what, who may, and the root that all of it begins with.
//!
//! People who hold a root sign it on their own machines, with keys that never leave them: `sign` reads and writes files and
//! speaks to nobody.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use hallmark_signer::tuf::{HeldKey, RootContent, RootRole, payload, public_key, with_signature};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::Ask;
use super::root_shown;
use super::sign::{Image, Reach};
use super::signers::SignerVerb;
use super::table::{Row, or_dash};
use super::{Remote, Session};
use crate::cli::output::{self, Failure};
use crate::durable;
use crate::people::sign_rules::SignRuleView;
use crate::people::signatures::SignatureView;
use crate::people::trust::{DraftView, RootView, TrustFileView};

/// The longest file that is read, in bytes.
const FILE_BYTES: u64 = 1 << 20;

#[derive(Args, Debug)]
pub(in crate::cli) struct Trust {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: TrustVerb,
}

#[derive(Debug, Subcommand)]
enum TrustVerb {
    /// List the tags of a repository that are signed, and by whom
    Inspect {
        /// The repository, such as acme/web; with the registry before it (registry.example/acme/web) as an image is written
        repository: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Withdraw the signature of a tag
    Revoke {
        /// The image, such as registry.example/acme/web:1.4
        image: Image,
        #[command(flatten)]
        reach: Reach,
    },
    /// Say who may sign in a repository
    #[command(subcommand)]
    Signer(SignerVerb),
    /// Say what the registry signs by itself
    #[command(subcommand)]
    Rule(RuleVerb),
    /// Report that an image has passed a check, which a rule may sign it for
    Check {
        /// The name of the check, such as tests
        name: String,
        /// The image, such as registry.example/acme/web:1.4; with @sha256:… that digest, whatever the tag points to
        image: Image,
        #[command(flatten)]
        reach: Reach,
    },
    /// Give a role a new key, where the registry holds its root itself
    Rotate {
        /// The role
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        whose: Whose,
    },
    /// The files that verifiers need, such as trusted roots and public keys: anybody reads them at /tuf/
    #[command(subcommand)]
    File(FileVerb),
    /// The root that a verifier pins: show it, give it to people, sign it, publish it
    #[command(subcommand)]
    Root(RootVerb),
}

#[derive(Debug, Subcommand)]
enum RuleVerb {
    /// List the rules of a repository
    List {
        /// The repository, such as acme/web
        repository: String,
    },
    /// Sign whatever somebody pushes, or what has passed a check that they report
    Add {
        /// The repository, such as acme/web
        repository: String,
        /// user:ann, team:acme/dev or robot:acme+ci
        holder: String,
        /// The check
        #[arg(long, value_name = "NAME")]
        check: Option<String>,
    },
    /// Remove a rule; what it has signed stays signed
    Remove {
        /// The repository, such as acme/web
        repository: String,
        /// The rule, as `list` shows it
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
enum FileVerb {
    /// List them
    List,
    /// Put one there, in the place of one of its name
    Put {
        /// The file
        file: PathBuf,
        /// Its name there [default: its own]
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
    },
}

/// Whose trust domain is meant.
#[derive(Args, Debug)]
struct Whose {
    /// The organization whose own root is meant [default: the registry's]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Root,
    Targets,
    Snapshot,
    Timestamp,
    Tags,
}

#[derive(Debug, Subcommand)]
enum RootVerb {
    /// Write the root that holds to a file, to be pinned; compare its fingerprint with what the operator shows you
    Get {
        #[command(flatten)]
        whose: Whose,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give an organization a root of its own
    Begin {
        /// The organization
        organization: String,
    },
    /// Make a key for a person who is to hold the root: FILE is secret, FILE.pub is what `init` takes
    Key {
        /// The file to write
        file: PathBuf,
    },
    /// Draft a root that people hold
    Init {
        #[command(flatten)]
        whose: Whose,
        /// The public key of one of them; once for each
        #[arg(long = "key", value_name = "FILE", required = true)]
        keys: Vec<PathBuf>,
        /// How many of them must sign
        #[arg(long, value_name = "N")]
        threshold: u64,
        #[command(flatten)]
        draft: Draft,
    },
    /// Draft the root that follows the present one, with new keys for these roles
    Rotate {
        #[command(flatten)]
        whose: Whose,
        /// A role that gets a new key; once for each
        #[arg(long = "role", value_enum, value_name = "ROLE")]
        roles: Vec<Role>,
        #[command(flatten)]
        draft: Draft,
    },
    /// Show what a draft says, and add a signature to it: by a key in a file, or one that a token or another program made over
    /// `payload`
    Sign {
        /// The draft
        file: PathBuf,
        /// The root that holds, as `get` wrote it: what changes is shown
        #[arg(long, value_name = "FILE")]
        current: Option<PathBuf>,
        /// The secret key: Ed25519 or P-256, in PEM (PKCS #8)
        #[arg(long, value_name = "FILE", required_unless_present = "signature")]
        key: Option<PathBuf>,
        /// A signature that was made elsewhere
        #[arg(long, value_name = "FILE", requires = "key_id", conflicts_with = "key")]
        signature: Option<PathBuf>,
        /// The id of the key that made it
        #[arg(long, value_name = "ID")]
        key_id: Option<String>,
    },
    /// Write what of a draft is to be signed, for a token or another program
    Payload {
        /// The draft
        file: PathBuf,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Publish a draft that enough people have signed
    Publish {
        #[command(flatten)]
        whose: Whose,
        /// The draft
        file: PathBuf,
    },
}

/// How a draft is made.
#[derive(Args, Debug)]
struct Draft {
    /// For how many days it is to hold
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    days: i64,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Tags => "tags",
        }
    }
}

impl Whose {
    fn path<'p>(&'p self, rest: &[&'p str]) -> Vec<&'p str> {
        let mut path = match &self.organization {
            Some(name) => vec!["organizations", name.as_str(), "trust"],
            None => vec!["trust"],
        };
        path.extend(rest);
        path
    }
}

impl Row for SignatureView {
    const HEAD: &'static [&'static str] = &["TAG", "DIGEST", "SIGNER", "SIGNED", "HOLDS"];

    fn cells(&self) -> Vec<String> {
        let holds = if self.holds { "yes" } else { "no" };
        vec![self.tag.clone(), self.digest.clone(), self.signer.clone(), self.signed_at.clone(), holds.to_owned()]
    }
}

impl Row for RootView {
    const HEAD: &'static [&'static str] = &["VERSION", "EXPIRES", "SIGNERS", "FINGERPRINT"];

    fn cells(&self) -> Vec<String> {
        let signers = format!("{} of {}", self.threshold, self.keys.len());
        vec![self.version.to_string(), self.expires.clone(), signers, self.fingerprint.clone()]
    }
}

impl Trust {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Self { remote, verb } = self;
        match verb {
            TrustVerb::Inspect { repository, reach } => {
                let found = if remote.context.is_none() { reach.before(&repository)? } else { reach.unused()? };
                match found {
                    Some((client, name)) => {
                        let session = Session { client, user: String::new(), format: remote.output };
                        crate::cli::block_on(inspect(&session, name))?
                    }
                    None => remote.run(async |session: Session| inspect(&session, &repository).await),
                }
            }
            TrustVerb::Revoke { image, reach } => {
                let (api, _) = reach.clients(&image, false)?;
                let ask = Ask::delete(&["repositories", image.repository.as_str(), "signatures", image.tag.as_str()]);
                crate::cli::block_on(async { api.tell(ask).await })??;
                output::say(format!("the signature of {image} is withdrawn"))
            }
            TrustVerb::Signer(verb) => remote.run(async |session: Session| verb.run(&session).await),
            TrustVerb::Rule(verb) => remote.run(async |session: Session| verb.run(&session).await),
            TrustVerb::Check { name, image, reach } => {
                let (api, registry) = reach.clients(&image, false)?;
                crate::cli::block_on(async {
                    let digest = image.meant(&registry).await?;
                    let body = json!({"name": name, "digest": digest});
                    api.tell(Ask::post(&["repositories", image.repository.as_str(), "checks"], body)).await?;
                    output::say(format!("{image}@{digest} has passed {name}"))
                })?
            }
            TrustVerb::Rotate { role, whose } => remote.run(async |session: Session| {
                let ask = Ask::post(&whose.path(&["rotations"]), json!({"role": role.as_str()}));
                session.one::<RootView>(ask).await
            }),
            TrustVerb::File(verb) => remote.run(async |session: Session| verb.run(&session).await),
            TrustVerb::Root(verb) => verb.run(remote),
        }
    }
}

async fn inspect(session: &Session, repository: &str) -> Result<(), Failure> {
    session.list::<SignatureView>(Ask::get(&["repositories", repository, "signatures"])).await
}

impl Row for TrustFileView {
    const HEAD: &'static [&'static str] = &["NAME", "BYTES", "SHA-256", "PUT"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.length.to_string(), self.sha256.clone(), self.put_at.clone()]
    }
}

impl Row for SignRuleView {
    const HEAD: &'static [&'static str] = &["ID", "HOLDER", "CHECK", "MADE"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.to_string(), self.holder.clone(), or_dash(self.check.as_ref()), self.made_at.clone()]
    }
}

impl RuleVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { repository } => {
                session.list::<SignRuleView>(Ask::get(&["repositories", &repository, "sign-rules"])).await
            }
            Self::Add { repository, holder, check } => {
                let body = json!({"holder": holder, "check": check});
                let what = check
                    .map_or("what they push".to_owned(), |check| format!("what they report to have passed {check}"));
                let done = format!("{holder}: {what} to {repository} is signed");
                session.made::<SignRuleView>(Ask::post(&["repositories", &repository, "sign-rules"], body), &done).await
            }
            Self::Remove { repository, id } => {
                let id = id.to_string();
                session.act(Ask::delete(&["repositories", &repository, "sign-rules", &id]), "the rule is removed").await
            }
        }
    }
}

impl FileVerb {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List => session.list::<TrustFileView>(Ask::get(&["trust", "files"])).await,
            Self::Put { file, name } => {
                let own = file.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.or(own).ok_or_else(|| unusable(&file, "it has no name"))?;
                let content = String::from_utf8(read(&file)?).map_err(|_| unusable(&file, "it is no text"))?;
                let ask = Ask::put(&["trust", "files", &name], json!({"content": content}));
                session.made::<TrustFileView>(ask, &format!("{name} is at /tuf/ within a moment")).await
            }
            Self::Remove { name } => {
                session.act(Ask::delete(&["trust", "files", &name]), &format!("{name} is removed")).await
            }
        }
    }
}

impl RootVerb {
    fn run(self, remote: Remote) -> Result<(), Failure> {
        match self {
            Self::Get { whose, out } => remote.run(async |session: Session| {
                let root: RootView = session.client.ask(Ask::get(&whose.path(&["root"]))).await?;
                write(&out, root.document.as_bytes(), 0o644)?;
                session.show_rows(&mut super::table::Table::default(), &[root])
            }),
            Self::Begin { organization } => remote.run(async |session: Session| {
                let ask = Ask::new(http::Method::POST, &["organizations", &organization, "trust"]);
                session.one::<RootView>(ask).await
            }),
            Self::Key { file } => make_key(&file),
            Self::Init { whose, keys, threshold, draft } => {
                let keys: Vec<Value> = keys.iter().map(|file| shown_key(file)).collect::<Result<_, _>>()?;
                let asked = json!({"keys": keys, "threshold": threshold, "days": draft.days});
                remote.run(async |session: Session| drafted(&session, &whose, asked, &draft.out).await)
            }
            Self::Rotate { whose, roles, draft } => {
                let roles: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
                let asked = json!({"rotate": roles, "days": draft.days});
                remote.run(async |session: Session| drafted(&session, &whose, asked, &draft.out).await)
            }
            Self::Sign { file, current, key, signature, key_id } => {
                let root = read(&file)?;
                show(&file, &root, current.as_deref())?;
                match key {
                    Some(key) => sign_with(&file, &root, &key),
                    None => attach(&file, &root, (&signature.unwrap_or_default(), &key_id.unwrap_or_default())),
                }
            }
            Self::Payload { file, out } => {
                let message = payload(&read(&file)?).map_err(|flaw| unusable(&file, &flaw.to_string()))?;
                write(&out, &message, 0o644)
            }
            Self::Publish { whose, file } => {
                let root = read(&file)?;
                let document = String::from_utf8(root).map_err(|_| unusable(&file, "it is no text"))?;
                remote.run(async |session: Session| {
                    session.one::<RootView>(Ask::post(&whose.path(&["root"]), json!({"document": document}))).await
                })
            }
        }
    }
}

async fn drafted(session: &Session, whose: &Whose, asked: Value, out: &Path) -> Result<(), Failure> {
    let draft: DraftView = session.client.ask(Ask::post(&whose.path(&["root", "drafts"]), asked)).await?;
    write(out, draft.document.as_bytes(), 0o644)?;
    let content =
        RootContent::read_draft(draft.document.as_bytes()).map_err(|flaw| unusable(out, &flaw.to_string()))?;
    let needed = content.roles.get(&RootRole::Root).map_or(0, |holders| holders.threshold);
    output::say(format!(
        "version {} is in {}: {needed} of the keys that it names must sign it with `hallmark trust root sign`",
        content.version,
        out.display()
    ))
}

fn unusable(file: &Path, why: &str) -> Failure {
    Failure::Usage(format!("{}: {why}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = || {
        if std::fs::metadata(file)?.len() > FILE_BYTES {
            return Err(std::io::Error::other("it is longer than 1 MiB"));
        }
        std::fs::read(file)
    };
    read().map_err(|error| unusable(file, &format!("cannot be read: {error}")))
}

/// Writes a file that is whole and there when this returns, also after a power loss: a secret key is nowhere else.
pub(super) fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("{} cannot be written: {error}", file.display()));
    let mut options = OpenOptions::new();
    // A secret takes nobody's place.
    let options = if mode == 0o600 { options.create_new(true) } else { options.create(true).truncate(true) };
    let mut open = options.write(true).mode(mode).open(file).map_err(failed)?;
    open.write_all(bytes).map_err(failed)?;
    open.sync_all().map_err(failed)?;
    durable::sync_name(file).map_err(failed)
}

fn make_key(file: &Path) -> Result<(), Failure> {
    let made = HeldKey::generate().map_err(|error| Failure::Failed(error.to_string()))?;
    write(file, made.as_bytes(), 0o600)?;
    let pair = HeldKey::read(&made).map_err(|error| unusable(file, &error.to_string()))?;
    let mut shown = file.as_os_str().to_owned();
    shown.push(".pub");
    let shown = Path::new(&shown);
    write(shown, (pair.public().to_string() + "\n").as_bytes(), 0o644)?;
    output::say(format!("the secret key is in {}; what others may see of it is in {}", file.display(), shown.display()))
}

/// A public key as `key` wrote it, or in PEM as other programs do.
fn shown_key(file: &Path) -> Result<Value, Failure> {
    let text = String::from_utf8(read(file)?).map_err(|_| unusable(file, "it is no public key"))?;
    public_key(&text).map_err(|error| unusable(file, &error.to_string()))
}

/// Nobody signs what they have not seen.
fn show(file: &Path, root: &[u8], current: Option<&Path>) -> Result<(), Failure> {
    let holds = current.map(read).transpose()?;
    let lines = root_shown::lines(root, holds.as_deref());
    for line in lines.map_err(|flaw| unusable(file, &flaw.to_string()))? {
        output::say(line)?;
    }
    Ok(())
}

fn sign_with(file: &Path, root: &[u8], key: &Path) -> Result<(), Failure> {
    let secret = Zeroizing::new(read(key)?);
    let text = std::str::from_utf8(&secret).map_err(|_| unusable(key, "it is no secret key in PEM"))?;
    let pair = HeldKey::read(text).map_err(|error| unusable(key, &error.to_string()))?;
    let (id, signature) = pair.sign_root(root).map_err(|error| unusable(file, &error.to_string()))?;
    sealed(file, root, &id, &signature)
}

fn attach(file: &Path, root: &[u8], (signature, id): (&Path, &str)) -> Result<(), Failure> {
    sealed(file, root, id, &read(signature)?)
}

fn sealed(file: &Path, root: &[u8], id: &str, signature: &[u8]) -> Result<(), Failure> {
    let signed = with_signature(root, id, signature).map_err(|flaw| unusable(file, &flaw.to_string()))?;
    let draft = file.with_extension("signing");
    write(&draft, &signed, 0o644)?;
    let renamed = std::fs::rename(&draft, file).and_then(|()| durable::sync_name(file));
    renamed.map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", file.display())))?;
    output::say(format!("{} is signed by {id}", file.display()))
}
