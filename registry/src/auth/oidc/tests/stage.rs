//! The issuer of the tests: a server on loopback whose every answer can be exchanged, and keys to sign with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::auth::oidc::{Issuer, IssuerSettings, Network, Provider};

/// Now, in milliseconds and in seconds.
pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const SECONDS: i64 = NOW / 1000;
/// The audience that tokens for this registry carry.
pub(crate) const AUDIENCE: &str = "https://registry.example";

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const JWKS: &str = "/jwks";

/// What a path answers with.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Value),
    Text(String),
    Status(u16),
    Redirect(String),
    /// So many bytes.
    Huge(usize),
    /// Nothing, ever.
    Silence,
}

/// A server whose answers a test sets; it stops when it is dropped.
pub(crate) struct Stage {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
    posted: Arc<Mutex<Vec<Posted>>>,
    shared: OnceLock<Provider>,
    task: JoinHandle<()>,
}

/// A form that was posted.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) authorization: Option<String>,
    pub(crate) form: HashMap<String, String>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    /// A server that describes itself and has these keys.
    pub(crate) async fn open(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<HashMap<String, Answer>>> = Arc::default();
        let asked: Arc<AtomicUsize> = Arc::default();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let (held, counter, forms) = (Arc::clone(&answers), Arc::clone(&asked), Arc::clone(&posted));
        let router = Router::new().fallback(move |request: Request<Body>| {
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = held.lock().unwrap().get(request.uri().path()).cloned();
            let forms = Arc::clone(&forms);
            async move {
                if request.method() == Method::POST {
                    let form = read(request).await;
                    forms.lock().unwrap().push(form);
                }
                respond(answer.unwrap_or(Answer::Status(404))).await
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let stage = Self { url, answers, asked, posted, shared: OnceLock::new(), task };
        stage.describe(json!({}));
        stage.publish(keys);
        stage
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Describes the issuer, with some members replaced.
    pub(crate) fn describe(&self, changes: Value) {
        let url = &self.url;
        let mut document = json!({
            "issuer": url,
            "jwks_uri": format!("{url}{JWKS}"),
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.set(DISCOVERY, Answer::Json(document));
    }

    pub(crate) fn publish(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.set(JWKS, Answer::Json(json!({ "keys": keys })));
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The forms that were posted, in order.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    pub(crate) fn settings(&self) -> IssuerSettings {
        IssuerSettings {
            issuer: self.url.clone(),
            audiences: vec![AUDIENCE.to_owned()],
            insecure: true,
            ..IssuerSettings::default()
        }
    }

    /// One that tests with many tokens share: making a client reads the system's certificates.
    pub(crate) fn shared(&self) -> &Provider {
        self.shared.get_or_init(|| self.provider())
    }

    pub(crate) fn provider(&self) -> Provider {
        provider(self.settings())
    }

    /// Claims of an ordinary token with some of them replaced; `null` removes one.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "repo:acme/web:ref:refs/heads/main", "jti": "one",
            "iat": SECONDS, "nbf": SECONDS - 5, "exp": SECONDS + 300,
        });
        merge(claims, changes)
    }
}

pub(crate) fn provider(settings: IssuerSettings) -> Provider {
    Provider::open(Issuer::new(settings).unwrap(), &Network::default()).unwrap()
}

/// An object with members replaced; `null` removes one.
pub(crate) fn merge(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}

async fn read(request: Request<Body>) -> Posted {
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 65_536).await.unwrap();
    Posted { authorization, form: url::form_urlencoded::parse(&body).into_owned().collect() }
}

async fn respond(answer: Answer) -> Response<Body> {
    let response = Response::builder();
    match answer {
        Answer::Json(value) => response.body(Body::from(value.to_string())),
        Answer::Text(text) => response.body(Body::from(text)),
        Answer::Status(status) => response.status(StatusCode::from_u16(status).unwrap()).body(Body::empty()),
        Answer::Redirect(to) => response.status(302).header(header::LOCATION, to).body(Body::empty()),
        Answer::Huge(bytes) => response.body(Body::from(vec![b' '; bytes])),
        Answer::Silence => std::future::pending().await,
    }
    .unwrap()
}

enum Kind {
    Ecdsa(EcdsaKeyPair, usize),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

/// A key to sign with.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: &'static str,
    kind: Kind,
}

impl Signer {
    pub(crate) fn new(algorithm: &'static str, kid: &str) -> Self {
        let kind = match algorithm {
            "ES256" => Kind::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), 32),
            "ES384" => Kind::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), 48),
            "EdDSA" => Kind::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Kind::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
        };
        Self { kid: kid.to_owned(), algorithm, kind }
    }

    pub(crate) fn jwk(&self) -> Value {
        let (kid, alg) = (&self.kid, self.algorithm);
        let material = match &self.kind {
            Kind::Ecdsa(pair, width) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(*width);
                let curve = if *width == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
            }
            Kind::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())})
            }
            // RSAPublicKey in DER: nine bytes, 256 of the modulus, five of the exponent 65537.
            Kind::Rsa(pair) => {
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(&der[9..265]), "e": "AQAB"})
            }
        };
        merge(material, json!({"kid": kid, "alg": alg, "use": "sig"}))
    }

    /// The public key as the bytes that a confused verifier would use as a shared secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Ecdsa(pair, _) => pair.public_key().as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// A token with an ordinary header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(json!({})).to_string(), &claims.to_string())
    }

    /// An ordinary header with some members replaced; `null` removes one.
    pub(crate) fn header(&self, changes: Value) -> Value {
        merge(json!({"typ": "JWT", "alg": self.algorithm, "kid": self.kid}), changes)
    }

    /// A token of these two texts, whatever they are.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = signed_text(header, claims);
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.kind {
            Kind::Ecdsa(pair, _) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Kind::Rsa(pair) => {
                let padding = if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }
}

pub(crate) fn signed_text(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// The claims of a GitHub Actions job of `acme/web`, pushed to main, as GitHub documents them.
pub(crate) fn github(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": AUDIENCE, "jti": "d5a7b0b6-6d4c-4e7e-9d6b-000000000001",
        "sub": "repo:acme/web:ref:refs/heads/main", "ref": "refs/heads/main", "ref_type": "branch",
        "ref_protected": "true", "sha": "0c14a3c5ae8c5b0cd8bb1c9a3bd4aa5f6d7ab0e1",
        "repository": "acme/web", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65",
        "repository_visibility": "private", "run_id": "1001", "run_number": "10", "run_attempt": "1",
        "runner_environment": "github-hosted", "actor": "ann", "actor_id": "12", "workflow": "release",
        "head_ref": "", "base_ref": "", "event_name": "push",
        "workflow_ref": "acme/web/.github/workflows/release.yml@refs/heads/main",
        "job_workflow_ref": "acme/web/.github/workflows/release.yml@refs/heads/main",
        "iat": SECONDS, "nbf": SECONDS - 300, "exp": SECONDS + 300,
    })
}

/// The claims of a GitLab job of `acme/web`, pushed to main, as GitLab documents them.
pub(crate) fn gitlab(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": AUDIENCE, "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "sub": "project_path:acme/web:ref_type:branch:ref:main", "namespace_id": "72", "namespace_path": "acme",
        "project_id": "20", "project_path": "acme/web", "user_id": "1", "user_login": "ann",
        "user_email": "ann@example.com", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
        "environment": "production", "environment_protected": "false", "runner_id": 1,
        "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "private", "ci_config_ref_uri": "gitlab.example.com/acme/web//.gitlab-ci.yml@refs/heads/main",
        "iat": SECONDS, "nbf": SECONDS - 5, "exp": SECONDS + 3600,
    })
}

/// The claims of a projected token of a Kubernetes service account.
pub(crate) fn kubernetes(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": [AUDIENCE], "jti": "e51f1fbc-4733-4b85-a59f-ba80c0523874",
        "sub": "system:serviceaccount:builds:pusher",
        "kubernetes.io": {
            "namespace": "builds", "node": {"name": "worker", "uid": "517eb86e-b863-451b-bf70-86cb61439a3a"},
            "pod": {"name": "push-1", "uid": "0d8b260e-ef0e-45fb-be8e-ff44f97722e8"},
            "serviceaccount": {"name": "pusher", "uid": "e6a8680e-d103-4cce-80ea-03acbbeacf7d"},
            "warnafter": SECONDS + 3607,
        },
        "iat": SECONDS, "nbf": SECONDS, "exp": SECONDS + 3600,
    })
}
