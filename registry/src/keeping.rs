//! Lives here: what rules keep as it is, asked within the change that would undo it.
//! Never here: what rules look like, which is `gc`'s; who may set them.
//! Start reading at [`fixed`].

use hallmark_gc::policy::Immutables;
use hallmark_storage::metadata::{self, Policies, RepositoryId, Tx};

/// A tag that does not move, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// The tag.
    pub(crate) tag: String,
    /// The rule, as it was written and whose it is.
    pub(crate) rule: String,
}

impl std::fmt::Display for Fixed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tag, rule } = self;
        write!(formatter, "the tag {tag} is immutable by the rule {rule}: it stays where it points; push another tag")
    }
}

/// The first of these tags that rules keep where it points; asked after the change, which is then taken back. What cannot be read
/// keeps everything.
///
/// # Errors
/// The database failed.
pub(crate) async fn fixed(
    tx: &mut Tx,
    repository: RepositoryId,
    tags: impl IntoIterator<Item = &str>,
) -> Result<Option<Fixed>, metadata::Error> {
    let mut tags = tags.into_iter().peekable();
    if tags.peek().is_none() {
        return Ok(None);
    }
    let Policies { repository, account } = tx.policies(repository).await?;
    let kept = Immutables::parse((repository.as_deref(), account.as_deref()));
    Ok(tags.find_map(|tag| {
        let rule = match &kept {
            Ok(kept) => kept.keeps(tag)?.to_owned(),
            Err(unreadable) => unreadable.to_string(),
        };
        Some(Fixed { tag: tag.to_owned(), rule })
    }))
}
