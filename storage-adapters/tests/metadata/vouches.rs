//! Who vouched for tags, the roots of trust domains, and what happened to tags.

use hallmark_oci::{Digest, Tag};
use hallmark_storage::metadata::{Event, Pointed, Repository, RepositoryId, TrustRoot, Vouch};

use crate::harness::images::image;
use crate::harness::{NOW, World, family};

family! {
    a_root_is_kept_once_for_each_version,
    a_word_for_a_tag_holds_while_the_tag_points_there,
    a_later_word_takes_the_place_of_the_one_before,
    an_organization_has_a_root_of_its_own,
    words_are_taken_back_and_forgotten,
    a_word_that_was_taken_back_is_remembered_until_somebody_says_it_again,
    words_are_told_by_tag_in_pages,
    events_are_followed_in_their_order,
}

async fn push(world: &World, repository: &Repository, note: &str, tag: &str) -> Digest {
    let config = world.blob(repository, b"{}").await;
    world.put(repository, &image(&config, &[], note), &[tag]).await
}

async fn tagged(world: &World, repository: &Repository, tag: &str) -> Option<Pointed> {
    let input = (repository.id, tag.parse::<Tag>().unwrap());
    world.change(input, |tx, (repository, tag)| Box::pin(tx.tagged(*repository, tag))).await
}

/// Alice's word that a tag means what it points to.
async fn vouch(world: &World, repository: &Repository, tag: &str, source: &str) -> Vouch {
    let Pointed { tagged, moved_at, .. } = tagged(world, repository, tag).await.unwrap();
    let now = Some((tagged.digest.clone(), moved_at));
    let (tag, source) = (tag.parse().unwrap(), source.to_owned());
    let vouch = Vouch { tag, tagged, signer: "user:alice".into(), source, at: NOW.max(moved_at), now };
    let input = (repository.id, vouch.clone(), world.alice.id);
    world.change(input, |tx, (repository, vouch, alice)| Box::pin(tx.vouch(*repository, vouch, *alice))).await;
    vouch
}

async fn said(world: &World, repository: &Repository) -> Vec<Vouch> {
    world.metadata.vouches(repository.id, "", 9).await.unwrap()
}

async fn a_root_is_kept_once_for_each_version(world: World) {
    assert_eq!(world.metadata.trust_root("d", None).await.unwrap(), None);
    let root = |version: i64, body: &str| TrustRoot { domain: "d".into(), version, body: body.as_bytes().to_vec() };
    let add = async |root: TrustRoot| world.change(root, |tx, root| Box::pin(tx.add_trust_root(root, NOW))).await;
    assert!(add(root(1, "one")).await);
    assert!(!add(root(1, "another")).await);
    assert!(add(root(2, "two")).await);
    assert!(add(TrustRoot { domain: "other".into(), ..root(3, "three") }).await);
    let is_newest =
        async |version: i64| world.change(version, |tx, version| Box::pin(tx.is_newest_root("d", *version))).await;
    assert_eq!([is_newest(1).await, is_newest(2).await, is_newest(3).await], [false, true, false]);
    let hold =
        async |domain: &'static str| world.change(domain, |tx, domain| Box::pin(tx.hold_newest_root(domain))).await;
    assert_eq!((hold("d").await, hold("none").await), (Some(root(2, "two")), None));
    let stored = async |version| world.metadata.trust_root("d", version).await.unwrap();
    assert_eq!(stored(None).await, Some(root(2, "two")));
    assert_eq!(stored(Some(1)).await, Some(root(1, "one")));
    assert_eq!(stored(Some(3)).await, None);
}

async fn a_word_for_a_tag_holds_while_the_tag_points_there(world: World) {
    let repository = world.repository("alice/app").await;
    assert_eq!(tagged(&world, &repository, "v1").await, None);
    let first = push(&world, &repository, "first", "v1").await;
    let vouched = vouch(&world, &repository, "v1", "signature").await;
    assert_eq!(vouched.tagged.digest, first);
    assert_eq!(said(&world, &repository).await, std::slice::from_ref(&vouched));
    assert!(vouched.holds());
    let second = push(&world, &repository, "second", "v1").await;
    let moved = said(&world, &repository).await.remove(0);
    assert_eq!((&moved.tagged, moved.now.as_ref().map(|(now, _)| now)), (&vouched.tagged, Some(&second)));
    assert!(!moved.holds());
    let back = push(&world, &repository, "first", "v1").await;
    let back_again = said(&world, &repository).await.remove(0);
    assert_eq!(back_again.now.as_ref().map(|(now, _)| now), Some(&back));
    assert!(!back_again.holds(), "moved away and back: nobody has vouched since");
    world.delete_tag(&repository, "v1").await;
    let gone = said(&world, &repository).await.remove(0);
    assert!(gone.now.is_none() && !gone.holds());
}

async fn a_later_word_takes_the_place_of_the_one_before(world: World) {
    let repository = world.repository("alice/app").await;
    push(&world, &repository, "first", "v1").await;
    vouch(&world, &repository, "v1", "signature").await;
    push(&world, &repository, "second", "v1").await;
    let later = vouch(&world, &repository, "v1", "rule").await;
    assert_eq!(said(&world, &repository).await, [later]);
}

async fn an_organization_has_a_root_of_its_own(world: World) {
    let repository = world.repository("alice/app").await;
    let of = async |id: RepositoryId| world.metadata.trust_root_of(id).await.unwrap();
    assert_eq!(of(repository.id).await, None);
    let domain = format!("tuf1/organization/{}", repository.account_id);
    let root = |version| TrustRoot { domain: domain.clone(), version, body: b"own".to_vec() };
    for version in [1, 2] {
        assert!(world.change(root(version), |tx, root| Box::pin(tx.add_trust_root(root, NOW))).await);
    }
    assert_eq!(of(repository.id).await, Some(root(2)));
    assert_eq!(of(RepositoryId(-1)).await, None);
    let seen = world.change(repository.id, |tx, id| Box::pin(tx.trust_root_of(*id))).await;
    assert_eq!(seen, Some(root(2)));
}

async fn words_are_taken_back_and_forgotten(world: World) {
    let repository = world.repository("alice/app").await;
    push(&world, &repository, "first", "v1").await;
    push(&world, &repository, "other", "v2").await;
    let at = vouch(&world, &repository, "v1", "signature").await.at;
    vouch(&world, &repository, "v2", "signature").await;
    let forget = async |tag: &str, at: i64| {
        let input = (repository.id, tag.parse::<Tag>().unwrap(), at);
        world.change(input, |tx, (repository, tag, at)| Box::pin(tx.forget_vouch(*repository, tag, *at))).await;
        said(&world, &repository).await.len()
    };
    assert_eq!(forget("v1", at - 1).await, 2, "a word of another time stays");
    assert_eq!(forget("v1", at).await, 1);
    let withdraw = async |tag: &str| {
        let input = (repository.id, tag.parse::<Tag>().unwrap());
        world.change(input, |tx, (repository, tag)| Box::pin(tx.withdraw_vouch(*repository, tag, NOW))).await
    };
    assert!(withdraw("v2").await);
    assert!(!withdraw("v2").await);
    assert_eq!(said(&world, &repository).await, []);
}

async fn a_word_that_was_taken_back_is_remembered_until_somebody_says_it_again(world: World) {
    let repository = world.repository("alice/app").await;
    push(&world, &repository, "first", "v1").await;
    let moved = tagged(&world, &repository, "v1").await.unwrap();
    assert_eq!((moved.moved_by, moved.withdrawn), (Some(world.alice.id), None));
    let withdraw = async |now: i64| {
        let input = (repository.id, "v1".parse::<Tag>().unwrap(), now);
        world.change(input, |tx, (repository, tag, now)| Box::pin(tx.withdraw_vouch(*repository, tag, *now))).await
    };
    let withdrawn = async || tagged(&world, &repository, "v1").await.unwrap().withdrawn;
    assert!(!withdraw(NOW).await);
    assert_eq!(withdrawn().await, None, "nothing was said");
    let said = vouch(&world, &repository, "v1", "signature").await;
    let of = async || {
        let input = (repository.id, said.tag.clone());
        world.change(input, |tx, (repository, tag)| Box::pin(tx.vouch_of(*repository, tag))).await
    };
    assert_eq!(of().await, Some(said.clone()));
    for (now, at) in [(said.at + 5, said.at + 5), (said.at - 5, said.at)] {
        assert!(withdraw(now).await);
        let taken_back = Some((at, said.tagged.digest.clone()));
        assert_eq!((withdrawn().await, of().await), (taken_back, None), "never before it was said");
        vouch(&world, &repository, "v1", "signature").await;
        assert_eq!(withdrawn().await, None);
    }
}

async fn words_are_told_by_tag_in_pages(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    for tag in ["b", "A", "a", "a-1"] {
        push(&world, &app, tag, tag).await;
        vouch(&world, &app, tag, "signature").await;
    }
    push(&world, &other, "a", "a").await;
    vouch(&world, &other, "a", "signature").await;
    let names = |said: Vec<Vouch>| said.into_iter().map(|vouch| vouch.tag.to_string()).collect::<Vec<_>>();
    let page = async |after: &str, limit| names(world.metadata.vouches(app.id, after, limit).await.unwrap());
    assert_eq!(page("", 9).await, ["A", "a", "a-1", "b"], "in the order of their bytes");
    assert_eq!(page("", 2).await, ["A", "a"]);
    assert_eq!(page("a", 9).await, ["a-1", "b"]);
    assert_eq!(page("b", 9).await, [""; 0]);
    let mut found = names(world.metadata.vouches_of(app.id, ["b", "a", "c"].into_iter()).await.unwrap());
    found.sort();
    assert_eq!(found, ["a", "b"]);
    assert_eq!(names(world.metadata.vouches_of(app.id, [].into_iter()).await.unwrap()), [""; 0]);
    let silent = world.repository("alice/silent").await;
    let mut all = [(app.id, true), (other.id, true), (silent.id, false)];
    all.sort_by_key(|(id, _)| id.0);
    let page = async |after, limit| world.metadata.with_vouches(after, limit).await.unwrap();
    assert_eq!(page(RepositoryId(0), 9).await, all);
    assert_eq!((page(RepositoryId(0), 2).await, page(all[1].0, 2).await), (all[..2].to_vec(), all[2..].to_vec()));
}

async fn events_are_followed_in_their_order(world: World) {
    let repository = world.repository("alice/app").await;
    for (kind, at) in [("tag_moved", NOW), ("tag_deleted", NOW + 1), ("user_removed", NOW + 2)] {
        world
            .change((repository.id, kind, at), |tx, (repository, kind, at)| {
                Box::pin(async move {
                    let event = Event::of_system(kind, "v1", *at);
                    let of = if *kind == "user_removed" { None } else { Some(*repository) };
                    tx.record(&Event { repository: of, payload: r#"{"a":1}"#, ..event }).await
                })
            })
            .await;
        while world.change((), |tx, ()| Box::pin(tx.number_events(100))).await > 0 {}
    }
    let happened = world.metadata.happened(0, 9).await.unwrap();
    let told: Vec<_> = happened.iter().map(|one| (one.seq, one.kind.as_str(), one.repository)).collect();
    let of = Some(repository.id);
    assert_eq!(told, [(1, "tag_moved", of), (2, "tag_deleted", of), (3, "user_removed", None)]);
    assert_eq!((happened[0].subject.as_str(), happened[0].payload.as_str()), ("v1", r#"{"a":1}"#));
    assert_eq!(happened.iter().map(|one| one.at).collect::<Vec<_>>(), [NOW, NOW + 1, NOW + 2]);
    assert_eq!(world.metadata.happened(1, 1).await.unwrap(), happened[1..2]);
    assert_eq!(world.metadata.happened(3, 9).await.unwrap(), []);
}
