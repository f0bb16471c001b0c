//! A part of a list.

use std::borrow::Cow;

use hallmark_storage::metadata::{NameRange, PrincipalId};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Refused;

/// How many entries a page has when nothing is said, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1_000;
/// The longest name, in bytes.
const NAME_BYTES: usize = 255;
/// The longest text that a page can begin after, in bytes.
const CURSOR_BYTES: usize = 600;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many entries.
    pub limit: Option<u32>,
    /// Only those after this one, as the page before named it.
    pub after: Option<String>,
}

/// Which part of a list is wanted that is ordered by names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The page.
    pub page: Page,
    /// Only names that begin with these bytes.
    pub prefix: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct List<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What the next page begins after; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Written by hand: what the macro makes of a type with a parameter does not compile beside crates that convert from and to
/// `Cow` as well.
impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(T::schema()).description(Some("The entries."));
        let text = SchemaType::from_iter([Type::String, Type::Null]);
        let next = ObjectBuilder::new()
            .schema_type(text)
            .description(Some("What the next page begins after; absent at the end."));
        ObjectBuilder::new()
            .description(Some("A page of a list."))
            .property("items", items)
            .required("items")
            .property("next", next)
            .into()
    }
}

impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        format!("List_{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

impl Page {
    /// How many entries the page has.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for 0, for more than a page has, and for a cursor that no page names.
    pub fn check(&self) -> Result<(u32, Option<&str>), Refused> {
        let limit = self.limit.unwrap_or(USUAL);
        if limit == 0 || limit > MOST {
            return Err(Refused::invalid("limit", format!("a page has 1 to {MOST} entries")));
        }
        let after = self.after.as_deref().filter(|after| !after.is_empty());
        if after.is_some_and(|after| after.len() > CURSOR_BYTES || after.chars().any(char::is_control)) {
            return Err(not_of_a_page());
        }
        Ok((limit, after))
    }
}

impl Names {
    /// How many entries the page has, and the names that it is cut from.
    ///
    /// # Errors
    /// As of [`Page::check`]; [`Refused::Invalid`] for a prefix that no name can have.
    pub fn check(&self) -> Result<(u32, NameRange), Refused> {
        let ((limit, after), prefix) = (self.page.check()?, self.prefix()?);
        Ok((limit, NameRange::of(prefix, after)))
    }

    /// What the names begin with; nothing, unless said.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for what no name can begin with.
    pub(super) fn prefix(&self) -> Result<&str, Refused> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let is_of_names = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
        if prefix.len() > NAME_BYTES || !prefix.bytes().all(is_of_names) {
            return Err(Refused::invalid(
                "prefix",
                format!("no name begins so: names have at most {NAME_BYTES} of a-z, 0-9, '.', '_', '-' and '/'"),
            ));
        }
        Ok(prefix)
    }
}

/// The id that a cursor names.
pub(super) fn id(after: &str) -> Result<PrincipalId, Refused> {
    after.parse().map(PrincipalId).map_err(|_| not_of_a_page())
}

/// The text and the id behind it that a cursor names.
pub(super) fn text_and_id(after: &str) -> Result<(&str, PrincipalId), Refused> {
    let (text, after) = after.rsplit_once(' ').ok_or_else(not_of_a_page)?;
    Ok((text, id(after)?))
}

fn not_of_a_page() -> Refused {
    Refused::invalid("after", "use the `next` of the page before")
}

impl<T> List<T> {
    /// A page of at most `limit` of the rows, of which one more was asked for; `cursor` names the last that is shown.
    pub fn cut<R>(mut rows: Vec<R>, limit: u32, cursor: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Self {
        let is_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = if is_more { rows.last().map(cursor) } else { None };
        Self { items: rows.into_iter().map(show).collect(), next }
    }
}
