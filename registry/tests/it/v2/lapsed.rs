//! Rights that end while a body comes: whoever lost them is answered as if they began now, and nothing is written.

use hallmark_oci::Digest;

use crate::harness::{Call, Credentials, OCI_INDEX, OCI_MANIFEST, PASSWORD, World, image, index, sha256};

/// What happens to ann while her body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    PasswordChanged,
    Disabled,
    Removed,
    /// Somebody else has her name, and even her password.
    NameTaken,
}

const EVENTS: [Event; 4] = [Event::PasswordChanged, Event::Disabled, Event::Removed, Event::NameTaken];

impl Event {
    async fn happen(self, world: &World) {
        match self {
            Self::PasswordChanged => world.set_password("ann", "another long password").await,
            Self::Disabled => world.disable("ann").await,
            Self::Removed => world.remove_user("ann").await,
            Self::NameTaken => {
                world.remove_user("ann").await;
                world.add_user("ann").await;
            }
        }
    }
}

async fn credentials(world: &World) -> [Credentials; 2] {
    [world.all_of("ann", "ann/app").await, Credentials::basic("ann", PASSWORD)]
}

fn manifest<'w>(world: &'w World, by: &Credentials) -> Call<'w> {
    world.put("/v2/ann/app/manifests/1").by(by).header("content-type", OCI_INDEX)
}

#[tokio::test]
async fn a_manifest_is_refused_whose_pusher_lost_the_right_while_it_came() {
    for event in EVENTS {
        for kind in 0..2 {
            let world = World::open().await;
            let by = credentials(&world).await[kind].clone();
            let put = manifest(&world, &by).halved(index(&[]), async {
                event.happen(&world).await;
                world.pass(2);
            });
            let put = put.await;
            if event == Event::NameTaken && kind == 1 {
                // A request that begins now is the new ann's own; the old one's is not.
                put.expect(401);
            } else {
                let fresh = manifest(&world, &by).body(index(&[])).await;
                assert_eq!(put.visible(), fresh.visible(), "{event:?} {by:?}");
                assert_eq!(fresh.status.as_u16(), 401, "{event:?} {by:?}");
            }
            assert!(world.repository("ann/app").await.is_none(), "{event:?} {by:?}");
        }
    }
}

/// Within a second nothing is asked again, but the transaction sees whose name it is.
#[tokio::test]
async fn a_name_that_is_taken_again_at_once_inherits_no_push() {
    let world = World::open().await;
    for by in credentials(&world).await {
        let put = manifest(&world, &by).halved(index(&[]), Event::NameTaken.happen(&world)).await;
        assert!(matches!(put.status.as_u16(), 401 | 403), "{put}");
        assert!(world.repository("ann/app").await.is_none());
    }
}

#[tokio::test]
async fn an_administrator_who_is_none_any_more_writes_no_more() {
    let world = World::open().await;
    let admin = world.all_of("admin", "ann/app").await;
    let put = manifest(&world, &admin).halved(index(&[]), async {
        world.disable("admin").await;
        world.pass(2);
    });
    put.await.expect(401);
    assert!(world.repository("ann/app").await.is_none());
}

async fn opened(world: &World, by: &Credentials) -> String {
    world.post("/v2/ann/app/blobs/uploads/").by(by).await.expect(202).location()
}

async fn revoked(world: &World) {
    world.set_password("ann", "another long password").await;
    world.pass(2);
}

#[tokio::test]
async fn a_chunk_is_refused_whose_sender_lost_the_right_while_it_came() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = opened(&world, &ann).await;
    let patch = world.patch(&upload).by(&ann).halved("0123456789", revoked(&world)).await;
    let fresh = world.patch(&upload).by(&ann).body("0123456789").await;
    assert_eq!(patch.visible(), fresh.visible());
    assert_eq!(fresh.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn a_blob_is_refused_whose_sender_lost_the_right_while_it_came() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = opened(&world, &ann).await;
    let digest: Digest = sha256("0123456789");
    let path = format!("{upload}?digest={digest}");
    let finish = world.put(&path).by(&ann).halved("0123456789", revoked(&world)).await;
    assert_eq!(finish.gist(), (401, "UNAUTHORIZED".into()));
    let again = Credentials::basic("ann", "another long password");
    let path = format!("/v2/ann/app/blobs/uploads/?digest={digest}");
    let whole = world.post(&path).by(&again).halved("0123456789", async {
        world.set_password("ann", PASSWORD).await;
        world.pass(2);
    });
    assert_eq!(whole.await.gist(), (401, "UNAUTHORIZED".into()));
    let ann = Credentials::basic("ann", PASSWORD);
    world.head(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(404);
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["1"], "the one that can be resumed");
}

/// A layer may take longer than a token lives.
#[tokio::test]
async fn a_token_that_runs_out_while_a_layer_comes_ends_nothing() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = opened(&world, &ann).await;
    let patch = world.patch(&upload).by(&ann).halved("0123456789", async { world.pass(3600) }).await;
    patch.expect(202);
    world.get(&upload).by(&ann).await.expect(401);
}

#[tokio::test]
async fn a_small_body_is_decided_once() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let before = world.app.metadata.statistics();
    world.manifest(&ann, ("ann/app", "2"), OCI_MANIFEST, &image("{}", &["layer"]), "image").await;
    let after = world.app.metadata.statistics();
    let looks = after.cache_hits + after.cache_misses - before.cache_hits - before.cache_misses;
    assert_eq!(looks, 2, "who asks, and where");
}
