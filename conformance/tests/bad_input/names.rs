//! Malformed repository names, tags and digests, and paths that try to be other paths.

use hallmark_conformance::{
    Outcome,
    http::{Request, encode},
    image::{MANIFEST, digest},
};

use super::scene::{REPOSITORY, Scene};

fn malformed_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "Admin/app",
        "admin/App",
        "admin/-app",
        "admin/app-",
        "admin/.app",
        "admin/app.",
        "admin/a..b",
        "admin/a___b",
        "admin/a._b",
        "_admin/app",
        "admin/a%20b",
        "admin/%C3%A4pp",
        "admin/a:b",
        "admin/a%40b",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("admin/{}", "a".repeat(256)));
    names
}

#[test]
fn a_malformed_repository_name_is_refused_on_every_verb() -> Outcome<()> {
    let scene = Scene::new()?;
    for name in malformed_names() {
        let blob = format!("blobs/{}", scene.image.config.digest);
        let referrers = format!("referrers/{}", scene.image.manifest.digest);
        for (method, rest) in [
            ("GET", "tags/list"),
            ("GET", "manifests/1"),
            ("GET", &blob),
            ("GET", &referrers),
            ("GET", "blobs/uploads/a"),
            ("POST", "blobs/uploads/"),
            ("PATCH", "blobs/uploads/a"),
            ("PUT", "manifests/1"),
            ("DELETE", "manifests/1"),
            ("DELETE", &blob),
            ("DELETE", "blobs/uploads/a"),
        ] {
            let request = Request::new(method, format!("/v2/{name}/{rest}"));
            scene.refuses(&request, &[400], &["NAME_INVALID"])?;
        }
    }
    Ok(())
}

#[test]
fn a_malformed_tag_is_refused_with_400_where_it_is_written_and_404_where_it_is_read() -> Outcome<()> {
    let scene = Scene::new()?;
    let long = "a".repeat(129);
    for tag in [".x", "-x", "a%20b", "%C3%A4", "a%40b", "a%2Bb", &long] {
        let target = format!("/v2/{REPOSITORY}/manifests/{tag}");
        let put =
            Request::new("PUT", &target).header("Content-Type", MANIFEST).bytes(scene.image.manifest.bytes.clone());
        scene.refuses(&put, &[400], &["TAG_INVALID"])?;
        scene.refuses(&Request::new("GET", &target), &[404], &["MANIFEST_UNKNOWN"])?;
        scene.refuses(&Request::new("DELETE", &target), &[400], &["TAG_INVALID"])?;
    }
    Ok(())
}

fn malformed_digests() -> Vec<String> {
    let good = digest(b"");
    let hex = good.trim_start_matches("sha256:");
    vec![
        "sha256:".to_owned(),
        "sha256:short".to_owned(),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha256:{}", "z".repeat(64)),
        format!("sha512:{hex}"),
        format!("md5:{}", &hex[..32]),
        format!(":{hex}"),
    ]
}

#[test]
fn a_malformed_digest_is_refused_wherever_one_is_expected() -> Outcome<()> {
    let scene = Scene::new()?;
    for digest in malformed_digests() {
        let on = |method: &str, room: &str| Request::new(method, format!("/v2/{REPOSITORY}/{room}/{digest}"));
        scene.refuses(&on("GET", "blobs"), &[400], &["DIGEST_INVALID"])?;
        scene.refuses(&on("DELETE", "blobs"), &[400], &["DIGEST_INVALID"])?;
        // A reference with a colon is a digest, so 400 is the better word; distribution answers 404.
        scene.refuses(&on("GET", "manifests"), &[400, 404], &["DIGEST_INVALID", "MANIFEST_UNKNOWN"])?;
        scene.refuses(&on("GET", "referrers"), &[400], &["DIGEST_INVALID"])?;
        let put = on("PUT", "manifests").header("Content-Type", MANIFEST).bytes(scene.image.manifest.bytes.clone());
        scene.refuses(&put, &[400], &["DIGEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn an_upload_that_is_finished_with_a_malformed_digest_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    for digest in malformed_digests() {
        let location = scene.registry.begin_upload(REPOSITORY)?;
        let request = Request::new("PUT", format!("{location}?digest={}", encode(&digest))).bytes(b"");
        scene.refuses(&request, &[400], &["DIGEST_INVALID"])?;
    }
    Ok(())
}

#[test]
fn a_path_that_tries_to_be_another_path_names_nothing() -> Outcome<()> {
    let scene = Scene::new()?;
    let blob = &scene.image.config.digest;
    let tricks = [
        "/v2/../etc/passwd".to_owned(),
        "/v2/admin/app/../app/tags/list".to_owned(),
        "/v2/admin/app/../../token".to_owned(),
        "/v2/admin/%2e%2e/admin/app/tags/list".to_owned(),
        "/v2/admin%2fapp/tags/list".to_owned(),
        "/v2/admin%2Fapp%2Ftags%2Flist".to_owned(),
        "/v2/admin//app/tags/list".to_owned(),
        "/v2//admin/app/tags/list".to_owned(),
        "/v2/./admin/app/tags/list".to_owned(),
        "/v2/admin/app%00/tags/list".to_owned(),
        "/v2/admin/app/manifests/1%00".to_owned(),
        "/v2/admin/app/manifests/..".to_owned(),
        "/v2/admin/app/manifests/%2e%2e%2f1".to_owned(),
        "/v2/admin/app/blobs/..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "/v2/admin/app/blobs/uploads/..%2f..".to_owned(),
        "/v2/admin/app/%ff/tags/list".to_owned(),
        "/v2/admin/app/tags/list/".to_owned(),
        format!("/v2/admin/app/blobs/{blob}/.."),
        format!("/v2/admin/app/blobs//{blob}"),
    ];
    for target in tricks {
        for method in ["GET", "DELETE", "POST", "PUT", "PATCH"] {
            scene.refuses(&Request::new(method, &target), &[400], &["NAME_INVALID"])?;
        }
    }
    // These have plain components, and are what they say: a path outside the protocol, and the tags of a malformed name.
    for method in ["GET", "DELETE"] {
        scene.refuses(&Request::new(method, "//v2/admin/app/tags/list"), &[404], &["NOT_FOUND"])?;
    }
    scene.refuses(&Request::new("GET", "/v2/admin\\app/tags/list"), &[400], &["NAME_INVALID"])?;
    scene.refuses(&Request::new("DELETE", "/v2/admin\\app/tags/list"), &[405], &["UNSUPPORTED"])?;
    Ok(())
}

#[test]
fn a_page_that_is_no_number_is_refused() -> Outcome<()> {
    let scene = Scene::new()?;
    for limit in ["-1", "x", "1.5", "+1"] {
        for list in ["admin/app/tags/list", "_catalog"] {
            let request = Request::new("GET", format!("/v2/{list}?n={limit}"));
            scene.refuses(&request, &[400], &["PAGINATION_NUMBER_INVALID"])?;
        }
    }
    Ok(())
}
