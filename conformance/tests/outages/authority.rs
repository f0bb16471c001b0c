//! An S3 server with a certificate of an own authority and in another region: the registry serves on it by its settings alone.

use hallmark_conformance::{Outcome, failure::While, image::Image, scratch::Scratch};
use rcgen::generate_simple_self_signed;

use super::{
    Grown, SECRET,
    doctor::{examine, fails},
};

const REGION: &str = "eu-central-1";
/// A layer in one part, and one in several.
const LAYERS: [usize; 2] = [50_000, 12 << 20];

#[test]
fn a_registry_serves_from_a_store_of_an_own_authority_and_region_and_without_either_is_told() -> Outcome<()> {
    let home = tempfile::tempdir()?;
    let pair = generate_simple_self_signed(["127.0.0.1".to_owned()]).or_fail("a certificate can be made")?;
    let (certificate, key) = (home.path().join("s3.crt"), home.path().join("s3.key"));
    std::fs::write(&certificate, pair.cert.pem())?;
    std::fs::write(&key, pair.signing_key.serialize_pem())?;
    let trusted = certificate.display().to_string();
    let store = Scratch::s3_over_tls(SECRET, (certificate.as_path(), key.as_path()), REGION)?;
    let mut grown = Grown::on(store, &[("S3_CA_FILE", &trusted), ("S3_REGION", REGION)], &[])?;
    grown.server.start()?;
    let (registry, image) = (grown.server.registry(), Image::random(3, &LAYERS));
    registry.push_image("admin/app", "v1", &image)?;
    grown.server.restart()?;
    registry.check_image("admin/app", "v1")?;
    fails(&examine(&grown)?, &[])?;
    grown.server.stop()?;
    for (key, right, wrong) in [("S3_CA_FILE", trusted.as_str(), None), ("S3_REGION", REGION, Some("us-east-1"))] {
        let name = format!("HALLMARK_STORAGE_{key}");
        grown.server.vary(&name, wrong);
        fails(&examine(&grown)?, &["store"])?;
        grown.server.vary(&name, Some(right));
        fails(&examine(&grown)?, &[])?;
    }
    Ok(())
}
