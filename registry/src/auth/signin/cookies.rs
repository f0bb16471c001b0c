//! The cookies of this room. Nothing outside it reads a cookie, so none opens images, tokens or the API.

use http::HeaderMap;
use http::header::COOKIE;

use super::Base;
use super::codes::SECRET_CHARACTERS;

/// A cookie of this room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Binds a sign-in that has begun to its browser; made for this one sign-in.
    SignIn,
    /// Ties a form for a name and a password to the browser that it was shown in.
    Form,
    /// Says that somebody is signed in with this browser; made when they were.
    Session,
}

impl Cookie {
    /// A browser takes a name with this prefix over HTTPS only, for this host alone and all of its paths: neither a
    /// neighbouring host nor plain HTTP can put one in its place. On loopback there is no HTTPS to ask for.
    fn name(self, base: &Base) -> &'static str {
        match (self, base.secure) {
            (Self::SignIn, true) => "__Host-hallmark-sign-in",
            (Self::Form, true) => "__Host-hallmark-form",
            (Self::Session, true) => "__Host-hallmark-session",
            (Self::SignIn, false) => "hallmark-sign-in",
            (Self::Form, false) => "hallmark-form",
            (Self::Session, false) => "hallmark-session",
        }
    }

    /// What the browser holds; nothing when it sends two, of which one is not ours.
    pub(super) fn read<'a>(self, headers: &'a HeaderMap, base: &Base) -> Option<&'a str> {
        let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = sent.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == self.name(base)).map(|(_, value)| value);
        let (value, None) = (values.next()?, values.next()) else { return None };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (value.len() == SECRET_CHARACTERS && value.bytes().all(plain)).then_some(value)
    }

    /// The header that gives it to a browser for so many seconds. `Lax`, since the way back from a provider is a navigation
    /// from another site.
    pub(super) fn give(self, value: &str, seconds: i64, base: &Base) -> String {
        let secure = if base.secure { "; Secure" } else { "" };
        let name = self.name(base);
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    /// The header that takes it away.
    pub(super) fn take(self, base: &Base) -> String {
        self.give("", 0, base)
    }
}
