//! `hallmark sign` and `hallmark verify`: who vouches for what a tag means.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hallmark_oci::{Digest, RepositoryName, Tag};
use hallmark_signer::tuf::{Target, UpdateError, VerifyError, verify};
use serde_json::json;

use super::client::{Address, Ask, Client, Credential, Found};
use super::contexts::Contexts;
use crate::cli::output::{self, Failure, Format};
use crate::clock::Clock;
use crate::config::Person;
use crate::durable;
use crate::people::signatures::SignatureView;

/// An image as people write it: `host/repository:tag`, or with the digest behind it.
#[derive(Debug, Clone)]
pub(super) struct Image {
    host: String,
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
    digest: Option<Digest>,
}

impl Image {
    /// The digest that is written behind it, or else what its tag points to.
    pub(super) async fn meant(&self, registry: &Client) -> Result<Digest, Failure> {
        match &self.digest {
            Some(digest) => Ok(digest.clone()),
            None => {
                let pointed = pointed(registry, self).await?;
                pointed.digest().cloned().map_err(|why| Failure::Failed(format!("{self}: {why}")))
            }
        }
    }
}

/// How the image's registry is reached where nobody signed in to it.
#[derive(Args, Debug, Clone)]
pub(super) struct Reach {
    /// The only certificates to trust, in a PEM file, where nobody signed in [default: the machine's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Speak plain HTTP, where nobody signed in
    #[arg(long)]
    insecure_http: bool,
}

impl Reach {
    /// The registry of an image: as whom `HALLMARK_USER` and `HALLMARK_PASSWORD` name, else by the context for its host, else, where
    /// `anybody` will do, as nobody. The first is the API, the second the registry itself.
    pub(super) fn clients(&self, image: &Image, anybody: bool) -> Result<(Client, Client), Failure> {
        self.clients_of(&image.host, anybody)
    }

    /// The API of the registry whose host stands before this name, as an image is written, and the name behind it. An account may
    /// be called like a host: what has no port is one where a context is for it, or where there is no context to ask.
    pub(super) fn before<'n>(&self, name: &'n str) -> Result<Option<(Client, &'n str)>, Failure> {
        let person = Person::of_process();
        if person.context.is_some() {
            return self.unused();
        }
        let Some((host, repository)) = name.split_once('/') else { return self.unused() };
        let contexts = Contexts::file(&person)?.read::<Contexts>()?;
        let is_known = contexts.in_order().any(|context| context.host() == host);
        let is_alone = contexts.in_order().next().is_none() && host.contains('.');
        if !is_known && !is_alone && !host.contains(':') && host != "localhost" {
            return self.unused();
        }
        let (api, _) = self.clients_of(host, false)?;
        Ok(Some((api, repository)))
    }

    /// No host stands before the name, and how to reach one is said in vain.
    pub(super) fn unused<T>(&self) -> Result<Option<T>, Failure> {
        match self.ca.is_some() || self.insecure_http {
            true => Err(Failure::Usage(
                "--ca and --insecure-http are for a registry whose host stands before the name".into(),
            )),
            false => Ok(None),
        }
    }

    fn clients_of(&self, host: &str, anybody: bool) -> Result<(Client, Client), Failure> {
        let person = Person::of_process();
        let contexts = Contexts::file(&person)?.read::<Contexts>()?;
        let context = contexts.in_order().find(|context| context.host() == host);
        let address = match context {
            Some(context) if self.ca.is_none() && !self.insecure_http => context.address(),
            _ => {
                let scheme = if self.insecure_http { "http" } else { "https" };
                Address::typed(&format!("{scheme}://{host}"), self.ca.clone(), self.insecure_http)?
            }
        };
        let both =
            |credential: Credential<'_>| Ok((Client::new(&address, credential)?, Client::new(&address, credential)?));
        match (&person.login, context) {
            (Some((user, password)), _) => both(Credential::Password(user, password)),
            (None, Some(context)) => Ok((context.client()?, context.registry()?)),
            (None, None) if anybody => both(Credential::Nothing),
            (None, None) => Err(Failure::NotSignedIn(format!(
                "you are not signed in to {host}: run `hallmark login {host}`, or set HALLMARK_USER and HALLMARK_PASSWORD"
            ))),
        }
    }
}

impl std::str::FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|invalid| format!("{invalid}"))?)),
            None => (text, None),
        };
        let (host, path) = rest.split_once('/').ok_or("an image is written as host/repository:tag")?;
        let (repository, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
        let repository = repository.parse().map_err(|invalid| format!("{invalid}"))?;
        let tag = tag.parse().map_err(|invalid| format!("{invalid}"))?;
        Ok(Self { host: host.to_owned(), repository, tag, digest })
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.repository, self.tag)
    }
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Sign {
    /// The image, such as registry.example/acme/web:1.4; with @sha256:… only if the tag still points there
    image: Image,
    #[command(flatten)]
    reach: Reach,
    /// Tables for people, or one JSON object a line for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// The image, such as registry.example/acme/web:1.4; with @sha256:… only that digest will do
    image: Image,
    /// A root that you trust: the file that `hallmark trust root get` wrote
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    #[command(flatten)]
    reach: Reach,
    /// Tables for people, or one JSON object a line for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// What a tag points to: the registry's word, and what it sends for it.
struct Pointed {
    named: Digest,
    sent: Vec<u8>,
}

impl Pointed {
    /// The digest, where what was sent has it.
    fn digest(&self) -> Result<&Digest, String> {
        let sent = Digest::of(self.named.algorithm(), &self.sent);
        if sent == self.named {
            Ok(&self.named)
        } else {
            Err(format!("the registry names {} and sends {sent}", self.named))
        }
    }
}

/// What the tag points to now.
async fn pointed(client: &Client, image: &Image) -> Result<Pointed, Failure> {
    let path = format!("/v2/{}/manifests/{}", image.repository, image.tag);
    let absent = || Failure::NotFound(format!("there is no image {image} that you may see"));
    let Found { digest, body: sent } = client.raw(&path).await?.ok_or_else(absent)?;
    let named = digest.ok_or_else(absent)?;
    let named = named.parse().map_err(|_| Failure::Failed(format!("the registry names no digest for {image}")))?;
    Ok(Pointed { named, sent })
}

impl Sign {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Self { image, reach, output } = self;
        let (api, registry) = reach.clients(&image, false)?;
        crate::cli::block_on(async {
            let digest = image.meant(&registry).await?;
            let repository = image.repository.as_str();
            let body = json!({"tag": image.tag, "digest": digest});
            let ask = Ask::post(&["repositories", repository, "signatures"], body);
            let made: SignatureView = api.ask(ask).await?;
            match output {
                Format::Json => output::say_json(&made),
                Format::Text => output::say(format!("{image}@{digest} is signed by {}", made.signer)),
            }
        })?
    }
}

impl Verify {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Self { image, root, reach, output } = self;
        let pinned = std::fs::read(&root)
            .map_err(|error| Failure::Usage(format!("the root {} cannot be read: {error}", root.display())))?;
        let (_, client) = reach.clients(&image, true)?;
        let store = datastore(&image)?;
        crate::cli::block_on(async {
            let client = Arc::new(client);
            let now = pointed(&client, &image).await?;
            let (base, fetching) = (format!("/tuf/{}/", image.repository), Arc::clone(&client));
            let fetch = Arc::new(move |file: String, most| -> futures_util::future::BoxFuture<'static, _> {
                let (client, path) = (Arc::clone(&fetching), format!("{base}{file}"));
                Box::pin(async move {
                    let found = client.raw_up_to(&path, most).await.map_err(|failure| failure.to_string())?;
                    Ok(found.map(|found| found.body))
                })
            });
            let target = (image.repository.as_str(), image.tag.as_str());
            let target = verify(&pinned, target, fetch, (&store, Clock::System.now())).await;
            match judge(&image, &now, target) {
                Ok(target) => say(&image, &target, output),
                Err(Unverified::Unreachable(why)) => Err(Failure::NoServer(why)),
                Err(Unverified::Refused(why)) => refuse(&image, &why, output),
            }
        })?
    }
}

/// Why an image is not verified.
enum Unverified {
    /// Nothing was found out.
    Unreachable(String),
    /// Nobody vouches for it as it is.
    Refused(String),
}

/// Whether what is signed is what the tag points to now; anything else is a refusal.
fn judge(image: &Image, now: &Pointed, target: Result<Target, VerifyError>) -> Result<Target, Unverified> {
    let target = target.map_err(|error| match error {
        VerifyError::Update(UpdateError::Unreachable(why)) => Unverified::Unreachable(why),
        other => Unverified::Refused(other.to_string()),
    })?;
    let (named, signed) = (&now.named, signed(&target));
    if signed != named.as_str() {
        return Err(Unverified::Refused(format!("the tag points to {named}, and {signed} is signed")));
    }
    now.digest().map_err(Unverified::Refused)?;
    let length = now.sent.len() as u64;
    if length != target.length {
        return Err(Unverified::Refused(format!("{named} is {length} bytes long, and {} are signed", target.length)));
    }
    match &image.digest {
        Some(wanted) if wanted != named => {
            Err(Unverified::Refused(format!("the tag points to {named} and not to {wanted}")))
        }
        _ => Ok(target),
    }
}

fn signed(target: &Target) -> String {
    let hex: String = target.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn say(image: &Image, target: &Target, output: Format) -> Result<(), Failure> {
    let signed = signed(target);
    match output {
        Format::Json => output::say_json(&json!({
            "verified": true, "image": image.to_string(), "digest": signed, "signer": target.signer,
            "signed_at": target.signed_at, "source": target.source,
        })),
        Format::Text => {
            output::say(format!("{image}@{signed} is signed by {} since {}", target.signer, target.signed_at))
        }
    }
}

/// Programs read the reason where they would have read the rest; people read it in either case.
fn refuse(image: &Image, reason: &str, output: Format) -> Result<(), Failure> {
    if matches!(output, Format::Json) {
        output::say_json(&json!({"verified": false, "image": image.to_string(), "reason": reason}))?;
    }
    Err(Failure::Failed(format!("{image} is not verified: {reason}")))
}

/// Where the newest versions that were seen are remembered, so that older ones are refused.
fn datastore(image: &Image) -> Result<PathBuf, Failure> {
    let folder = Person::of_process().folder;
    let folder = folder.ok_or_else(|| Failure::Usage("there is no home folder to remember versions in".to_owned()))?;
    let host = image.host.replace([':', '[', ']'], "_");
    let place = folder.join("trust").join(host).join(image.repository.as_str().replace('/', "+"));
    durable::make_folder(&place)
        .map_err(|error| Failure::Failed(format!("{} cannot be made: {error}", place.display())))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_host_a_repository_a_tag_and_perhaps_a_digest() {
        let image: Image = "localhost:5000/acme/web:1.4".parse().unwrap();
        assert_eq!(
            (image.host.as_str(), image.repository.as_str(), image.tag.as_str()),
            ("localhost:5000", "acme/web", "1.4")
        );
        assert_eq!("r.example/web".parse::<Image>().unwrap().tag.as_str(), "latest");
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(format!("r.example/web:2@{digest}").parse::<Image>().unwrap().digest.unwrap().as_str(), digest);
        for bad in ["web", "r.example/Web:1", "r.example/web:", "r.example/web:1@sha256:0", ""] {
            assert!(bad.parse::<Image>().is_err(), "{bad}");
        }
    }
}
