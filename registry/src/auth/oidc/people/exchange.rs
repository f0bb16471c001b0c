//! Exchanging a code for an ID token (OpenID Connect Core 1.0 section 3.1.3, RFC 7636 section 4.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde_json::Value;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::answer::word;
use super::{Authentication, ClientSettings, Pending, SignIn, SignInRefused};
use crate::auth::oidc::json;

/// The ID token that the issuer gives for `code`. The access token beside it is not used and not kept.
pub(super) async fn id_token(
    sign_in: &SignIn,
    pending: &Pending,
    code: &str,
    now: i64,
) -> Result<String, SignInRefused> {
    let metadata = sign_in.provider.metadata(now).await?;
    let endpoint = metadata.token_endpoint.as_ref().ok_or(SignInRefused::Lacks("token_endpoint"))?;
    let (form, authorization) = request(&sign_in.client, pending, code);
    let (status, body) = sign_in.provider.outbound().post(endpoint, form, authorization).await?;
    let answer = json::parse(&body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    match text("id_token") {
        Some(token) if status == 200 => Ok(token.to_owned()),
        _ => Err(SignInRefused::Exchange { status, error: word(text("error").unwrap_or("no_id_token")) }),
    }
}

/// The form, and the header where the secret stands in one.
fn request(client: &ClientSettings, pending: &Pending, code: &str) -> (String, Option<HeaderValue>) {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &pending.redirect_uri)
        .append_pair("code_verifier", &pending.verifier);
    let basic = match (&client.client_secret, client.authentication) {
        (Some(secret), Authentication::Basic) => return (form.finish(), header(&client.client_id, secret.reveal())),
        (secret, _) => secret,
    };
    form.append_pair("client_id", &client.client_id);
    if let Some(secret) = basic {
        form.append_pair("client_secret", secret.reveal());
    }
    (form.finish(), None)
}

/// RFC 6749 section 2.3.1: both halves are encoded as in a form before they are joined.
fn header(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let joined = STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret)));
    let mut header = HeaderValue::from_str(&format!("Basic {joined}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
