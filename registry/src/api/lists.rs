//! What lists that are ordered by names are asked: which part of the names, and what else narrows them; and where the next
//! page is.

use axum::response::Response;
use http::header::LINK;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::IntoParams;

use super::call::shown;
use crate::people::members::MemberRole;
use crate::people::repositories::Visibility;
use crate::people::{List, Names, Page};

/// Declares what a list is asked, and makes of it the part of the names and what else narrows them.
macro_rules! query {
    ($(#[doc = $doc:literal])+ $name:ident $(, #[doc = $narrows:literal] $field:ident: $kind:ty)?) => {
        $(#[doc = $doc])+
        #[derive(Debug, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(super) struct $name {
            /// At most so many entries; 100 unless said.
            #[param(minimum = 1, maximum = 1000)]
            limit: Option<u32>,
            /// The `next` of the page before.
            #[param(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
            after: Option<String>,
            /// Only names that begin with this.
            #[param(pattern = r"^[a-z0-9._/-]{0,255}$")]
            prefix: Option<String>,
            $(
                #[doc = $narrows]
                #[param(inline)]
                $field: Option<$kind>,
            )?
        }

        impl $name {
            pub(super) fn parts(self) -> (Names, $(Option<$kind>)?) {
                let page = Page { limit: self.limit, after: self.after };
                (Names { page, prefix: self.prefix }, $(self.$field)?)
            }
        }
    };
}

query! {
    /// Of what has nothing but a name to be asked by.
    NamesQuery
}
query! {
    /// Of users.
    UsersQuery, #[doc = "Only who may not sign in at present, or only who may."] disabled: bool
}
query! {
    /// Of members of an organization.
    MembersQuery, #[doc = "Only who has this role."] role: MemberRole
}
query! {
    /// Of repositories.
    RepositoriesQuery, #[doc = "Only what anybody may pull, or only what not."] visibility: Visibility
}

/// The cursor of the page after this one, beside the answer for [`link`].
#[derive(Clone)]
struct Next(String);

/// A page of a list, with its entity tag.
pub(super) fn listed<T: Serialize>(page: &List<T>) -> Response {
    let mut response = shown(page);
    if let Some(next) = &page.next {
        response.extensions_mut().insert(Next(next.clone()));
    }
    response
}

/// Says where the page after this one is (RFC 8288): it is asked all that this one was.
pub(super) fn link(asked: &Uri, response: &mut Response) {
    let Some(Next(next)) = response.extensions_mut().remove() else { return };
    let mut query = form_urlencoded::Serializer::new(String::new());
    let said = form_urlencoded::parse(asked.query().unwrap_or_default().as_bytes());
    query.extend_pairs(said.filter(|(name, _)| name != "after")).append_pair("after", &next);
    let link = format!("<{}?{}>; rel=\"next\"", asked.path(), query.finish());
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
}
