//! What clients read from the head of an answer: challenges, entity tags, caching, and the path without its last slash.

use hallmark_conformance::{
    Outcome,
    check::{holds, refused},
    http::Request,
    image::Image,
    registry::Registry,
    server::Server,
};

const REPOSITORY: &str = "admin/spec";

fn scene() -> Outcome<(Server, Registry, Image)> {
    let server = Server::fresh()?;
    let registry = server.registry();
    let image = Image::random(1, &[1_000]);
    registry.push_image(REPOSITORY, "1", &image)?;
    Ok((server, registry, image))
}

#[test]
fn the_first_question_is_answered_with_a_challenge_and_with_a_token_by_200() -> Outcome<()> {
    let (server, registry, _) = scene()?;
    for path in ["/v2/", "/v2"] {
        let answer = server.anonymous().send_plain(&Request::new("GET", path))?;
        refused(&answer, &[401], &["UNAUTHORIZED"])?;
        let challenge = answer.required("www-authenticate")?;
        let realm = format!("Bearer realm=\"http://localhost:{}/token\",service=\"", server.port());
        let exact = challenge.starts_with(&realm) && !challenge.contains("scope=") && !challenge.contains("error=");
        holds(exact, || format!("the challenge is {challenge}"))?;
        let authorization = registry.client().authorization(&[])?;
        let request = Request::new("GET", path).header("Authorization", authorization);
        server.anonymous().send_plain(&request)?.expect(200)?;
    }
    Ok(())
}

#[test]
fn a_challenge_names_the_scope_of_its_very_request() -> Outcome<()> {
    let (server, _, image) = scene()?;
    let blob = &image.config.digest;
    let mount = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={blob}&from=admin/other");
    for (method, target, scope) in [
        ("GET", format!("/v2/{REPOSITORY}/manifests/1"), "repository:admin/spec:pull"),
        ("HEAD", format!("/v2/{REPOSITORY}/blobs/{blob}"), "repository:admin/spec:pull"),
        ("GET", format!("/v2/{REPOSITORY}/tags/list"), "repository:admin/spec:pull"),
        ("GET", format!("/v2/{REPOSITORY}/referrers/{blob}"), "repository:admin/spec:pull"),
        ("POST", format!("/v2/{REPOSITORY}/blobs/uploads/"), "repository:admin/spec:pull,push"),
        ("PUT", format!("/v2/{REPOSITORY}/manifests/1"), "repository:admin/spec:pull,push"),
        ("POST", mount, "repository:admin/spec:pull,push repository:admin/other:pull"),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*"),
    ] {
        let answer = server.anonymous().send_plain(&Request::new(method, &target))?.expect(401)?;
        let challenge = answer.required("www-authenticate")?;
        let asked = challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let sorted = |scopes: &str| {
            let mut scopes: Vec<String> = scopes.split(' ').map(str::to_owned).collect();
            scopes.sort();
            scopes
        };
        holds(sorted(asked) == sorted(scope), || format!("{method} {target} asks for {asked}, not {scope}"))?;
    }
    Ok(())
}

#[test]
fn an_entity_that_the_client_has_is_answered_with_304() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let digests = [
        format!("/v2/{REPOSITORY}/manifests/1"),
        format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest),
        format!("/v2/{REPOSITORY}/blobs/{}", image.config.digest),
    ];
    for target in digests {
        let first = registry.client().send(&Request::new("GET", &target))?.expect(200)?;
        let tag = first.required("etag")?;
        let again = Request::new("GET", &target).header("If-None-Match", tag);
        let answer = registry.client().send(&again)?.expect(304)?;
        holds(answer.body.is_empty(), || "a 304 has no body".into())?;
        let other = Request::new("GET", &target).header("If-None-Match", "\"sha256:other\"");
        registry.client().send(&other)?.expect(200)?;
    }
    Ok(())
}

#[test]
fn nothing_is_compressed_whatever_the_client_accepts() -> Outcome<()> {
    let (_server, registry, image) = scene()?;
    let target = format!("/v2/{REPOSITORY}/blobs/{}", image.config.digest);
    let request = Request::new("GET", target).header("Accept-Encoding", "zstd, gzip, deflate");
    let answer = registry.client().send(&request)?.expect(200)?;
    holds(answer.header("content-encoding").is_none(), || format!("the blob was compressed: {answer}"))?;
    holds(answer.body == image.config.bytes, || "the blob has other bytes".into())?;
    holds(answer.header("accept-ranges") == Some("bytes"), || format!("ranges are not offered: {answer}"))
}

#[test]
fn an_upload_begins_without_the_last_slash_too() -> Outcome<()> {
    let (_server, registry, _) = scene()?;
    let request = Request::new("POST", format!("/v2/{REPOSITORY}/blobs/uploads"));
    let answer = registry.client().send(&request)?.expect(202)?;
    let location = answer.required("location")?;
    holds(location.starts_with(&format!("/v2/{REPOSITORY}/blobs/uploads/")), || {
        format!("the upload is at {location}")
    })?;
    answer.required("docker-upload-uuid")?;
    holds(answer.header("range") == Some("0-0"), || format!("nothing is told as 0-0: {answer}"))
}

#[test]
fn a_mirror_s_question_is_answered_with_its_namespace() -> Outcome<()> {
    let (_server, registry, _) = scene()?;
    let request = Request::new("GET", format!("/v2/{REPOSITORY}/manifests/1?ns=docker.io"));
    let answer = registry.client().send(&request)?.expect(200)?;
    holds(answer.header("oci-namespace") == Some("docker.io"), || format!("the namespace is not told: {answer}"))
}
