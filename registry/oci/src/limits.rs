//! Every bound that this crate puts on a stranger's text, named once.
//! No limits of time, memory or rate: those belong to the server that serves.
//! Start at [`MANIFEST_BYTES`].

/// The longest name of a role in a trust collection, in bytes.
pub const ROLE_BYTES: usize = 255;
/// The largest manifest where nobody has raised the limit, in bytes. The distribution specification asks for at least 4 MiB
/// (1.7 "Pushing Manifests").
pub const MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// The most descriptors that one manifest may hold: its config, layers, children and subject together.
pub const DESCRIPTORS: usize = 4096;

/// The deepest nesting of arrays and objects in any JSON document from outside.
pub const JSON_DEPTH: usize = 32;

/// The most values (scalars, arrays and objects) in one JSON document.
///
/// A manifest of [`MANIFEST_BYTES`] could otherwise hold two million of them, and each costs far more in memory than
/// the two bytes it takes on the wire.
pub const JSON_VALUES: usize = 262_144;

/// The longest repository name, in bytes. Clients cap host and name together near this length.
pub const NAME_BYTES: usize = 255;

/// The longest tag, in bytes.
pub const TAG_BYTES: usize = 128;

/// The longest media type or artifact type, in bytes (RFC 6838 section 4.2: two names of 127 and a slash).
pub const MEDIA_TYPE_BYTES: usize = 255;

/// The most `tag` parameters of one manifest put; a longer list is answered with 414. The specification asks for 10.
pub const TAGS_PER_PUT: usize = 64;

/// The longest page, and the one given when the request names no length; a larger `n` is answered with this many entries and a `Link` to the next page.
pub const PAGE_MAX: u32 = 1000;

/// The longest `last` cursor, in bytes: nothing that is listed is longer than a repository name.
pub const CURSOR_BYTES: usize = NAME_BYTES;

/// The largest size of any content, in bytes: what a signed 64-bit number holds, as the image specification says.
pub const CONTENT_BYTES: u64 = i64::MAX as u64;

/// The longest compact token, in bytes. HTTP servers cap a header line near this length.
pub const TOKEN_BYTES: usize = 8192;

/// The longest key id in a token's header, in bytes.
pub const KEY_ID_BYTES: usize = 128;

/// The most scopes that one token request may ask for; those past it are dropped, as unpermitted ones are.
pub const SCOPES: usize = 128;

/// The longest value of a challenge's parameter, in bytes.
pub const CHALLENGE_VALUE_BYTES: usize = 4096;
