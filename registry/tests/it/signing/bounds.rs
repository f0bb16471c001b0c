//! Whoever asks for signatures without end is asked to come back, whether the signer is here or elsewhere.

use hallmark_signer::Rates;

use super::Site;
use super::notary::{Client, server_keys};
use crate::harness::World;

const FEW: Rates = Rates { collection: 2, caller: 600 };

async fn is_bound(world: &World) {
    let (client, keys) = (Client::new(), server_keys(world).await);
    for version in 1..=2 {
        client.publish(world, &keys, version).await.expect(200);
    }
    let before = Client::file(world, "timestamp").await.expect(200);
    let answer = client.publish(world, &keys, 3).await;
    assert_eq!(answer.gist(), (429, "TOOMANYREQUESTS".to_owned()), "{answer}");
    let wait: i64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    assert_eq!(Client::file(world, "timestamp").await.expect(200).body, before.body);
}

#[tokio::test]
async fn a_collection_is_published_so_often_by_the_registry_s_own_signer() {
    let world = World::with(|config| config.signer.rates = FEW).await;
    is_bound(&world).await;
}

#[tokio::test]
async fn a_collection_is_published_so_often_by_a_signer_elsewhere() {
    let site = Site::with(|config| config.signer.rates = FEW).await;
    is_bound(&site.world).await;
}
