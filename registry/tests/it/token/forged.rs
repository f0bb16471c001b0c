//! Forged, foreign and stale tokens (threat 12): each is refused as invalid, and nothing tells how near it came.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::harness::{Credentials, Log, NOW, World};

/// A world with ann's image, and a good token for it taken apart.
struct Forge {
    world: World,
    header: Value,
    claims: Value,
    token: String,
}

impl Forge {
    async fn open() -> Self {
        let world = World::open().await;
        let Credentials(Some(ann)) = world.all_of("ann", "ann/app").await else { panic!("a token") };
        world.image(&Credentials(Some(ann.clone())), "ann/app", "1", "layer").await;
        let token = ann.strip_prefix("Bearer ").unwrap().to_owned();
        let part = |index| {
            let part: &str = token.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        Self { header: part(0), claims: part(1), world, token }
    }

    /// Header and claims with these members set, or taken out by null.
    fn input(&self, header: &Value, claims: &Value) -> String {
        let encode = |base: &Value, changes: &Value| {
            let mut document = base.clone();
            for (key, value) in changes.as_object().unwrap() {
                if value.is_null() {
                    document.as_object_mut().unwrap().remove(key);
                } else {
                    document[key] = value.clone();
                }
            }
            URL_SAFE_NO_PAD.encode(document.to_string())
        };
        format!("{}.{}", encode(&self.header, header), encode(&self.claims, claims))
    }

    /// Signed with the registry's own key, as only it can.
    fn genuine(&self, header: &Value, claims: &Value) -> String {
        let input = self.input(header, claims);
        let signature = self.world.app.token_keys.ring().sign(&self.world.app.random, input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Signed with a key of the attacker's.
    fn foreign(&self, header: &Value, claims: &Value) -> (String, Vec<u8>) {
        let random = self.world.app.random.secure();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), random).unwrap();
        let input = self.input(header, claims);
        let signature = pair.sign(random, input.as_bytes()).unwrap();
        (format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)), pair.public_key().as_ref().to_vec())
    }

    async fn status(&self, token: &str) -> u16 {
        let answer = self.world.get("/v2/ann/app/manifests/1").by(&Credentials::bearer(token)).await;
        if answer.status == 401 {
            assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{answer}");
        }
        answer.status.as_u16()
    }

    async fn refuses(&self, what: &str, token: &str) {
        assert_eq!(self.status(token).await, 401, "{what}");
    }
}

#[tokio::test]
async fn a_token_signed_anew_is_good_so_that_the_others_fail_for_their_own_reason() {
    let forge = Forge::open().await;
    assert_eq!(forge.status(&forge.genuine(&json!({}), &json!({}))).await, 200);
    assert_eq!(forge.status(&forge.genuine(&json!({"typ": null}), &json!({"aud": ["x", "hallmark"]}))).await, 200);
}

#[tokio::test]
async fn no_algorithm_but_es256_is_accepted() {
    let forge = Forge::open().await;
    for alg in ["none", "None", "NONE", "", "ES384", "RS256", "EdDSA", "es256"] {
        let genuine = forge.genuine(&json!({"alg": alg}), &json!({}));
        forge.refuses(alg, &genuine).await;
        let bare = format!("{}.", genuine.rsplit_once('.').unwrap().0);
        forge.refuses(alg, &bare).await;
    }
    forge.refuses("missing", &forge.genuine(&json!({"alg": null}), &json!({}))).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret_of_an_hmac() {
    let forge = Forge::open().await;
    let jwks = forge.world.get("/.well-known/jwks.json").await.json();
    let jwk = jwks["keys"][0].to_string();
    let coordinates =
        ["x", "y"].map(|key| URL_SAFE_NO_PAD.decode(jwks["keys"][0][key].as_str().unwrap()).unwrap()).concat();
    let point = [&[4][..], &coordinates].concat();
    for secret in [jwk.as_bytes(), &coordinates, &point] {
        for alg in ["HS256", "ES256"] {
            let input = forge.input(&json!({"alg": alg}), &json!({}));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let tag = hmac::sign(&key, input.as_bytes());
            forge.refuses(alg, &format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))).await;
            let twice = [tag.as_ref(), tag.as_ref()].concat();
            forge.refuses(alg, &format!("{input}.{}", URL_SAFE_NO_PAD.encode(twice))).await;
        }
    }
}

#[tokio::test]
async fn a_key_is_only_ever_one_of_our_own_table() {
    let forge = Forge::open().await;
    let (stolen_name, point) = forge.foreign(&json!({}), &json!({}));
    forge.refuses("our kid, another key", &stolen_name).await;
    let (x, y) = point[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y), "kid": "mine"});
    let headers = [
        ("unknown kid", json!({"kid": "mine"})),
        ("no kid", json!({"kid": null})),
        ("kid of SQL", json!({"kid": "' OR 1=1 --"})),
        ("kid of a path", json!({"kid": "../../../dev/null"})),
        ("jwk", json!({"kid": null, "jwk": jwk})),
        ("jwk beside kid", json!({"jwk": jwk})),
        ("jku", json!({"kid": "mine", "jku": "http://127.0.0.1:1/jwks.json"})),
        ("x5c", json!({"kid": null, "x5c": ["MIIB"]})),
        ("crit", json!({"crit": ["exp"]})),
        ("another typ", json!({"typ": "at+jwt"})),
    ];
    for (what, header) in headers {
        forge.refuses(what, &forge.foreign(&header, &json!({})).0).await;
    }
    forge.refuses("crit, signed by us", &forge.genuine(&json!({"crit": ["exp"]}), &json!({}))).await;
    forge.refuses("another typ, signed by us", &forge.genuine(&json!({"typ": "at+jwt"}), &json!({}))).await;
}

#[tokio::test]
async fn claims_that_do_not_hold_here_are_refused_although_we_signed_them() {
    let forge = Forge::open().await;
    let now = NOW / 1000;
    let table = [
        ("another issuer", json!({"iss": "other"})),
        ("no issuer", json!({"iss": null})),
        ("another audience", json!({"aud": "other"})),
        ("other audiences", json!({"aud": ["other", "hallmark.test"]})),
        ("no audience", json!({"aud": null})),
        ("an empty audience", json!({"aud": []})),
        ("expired", json!({"exp": now - 60})),
        ("no expiry", json!({"exp": null})),
        ("an expiry that is no number", json!({"exp": "9999999999"})),
        ("an expiry that is a fraction", json!({"exp": 9_999_999_999.5})),
        ("not yet", json!({"nbf": now + 61})),
        ("far future", json!({"nbf": 9_999_999_999_i64})),
        ("an epoch that has passed", json!({"hep": -1})),
        ("an epoch to come", json!({"hep": 1})),
        ("another principal", json!({"hid": 4_242_424_242_i64})),
        ("no principal of an integer", json!({"hid": "1"})),
        ("access that is no list", json!({"access": "repository:ann/app:pull"})),
    ];
    for (what, claims) in table {
        forge.refuses(what, &forge.genuine(&json!({}), &claims)).await;
    }
}

#[tokio::test]
async fn clocks_may_be_a_minute_apart() {
    let forge = Forge::open().await;
    let now = NOW / 1000;
    assert_eq!(forge.status(&forge.genuine(&json!({}), &json!({"exp": now - 59}))).await, 200);
    assert_eq!(forge.status(&forge.genuine(&json!({}), &json!({"nbf": now + 60}))).await, 200);
}

#[tokio::test]
async fn a_token_ends_at_its_time_also_when_its_signature_is_remembered() {
    let forge = Forge::open().await;
    assert_eq!(forge.status(&forge.token).await, 200);
    forge.world.pass(15 * 60 + 59);
    assert_eq!(forge.status(&forge.token).await, 200);
    forge.world.pass(1);
    forge.refuses("expired", &forge.token).await;
}

/// The signature is what a warm pull does not pay for: it is checked once for a token, and each time for one that is not believed.
#[tokio::test]
async fn a_signature_is_checked_once() {
    let forge = Forge::open().await;
    let checked = || forge.world.app.token_memory.signatures_checked();
    let before = checked();
    assert_eq!(forge.status(&forge.token).await, 200);
    assert_eq!(checked(), before, "what was pushed by it was the first time");
    let another = forge.genuine(&json!({}), &json!({"jti": "another"}));
    for _ in 0..3 {
        assert_eq!(forge.status(&another).await, 200);
    }
    assert_eq!(checked() - before, 1);
    let mut forged = another.into_bytes();
    let at = forged.len() - 40;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for _ in 0..3 {
        forge.refuses("another signature", &forged).await;
    }
    assert_eq!(checked() - before, 4);
}

#[tokio::test]
async fn any_changed_character_is_noticed() {
    let forge = Forge::open().await;
    assert_eq!(forge.status(&forge.token).await, 200);
    for at in (0..forge.token.len()).step_by(3) {
        let mut changed = forge.token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        forge.refuses(&format!("a change at {at}"), &changed).await;
    }
}

#[tokio::test]
async fn text_that_is_no_token_is_refused() {
    let forge = Forge::open().await;
    let (input, signature) = forge.token.rsplit_once('.').unwrap();
    let zero = URL_SAFE_NO_PAD.encode([0; 64]);
    let shapes = [
        String::new(),
        "..".to_owned(),
        input.to_owned(),
        format!("{input}."),
        format!("{input}.{zero}"),
        format!("{input}.{signature}="),
        format!("{input}.{signature}."),
        format!("{input}.{signature}.{signature}"),
        format!("{input}.{}", &signature[..signature.len() - 4]),
        forge.genuine(&json!({"pad": "x".repeat(8192)}), &json!({})),
        format!("W10.{}", &forge.token[3..]),
    ];
    for shape in shapes {
        forge.refuses(&shape.chars().take(40).collect::<String>(), &shape).await;
    }
}

/// A payload of one token under the signature of another.
#[tokio::test]
async fn parts_of_two_good_tokens_make_no_third() {
    let forge = Forge::open().await;
    let Credentials(Some(bob)) = forge.world.all_of("bob", "bob/app").await else { panic!("a token") };
    let (bobs, _) = bob.strip_prefix("Bearer ").unwrap().rsplit_once('.').unwrap();
    let (_, anns) = forge.token.rsplit_once('.').unwrap();
    forge.refuses("swapped", &format!("{bobs}.{anns}")).await;
}

/// Access that the token endpoint would never grant gives nothing, since rights are looked up on every request.
#[tokio::test]
async fn a_wider_access_claim_than_the_users_right_gives_nothing() {
    let forge = Forge::open().await;
    let bob = forge.world.all_of("bob", "bob/app").await;
    forge.world.image(&bob, "bob/app", "1", "layer").await;
    let wide = json!({"access": [{"type": "repository", "name": "bob/app", "actions": ["*"]}]});
    let token = Credentials::bearer(&forge.genuine(&json!({}), &wide));
    let answer = forge.world.get("/v2/bob/app/manifests/1").by(&token).await.expect(401);
    assert!(answer.header("www-authenticate").ends_with("error=\"insufficient_scope\""));
}

/// Whether a key is known cannot be told while the database does not answer: the client is to come back with its token.
#[tokio::test]
async fn a_database_that_does_not_answer_makes_no_token_invalid() {
    let forge = Forge::open().await;
    let unknown = forge.foreign(&json!({"kid": "another-replica"}), &json!({})).0;
    forge.world.pass(2);
    forge.world.app.metadata.close().await;
    let log = Log::begin();
    let answer = forge.world.get("/v2/ann/app/manifests/1").by(&Credentials::bearer(&unknown)).await;
    assert_eq!(answer.gist(), (503, "UNAVAILABLE".into()));
    assert!(log.last()["cause"].is_string(), "{}", log.last());
}
