//! Uploads against a model: whatever is sent in whatever order, the upload stands where the model says, and becomes
//! exactly the bytes that were acknowledged.

use hallmark_storage::blobs::StorageConfig;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::{Answer, Credentials, World, pieces, sha256};

/// The byte at an offset. It tells offsets apart, so that a byte that is kept twice or in the wrong place shows.
fn byte(offset: usize) -> u8 {
    (offset.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]
}

fn bytes(start: usize, length: usize) -> Vec<u8> {
    (start..start + length).map(byte).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// Without a range: it continues wherever the upload stands.
    Stream { length: usize, piece: usize },
    /// With a range that begins `ahead` of where the upload stands.
    Chunk { ahead: i64, length: usize, announced: bool },
    /// With a range of another length than the body.
    Contradiction { length: usize, range: usize, announced: bool },
    /// The connection ends after the bytes.
    Cut { length: usize },
    /// The server is asked.
    Status,
    /// A last request that does not continue, which must change nothing.
    FinishElsewhere { ahead: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let length = || 0_usize..3_000;
    let ahead = || prop_oneof![3 => Just(0_i64), 1 => -2_000_i64..2_000];
    prop_oneof![
        3 => (length(), 1_usize..1_000).prop_map(|(length, piece)| Step::Stream { length, piece }),
        4 => (ahead(), 1_usize..3_000, any::<bool>()).prop_map(|(ahead, length, announced)| Step::Chunk { ahead, length, announced }),
        1 => (length(), 1_usize..3_000, any::<bool>())
            .prop_map(|(length, range, announced)| Step::Contradiction { length, range, announced }),
        1 => length().prop_map(|length| Step::Cut { length }),
        1 => Just(Step::Status),
        1 => (-2_000_i64..2_000).prop_map(|ahead| Step::FinishElsewhere { ahead }),
    ]
}

/// An upload and what is known of it.
struct Model<'w> {
    world: &'w World,
    ann: &'w Credentials,
    upload: String,
    received: usize,
}

impl Model<'_> {
    /// `0-0` for nothing and for one byte.
    fn range(&self) -> String {
        format!("0-{}", self.received.saturating_sub(1))
    }

    fn at(&self, ahead: i64) -> usize {
        usize::try_from(i64::try_from(self.received).unwrap() + ahead).unwrap_or(0)
    }

    fn stands(&self, answer: &Answer, status: u16) {
        assert_eq!((answer.status.as_u16(), answer.header("range")), (status, &*self.range()), "{answer}");
        assert_eq!(answer.location(), self.upload);
    }

    /// After a refusal in the middle, what is durable is some beginning of what was sent.
    async fn looks_again(&mut self, most: usize) {
        let status = self.world.get(&self.upload).by(self.ann).await.expect(204);
        let last: usize = status.header("range").strip_prefix("0-").unwrap().parse().unwrap();
        let stands = if last == 0 { self.received.min(1) } else { last + 1 };
        assert!((self.received..=self.received + most).contains(&stands), "{} became {stands}", self.received);
        self.received = stands;
    }

    async fn take(&mut self, step: &Step) {
        let patch = self.world.patch(&self.upload).by(self.ann);
        match *step {
            Step::Stream { length, piece } => {
                let answer = patch.chunked(pieces(&bytes(self.received, length), piece)).await;
                self.received += length;
                self.stands(&answer, 202);
            }
            Step::Chunk { ahead, length, announced } => {
                let start = self.at(ahead);
                let content = bytes(start, length);
                let patch = patch.header("content-range", format!("{start}-{}", start + length - 1));
                let answer =
                    if announced { patch.body(content).await } else { patch.chunked(pieces(&content, 500)).await };
                if start == self.received {
                    self.received += length;
                    self.stands(&answer, 202);
                } else {
                    self.stands(&answer, 416);
                }
            }
            Step::Contradiction { length, range, announced } if length != range => {
                let content = bytes(self.received, length);
                let patch = patch.header("content-range", format!("{}-{}", self.received, self.received + range - 1));
                let answer =
                    if announced { patch.body(content).await } else { patch.chunked(pieces(&content, 500)).await };
                assert_eq!(answer.gist(), (400, "SIZE_INVALID".into()));
                self.looks_again(if announced { 0 } else { length.min(range) }).await;
            }
            Step::Cut { length } => {
                let answer = patch.cut(&bytes(self.received, length)).await;
                assert_eq!(answer.gist(), (400, "SIZE_INVALID".into()));
                self.looks_again(length).await;
            }
            Step::FinishElsewhere { ahead } if self.at(ahead) != self.received => {
                let start = self.at(ahead);
                let path = format!("{}?digest={}", self.upload, sha256(""));
                let put = self.world.put(&path).by(self.ann).header("content-range", format!("{start}-{}", start + 4));
                let answer = put.body(bytes(start, 5)).await;
                self.stands(&answer, 416);
            }
            Step::Status | Step::Contradiction { .. } | Step::FinishElsewhere { .. } => {
                let status = self.world.get(&self.upload).by(self.ann).await;
                self.stands(&status, 204);
            }
        }
    }

    /// Ends the upload with its last bytes: it is exactly what was acknowledged.
    async fn finish(self, last: usize) {
        let content = bytes(0, self.received + last);
        let digest = sha256(&content);
        let put = self.world.put(&format!("{}?digest={digest}", self.upload)).by(self.ann);
        put.body(bytes(self.received, last)).await.expect(201);
        let pulled = self.world.get(&format!("/v2/ann/app/blobs/{digest}")).by(self.ann).await.expect(200);
        assert_eq!(pulled.body, content);
    }
}

fn keeps_to_the_model(storage: Option<StorageConfig>, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, ann) = runtime.block_on(async {
        let world = World::with(|config| config.storage = storage.unwrap_or(config.storage.clone())).await;
        let ann = world.all_of("ann", "ann/app").await;
        (world, ann)
    });
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&(vec(step(), 0..12), 0_usize..2_000), |(steps, last)| {
            runtime.block_on(async {
                let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
                let mut model = Model { world: &world, ann: &ann, upload, received: 0 };
                for step in &steps {
                    model.take(step).await;
                }
                model.finish(last).await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn uploads_into_a_folder_keep_to_the_model() {
    keeps_to_the_model(None, 40);
}

#[test]
fn uploads_into_an_object_store_keep_to_the_model() {
    keeps_to_the_model(Some(StorageConfig::Memory), 40);
}
