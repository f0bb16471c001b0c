//! `hallmark undelete` and `hallmark history`: what was deleted or overwritten, and the way back.

use clap::{Args, Subcommand};
use hallmark_oci::{RepositoryName, Tag};
use serde_json::json;

use super::client::Ask;
use super::table::{Row, or_dash};
use super::{Remote, Session};
use crate::cli::output::Failure;
use crate::people::trash::{DeletedRepositoryView, TagMoveView, TrashView, UndeletedView};

#[derive(Args, Debug)]
pub(in crate::cli) struct Undelete {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: UndeleteVerb,
}

#[derive(Debug, Subcommand)]
enum UndeleteVerb {
    /// List the manifests of a repository that were deleted and can be brought back
    List {
        /// The repository, such as acme/web
        repository: String,
    },
    /// List the repositories of an account that were deleted and can be brought back
    Repositories {
        /// The account, such as acme
        account: String,
    },
    /// Point a tag back to what it pointed to before it was deleted or moved, or at a time
    Tag {
        /// The tag, such as acme/web:1.4, or acme/web:1.4@{2026-01-31T12:00:00Z}
        tag: TagAt,
    },
    /// Bring a deleted manifest back, with those of its tags that are free
    Manifest {
        /// The manifest, such as acme/web@sha256:…
        manifest: String,
    },
    /// Bring a deleted repository back, private, with all that it held
    Repository {
        /// The name it had, such as acme/web
        name: String,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    remote: Remote,
    /// The tag, such as acme/web:1.4, or acme/web:1.4@{2026-01-31T12:00:00Z} for what it pointed to then
    tag: TagAt,
}

/// A tag of a repository as people write it, perhaps with a time: `acme/web:1.4@{2026-01-31T12:00:00Z}`.
#[derive(Debug, Clone)]
struct TagAt {
    repository: RepositoryName,
    tag: Tag,
    at: Option<String>,
}

impl std::str::FromStr for TagAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, at) = match text.split_once("@{") {
            Some((name, rest)) => {
                let time = rest.strip_suffix('}').ok_or("a time ends with '}': acme/web:1.4@{2026-01-31T12:00:00Z}")?;
                (name, Some(time.to_owned()))
            }
            None => (text, None),
        };
        let (repository, tag) = name.rsplit_once(':').ok_or("a tag is written as repository:tag")?;
        let repository = repository.parse().map_err(|invalid| format!("{invalid}"))?;
        Ok(Self { repository, tag: tag.parse().map_err(|invalid| format!("{invalid}"))?, at })
    }
}

impl Row for TrashView {
    const HEAD: &'static [&'static str] = &["DIGEST", "TAGS", "DELETED", "BY", "UNTIL"];

    fn cells(&self) -> Vec<String> {
        let (by, until) = (or_dash(self.deleted_by.as_ref()), self.until.clone());
        vec![self.digest.clone(), self.tags.join(","), self.deleted_at.clone(), by, until]
    }
}

impl Row for TagMoveView {
    const HEAD: &'static [&'static str] = &["VERSION", "DIGEST", "SINCE", "BY"];

    fn cells(&self) -> Vec<String> {
        let digest = self.digest.clone().unwrap_or_else(|| "(deleted)".to_owned());
        vec![self.version.to_string(), digest, self.at.clone(), or_dash(self.by.as_ref())]
    }
}

impl Row for DeletedRepositoryView {
    const HEAD: &'static [&'static str] = &["NAME", "DELETED", "UNTIL"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.deleted_at.clone(), self.until.clone()]
    }
}

impl Undelete {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let verb = self.verb;
        self.remote.run(async |session: Session| match verb {
            UndeleteVerb::List { repository } => {
                session.list::<TrashView>(Ask::get(&["repositories", &repository, "trash"])).await
            }
            UndeleteVerb::Repositories { account } => {
                session.list::<DeletedRepositoryView>(Ask::get(&["accounts", &account, "trash"])).await
            }
            UndeleteVerb::Tag { tag: TagAt { repository, tag, at } } => {
                let body = match at {
                    Some(at) => json!({"tag": tag, "at": at}),
                    None => json!({"tag": tag}),
                };
                let ask = Ask::post(&["repositories", repository.as_str(), "undelete"], body);
                session.made::<UndeletedView>(ask, &format!("{repository}:{tag} is back")).await
            }
            UndeleteVerb::Manifest { manifest } => {
                let (repository, digest) = super::two(&manifest, '@', "manifest")?;
                let ask = Ask::post(&["repositories", repository, "undelete"], json!({"digest": digest}));
                session.made::<UndeletedView>(ask, &format!("{manifest} is back")).await
            }
            UndeleteVerb::Repository { name } => {
                let account = name.split('/').next().unwrap_or_default();
                let ask = Ask::post(&["accounts", account, "undelete"], json!({"repository": name}));
                session.act(ask, &format!("{name} is back, private: `hallmark repo set` opens it")).await
            }
        })
    }
}

impl History {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let TagAt { repository, tag, at } = self.tag;
        self.remote.run(async |session: Session| {
            let ask = Ask::get(&["repositories", repository.as_str(), "tags", tag.as_str(), "history"]);
            session.list::<TagMoveView>(ask.with("at", at)).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_may_have_a_time_behind_it() {
        let plain: TagAt = "acme/web:1.4".parse().unwrap();
        assert_eq!((plain.repository.as_str(), plain.tag.as_str(), plain.at), ("acme/web", "1.4", None));
        let timed: TagAt = "acme/web:1.4@{2026-01-31T12:00:00Z}".parse().unwrap();
        assert_eq!(timed.at.as_deref(), Some("2026-01-31T12:00:00Z"));
        for bad in ["acme/web", "acme/web:1@{now", "Acme:1", "acme/web:"] {
            assert!(bad.parse::<TagAt>().is_err(), "{bad}");
        }
    }
}
