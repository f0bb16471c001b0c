//! Client certificates in a handshake with the server itself: who they are, and what ends that.

use std::fs;
use std::io;
use std::sync::Arc;

use hallmark::config::Tls;
use hallmark::http::tls::Certificates;
use hallmark_oci::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{acme, admin, api};
use crate::harness::{Credentials, Listening, Wire, World, sha256};

/// What somebody shows in a handshake: a certificate with its key.
struct Shown {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// An authority that certifies anything.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// A certificate of a client with this common name and these alternative names.
    fn client(&self, name: &str, alternatives: Vec<SanType>) -> Shown {
        self.certify(name, alternatives, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn certify(&self, name: &str, alternatives: Vec<SanType>, purpose: ExtendedKeyUsagePurpose) -> Shown {
        self.sign(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.subject_alt_names = alternatives;
            parameters.extended_key_usages = vec![purpose];
        })
    }

    /// A certificate of a client whose subject has these parts.
    fn named(&self, parts: &[(DnType, &str)]) -> Shown {
        self.sign(|parameters| {
            for (kind, value) in parts {
                parameters.distinguished_name.push(kind.clone(), *value);
            }
        })
    }

    /// A certificate of a client of this common name that ends when this year begins.
    fn until(&self, name: &str, year: i32) -> Shown {
        self.sign(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        })
    }

    fn sign(&self, fill: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        fill(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().der().clone();
        Shown { certificate, key }
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A registry that listens over TLS and trusts one authority of clients.
struct Site {
    world: World,
    listening: Listening,
    authority: Authority,
    server: CertificateDer<'static>,
    _files: TempDir,
}

impl Site {
    async fn open() -> Self {
        let (files, authority) = (TempDir::new().unwrap(), Authority::new());
        let path = |name: &str| files.path().join(name);
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("server.pem"), own.cert.pem()).unwrap();
        fs::write(path("server.key"), own.signing_key.serialize_pem()).unwrap();
        fs::write(path("clients.pem"), authority.certificate.pem()).unwrap();
        let tls =
            Tls { certificate: path("server.pem"), key: path("server.key"), client_ca: Some(path("clients.pem")) };
        let world = World::open().await;
        acme(&world).await;
        let listening = world.listen_with(Some(Certificates::load(tls).unwrap())).await;
        Self { world, listening, authority, server: own.cert.der().clone(), _files: files }
    }

    /// Says whose certificates those are that match; the id of the rule.
    async fn rule(&self, holder: &str, kind: &str, pattern: &str) -> i64 {
        let rule = json!({"holder": holder, "kind": kind, "pattern": pattern});
        api(&self.world, "POST", "/certificates", rule).await.expect(201).json()["id"].as_i64().unwrap()
    }

    /// What a request over a connection of its own is answered: the status, and the body as text.
    async fn ask(&self, by: Option<&Shown>, method: &str, path: &str) -> io::Result<(u16, String)> {
        self.send(by, &Wire::request(method, path, &Credentials::none(), &[("Connection", "close")])).await
    }

    async fn send(&self, by: Option<&Shown>, request: &str) -> io::Result<(u16, String)> {
        let mut stream = self.connect(&self.config(by)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
    }

    /// With what a client connects who shows `by`; sessions are kept in it, to be taken up again.
    fn config(&self, by: Option<&Shown>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match by {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![shown.certificate.clone()], key).unwrap()
            }
        })
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.listening.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await
    }

    /// Who the management API takes somebody for; `None` for nobody.
    async fn name(&self, by: Option<&Shown>) -> Option<String> {
        let (status, body) = self.ask(by, "GET", "/api/v1/me").await.unwrap();
        assert!(status == 200 || status == 401, "{status}: {body}");
        let me: Value = serde_json::from_str(&body).unwrap();
        (status == 200).then(|| me["name"].as_str().unwrap().to_owned())
    }

    async fn status(&self, by: Option<&Shown>, path: &str) -> u16 {
        self.ask(by, "GET", path).await.unwrap().0
    }

    async fn close(self) {
        self.listening.stop().await;
    }
}

#[tokio::test]
async fn a_rule_makes_a_certificate_a_user_or_a_robot() {
    let site = Site::open().await;
    let ann = site.authority.client("ann", Vec::new());
    let uri = "spiffe://example.com/ns/builds/sa/pusher".try_into().unwrap();
    let pusher = site.authority.client("whatever", vec![SanType::URI(uri)]);
    let host = site.authority.client("", vec![dns("runner-7.ci.example.com")]);
    for shown in [&ann, &pusher, &host] {
        assert_eq!(site.name(Some(shown)).await, None, "without a rule, a certificate is nobody's");
    }
    site.rule("user:ann", "subject", "CN=ann").await;
    site.rule("robot:acme+ci", "uri", "spiffe://example.com/ns/builds/*").await;
    site.rule("user:bob", "dns", "*.ci.example.com").await;
    assert_eq!(site.name(Some(&ann)).await.as_deref(), Some("ann"));
    assert_eq!(site.name(Some(&pusher)).await.as_deref(), Some("acme+ci"));
    assert_eq!(site.name(Some(&host)).await.as_deref(), Some("bob"));
    assert_eq!(site.name(None).await, None, "who shows none is nobody, and is not turned away");
    // The same name, spelled into another field, is no name.
    assert_eq!(site.name(Some(&site.authority.client("bob", vec![dns("CN=ann")]))).await, None);
    site.close().await;
}

/// An address is compared whole, and with names of no other kind.
#[tokio::test]
async fn an_address_in_a_certificate_is_a_user() {
    let site = Site::open().await;
    let email = |address: &str| SanType::Rfc822Name(address.try_into().unwrap());
    let ann = site.authority.client("whatever", vec![email("ann@example.com")]);
    assert_eq!(site.name(Some(&ann)).await, None, "without a rule, an address is nobody's");
    let rule = site.rule("user:ann", "email", "ann@example.com").await;
    site.rule("robot:acme+ci", "email", "ci@builds.example.com").await;
    assert_eq!(site.name(Some(&ann)).await.as_deref(), Some("ann"));
    let among = vec![dns("laptop.example.com"), email("a@example.com"), email("ann@example.com")];
    assert_eq!(
        site.name(Some(&site.authority.client("", among))).await.as_deref(),
        Some("ann"),
        "one of several names"
    );
    let ci = site.authority.client("", vec![email("ci@builds.example.com")]);
    assert_eq!(site.name(Some(&ci)).await.as_deref(), Some("acme+ci"));
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    for (name, alternative) in [
        ("", email("bob@example.com")),
        ("", email("ann@example.com.evil.example")),
        ("", email("joann@example.com")),
        ("", email("ann@EXAMPLE.com")),
        ("", email("@example.com")),
        ("", dns("ann@example.com")),
        ("", uri("mailto:ann@example.com")),
        ("ann@example.com", dns("laptop.example.com")),
    ] {
        let shown = site.authority.client(name, vec![alternative]);
        assert_eq!(site.name(Some(&shown)).await, None, "{name:?}");
    }
    let token =
        site.ask(Some(&ann), "GET", "/token?service=hallmark&scope=repository:ann/app:pull,push").await.unwrap();
    let token: Value = serde_json::from_str(&token.1).unwrap();
    site.world.image(&Credentials::bearer(token["token"].as_str().unwrap()), "ann/app", "1", "layer").await;

    let pattern = json!({"holder": "user:bob", "kind": "email", "pattern": "*@example.com"});
    let refused = api(&site.world, "POST", "/certificates", pattern).await.expect(400).json();
    assert_eq!(refused["errors"][0]["detail"]["field"], "pattern", "{refused}");
    assert_eq!(
        site.world.sign_ins("signed_in").await,
        ["acme+ci CN= certificate 1", "ann CN= certificate 1", "ann CN=whatever certificate 2"]
    );
    site.world.api("DELETE", &format!("/certificates/{rule}"), &admin()).await.expect(204);
    assert_eq!((site.name(Some(&ann)).await, site.status(Some(&ann), "/v2/").await), (None, 401), "without its rule");
    site.close().await;
}

#[tokio::test]
async fn a_robot_pushes_and_pulls_by_its_certificate_alone_and_no_further_than_its_rights() {
    let site = Site::open().await;
    site.rule("robot:acme+ci", "subject", "CN=ci").await;
    let ci = site.authority.client("ci", Vec::new());
    let digest: Digest = sha256("a layer");
    let path = format!("/v2/acme/app/blobs/uploads/?digest={digest}");
    let headers = [("Connection", "close"), ("Content-Type", "application/octet-stream"), ("Content-Length", "7")];
    let push = Wire::request("POST", &path, &Credentials::none(), &headers) + "a layer";
    assert_eq!(site.send(Some(&ci), &push).await.unwrap().0, 201);
    let blob = format!("/v2/acme/app/blobs/{digest}");
    assert_eq!(site.ask(Some(&ci), "GET", &blob).await.unwrap(), (200, "a layer".to_owned()));
    assert_eq!(site.status(None, &blob).await, 401);
    assert_eq!(site.status(Some(&ci), "/v2/ann/app/tags/list").await, 403);
    // Clients that ask for a token with their certificate get one that is bound to the same rights.
    let scope = "repository:acme/app:pull,push repository:ann/app:pull".replace(' ', "%20");
    let (status, body) = site.ask(Some(&ci), "GET", &format!("/token?service=hallmark&scope={scope}")).await.unwrap();
    let token: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, token["scope"].as_str()), (200, Some("repository:acme/app:pull,push")), "{body}");
    site.close().await;
}

/// A browser shows its certificate to whatever page asks.
#[tokio::test]
async fn a_page_of_another_site_changes_no_image_by_the_browser_s_certificate() {
    let site = Site::open().await;
    site.rule("robot:acme+ci", "subject", "CN=ci").await;
    let ci = site.authority.client("ci", Vec::new());
    let digest: Digest = sha256("a layer");
    let push = |from: &str| {
        let path = format!("/v2/acme/app/blobs/uploads/?digest={digest}");
        let headers = [("Connection", "close"), ("Content-Length", "7"), ("Sec-Fetch-Site", from)];
        Wire::request("POST", &path, &Credentials::none(), &headers) + "a layer"
    };
    for from in ["cross-site", "same-site", "anything"] {
        let (status, body) = site.send(Some(&ci), &push(from)).await.unwrap();
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &told["errors"][0]["code"]), (403, &json!("DENIED")), "{from}");
    }
    let blob = format!("/v2/acme/app/blobs/{digest}");
    assert_eq!(site.status(Some(&ci), &blob).await, 404);
    for from in ["same-origin", "none"] {
        assert_eq!(site.send(Some(&ci), &push(from)).await.unwrap().0, 201, "{from}");
    }
    let read = [("Connection", "close"), ("Sec-Fetch-Site", "cross-site")];
    let read = Wire::request("GET", &blob, &Credentials::none(), &read);
    assert_eq!(site.send(Some(&ci), &read).await.unwrap().0, 200, "what is read stays with the browser");
    site.close().await;
}

#[tokio::test]
async fn a_certificate_of_a_stranger_ends_the_handshake() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    let site = Site::open().await;
    site.rule("user:ann", "subject", "CN=ann").await;
    let strangers = Authority::new().client("ann", Vec::new());
    let for_servers = site.authority.certify("ann", Vec::new(), ServerAuth);
    let for_anything = site.authority.certify("ann", Vec::new(), Any);
    let for_code = site.authority.certify("ann", Vec::new(), CodeSigning);
    for (shown, why) in [
        (strangers, "of another authority"),
        (for_servers, "not made for clients"),
        (for_anything, "made for anything, and not for clients in particular"),
        (for_code, "made for code"),
    ] {
        let refused = site.ask(Some(&shown), "GET", "/livez").await;
        let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("alert"), "a certificate {why} was taken: {told:?}");
    }
    assert_eq!(site.status(None, "/livez").await, 200, "others are served");
    // One that does not say what it is for is for anything (RFC 5280, 4.2.1.12), and so is one that is for clients as well.
    for purposes in [vec![], vec![ServerAuth, ClientAuth]] {
        let shown = site.authority.sign(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, "ann");
            parameters.extended_key_usages = purposes;
        });
        assert_eq!(site.name(Some(&shown)).await.as_deref(), Some("ann"));
    }
    site.close().await;
}

#[tokio::test]
async fn a_certificate_ends_with_its_rule_and_with_its_user() {
    let site = Site::open().await;
    let (ann, ci) = (site.authority.client("ann", Vec::new()), site.authority.client("ci", Vec::new()));
    let rule = site.rule("user:ann", "subject", "CN=ann").await;
    site.rule("robot:acme+ci", "subject", "CN=ci").await;
    assert_eq!(site.status(Some(&ann), "/v2/").await, 200);
    assert_eq!(site.status(Some(&ci), "/v2/").await, 200);

    api(&site.world, "PATCH", "/accounts/acme/robots/ci", json!({"disabled": true})).await.expect(200);
    assert_eq!(site.status(Some(&ci), "/v2/").await, 401, "a disabled robot");
    api(&site.world, "PATCH", "/users/ann", json!({"disabled": true})).await.expect(200);
    assert_eq!((site.status(Some(&ann), "/v2/").await, site.name(Some(&ann)).await), (401, None), "a disabled user");
    api(&site.world, "PATCH", "/users/ann", json!({"disabled": false})).await.expect(200);
    assert_eq!(site.status(Some(&ann), "/v2/").await, 200);

    site.world.api("DELETE", &format!("/certificates/{rule}"), &admin()).await.expect(204);
    assert_eq!((site.status(Some(&ann), "/v2/").await, site.name(Some(&ann)).await), (401, None), "without its rule");
    site.rule("user:ann", "subject", "CN=ann").await;
    site.world.remove_user("ann").await;
    assert_eq!(site.status(Some(&ann), "/v2/").await, 401, "a user who is gone");
    site.close().await;
}

#[tokio::test]
async fn a_sign_in_by_certificate_is_remembered() {
    let site = Site::open().await;
    site.rule("user:ann", "subject", "CN=ann").await;
    let ann = site.authority.client("ann", Vec::new());
    for _ in 0..2 {
        assert_eq!(site.status(Some(&ann), "/v2/").await, 200);
    }
    site.world.write_down().await;
    let answer = site.world.api("GET", "/events?kind=signed_in&actor=ann", &admin()).await.expect(200).json();
    let found = &answer["items"][0];
    let expected = json!({"count": 2, "how": "certificate", "client": "127.0.0.1"});
    assert_eq!((&found["subject"], &found["detail"]), (&json!("CN=ann"), &expected), "{answer}");
    site.close().await;
}

/// What the next request on a connection is answered: the status, and the body as text.
async fn next(stream: &mut TlsStream<TcpStream>, path: &str) -> (u16, String) {
    stream.write_all(Wire::request("GET", path, &Credentials::none(), &[]).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_certificate_that_ends_is_nobody_s_on_a_connection_that_goes_on() {
    let site = Site::open().await;
    site.rule("user:ann", "subject", "CN=ann").await;
    let mut stream = site.connect(&site.config(Some(&site.authority.until("ann", 2049)))).await.unwrap();
    assert_eq!(next(&mut stream, "/api/v1/me").await.0, 200);
    let end = 2_493_072_000;
    site.world.pass(end - 60 - site.world.now() / 1000);
    let (status, body) = next(&mut stream, "/token?service=hallmark&scope=repository:ann/app:pull").await;
    let token: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &token["expires_in"]), (200, &json!(60)), "its token ends with it: {body}");
    site.world.pass(61);
    assert_eq!(next(&mut stream, "/v2/").await.0, 401);
    assert_eq!(next(&mut stream, "/api/v1/me").await.0, 401);
    drop(stream);
    site.close().await;
}

#[tokio::test]
async fn every_connection_has_its_certificate_checked_anew() {
    let site = Site::open().await;
    let config = site.config(Some(&site.authority.client("ann", Vec::new())));
    for _ in 0..2 {
        let mut stream = site.connect(&config).await.unwrap();
        assert_eq!(next(&mut stream, "/livez").await.0, 200);
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
    site.close().await;
}

#[tokio::test]
async fn a_subject_that_only_looks_like_another_is_nobody_s() {
    let site = Site::open().await;
    // The example of docs/sign-in.md.
    site.rule("robot:acme+ci", "subject", "CN=ci,OU=Builds,O=Example").await;
    use DnType::{CommonName, OrganizationName, OrganizationalUnitName};
    let genuine = [(OrganizationName, "Example"), (OrganizationalUnitName, "Builds"), (CommonName, "ci")];
    assert_eq!(site.name(Some(&site.authority.named(&genuine))).await.as_deref(), Some("acme+ci"));
    for parts in [
        &[(CommonName, "ci,OU=Builds,O=Example")][..],
        &[(OrganizationName, "Example"), (CommonName, "ci,OU=Builds")],
        &[(OrganizationName, "Example"), (CommonName, "ci, OU=Builds")],
        &[(CommonName, "ci"), (OrganizationalUnitName, "Builds"), (OrganizationName, "Example")],
    ] {
        assert_eq!(site.name(Some(&site.authority.named(parts))).await, None, "{parts:?}");
    }
    for pattern in ["ci", "CN=ci, O=Example", "CN=ci/O=Example,", "GN=ci"] {
        let rule = json!({"holder": "user:ann", "kind": "subject", "pattern": pattern});
        let refused = api(&site.world, "POST", "/certificates", rule).await.expect(400).json();
        assert_eq!(refused["errors"][0]["detail"]["field"], "pattern", "{refused}");
    }
    site.close().await;
}

#[tokio::test]
async fn who_shows_a_certificate_makes_nothing_that_outlives_it() {
    let site = Site::open().await;
    site.rule("user:admin", "subject", "CN=boss").await;
    let boss = site.authority.client("boss", Vec::new());
    let token = json!({"name": "mine", "scopes": "admin api:write", "expires_at": "2027-06-01T00:00:00Z"});
    for (method, path, body) in [
        ("PUT", "/users/admin/password", json!({"password": "a password of its own"})),
        ("PUT", "/users/ann/password", json!({"password": "a password of its own"})),
        ("POST", "/users", json!({"name": "eve", "password": "a password of its own"})),
        ("POST", "/me/tokens", token),
        ("POST", "/accounts/acme/robots/ci/secrets", json!({})),
        (
            "POST",
            "/accounts/acme/robots/ci/rules",
            json!({"issuer": "https://i", "audience": "a", "claims": {"sub": "x"}}),
        ),
        ("POST", "/certificates", json!({"holder": "user:admin", "kind": "subject", "pattern": "CN=other"})),
        ("PATCH", "/users/ann", json!({"role": "administrator"})),
    ] {
        let (path, body) = (format!("/api/v1{path}"), body.to_string());
        let length = body.len().to_string();
        let headers =
            [("Connection", "close"), ("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        let request = Wire::request(method, &path, &Credentials::none(), &headers) + &body;
        let (status, told) = site.send(Some(&boss), &request).await.unwrap();
        assert!(status == 403 && told.contains("certificate"), "{method} {path}: {status} {told}");
    }
    assert_eq!(site.world.look("SELECT COUNT(*) FROM credentials").await, ["0"]);
    site.world.get("/v2/").by(&admin()).await.expect(200);
    site.close().await;
}

#[tokio::test]
async fn a_rule_that_goes_takes_the_tokens_made_by_it_along_and_no_secrets() {
    let site = Site::open().await;
    let world = &site.world;
    let rule = site.rule("robot:acme+ci", "subject", "CN=ci").await;
    let ci = site.authority.client("ci", Vec::new());
    let secret = Credentials::basic("acme+ci", &world.secret("acme", "ci", 0).await);
    let (status, body) =
        site.ask(Some(&ci), "GET", "/token?service=hallmark&scope=repository:acme/app:pull,push").await.unwrap();
    let token: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    let bearer = Credentials::bearer(token["token"].as_str().unwrap());
    world.get("/v2/acme/app/tags/list").by(&bearer).await.expect(200);
    world.api("DELETE", &format!("/certificates/{rule}"), &admin()).await.expect(204);
    world.get("/v2/acme/app/tags/list").by(&bearer).await.expect(401);
    world.get("/v2/acme/app/tags/list").by(&secret).await.expect(200);

    // A user's password and personal tokens stay as well.
    let rule = site.rule("user:ann", "subject", "CN=ann").await;
    let (_, personal) = world.personal("ann", "read").await;
    let before = world.token("ann", "repository:ann/app:pull").await;
    world.get("/v2/").by(&before).await.expect(200);
    world.api("DELETE", &format!("/certificates/{rule}"), &admin()).await.expect(204);
    world.get("/v2/").by(&before).await.expect(401);
    world.get("/v2/").by(&world.token("ann", "repository:ann/app:pull").await).await.expect(200);
    world.get("/v2/").by(&Credentials::bearer(&personal)).await.expect(200);
    site.close().await;
}

/// A certificate is its authority's word: a provider that no longer vouches for its holder takes nothing from it.
#[tokio::test]
async fn a_certificate_and_its_tokens_go_on_past_a_provider_s_word() {
    let site = Site::open().await;
    let world = &site.world;
    site.rule("user:ann", "subject", "CN=ann").await;
    let ann = site.authority.client("ann", Vec::new());
    world
        .meddle("UPDATE users SET source = 'https://i', source_subject = '1', vouched_at = 0 WHERE name = 'ann'")
        .await;
    assert_eq!(site.name(Some(&ann)).await.as_deref(), Some("ann"));
    let (status, body) = site.ask(Some(&ann), "GET", "/token?service=hallmark").await.unwrap();
    let token: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    world.get("/v2/").by(&Credentials::bearer(token["token"].as_str().unwrap())).await.expect(200);
    site.close().await;
}

/// Threat 15: a name that somebody has and one that nobody has cost one hash each also where a certificate is shown beside the password,
/// whosever that is.
#[tokio::test]
async fn a_wrong_password_beside_a_certificate_costs_a_hash_whatever_the_name() {
    let site = Site::open().await;
    let (ann, nobodys) = (site.authority.client("ann", Vec::new()), site.authority.client("whatever", Vec::new()));
    site.rule("user:ann", "subject", "CN=ann").await;
    for shown in [&ann, &nobodys] {
        let mut seen = Vec::new();
        for name in ["ann", "bob", "eve"] {
            let before = site.world.app.passwords.hashes_computed();
            let by = Credentials::basic(name, "wrong password");
            let request = Wire::request("GET", "/token?service=hallmark", &by, &[("Connection", "close")]);
            let answer = site.send(Some(shown), &request).await.unwrap();
            seen.push((answer, site.world.app.passwords.hashes_computed() - before));
        }
        assert_eq!((seen[0].0.0, seen[0].1), (401, 1));
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
    }
    site.close().await;
}
