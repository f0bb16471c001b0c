//! TLS in `serve`: real clients over HTTP/2 and HTTP/1.1, and certificates that are replaced under it.

use std::{fs, path::Path, process::Command};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::encode,
    image::{Image, digest, noise, write_layout},
    process::{Ran, attempt},
    server::{ADMIN, PASSWORD},
    tools,
};

use super::{
    secure::{HTTP1, HTTP2, Secure, Site},
    world::REPOSITORY,
};

/// crane with the server's certificate as the only one that it trusts, speaking HTTP/2 or only HTTP/1.1. It tells the
/// frames that it sends and gets.
fn crane(site: &Site, http2: bool, words: &[&str]) -> Outcome<Ran> {
    let home = site.server.scratch().join("home");
    fs::create_dir_all(&home)?;
    let mut command = Command::new(tools::locate("crane")?);
    command.env_clear().env("HOME", &home).env("DOCKER_CONFIG", &home).env("SSL_CERT_FILE", site.certificate());
    command.env("GODEBUG", if http2 { "http2debug=1" } else { "http2client=0,http2debug=1" });
    attempt(command.args(words))
}

fn speaks(ran: &Ran, http2: bool) -> Outcome<()> {
    let said = format!("{}{}", ran.output, ran.complaints);
    holds(ran.status.success(), || format!("crane ended with {}: {said}", ran.status))?;
    let frames = said.contains("http2: ");
    holds(frames == http2, || format!("HTTP/2 was spoken: {frames}, and {http2} was wanted: {said}"))
}

fn pushes_and_pulls(http2: bool) -> Outcome<()> {
    let secure = Secure::start()?;
    let site = &secure.site;
    let (image, name) = (Image::random(1, &[100_000, 3_000_000]), format!("{}/{REPOSITORY}:1", site.host()));
    let path = |name: &str| site.server.scratch().join(name).display().to_string();
    write_layout(Path::new(&path("layout")), &image, "1")?;
    speaks(&crane(site, http2, &["auth", "login", &site.host(), "-u", ADMIN, "-p", PASSWORD])?, false)?;
    speaks(&crane(site, http2, &["push", &path("layout"), &name])?, http2)?;
    speaks(&crane(site, http2, &["pull", "--format=oci", &name, &path("pulled")])?, http2)?;
    for content in image.blobs().chain([&image.manifest]) {
        let file = Path::new(&path("pulled")).join("blobs").join(content.digest.replace(':', "/"));
        holds(fs::read(&file)? == content.bytes, || format!("{} is not what was pushed", file.display()))?;
    }
    Ok(())
}

#[test]
fn crane_pushes_and_pulls_over_tls_and_http2() -> Outcome<()> {
    pushes_and_pulls(true)
}

#[test]
fn crane_pushes_and_pulls_over_tls_and_http1() -> Outcome<()> {
    pushes_and_pulls(false)
}

#[test]
fn nothing_is_answered_without_tls_or_trust() -> Outcome<()> {
    let (secure, other) = (Secure::start()?, Secure::start()?);
    let site = &secure.site;
    holds(site.answers_to(&site.certificate())?, || "the server's own certificate was to be taken".into())?;
    holds(!site.answers_to(&other.site.certificate())?, || "another server's certificate was taken".into())?;
    let plain = format!("http://{}/livez", site.host());
    let ran = attempt(&mut site.curl(&site.certificate(), HTTP1, &["--fail", &plain])?)?;
    holds(!ran.status.success(), || format!("plain HTTP was answered: {}", ran.output))
}

/// An upload by hand: begun, sent in two chunks, ended, and read back.
fn uploads(version: &str, expected: &str) -> Outcome<()> {
    let secure = Secure::start()?;
    let site = &secure.site;
    let authorization = site.authorization(REPOSITORY)?;
    let (bytes, half) = (noise(3, 3 << 20), 1 << 20);
    let file = |name: &str, bytes: &[u8]| -> Outcome<String> {
        let path = site.server.scratch().join(name);
        fs::write(&path, bytes)?;
        Ok(format!("@{}", path.display()))
    };
    let (first, second) = (file("first", &bytes[..half])?, file("second", &bytes[half..])?);
    let ask = |method: &str, more: &[&str], path: &str, status: u16| {
        let words = [&["--request", method, "--header", &authorization], more].concat();
        let answer = site.ask(version, &words, path)?;
        holds(answer.status == status && answer.version == expected, || {
            format!("{method} {path} over HTTP/{} was answered {}", answer.version, answer.status)
        })?;
        Ok::<_, hallmark_conformance::Failure>(answer)
    };
    let begun = ask("POST", &["--data-binary", ""], &format!("/v2/{REPOSITORY}/blobs/uploads/"), 202)?;
    let location = begun.header("location")?;
    let kind = "Content-Type: application/octet-stream";
    let range = format!("Content-Range: 0-{}", half - 1);
    let chunk = ["--header", kind, "--header", &range, "--data-binary", &first];
    let appended = ask("PATCH", &chunk, &location, 202)?;
    let told = appended.header("range")?;
    holds(told == format!("0-{}", half - 1), || format!("the upload holds {told}"))?;
    let location = appended.header("location")?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let end = format!("{location}{separator}digest={}", encode(&digest(&bytes)));
    let ended = ask("PUT", &["--header", kind, "--data-binary", &second], &end, 201)?;
    let told = ended.header("docker-content-digest")?;
    holds(told == digest(&bytes), || format!("the blob is called {told}"))?;
    let read = ask("GET", &[], &format!("/v2/{REPOSITORY}/blobs/{}", digest(&bytes)), 200)?;
    holds(read.body == bytes, || format!("{} bytes came back for {}", read.body.len(), bytes.len()))
}

#[test]
fn an_upload_in_a_patch_and_a_put_goes_over_http2() -> Outcome<()> {
    uploads(HTTP2, "2")
}

#[test]
fn an_upload_in_a_patch_and_a_put_goes_over_http1_and_tls() -> Outcome<()> {
    uploads(HTTP1, "1.1")
}

#[test]
fn a_replaced_certificate_is_shown_to_new_connections_and_old_ones_go_on() -> Outcome<()> {
    let mut secure = Secure::start()?;
    let old = secure.site.trust("old.pem")?;
    let mut kept = secure.site.connect(&old)?;
    let alive = ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned());
    let before = kept.ask()?;
    holds(before == alive, || format!("the connection answered {before:?}"))?;
    secure.site.renew()?;
    let new = secure.site.trust("new.pem")?;
    secure.wait_until("the new certificate is served", |site| site.answers_to(&new).unwrap_or(false))?;
    holds(!secure.site.answers_to(&old)?, || "the old certificate is served to new connections".into())?;
    let after = kept.ask()?;
    holds(after == alive, || format!("the connection of before answered {after:?}"))
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays() -> Outcome<()> {
    let mut secure = Secure::start()?;
    let old = secure.site.trust("old.pem")?;
    fs::write(secure.site.certificate(), "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n")?;
    let told = "the new certificate cannot be used; the old one is still served";
    secure.wait_until("the broken certificate is told in the log", |site| site.server.log().contains(told))?;
    holds(secure.site.answers_to(&old)?, || "the old certificate is no longer served".into())?;
    // A good pair ends it, without a restart.
    secure.site.renew()?;
    let new = secure.site.trust("new.pem")?;
    secure.wait_until("the good certificate is served", |site| site.answers_to(&new).unwrap_or(false))
}
