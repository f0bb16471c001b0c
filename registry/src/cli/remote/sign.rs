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
            None => digest(registry, self).await,
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
        let person = Person::of_process();
        let contexts = Contexts::file(&person)?.read::<Contexts>()?;
        let context = contexts.in_order().find(|context| context.host() == image.host);
        let address = match context {
            Some(context) if self.ca.is_none() && !self.insecure_http => context.address(),
            _ => {
                let scheme = if self.insecure_http { "http" } else { "https" };
                Address::typed(&format!("{scheme}://{}", image.host), self.ca.clone(), self.insecure_http)?
            }
        };
        let both =
            |credential: Credential<'_>| Ok((Client::new(&address, credential)?, Client::new(&address, credential)?));
        match (&person.login, context) {
            (Some((user, password)), _) => both(Credential::Password(user, password)),
            (None, Some(context)) => Ok((context.client()?, context.registry()?)),
            (None, None) if anybody => both(Credential::Nothing),
            (None, None) => Err(Failure::NotSignedIn(format!(
                "you are not signed in to {0}: run `hallmark login {0}`, or set HALLMARK_USER and HALLMARK_PASSWORD",
                image.host
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

/// What the tag points to now, by the registry's own word.
async fn digest(client: &Client, image: &Image) -> Result<Digest, Failure> {
    let path = format!("/v2/{}/manifests/{}", image.repository, image.tag);
    let found = client.raw(&path).await?;
    let told = found.and_then(|Found { digest, .. }| digest);
    let told = told.ok_or_else(|| Failure::NotFound(format!("there is no image {image} that you may see")))?;
    told.parse().map_err(|_| Failure::Failed(format!("the registry names no digest for {image}")))
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
            let now = digest(&client, &image).await?;
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
            conclude(&image, &now, target, output)
        })?
    }
}

/// Says what came of it; anything but a signature over what the tag points to now is a failure.
fn conclude(image: &Image, now: &Digest, target: Result<Target, VerifyError>, output: Format) -> Result<(), Failure> {
    let target = target.map_err(|error| match error {
        VerifyError::Update(UpdateError::Unreachable(why)) => Failure::NoServer(why),
        other => Failure::Failed(format!("{image} is not verified: {other}")),
    })?;
    let hex: String = target.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let signed = format!("sha256:{hex}");
    if signed != now.as_str() {
        let why = format!("{image} is not verified: the tag points to {now}, and {signed} is signed");
        return Err(Failure::Failed(why));
    }
    if let Some(wanted) = image.digest.as_ref().filter(|wanted| *wanted != now) {
        return Err(Failure::Failed(format!("{image} is not verified: the tag points to {now} and not to {wanted}")));
    }
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

/// Where the newest versions that were seen are remembered, so that older ones are refused.
fn datastore(image: &Image) -> Result<PathBuf, Failure> {
    let folder = Person::of_process().folder;
    let folder = folder.ok_or_else(|| Failure::Usage("there is no home folder to remember versions in".to_owned()))?;
    let host = image.host.replace([':', '[', ']'], "_");
    let place = folder.join("trust").join(host).join(image.repository.as_str().replace('/', "+"));
    let made = std::fs::create_dir_all(&place);
    made.map_err(|error| Failure::Failed(format!("{} cannot be made: {error}", place.display())))?;
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
