//! One request on its way into the router.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};

use tokio::sync::mpsc;

use super::{Answer, World};

/// A body that fails as a connection does.
pub(super) type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// A value of `Authorization`; `None` says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(pub(crate) Option<String>);

impl Credentials {
    /// Nobody in particular.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self(Some(format!("Bearer {token}")))
    }

    pub(crate) fn basic(name: &str, password: &str) -> Self {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        Self(Some(format!("Basic {text}")))
    }
}

/// A request; awaiting it sends it.
#[must_use]
pub(crate) struct Call<'w> {
    world: &'w World,
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Sent,
    peer: SocketAddr,
}

impl<'w> Call<'w> {
    pub(super) fn new(world: &'w World, method: &str, path: &str) -> Self {
        let headers = vec![(http::header::HOST, HeaderValue::from_static("registry.test"))];
        let peer = SocketAddr::from(([192, 0, 2, 7], 40_000));
        let method = method.parse().unwrap();
        Self { world, method, path: path.to_owned(), headers, body: whole(Bytes::new()), peer }
    }

    pub(crate) fn by(self, credentials: &Credentials) -> Self {
        match &credentials.0 {
            Some(value) => self.header("authorization", value),
            None => self,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().unwrap();
        if name == http::header::HOST {
            self.headers.retain(|(known, _)| *known != name);
        }
        self.headers.push((name, HeaderValue::from_bytes(value.as_ref()).unwrap()));
        self
    }

    pub(crate) fn sent_from(mut self, address: [u8; 4]) -> Self {
        self.peer = SocketAddr::from((address, 40_000));
        self
    }

    /// A body whose length is announced.
    pub(crate) fn body(mut self, content: impl Into<Bytes>) -> Self {
        self.body = whole(content.into());
        self
    }

    /// A body in pieces, its length unknown beforehand.
    pub(crate) fn chunked(mut self, pieces: Vec<Bytes>) -> Self {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        self.body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync();
        self
    }

    /// A body that comes as the other end of the channel is fed.
    pub(crate) fn fed(mut self, pieces: mpsc::Receiver<Bytes>) -> Self {
        let frames = stream::unfold(pieces, |mut pieces| async {
            let piece = pieces.recv().await?;
            Some((Ok(Frame::data(piece)), pieces))
        });
        self.body = StreamBody::new(frames).boxed_unsync();
        self
    }

    /// A body whose reading panics after these bytes.
    pub(crate) fn panicking(mut self, content: &'static [u8]) -> Self {
        let mut content = Some(Bytes::from_static(content));
        let frames = stream::poll_fn(move |_| {
            let Some(bytes) = content.take() else { panic!("for a test") };
            Poll::Ready(Some(Ok(Frame::data(bytes))))
        });
        self.body = StreamBody::new(frames).boxed_unsync();
        self
    }

    /// A body whose connection ends after these bytes.
    pub(crate) fn cut(mut self, content: &[u8]) -> Self {
        let reset = io::Error::new(io::ErrorKind::ConnectionReset, "the client is gone");
        let frames = vec![Ok(Frame::data(Bytes::copy_from_slice(content))), Err(reset)];
        self.body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        self
    }
}

impl Call<'_> {
    /// Sends it, does `meanwhile` once the head of the answer is there, and fails unless the body then breaks off.
    pub(crate) async fn breaks_off(self, meanwhile: impl FnOnce()) {
        let (world, request, peer) = self.request();
        let response = world.begin(request, peer).await;
        assert_eq!(response.status(), 200);
        meanwhile();
        assert!(response.into_body().collect().await.is_err(), "the body ended clean");
    }
}

impl Call<'_> {
    /// Sends it with a body in two halves, and lets `meanwhile` happen between them.
    pub(crate) async fn halved(self, content: impl AsRef<str>, meanwhile: impl Future<Output = ()>) -> Answer {
        let (feed, body) = mpsc::channel(1);
        let (first, second) = content.as_ref().split_at(content.as_ref().len() / 2);
        let feeding = async {
            feed.send(Bytes::copy_from_slice(first.as_bytes())).await.unwrap();
            // An empty piece finds room only after the first one was taken: the request was granted by then.
            feed.send(Bytes::new()).await.unwrap();
            meanwhile.await;
            feed.send(Bytes::copy_from_slice(second.as_bytes())).await.unwrap();
            drop(feed);
        };
        tokio::join!(self.fed(body).into_future(), feeding).0
    }
}

impl<'w> Call<'w> {
    fn request(self) -> (&'w World, Request<Sent>, SocketAddr) {
        let Self { world, method, path, headers, body, peer } = self;
        let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
        request.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
        (world, request, peer)
    }
}

impl<'w> IntoFuture for Call<'w> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        let (world, request, peer) = self.request();
        Box::pin(world.send(request, peer))
    }
}

fn whole(content: Bytes) -> Sent {
    Full::new(content).map_err(|never| match never {}).boxed_unsync()
}
