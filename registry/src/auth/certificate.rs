//! Who shows a client certificate: the names in it, and which user or robot an administrator said they are.
//!
//! That the certificate is genuine and made for clients has been checked in the handshake, against the one authority that the
//! settings name; what another server in front says about certificates is never listened to. Connections outlive their
//! handshake, so whether the certificate is valid still is asked with every request.

use hallmark_storage::metadata::CertificateKind;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authenticated, Refused, subject};
use crate::app::App;

/// How many names of one kind are looked at.
const NAMES: usize = 16;

/// The names in a client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its subject, as RFC 4514 writes it.
    pub subject: String,
    /// Its alternative names, each with its kind, in their order.
    pub alternatives: Vec<(CertificateKind, String)>,
    /// The last moment at which it is valid, in milliseconds since 1970.
    pub not_after: i64,
}

impl Names {
    /// What the certificate is called in a word: its subject, or its first alternative name when it has none.
    pub(crate) fn first(&self) -> &str {
        let alternative = self.alternatives.first().map_or("", |(_, name)| name);
        if self.subject.is_empty() { alternative } else { &self.subject }
    }
}

/// The names of a certificate in DER; `None` when it cannot be read, which the handshake has made unlikely.
#[must_use]
pub fn names(der: &[u8]) -> Option<Names> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternative = certificate.subject_alternative_name().ok()?;
    let listed = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let alternatives = listed.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((CertificateKind::Dns, name.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some((CertificateKind::Uri, (*uri).to_owned())),
        GeneralName::RFC822Name(email) => Some((CertificateKind::Email, (*email).to_owned())),
        _ => None,
    });
    let alternatives = alternatives.take(NAMES).collect();
    let not_after = certificate.validity().not_after.timestamp().saturating_mul(1_000);
    Some(Names { subject: subject::spell(certificate.subject()), alternatives, not_after })
}

/// Everything that a rule could say to mean this name, the most particular first: the name, and where it has parts, all that
/// begin (or for a host's name end) alike.
#[must_use]
pub fn patterns(kind: CertificateKind, name: &str) -> Vec<String> {
    let mut patterns = vec![name.to_owned()];
    match kind {
        CertificateKind::Dns => {
            patterns.extend(name.match_indices('.').map(|(dot, _)| format!("*{}", &name[dot..])));
        }
        CertificateKind::Uri => {
            let slashes: Vec<_> = name.match_indices('/').map(|(slash, _)| format!("{}*", &name[..=slash])).collect();
            patterns.extend(slashes.into_iter().rev());
        }
        CertificateKind::Subject | CertificateKind::Email => {}
    }
    patterns.truncate(NAMES);
    patterns
}

/// Who shows a certificate with these names; `None` for who is nobody here, also because the certificate has ended.
///
/// # Errors
/// [`Refused::Metadata`].
pub(crate) async fn identify(app: &App, names: &Names, now: i64) -> Result<Option<Authenticated>, Refused> {
    if now > names.not_after {
        return Ok(None);
    }
    let subject = (CertificateKind::Subject, names.subject.clone());
    for (kind, name) in names.alternatives.iter().chain([&subject]) {
        let wanted = patterns(*kind, name);
        let rules = app.metadata.certificate_rules_for(*kind, &wanted).await?;
        let place = |pattern: &String| wanted.iter().position(|wanted| wanted == pattern);
        let Some(rule) = rules.into_iter().min_by_key(|rule| place(&rule.pattern)) else { continue };
        let principal = app.metadata.principal(rule.principal).await?.filter(|principal| !principal.disabled);
        let certificate = Some(names.not_after);
        return Ok(principal.map(|principal| Authenticated { certificate, ..Authenticated::unbound(principal) }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_certificate() {
        let mut parameters = rcgen::CertificateParams::new(["CI.example.com".to_owned()]).unwrap();
        let uri = "spiffe://example/ns/prod/sa/ci".try_into().unwrap();
        parameters.subject_alt_names.push(rcgen::SanType::URI(uri));
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "ci");
        let key = rcgen::KeyPair::generate().unwrap();
        let names = names(parameters.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(names.subject, "CN=ci");
        let uri = "spiffe://example/ns/prod/sa/ci".to_owned();
        let expected = [(CertificateKind::Dns, "ci.example.com".to_owned()), (CertificateKind::Uri, uri)];
        assert_eq!(names.alternatives, expected);
        assert_eq!(super::names(b"no certificate"), None);
    }

    #[test]
    fn patterns_go_from_the_name_to_what_is_wider() {
        assert_eq!(patterns(CertificateKind::Dns, "a.b.c"), ["a.b.c", "*.b.c", "*.c"]);
        assert_eq!(
            patterns(CertificateKind::Uri, "spiffe://t/ns/a"),
            ["spiffe://t/ns/a", "spiffe://t/ns/*", "spiffe://t/*", "spiffe://*", "spiffe:/*"]
        );
        assert_eq!(patterns(CertificateKind::Subject, "CN=a,O=b"), ["CN=a,O=b"]);
    }
}
