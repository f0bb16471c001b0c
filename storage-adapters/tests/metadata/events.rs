//! Events: their numbers, pages and end.

use std::sync::Arc;

use hallmark_storage::metadata::{AccountId, Engine, Event, EventFilter, EventLine, PrincipalId, RepositoryId};

use crate::harness::{NOW, World, family};

family! {
    events_are_numbered_without_gaps_in_their_order,
    replicas_that_number_at_once_leave_no_gap,
    an_event_names_who_and_where,
    a_filter_shows_what_passes_it,
    a_page_that_found_nothing_goes_on,
    old_events_are_forgotten_but_no_number_is_given_twice,
    an_event_of_a_change_that_failed_is_not_there,
}

/// Records one event a subject.
async fn record(world: &World, subjects: Vec<String>, at: i64) {
    world
        .change((subjects, world.alice.id, at), |tx, (subjects, actor, at)| {
            Box::pin(async move {
                for subject in subjects {
                    let event = Event { actor: *actor, ..Event::of_system("tag_moved", subject, *at) };
                    tx.record(&event).await?;
                }
                Ok(())
            })
        })
        .await;
}

/// Numbers everything, so many in a change; the embedded database has nothing to number.
async fn number(world: &World, limit: u32) -> u64 {
    let mut numbered = 0;
    loop {
        match world.change(limit, |tx, limit| Box::pin(tx.number_events(*limit))).await {
            0 => break numbered,
            some => numbered += some,
        }
    }
}

async fn all(world: &World, filter: &EventFilter, limit: u32) -> Vec<EventLine> {
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = world.metadata.events(filter, after, limit).await.unwrap();
        assert!(page.events.len() <= limit as usize);
        seen.extend(page.events);
        match page.next {
            Some(next) if next > after => after = next,
            Some(next) => panic!("{next} does not follow {after}"),
            None => break seen,
        }
    }
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("{number:03}")).collect()
}

async fn events_are_numbered_without_gaps_in_their_order(world: World) {
    assert_eq!(world.metadata.last_event().await.unwrap(), 0);
    assert_eq!(world.metadata.events(&EventFilter::default(), 0, 9).await.unwrap().next, None);
    for round in 0..3 {
        record(&world, numbered(round * 7..round * 7 + 7), NOW + i64::from(round)).await;
        let waited = number(&world, 3).await;
        assert_eq!(waited, if world.metadata.engine() == Engine::Postgres { 7 } else { 0 });
    }
    assert_eq!(number(&world, 3).await, 0);
    assert_eq!(world.metadata.last_event().await.unwrap(), 21);
    for limit in [1, 4, 21, 100] {
        let seen = all(&world, &EventFilter::default(), limit).await;
        assert_eq!(seen.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
        let mut subjects: Vec<_> = seen.iter().map(|event| event.subject.clone()).collect();
        if world.metadata.engine() == Engine::Postgres {
            // Within one millisecond the order is that of ids, which say nothing.
            subjects.chunks_mut(7).for_each(<[String]>::sort_unstable);
        }
        assert_eq!(subjects, numbered(0..21));
    }
}

async fn replicas_that_number_at_once_leave_no_gap(world: World) {
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for round in 0..10 {
                    record(&world, vec![format!("{task}-{round}"); 5], NOW).await;
                    world.change(3, |tx, limit| Box::pin(tx.number_events(*limit))).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    number(&world, 50).await;
    let found = world.look("SELECT COUNT(*), COUNT(seq), COUNT(DISTINCT seq), MIN(seq), MAX(seq) FROM events").await;
    assert_eq!(found, ["200 200 200 1 200"]);
}

async fn an_event_names_who_and_where(world: World) {
    let repository = world.repository("alice/app").await;
    let robot = world.robot("alice", None, "ci").await;
    let actors = [(world.alice.id, Some("alice")), (robot.id, Some("alice+ci")), (PrincipalId::SYSTEM, None)];
    for (actor, _) in actors {
        world
            .change((actor, world.alice.account_id, repository.id), |tx, (actor, account, repository)| {
                let event = Event {
                    actor: *actor,
                    kind: "manifest_pushed",
                    account: Some(*account),
                    repository: Some(*repository),
                    subject: "sha256:1",
                    payload: r#"{"size":1}"#,
                    request_id: "r-1",
                    at: NOW,
                };
                Box::pin(async move { tx.record(&event).await })
            })
            .await;
        number(&world, 9).await;
    }
    let seen = all(&world, &EventFilter::default(), 9).await;
    let names: Vec<_> = seen.iter().map(|event| (event.actor, event.actor_name.as_deref())).collect();
    assert_eq!(names, actors);
    let expected = EventLine {
        seq: 1,
        at: NOW,
        actor: world.alice.id,
        actor_name: Some("alice".into()),
        kind: "manifest_pushed".into(),
        subject: "sha256:1".into(),
        payload: r#"{"size":1}"#.into(),
        request_id: "r-1".into(),
        repository: Some("alice/app".into()),
        account: Some("alice".into()),
    };
    assert_eq!(seen[0], expected);
    world.delete_repository(&repository).await;
    let seen = all(&world, &EventFilter::default(), 9).await;
    assert_eq!(seen[0].repository.as_deref(), Some("alice/app"), "its last name");
}

async fn a_filter_shows_what_passes_it(world: World) {
    let two = PrincipalId(7);
    for number in 0..8_i64 {
        world
            .change(number, move |tx, number| {
                let event = Event {
                    actor: if number & 1 == 0 { PrincipalId(6) } else { two },
                    kind: if number & 2 == 0 { "a" } else { "b" },
                    account: (number & 4 == 0).then_some(AccountId(8)),
                    repository: (number & 4 != 0).then_some(RepositoryId(9)),
                    subject: "",
                    payload: "{}",
                    request_id: "",
                    at: NOW + number,
                };
                Box::pin(async move { tx.record(&event).await })
            })
            .await;
    }
    number(&world, 9).await;
    let passes = async |filter: EventFilter| -> Vec<i64> {
        let mut seen = Vec::new();
        for limit in [1, 3, 9] {
            seen = all(&world, &filter, limit).await.iter().map(|event| event.at - NOW).collect();
        }
        seen
    };
    let none = EventFilter::default;
    assert_eq!(passes(EventFilter { actor: Some(two), ..none() }).await, [1, 3, 5, 7]);
    assert_eq!(passes(EventFilter { kind: Some("b".into()), ..none() }).await, [2, 3, 6, 7]);
    assert_eq!(passes(EventFilter { account: Some(AccountId(8)), ..none() }).await, [0, 1, 2, 3]);
    assert_eq!(passes(EventFilter { repository: Some(RepositoryId(9)), ..none() }).await, [4, 5, 6, 7]);
    assert_eq!(passes(EventFilter { since: Some(NOW + 3), until: Some(NOW + 5), ..none() }).await, [3, 4]);
    let both = EventFilter { actor: Some(two), kind: Some("a".into()), since: Some(NOW + 2), ..none() };
    assert_eq!(passes(both).await, [5]);
    assert_eq!(passes(EventFilter { actor: Some(PrincipalId(99)), ..none() }).await, [0_i64; 0]);
}

/// Puts events with these numbers there by hand, all by nobody.
async fn put(world: &World, from: i64, to: i64, at: i64) {
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})");
    let insert = format!(
        "INSERT INTO events (id, seq, at, actor_id, kind, subject, payload, request_id)
         {numbers} SELECT -i, i, {at}, 0, 'many', '', '{{}}', '' FROM n"
    );
    world.meddle(&insert).await;
}

async fn a_page_that_found_nothing_goes_on(world: World) {
    put(&world, 1, 25_000, NOW).await;
    record(&world, vec!["at last".into()], NOW).await;
    number(&world, 9).await;
    let rare = EventFilter { kind: Some("tag_moved".into()), ..EventFilter::default() };
    let page = world.metadata.events(&rare, 0, 9).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, Some(10_000)));
    let page = world.metadata.events(&rare, 20_000, 9).await.unwrap();
    assert_eq!((page.events.len(), page.next), (1, None));
    let seen = all(&world, &rare, 9).await;
    assert_eq!((seen.len(), seen[0].seq), (1, 25_001));
}

async fn old_events_are_forgotten_but_no_number_is_given_twice(world: World) {
    put(&world, 1, 20_000, NOW).await;
    record(&world, vec!["new".into()], NOW + 5).await;
    number(&world, 9).await;
    let expire = async |before: i64, limit: u32| {
        world.change((before, limit), |tx, (before, limit)| Box::pin(tx.expire_events(*before, i64::MAX, *limit))).await
    };
    let unfollowed = world.change((), |tx, ()| Box::pin(tx.expire_events(NOW + 1, 0, 9_000))).await;
    assert_eq!(unfollowed, 0, "what nobody has followed yet stays");
    assert_eq!(expire(NOW, 9_000).await, 0);
    assert_eq!(expire(NOW + 1, 9_000).await, 9_000);
    assert_eq!(world.metadata.events(&EventFilter::default(), 0, 1).await.unwrap().events[0].seq, 9_001);
    assert_eq!((expire(NOW + 1, 9_000).await, expire(NOW + 1, 9_000).await), (9_000, 2_000));
    assert_eq!(expire(NOW + 9, 9_000).await, 0, "the last one stays");
    let page = world.metadata.events(&EventFilter::default(), 0, 9).await.unwrap();
    assert_eq!((page.events.len(), page.next), (1, None), "what is forgotten is passed over at once");
    record(&world, vec!["newer".into()], NOW + 6).await;
    number(&world, 9).await;
    assert_eq!(world.metadata.last_event().await.unwrap(), 20_002);
}

async fn an_event_of_a_change_that_failed_is_not_there(world: World) {
    let failed: Result<(), hallmark_storage::metadata::Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async {
                tx.record(&Event::of_system("lost", "", NOW)).await?;
                tx.create_organization("acme", PrincipalId(-9), NOW).await?;
                Ok(())
            })
        })
        .await;
    failed.unwrap_err();
    record(&world, vec!["kept".into()], NOW).await;
    number(&world, 9).await;
    let seen = all(&world, &EventFilter::default(), 9).await;
    assert_eq!(seen.iter().map(|event| (event.seq, event.subject.as_str())).collect::<Vec<_>>(), [(1, "kept")]);
}
