use super::*;

/// One answer with a `Content-Length`, head and body.
async fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

async fn ask(stream: &mut TcpStream, path: &str) -> (String, Vec<u8>) {
    stream.write_all(get_request(path).as_bytes()).await.unwrap();
    answer(stream).await
}

#[tokio::test]
async fn a_request_carries_the_address_of_its_peer() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    let (head, body) = ask(&mut client, "/peer").await;
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert_eq!(String::from_utf8(body).unwrap(), client.local_addr().unwrap().to_string());
}

#[tokio::test]
async fn a_small_answer_leaves_in_one_piece() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    client.write_all(get_request("/peer").as_bytes()).await.unwrap();
    let mut buffer = [0; 4096];
    let read = client.read(&mut buffer).await.unwrap();
    let expected = client.local_addr().unwrap().to_string();
    assert!(buffer[..read].ends_with(expected.as_bytes()), "{:?}", String::from_utf8_lossy(&buffer[..read]));
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    client.write_all(get_request("/peer").repeat(3).as_bytes()).await.unwrap();
    for _ in 0..3 {
        assert!(answer(&mut client).await.0.starts_with("http/1.1 200"));
    }
}

#[tokio::test]
async fn a_head_that_begins_like_http2_is_read_from_its_first_byte() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    let request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    for byte in request.as_bytes() {
        client.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(answer(&mut client).await.1, b"hello");
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_given_up() {
    for beginning in ["G", "GET /peer HTTP/1.1\r\n", "GET /peer HTTP/1.1\r\nHost: localhost\r\nX-Long: "] {
        let server = Server::start(config::Http { header_timeout: SOON, ..PATIENT }).await;
        let mut client = server.connect().await;
        client.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut client).await, b"", "{beginning}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up() {
    let server = Server::start(config::Http { header_timeout: SOON, ..PATIENT }).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(b"GET /peer HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while writer.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    assert_eq!(rest(&mut reader).await, b"");
    drop(reader);
    trickle.await.unwrap();
}

#[tokio::test]
async fn the_second_head_of_a_connection_is_bounded_like_the_first() {
    let server = Server::start(config::Http { header_timeout: SOON, ..PATIENT }).await;
    let mut client = server.connect().await;
    ask(&mut client, "/peer").await;
    client.write_all(b"GET /").await.unwrap();
    assert_eq!(rest(&mut client).await, b"");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = Server::start(config::Http { idle_timeout: SOON, ..PATIENT }).await;
    let mut client = server.connect().await;
    assert_eq!(rest(&mut client).await, b"");
}

#[tokio::test]
async fn a_connection_that_rests_after_a_request_is_closed() {
    let server = Server::start(config::Http { idle_timeout: SOON, ..PATIENT }).await;
    let mut client = server.connect().await;
    ask(&mut client, "/peer").await;
    assert_eq!(rest(&mut client).await, b"");
}

#[tokio::test]
async fn a_request_that_runs_is_not_idle() {
    let server = Server::start(config::Http { idle_timeout: SOON, header_timeout: SOON, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.write_all(get_request("/gated").as_bytes()).await.unwrap();
    server.gate.begun.notified().await;
    // A connection beside it, opened later, has been closed for idleness: the time has passed for both.
    rest(&mut server.connect().await).await;
    server.gate.go_on.notify_one();
    assert_eq!(answer(&mut client).await.1, b"went on");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let server = Server::start(config::Http { body_timeout: SOON, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.write_all(get_request("/large").as_bytes()).await.unwrap();
    // Without a byte read here the server drains only when it has let go of the connection.
    let mut first = [0; 16];
    client.read_exact(&mut first).await.unwrap();
    let drained = server.stop().await.unwrap();
    assert_eq!(drained, Drained { open: 1, cut: 0 });
}

#[tokio::test]
async fn a_head_that_is_too_long_is_told_so() {
    let server = Server::start(PATIENT).await;
    for length in [64 << 10, 4 << 20] {
        let mut client = server.connect().await;
        let request = format!("GET /peer HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(length));
        // The server may close before the last byte has left.
        let _ = client.write_all(request.as_bytes()).await;
        let told = String::from_utf8(rest(&mut client).await).unwrap();
        assert!(told.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{length}: {told}");
    }
}

#[tokio::test]
async fn a_long_head_within_the_limit_is_read() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    let request = format!("GET /peer HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(60 << 10));
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(answer(&mut client).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let server = Server::start(PATIENT).await;
    let mut client = server.connect().await;
    let length = 32 << 20;
    let head = format!("POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![0; length]).await.unwrap();
    let told = String::from_utf8(rest(&mut client).await).unwrap();
    assert!(told.starts_with("HTTP/1.1 401 Unauthorized\r\n") && told.ends_with("\r\n\r\nno"), "{told}");
}

#[tokio::test]
async fn beyond_the_limit_a_connection_waits_for_another_to_end() {
    let server = Server::start(config::Http { max_connections: 1, ..PATIENT }).await;
    let mut first = server.connect().await;
    ask(&mut first, "/peer").await;
    let mut second = server.connect().await;
    second.write_all(get_request("/peer").as_bytes()).await.unwrap();
    let waiting = tokio::time::timeout(SOON, second.readable()).await;
    assert!(waiting.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(answer(&mut second).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn draining_lets_a_running_request_end_and_takes_no_other() {
    let server = Server::start(PATIENT).await;
    let (address, gate) = (server.address, server.gate.clone());
    let mut running = server.connect().await;
    running.write_all(get_request("/gated").as_bytes()).await.unwrap();
    gate.begun.notified().await;
    let mut resting = server.connect().await;
    ask(&mut resting, "/peer").await;
    let end = server.stop();
    assert_eq!(rest(&mut resting).await, b"");
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    gate.go_on.notify_one();
    let told = String::from_utf8(rest(&mut running).await).unwrap();
    assert!(told.contains("connection: close\r\n") && told.ends_with("went on"), "{told}");
    assert_eq!(end.await.unwrap(), Drained { open: 2, cut: 0 });
}

#[tokio::test]
async fn draining_ends_connections_that_have_said_nothing() {
    let server = Server::start(PATIENT).await;
    let mut silent = server.connect().await;
    // The connection after it has been served, so it was accepted.
    ask(&mut server.connect().await, "/peer").await;
    let end = server.stop();
    assert_eq!(rest(&mut silent).await, b"");
    end.await.unwrap();
}

#[tokio::test]
async fn what_still_runs_at_the_end_of_the_drain_is_cut() {
    let server = Server::start(config::Http { drain_timeout: SOON, ..PATIENT }).await;
    let gate = server.gate.clone();
    let mut running = server.connect().await;
    running.write_all(get_request("/gated").as_bytes()).await.unwrap();
    gate.begun.notified().await;
    let drained = server.stop().await.unwrap();
    assert_eq!(drained, Drained { open: 1, cut: 1 });
    assert_eq!(rest(&mut running).await, b"");
}

/// A client whose answer waits to be sent: hyper has let go of the body, which came in one piece.
async fn taking_slowly(server: &Server, headers: &str) -> TcpStream {
    let mut client = server.connect().await;
    let request = format!("GET /large HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    // The server writes on until there is no room for more.
    client.read_exact(&mut [0; 16]).await.unwrap();
    client
}

#[tokio::test]
async fn draining_sends_what_waits_to_be_sent() {
    for headers in ["", "Connection: close\r\n", "Connection: close\r\nUpgrade: x\r\n"] {
        let server = Server::start(PATIENT).await;
        let mut client = taking_slowly(&server, headers).await;
        let end = server.stop();
        let told = rest(&mut client).await;
        drop(client);
        let body = told.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(told.len() - body, 64 << 20, "{headers}");
        assert_eq!(end.await.unwrap(), Drained { open: 1, cut: 0 }, "{headers}");
    }
}

#[tokio::test]
async fn what_waits_to_be_sent_at_the_end_of_the_drain_is_cut() {
    for headers in ["", "Connection: close\r\n"] {
        let server = Server::start(config::Http { drain_timeout: SOON, ..PATIENT }).await;
        let _client = taking_slowly(&server, headers).await;
        assert_eq!(server.stop().await.unwrap(), Drained { open: 1, cut: 1 }, "{headers}");
    }
}

#[tokio::test]
async fn a_server_without_connections_ends_at_once() {
    let server = Server::start(PATIENT).await;
    assert_eq!(server.stop().await.unwrap(), Drained::default());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(config::Http { header_timeout: SOON, ..PATIENT }, Some(certificates(folder.path()))).await;
    let mut client = server.connect().await;
    client.write_all(&[22, 3, 1]).await.unwrap();
    assert_eq!(rest(&mut client).await, b"");
}

/// A certificate for `localhost` in files of `folder`.
pub(super) fn certificates(folder: &std::path::Path) -> Arc<Certificates> {
    let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = config::Tls { certificate: folder.join("cert.pem"), key: folder.join("key.pem"), client_ca: None };
    std::fs::write(&files.certificate, generated.cert.pem()).unwrap();
    std::fs::write(&files.key, generated.signing_key.serialize_pem()).unwrap();
    Certificates::load(files).unwrap()
}
