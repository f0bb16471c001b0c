//! Files on their way into a connection: what the kernel does not have in memory, and what sending costs others.

use std::fs::File;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use hallmark_storage::blobs::Window;
use rustix::fs::{Advice, fadvise};
use tokio::io::AsyncWrite;
use tokio::task::coop;

use super::super::activity::{Activity, Overdue};
use super::super::transport::{Stream, Transport};
use super::*;

/// A transport with a window of a file to send, and the client that it sends to.
struct Sending {
    activity: Arc<Activity>,
    transport: Transport,
    window: Window,
    delivery: Delivery,
    bytes: Bytes,
    client: TcpStream,
}

impl Sending {
    async fn of(file: File, length: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, outbox, activity) = (listener.accept().await.unwrap().0, Outbox::default(), Activity::new());
        let transport = Transport::new(Stream::Plain(stream), Arc::clone(&activity), outbox.clone());
        let window = Window::map(file, "a file".into(), 0..length).unwrap();
        let delivery = Delivery::default();
        let bytes = outbox.place(window.clone(), delivery.clone());
        Self { activity, transport, window, delivery, bytes, client }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, &self.bytes)
    }

    /// Sends what the kernel takes next.
    async fn send(&mut self) -> usize {
        let sent = poll_fn(|context| self.poll_send(context)).await.unwrap();
        drop(self.bytes.split_to(sent));
        sent
    }

    /// Sends until the client has no room; how much that was.
    async fn fill(&mut self) -> usize {
        let whole = self.bytes.len();
        poll_fn(|context| {
            while let Poll::Ready(sent) = self.poll_send(context) {
                drop(self.bytes.split_to(sent.unwrap()));
            }
            match self.activity.deadline(&PATIENT) {
                Some((_, Overdue::Blocked)) => Poll::Ready(whole - self.bytes.len()),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// A file of zeros on a disk, nothing of which is in memory; `/tmp` may be memory.
fn hole(length: u64) -> File {
    let file = tempfile::tempfile_in("/var/tmp").unwrap();
    file.set_len(length).unwrap();
    file
}

#[tokio::test]
async fn what_the_kernel_does_not_have_is_loaded_elsewhere_first() {
    let mut sending = Sending::of(hole(1 << 20), 1 << 20).await;
    let first = poll_fn(|context| Poll::Ready(sending.poll_send(context))).await;
    assert!(first.is_pending(), "the disk was read on a thread of the runtime");
    let sent = sending.send().await;
    assert!(sending.window.is_resident(0..1 << 20));
    let mut taken = vec![1; sent];
    sending.client.read_exact(&mut taken).await.unwrap();
    assert!(taken.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn what_the_kernel_throws_away_while_a_client_rests_is_loaded_again() {
    let length = 64 << 20;
    let mut sending = Sending::of(hole(length), length).await;
    let sent = sending.fill().await;
    fadvise(sending.window.file(), 0, None, Advice::DontNeed).unwrap();
    let rest = sent..sending.window.bytes.len();
    assert!(!sending.window.is_resident(rest.clone()));
    sending.client.read_exact(&mut vec![0; sent]).await.unwrap();
    sending.send().await;
    assert!(sending.window.is_resident(rest), "it was sent without a look at what is in memory");
}

#[tokio::test]
async fn sending_a_file_costs_its_task_the_turn() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; 4 << 20]).unwrap();
    let mut sending = Sending::of(file, 4 << 20).await;
    tokio::task::yield_now().await;
    let (sent, left) = poll_fn(|context| {
        let Poll::Ready(sent) = sending.poll_send(context) else { return Poll::Pending };
        let mut left = 0;
        while let Poll::Ready(taken) = coop::poll_proceed(context) {
            taken.made_progress();
            left += 1;
        }
        assert!(sending.poll_send(context).is_pending(), "the turn is over");
        Poll::Ready((sent.unwrap(), left))
    })
    .await;
    assert!(sent <= 256 << 10 && left <= 128 - sent / (8 << 10), "{sent} bytes left {left} of a turn of 128");
    drop(sending.bytes.split_to(sent));
    assert!(sending.send().await > 0, "the next turn goes on");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_no_failure_of_the_file() {
    let length = 64 << 20;
    let mut sending = Sending::of(hole(length), length).await;
    sending.fill().await;
    let Sending { mut transport, delivery, bytes, client, .. } = sending;
    drop(client);
    while poll_fn(|context| Pin::new(&mut transport).poll_write(context, &bytes)).await.is_ok() {}
    assert!(delivery.failure().take().is_none());
}

#[tokio::test]
async fn a_file_that_ends_early_is_a_failure_of_its_own() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 100]).unwrap();
    let mut sending = Sending::of(file, 200).await;
    assert_eq!(sending.send().await, 100);
    assert!(poll_fn(|context| sending.poll_send(context)).await.is_err());
    assert!(sending.delivery.failure().take().is_some_and(|error| error.is_damaged()));
}
