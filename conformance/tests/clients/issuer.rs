//! An issuer of tokens for jobs on loopback: it shows its key set, and signs what a job of GitHub Actions would be given.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hallmark_conformance::{Failure, Outcome, server::free_port};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// What the tokens are for.
pub(crate) const AUDIENCE: &str = "https://registry.example.com";
/// The `kid` of the only key.
const KEY_ID: &str = "one";
/// A token's life, and how far its beginning lies back, in seconds.
const LIFE: i64 = 600;
const BACKDATED: i64 = 30;

/// A running issuer. It ends with the test's process.
pub(crate) struct Issuer {
    port: u16,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// Listens on a free port of 127.0.0.1, with a fresh P-256 key.
    #[expect(clippy::disallowed_methods, reason = "a key of this test alone, in a process that takes no randomness")]
    pub(crate) fn start() -> Outcome<Self> {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let no_key = |_| Failure::new("cannot make a key");
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(no_key)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|_| Failure::new("cannot use the key that was made"))?;
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let shown = key_set(&key);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Whoever hangs up has had enough.
                let _ = show(&client, &shown);
            }
        });
        Ok(Self { port, key, random })
    }

    /// The settings of a registry that trusts it.
    pub(crate) fn settings(&self) -> String {
        let url = self.url();
        format!(
            "[issuer.ci]\nissuer = {url:?}\naudiences = [{AUDIENCE:?}]\njwks_uri = \"{url}/jwks\"\ninsecure = true\n"
        )
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The token of a job that a push to `main` of a repository started, as GitHub Actions writes it.
    pub(crate) fn token(&self, repository_id: &str) -> Outcome<String> {
        let now = jiff::Timestamp::now().as_second();
        let workflow = "acme/web/.github/workflows/release.yml@refs/heads/main";
        let claims = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "repo:acme/web:ref:refs/heads/main", "jti": format!("job-{now}"),
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "event_name": "push",
            "repository": "acme/web", "repository_id": repository_id, "repository_owner": "acme",
            "repository_owner_id": "65", "repository_visibility": "private", "actor": "ann", "actor_id": "12",
            "run_id": "1001", "run_number": "10", "run_attempt": "1", "runner_environment": "github-hosted",
            "workflow": "release", "workflow_ref": workflow, "job_workflow_ref": workflow, "head_ref": "", "base_ref": "",
            "iat": now - BACKDATED, "nbf": now - BACKDATED, "exp": now + LIFE,
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": KEY_ID });
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature =
            self.key.sign(&self.random, signed.as_bytes()).map_err(|_| Failure::new("cannot sign a token"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The public key as a JSON Web Key Set.
fn key_set(key: &EcdsaKeyPair) -> String {
    // An uncompressed point: one byte 4, then x and y of 32 bytes each.
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let key = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, "x": x, "y": y });
    json!({ "keys": [key] }).to_string()
}

/// Reads the head of a request and answers it with the key set, whatever it asks for.
fn show(mut client: &TcpStream, key_set: &str) -> Outcome<()> {
    for line in BufReader::new(client).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let length = key_set.len();
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{key_set}"
    )?;
    Ok(())
}
