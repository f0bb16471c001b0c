//! What rules look at, and what they take away.

use std::sync::Arc;

use hallmark_oci::Digest;
use hallmark_storage::metadata::{
    Engine, Error, Followers, Grounds, Hold, HoldKind, ManifestId, Placing, Policies, Refers, Repository, Retire,
    Retired, Ruled,
};

use crate::harness::images::{artifact, image, index};
use crate::harness::{NOW, World, family, run};
use tokio::sync::Notify;

family! {
    a_repository_is_seen_whole,
    what_is_freed_is_what_nothing_else_in_the_account_names,
    what_follows_a_manifest_refers_to_it_or_bears_its_name,
    what_is_as_it_was_is_retired,
    what_changed_meanwhile_stays,
    what_was_pulled_meanwhile_stays,
    nothing_goes_by_grounds_that_stand_no_more,
    many_tags_of_what_stays_go_piece_by_piece,
    a_subject_is_looked_for_here_and_in_the_trash,
    pulls_are_written_down,
}

async fn ruled(world: &World, repository: &Repository) -> Vec<Ruled> {
    world.metadata.ruled_manifests(repository.id, ManifestId(0), 99).await.unwrap()
}

async fn retire_by(world: &World, repository: &Repository, retire: Retire, grounds: Grounds) -> Option<Retired> {
    let retired: Result<Option<Retired>, Error> = world
        .metadata
        .write((repository.clone(), retire, grounds), |tx, (repository, retire, grounds)| {
            Box::pin(async move {
                tx.repository(&repository.name).await?;
                tx.retire(repository, retire, grounds, NOW + 1).await
            })
        })
        .await;
    retired.unwrap()
}

async fn retire(world: &World, repository: &Repository, retire: Retire) -> Retired {
    retire_by(world, repository, retire, Grounds::default()).await.unwrap()
}

fn asked(manifest: ManifestId, tags: &[&str], whole: bool) -> Retire {
    let tags = tags.iter().map(|tag| ((*tag).to_owned(), NOW)).collect();
    Retire { manifest, pushed_at: NOW, refers: Refers::Nothing, tags, whole, against: vec![1], pulled: None }
}

/// What went of a manifest that was still as it was.
fn went(digest: &Digest, tags: &[&str], whole: bool) -> Retired {
    Retired {
        digest: Some(digest.clone()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        whole,
        more: false,
    }
}

async fn a_repository_is_seen_whole(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &["b"]).await;
    let parent = world.put(&repository, &index(&[&child]), &["a"]).await;
    let signature = world.put(&repository, &artifact(&blob, "a/b", Some(&child), ""), &[]).await;
    let images = ruled(&world, &repository).await;
    let of = |digest: &Digest| images.iter().find(|image| image.digest == *digest).unwrap();
    assert_eq!(images.len(), 3);
    assert_eq!([&signature, &child].map(|digest| of(digest).refers), [Refers::Here, Refers::Nothing]);
    assert!(!of(&parent).held);
    assert_eq!((of(&child).pushed_at, of(&child).pulled_at), (NOW, None));
    let tags = world.metadata.ruled_tags(repository.id, "", 9).await.unwrap();
    assert_eq!(tags, [("a".to_owned(), of(&parent).id, NOW), ("b".to_owned(), of(&child).id, NOW)]);
    let edges = world.metadata.children_of(repository.id, images.iter().map(|image| image.id)).await.unwrap();
    assert_eq!(edges, [(of(&parent).id, of(&child).id)]);
    assert_eq!(world.metadata.ruled_manifests(repository.id, images[1].id, 99).await.unwrap(), images[2..]);
    assert_eq!(world.metadata.ruled_tags(repository.id, "a", 9).await.unwrap(), tags[1..]);
}

async fn what_is_freed_is_what_nothing_else_in_the_account_names(world: World) {
    let repository = world.repository("alice/app").await;
    let other = world.repository("alice/other").await;
    let (shared, own, mounted) = (
        world.blob(&repository, b"shared").await,
        world.blob(&repository, b"own").await,
        world.blob(&repository, b"mounted").await,
    );
    world.blob(&other, b"mounted").await;
    for (note, layers) in [("1", vec![&own, &mounted]), ("2", vec![&own]), ("3", vec![])] {
        world.put(&repository, &image(&shared, &layers, note), &[]).await;
    }
    let ids: Vec<ManifestId> = ruled(&world, &repository).await.into_iter().map(|image| image.id).collect();
    let place = (repository.id, repository.account_id);
    let freed = async |going: &[ManifestId]| world.metadata.freed_by(place, going.iter().copied()).await.unwrap();
    assert_eq!(freed(&ids[..1]).await, 0, "another image names them");
    assert_eq!(freed(&ids[..2]).await, 3, "once, though two named it");
    assert_eq!(freed(&ids).await, 9, "another repository has the third");
}

async fn what_follows_a_manifest_refers_to_it_or_bears_its_name(world: World) {
    let (repository, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let blob = world.blob(&repository, b"layer").await;
    world.blob(&other, b"layer").await;
    let body = image(&blob, &[], "signed");
    let digest = world.put(&repository, &body, &["v1"]).await;
    let stem = digest.as_str().replacen(':', "-", 1);
    let names = ["", ".sig", ".att", ".sbom", ".other"].map(|suffix| format!("{stem}{suffix}"));
    let bears = async |note: &str, tags: &[&str]| {
        world.put(&repository, &image(&blob, &[], note), tags).await;
    };
    bears("both", &[&names[1], &names[2]]).await;
    bears("one", &[&names[0]]).await;
    bears("last", &[&names[3]]).await;
    bears("no signature", &[&names[4], "sha256-12.sig"]).await;
    world.put(&repository, &artifact(&blob, "a/b", Some(&digest), ""), &[]).await;
    // What others have of the same names is theirs.
    world.put(&other, &artifact(&blob, "a/b", Some(&digest), ""), &[&names[1]]).await;
    let ids: Vec<ManifestId> = ruled(&world, &repository).await.into_iter().map(|image| image.id).collect();
    let followers = async |going: &[ManifestId]| {
        let mut found = world.metadata.followers(repository.id, going.iter().copied()).await.unwrap();
        found.signing.sort();
        found
    };
    let all = Followers { referring: vec![ids[5]], signing: vec![ids[1], ids[1], ids[2], ids[3]] };
    assert_eq!(followers(&ids[..1]).await, all);
    assert_eq!(followers(&ids).await, all, "each once");
    assert_eq!(followers(&ids[1..]).await, Followers::default(), "nothing follows them");
    world.is_sound().await;
}

async fn what_is_as_it_was_is_retired(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["a", "b"]).await;
    let id = ruled(&world, &repository).await[0].id;
    assert_eq!(retire(&world, &repository, asked(id, &["a"], false)).await, went(&digest, &["a"], false));
    assert_eq!(retire(&world, &repository, asked(id, &["b"], true)).await, went(&digest, &["b"], true));
    assert_eq!(world.look("SELECT tags FROM trash").await, [r#"["b"]"#]);
    assert_eq!(retire(&world, &repository, asked(id, &["b"], true)).await, Retired::default(), "it is gone");
    world.is_sound().await;
}

async fn what_changed_meanwhile_stays(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let body = image(&blob, &[], "");
    let digest = world.put(&repository, &body, &["a", "new"]).await;
    let id = ruled(&world, &repository).await[0].id;
    let nothing = went(&digest, &[], false);
    let retired = retire(&world, &repository, asked(id, &["a"], true)).await;
    assert_eq!(retired, went(&digest, &["a"], false), "it got another tag");
    world.meddle(&format!("UPDATE tags SET moved_at = {} WHERE name = 'new'", NOW + 5)).await;
    assert_eq!(retire(&world, &repository, asked(id, &["new"], true)).await, nothing, "it moved");
    world.delete_tag(&repository, "new").await;
    let hold = Hold { kind: HoldKind::Pin, placed_by: "alice".to_owned(), reason: "x".to_owned(), placed_at: NOW };
    let input = (repository.id, digest.clone(), hold);
    let placed: Result<Placing, Error> = world
        .metadata
        .write(input, |tx, (repository, digest, hold)| Box::pin(tx.place_hold(*repository, digest, hold)))
        .await;
    assert_eq!(placed.unwrap(), Placing::Placed);
    assert_eq!(retire(&world, &repository, asked(id, &[], true)).await, nothing, "it is held");
    world.meddle("DELETE FROM holds").await;
    world.put(&repository, &index(&[&digest]), &["all"]).await;
    assert_eq!(retire(&world, &repository, asked(id, &[], true)).await, nothing, "it got a parent");
    let again = Retire { pushed_at: NOW - 1, ..asked(id, &[], true) };
    assert_eq!(retire(&world, &repository, again).await, Retired::default(), "it was put again");
}

async fn note(world: &World, id: ManifestId, at: i64) {
    let noted: Result<(), Error> =
        world.metadata.write((vec![id], at), |tx, (ids, at)| Box::pin(tx.note_pulls(ids, *at))).await;
    noted.unwrap();
}

async fn what_was_pulled_meanwhile_stays(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let parent = world.put(&repository, &index(&[&child]), &["a"]).await;
    let images = ruled(&world, &repository).await;
    let of = |digest: &Digest| images.iter().find(|image| image.digest == *digest).unwrap().id;
    let of_both = |at| Retire { pulled: Some((at, vec![of(&parent), of(&child)])), ..asked(of(&parent), &["a"], true) };
    note(&world, of(&child), NOW + 6).await;
    assert_eq!(retire(&world, &repository, of_both(NOW + 5)).await, Retired::default(), "what it names was pulled");
    note(&world, of(&parent), NOW + 7).await;
    assert_eq!(retire(&world, &repository, of_both(NOW + 6)).await, Retired::default(), "it was pulled");
    assert_eq!(retire(&world, &repository, of_both(NOW + 7)).await, went(&parent, &["a"], true));
}

async fn nothing_goes_by_grounds_that_stand_no_more(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], "1"), &["a"]).await;
    world.put(&repository, &image(&blob, &[], "2"), &["b", "c"]).await;
    let id = ruled(&world, &repository).await.iter().find(|image| image.digest == digest).unwrap().id;
    let by = |policies: &Policies| {
        Grounds::new(
            policies.clone(),
            [["x"].as_slice(), &["b", "c"]].map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect()),
        )
    };
    let mut policies = Policies::default();
    for (table, set) in [("repositories", true), ("accounts", false)] {
        world.meddle(&format!("UPDATE {table} SET policy = 'x'")).await;
        assert_eq!(retire_by(&world, &repository, asked(id, &["a"], true), by(&policies)).await, None, "{table}");
        *(if set { &mut policies.repository } else { &mut policies.account }) = Some("x".to_owned());
    }
    let held: Result<Option<String>, Error> =
        world.metadata.write(repository.account_id, |tx, account| Box::pin(tx.account_policy(*account))).await;
    assert_eq!(held.unwrap().as_deref(), Some("x"));
    world.delete_tag(&repository, "c").await;
    let retired = retire_by(&world, &repository, asked(id, &["a"], true), by(&policies)).await;
    assert_eq!(retired, None, "one of the newest is gone");
    world.put(&repository, &image(&blob, &[], "3"), &["c"]).await;
    for (said, goes) in [(Some("8"), false), (None, false), (Some("7"), true)] {
        world.meddle("DELETE FROM settings WHERE name = 'asked'").await;
        world.meddle("INSERT INTO settings (name, value) VALUES ('asked', '7')").await;
        let grounds = by(&policies).and_setting("asked", said.map(str::to_owned));
        let retired = retire_by(&world, &repository, asked(id, &["a"], true), grounds).await;
        assert_eq!(retired, goes.then(|| went(&digest, &["a"], true)), "{said:?}");
    }
}

/// What stays itself has no bound on its tags; one change has.
async fn many_tags_of_what_stays_go_piece_by_piece(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let names: Vec<String> = (0..1_203).map(|number| format!("t{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let digest = world.put(&repository, &image(&blob, &[], ""), &names).await;
    world.put(&repository, &index(&[&digest]), &["all"]).await;
    let id = ruled(&world, &repository).await.iter().find(|image| image.digest == digest).unwrap().id;
    for (piece, more) in [(0..500, true), (500..1_000, true), (1_000..1_203, false)] {
        let retired = retire(&world, &repository, asked(id, &names, true)).await;
        assert_eq!(retired, Retired { more, ..went(&digest, &names[piece], false) });
    }
    let left = world.metadata.ruled_tags(repository.id, "", 9).await.unwrap();
    assert_eq!(left.into_iter().map(|(tag, ..)| tag).collect::<Vec<_>>(), ["all"]);
}

/// The lock of a manifest may be waited for: what an account said meanwhile holds.
#[test]
fn rules_of_the_account_that_are_set_while_a_lock_is_waited_for_hold() {
    run(Engine::Postgres, async |world: World| {
        let repository = world.repository("alice/app").await;
        let blob = world.blob(&repository, b"layer").await;
        let digest = world.put(&repository, &image(&blob, &[], ""), &["a"]).await;
        let id = ruled(&world, &repository).await[0].id;
        let (world, began, go) = (Arc::new(world), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let hold = Hold { kind: HoldKind::Pin, placed_by: "alice".to_owned(), reason: "x".to_owned(), placed_at: NOW };
        let input = (repository.id, digest.clone(), hold, Arc::clone(&began), Arc::clone(&go));
        let metadata = world.metadata.clone();
        let holder = tokio::spawn(async move {
            let held: Result<Placing, Error> = metadata
                .write(input, |tx, (repository, digest, hold, began, go)| {
                    Box::pin(async move {
                        let placed = tx.place_hold(*repository, digest, hold).await?;
                        tx.release_hold(*repository, digest, HoldKind::Pin).await?;
                        began.notify_one();
                        go.notified().await;
                        Ok(placed)
                    })
                })
                .await;
            held.unwrap()
        });
        began.notified().await;
        let (retirer, of) = (Arc::clone(&world), repository.clone());
        let retired =
            tokio::spawn(async move { retire_by(&retirer, &of, asked(id, &["a"], true), Grounds::default()).await });
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while world.count(waiting).await == 0 {}
        world.meddle("UPDATE accounts SET policy = 'x'").await;
        go.notify_one();
        assert_eq!(holder.await.unwrap(), Placing::Placed);
        assert_eq!(retired.await.unwrap(), None);
        world.is_sound().await;
    });
}

async fn a_subject_is_looked_for_here_and_in_the_trash(world: World) {
    let repository = world.repository("alice/app").await;
    let other = world.repository("alice/other").await;
    let blob = world.blob(&repository, b"layer").await;
    let subject = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let here = world.put(&repository, &artifact(&blob, "a/b", Some(&subject), ""), &["v1"]).await;
    let blob = world.blob(&other, b"layer").await;
    world.put(&other, &artifact(&blob, "a/b", Some(&subject), ""), &[]).await;
    assert_eq!(ruled(&world, &other).await[0].refers, Refers::Away, "it is in another repository");
    let of = async || {
        let images = ruled(&world, &repository).await;
        let image = images.into_iter().find(|image| image.digest == here).unwrap();
        (image.id, image.refers)
    };
    world.delete_manifest(&repository, &subject).await;
    let (id, refers) = of().await;
    assert_eq!(refers, Refers::Here, "it may be brought back");
    world.meddle("DELETE FROM trash_blobs").await;
    world.meddle("DELETE FROM trash").await;
    assert_eq!(of().await.1, Refers::Away);
    let decided = |refers| Retire { refers, ..asked(id, &["v1"], true) };
    assert_eq!(retire(&world, &repository, decided(Refers::Here)).await, Retired::default(), "decided before");
    assert_eq!(retire(&world, &repository, decided(Refers::Away)).await, went(&here, &["v1"], true));
}

async fn pulls_are_written_down(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let id = ruled(&world, &repository).await[0].id;
    for (at, expected) in [(NOW + 5, NOW + 5), (NOW + 4, NOW + 5), (NOW + 9, NOW + 9)] {
        let noted: Result<(), Error> = world
            .metadata
            .write((vec![id, id, ManifestId(1)], at), |tx, (ids, at)| Box::pin(tx.note_pulls(ids, *at)))
            .await;
        noted.unwrap();
        assert_eq!(ruled(&world, &repository).await[0].pulled_at, Some(expected));
    }
    world.delete_manifest(&repository, &digest).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM last_pulls").await, 0);
}
