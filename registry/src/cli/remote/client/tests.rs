//! What is sent where, and what each answer means.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn typed(text: &str) -> Result<String, Failure> {
    Address::typed(text, None, false).map(|address| address.url.to_string())
}

#[test]
fn an_address_is_a_scheme_a_host_and_a_port() {
    for (text, url) in [
        ("https://registry.example.com", "https://registry.example.com/"),
        ("registry.example.com:5443", "https://registry.example.com:5443/"),
        ("http://localhost:5000", "http://localhost:5000/"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/"),
        ("http://[::1]:5000", "http://[::1]:5000/"),
    ] {
        assert_eq!(typed(text).unwrap(), url);
    }
    for text in
        ["", "ftp://r", "https://r/v2", "https://r/?q", "http://registry.example.com", "http://127.0.0.1.example.com"]
    {
        assert!(matches!(typed(text), Err(Failure::Usage(_))), "{text:?}");
    }
    assert!(Address::typed("http://registry.example.com", None, true).is_ok());
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let refused = typed("https://ann:hunter2@registry.example.com").unwrap_err().to_string();
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_part_of_a_path_stays_one_part() {
    let base: Url = "https://r/".parse().unwrap();
    let url = |path: &[&str]| located(&base, &Ask::get(path)).map(|url| url.to_string());
    assert_eq!(
        url(&["grants", "acme/web-*", "team:acme/dev"]).unwrap(),
        "https://r/api/v1/grants/acme%2Fweb-*/team:acme%2Fdev"
    );
    assert_eq!(url(&["users", "a?b#c%2F"]).unwrap(), "https://r/api/v1/users/a%3Fb%23c%252F");
    for part in ["", ".", ".."] {
        assert!(url(&["organizations", part]).is_err());
    }
}

#[test]
fn a_credential_prints_as_nothing() {
    let secret = Secret::new("hunter2".to_owned());
    let address = Address::typed("https://r", None, false).unwrap();
    let client = Client::new(&address, Credential::Token(&secret)).unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
}

/// What one request to a server that gives this answer comes to.
async fn answered(head: &str, body: &str) -> Result<Value, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let secret = Secret::new("hunter2".to_owned());
    let client = Client::new(&Address::typed(&url, None, false).unwrap(), Credential::Token(&secret)).unwrap();
    let (request, outcome) = tokio::join!(serve, client.ask::<Value>(Ask::get(&["me"])));
    assert!(request.starts_with("GET /api/v1/me HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("Bearer hunter2"), "{request}");
    if let Err(failure) = &outcome {
        assert!(!failure.to_string().contains("hunter2"));
    }
    outcome
}

fn envelope(message: &str) -> String {
    serde_json::json!({"errors": [{"code": "X", "message": message, "detail": null}]}).to_string()
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let refusal = envelope("no such thing\u{1b}[2J");
    for (status, code) in [
        ("400 Bad Request", 1),
        ("401 Unauthorized", 5),
        ("403 Forbidden", 5),
        ("404 Not Found", 4),
        ("409 Conflict", 1),
    ] {
        let failure = answered(status, &refusal).await.unwrap_err();
        assert_eq!(failure.code(), std::process::ExitCode::from(code), "{status}");
        assert!(failure.to_string().starts_with("no such thing\u{fffd}[2J"), "{failure}");
    }
    assert_eq!(answered("200 OK", "{\"name\":\"ann\"}").await.unwrap()["name"], "ann");
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_not_followed() {
    let failure = answered("307 Temporary Redirect\r\nlocation: https://evil.example.com/", "").await.unwrap_err();
    assert!(failure.to_string().contains("https://evil.example.com/"), "{failure}");
}

#[tokio::test]
async fn what_is_no_answer_of_ours_is_told() {
    let failure = answered("200 OK", "<html>").await.unwrap_err();
    assert!(failure.to_string().contains("not understood"), "{failure}");
    let failure = answered("404 Not Found", "<html>").await.unwrap_err();
    assert!(matches!(failure, Failure::NotFound(_)), "{failure}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut() {
    let failure = answered("200 OK", &" ".repeat(ANSWER_BYTES + 1)).await.unwrap_err();
    assert!(failure.to_string().contains("longer than 16 MiB"), "{failure}");
}

#[tokio::test]
async fn nobody_at_the_address_is_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let secret = Secret::new("hunter2".to_owned());
    let client = Client::new(&Address::typed(&url, None, false).unwrap(), Credential::Token(&secret)).unwrap();
    let failure = client.tell(Ask::get(&["me"])).await.unwrap_err();
    assert!(matches!(failure, Failure::NoServer(_)), "{failure}");
}

#[test]
fn advice_that_was_followed_is_not_given_again() {
    let unknown = "invalid peer certificate: UnknownIssuer";
    let authority = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
    assert!(advice(unknown).contains("--ca") && !advice(authority).contains("--ca"));
    assert!(advice(authority).contains("authority signs"));
    assert_eq!(advice("Connection refused (os error 111)"), "");
}
