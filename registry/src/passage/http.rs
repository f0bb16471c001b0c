//! The refusal of what there is no room for, the same for a push and for the management API.

use hallmark_oci::ErrorCode;
use serde_json::json;

use super::Exceeded;
use crate::http::error::Error;

/// Clients print the sentence, and try nothing again: what is missing are not rights, but the specification has no other word
/// for what may not be.
pub(crate) fn no_room(exceeded: &Exceeded) -> Error {
    let Exceeded { kind, name, limit, in_use, requested } = exceeded;
    let mut detail = json!({*kind: name, "limit": limit, "requested": requested});
    if let Some(in_use) = in_use {
        detail["used"] = json!(in_use.used);
        detail["reserved"] = json!(in_use.reserved);
    }
    Error::new(ErrorCode::Denied, exceeded.to_string()).detail(detail)
}
