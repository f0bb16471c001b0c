//! Texts with a grammar, as the document of the API describes them. What is sent is judged by the rules themselves: a text
//! that fits its shape can still be refused, as a name that is taken.

use utoipa::ToSchema;

/// The name of an account, a team or a robot: the first component of a repository's name, or what can stand like one.
#[derive(Debug, Clone, ToSchema)]
#[schema(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$", min_length = 1, max_length = 255)]
pub struct Name(pub String);

/// The name of a repository: components joined by slashes.
#[derive(Debug, Clone, ToSchema)]
#[schema(
    pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$",
    min_length = 1,
    max_length = 255
)]
pub struct Repository(pub String);

/// Who holds something: `user:ann`, `team:acme/dev` or `robot:acme+ci`.
#[derive(Debug, Clone, ToSchema)]
#[schema(
    pattern = r"^(user:|team:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*/|robot:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*\+)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"
)]
pub struct HolderText(pub String);

/// Who does something: `user:ann` or `robot:acme+ci`.
#[derive(Debug, Clone, ToSchema)]
#[schema(pattern = r"^(user:|robot:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*\+)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$")]
pub struct SubjectText(pub String);

/// What a grant is about: a repository (`acme/web`), or a prefix of names (`acme/web-*`; `acme/` is short for `acme/*`).
#[derive(Debug, Clone, ToSchema)]
#[schema(
    pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*((/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(/([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\.|_|__|-+)?)?\*|/)?)$"
)]
pub struct PatternText(pub String);

/// Rights, joined by `+`.
#[derive(Debug, Clone, ToSchema)]
#[schema(pattern = r"^(read|write|admin|delete|sign)(\+(read|write|admin|delete|sign))*$")]
pub struct RightsText(pub String);

/// Who did something: as a holder is written, or a user's bare name.
#[derive(Debug, Clone, ToSchema)]
#[schema(
    pattern = r"^(user:|team:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*/|robot:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*\+)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"
)]
pub struct ActorText(pub String);

/// A tag.
#[derive(Debug, Clone, ToSchema)]
#[schema(pattern = r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$", min_length = 1, max_length = 128)]
pub struct Tag(pub String);

/// A digest by SHA-256: the algorithm, a colon, and the hash in lower-case hex.
#[derive(Debug, Clone, ToSchema)]
#[schema(pattern = r"^sha256:[a-f0-9]{64}$")]
pub struct Digest(pub String);
