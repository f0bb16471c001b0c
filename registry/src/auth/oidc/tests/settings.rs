//! Settings that make no sense are refused before anything is asked.

use serde_json::json;

use crate::auth::oidc::{ClaimPath, Issuer, IssuerInvalid, IssuerSettings, Network, OpenError, Provider};

fn settings(issuer: &str) -> IssuerSettings {
    IssuerSettings { issuer: issuer.to_owned(), audiences: vec!["registry".to_owned()], ..IssuerSettings::default() }
}

#[test]
fn an_issuer_is_an_https_url_and_has_an_audience() {
    Issuer::new(settings("https://token.actions.githubusercontent.com")).unwrap();
    Issuer::new(settings("https://issuer.example/realms/a/")).unwrap();
    for url in ["http://issuer.example", "issuer.example", "", "https://a?b", "https://a#b", "https://u@a", "ftp://a"] {
        assert!(matches!(Issuer::new(settings(url)), Err(IssuerInvalid::Url(_))), "{url}");
    }
    for audiences in [vec![], vec![String::new()], vec!["registry".to_owned(), " ".to_owned()]] {
        let refused = Issuer::new(IssuerSettings { audiences, ..settings("https://a") });
        assert!(matches!(refused, Err(IssuerInvalid::Audience(_))), "{refused:?}");
    }
    for jwks_uri in ["http://a/keys", "/keys", "", "http://127.0.0.1/keys"] {
        let refused = Issuer::new(IssuerSettings { jwks_uri: Some(jwks_uri.to_owned()), ..settings("https://a") });
        assert!(matches!(refused, Err(IssuerInvalid::KeySet(_))), "{refused:?}");
    }
}

#[test]
fn only_loopback_is_insecure() {
    for url in ["http://127.0.0.1:5556", "http://[::1]:5556/dex", "http://localhost"] {
        Issuer::new(IssuerSettings { insecure: true, ..settings(url) }).unwrap();
        Issuer::new(settings(url)).unwrap_err();
    }
    for url in ["http://issuer.example", "https://issuer.example", "http://localhost.evil.example", "http://10.0.0.1"] {
        let refused = Issuer::new(IssuerSettings { insecure: true, ..settings(url) });
        assert!(matches!(refused, Err(IssuerInvalid::Insecure(_))), "{refused:?}");
    }
}

#[test]
fn certificates_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in [("missing", None), ("text", Some("no PEM")), ("empty", Some(""))] {
        let file = folder.path().join(name);
        if let Some(contents) = contents {
            std::fs::write(&file, contents).unwrap();
        }
        let issuer = Issuer::new(IssuerSettings { ca_file: Some(file.clone()), ..settings("https://a") }).unwrap();
        match (contents, Provider::open(issuer, &Network::default())) {
            (None, Err(OpenError::Authorities { path, .. })) | (Some(_), Err(OpenError::NoCertificate(path))) => {
                assert_eq!(path, file);
            }
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_claim_is_named_or_pointed_to() {
    let claims = json!({
        "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}},
        "https://example.com/groups": ["g"], "a/b": {"c~d": 1}, "list": [{"x": 1}],
    });
    let claims = claims.as_object().unwrap();
    for (path, expected) in [
        ("/kubernetes.io/namespace", Some(json!("a"))),
        ("/kubernetes.io/serviceaccount/name", Some(json!("b"))),
        ("https://example.com/groups", Some(json!(["g"]))),
        ("/a~1b/c~0d", Some(json!(1))),
        ("kubernetes.io.namespace", None),
        ("kubernetes.io/namespace", None),
        ("/list/0", None),
        ("/list/0/x", None),
        ("/kubernetes.io/namespace/x", None),
    ] {
        assert_eq!(path.parse::<ClaimPath>().unwrap().find(claims), expected.as_ref(), "{path}");
    }
    for path in ["", "/", "//a", "/a/", "/a//b", "/~", "/~2", "/a/b/c/d/e/f/g/h/i", &"x".repeat(257)] {
        path.parse::<ClaimPath>().unwrap_err();
    }
}
