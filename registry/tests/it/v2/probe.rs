use crate::harness::*;
#[tokio::test]
async fn anonymous_upload_status_on_public() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let up = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    world.publish("ann/app").await;
    println!("ANON STATUS {}", world.get(&up).await);
    println!("MALFORMED RANGE {}", world.patch(&up).by(&ann).header("content-range","x").body("ab").await);
    println!("EMPTY LAST OUT OF ORDER {}", world.put(&format!("{up}?digest={}", sha256(""))).by(&ann).header("content-range","999-999").await);
    world.app.set_readonly(true).await.unwrap();
    println!("READONLY OFFLINE {}", world.get("/token?offline_token=true").by(&Credentials::basic("ann", PASSWORD)).await);
    println!("ROWS {:?}", world.look("SELECT COUNT(*) FROM credentials").await);
    world.app.metadata.close().await;
    println!("TOKEN 5xx {}", world.get("/token").by(&Credentials::basic("ann", PASSWORD)).await);
}
#[tokio::test]
async fn mount_without_from_beyond_token() {
    let world = World::open().await;
    let a = world.all_of("ann", "ann/secret").await;
    let d = world.blob(&a, "ann/secret", "layer").await;
    let t = world.token("ann", "repository:ann/other:pull,push").await;
    println!("MOUNT NARROW {}", world.post(&format!("/v2/ann/other/blobs/uploads/?mount={d}")).by(&t).await);
    println!("MOUNT CHALLENGE {}", world.post(&format!("/v2/ann/other/blobs/uploads/?mount={d}&from=ann/secret")).await);
    let d404 = world.get("/v2/ann/other/manifests/1").by(&t).header("if-none-match", "*").await;
    println!("STAR {d404}");
}
