//! A token is an upper bound: every request is also held against what its user may do now.

use crate::harness::{OCI_MANIFEST, World, image};

#[tokio::test]
async fn a_token_to_pull_does_not_push_although_its_user_may() {
    let world = World::open().await;
    let all = world.all_of("ann", "ann/app").await;
    world.image(&all, "ann/app", "1", "layer").await;
    let puller = world.token("ann", "repository:ann/app:pull").await;
    world.get("/v2/ann/app/manifests/1").by(&puller).await.expect(200);
    let put = world.put("/v2/ann/app/manifests/2").by(&puller).header("content-type", OCI_MANIFEST);
    put.body(image("{}", &["layer"])).await.expect(401);
    world.post("/v2/ann/app/blobs/uploads/").by(&puller).await.expect(401);
    world.delete("/v2/ann/app/manifests/1").by(&puller).await.expect(401);
}

#[tokio::test]
async fn a_token_to_push_alone_reads_nothing() {
    let world = World::open().await;
    let all = world.all_of("ann", "ann/app").await;
    world.image(&all, "ann/app", "1", "layer").await;
    let pusher = world.token("ann", "repository:ann/app:push").await;
    world.get("/v2/ann/app/manifests/1").by(&pusher).await.expect(401);
}

#[tokio::test]
async fn a_token_for_everything_in_a_repository_does_everything_in_it() {
    let world = World::open().await;
    let star = world.token("ann", "repository:ann/app:*").await;
    world.image(&star, "ann/app", "1", "layer").await;
    world.get("/v2/ann/app/manifests/1").by(&star).await.expect(200);
    world.delete("/v2/ann/app/manifests/1").by(&star).await.expect(202);
}

/// The scope was granted while the repository was public; the right went, and the token with it.
#[tokio::test]
async fn a_right_that_is_lost_holds_from_the_next_request_on() {
    let world = World::open().await;
    let bob = world.all_of("bob", "bob/app").await;
    world.image(&bob, "bob/app", "1", "layer").await;
    world.publish("bob/app").await;
    let ann = world.token("ann", "repository:bob/app:pull").await;
    world.get("/v2/bob/app/manifests/1").by(&ann).await.expect(200);
    world.hide("bob/app").await;
    let answer = world.get("/v2/bob/app/manifests/1").by(&ann).await.expect(401);
    assert!(answer.header("www-authenticate").ends_with("error=\"insufficient_scope\""));
}

/// A class makes another resource of the same name, `repository(plugin):…`; it gives nothing on images.
#[tokio::test]
async fn a_scope_of_another_class_reaches_no_image() {
    let world = World::open().await;
    let all = world.all_of("ann", "ann/app").await;
    world.image(&all, "ann/app", "1", "layer").await;
    let plugin = world.token("ann", "repository(plugin):ann/app:pull").await;
    world.get("/v2/ann/app/manifests/1").by(&plugin).await.expect(401);
}
