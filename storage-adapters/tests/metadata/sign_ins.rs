//! Sign-ins that have begun, sessions of browsers and requests of devices.

use std::sync::Arc;

use hallmark_storage::metadata::{
    DeviceDecision, DeviceOpening, DeviceRequest, NewDeviceRequest, NewSignIn, OpenLimits, Session,
};

use crate::harness::{NOW, World, family};

family! {
    a_sign_in_is_taken_once_and_in_time,
    so_many_sign_ins_are_open,
    a_session_holds_until_it_ends,
    a_device_is_decided_once_and_taken_once,
    a_code_is_one_device_s,
    so_many_devices_are_open,
    a_device_is_taken_by_one_of_many,
    what_has_ended_is_forgotten,
}

const LIMITS: OpenLimits = OpenLimits { all: 3, of_place: 2 };

async fn begin(world: &World, (browser, place): (&'static str, &'static str), expires_at: i64) -> bool {
    world
        .change((browser, place, expires_at), |tx, (browser, place, expires_at)| {
            Box::pin(async move {
                let new = NewSignIn { browser, place, sealed: "sealed", expires_at: *expires_at };
                tx.begin_sign_in(&new, LIMITS, NOW).await
            })
        })
        .await
}

async fn take(world: &World, browser: &'static str, now: i64) -> Option<String> {
    world.change((browser, now), |tx, (browser, now)| Box::pin(tx.take_sign_in(browser, *now))).await
}

async fn ask(world: &World, (device, code): (&'static str, &'static str), place: &'static str) -> DeviceOpening {
    world
        .change((device, code, place), |tx, (device, code, place)| {
            Box::pin(async move {
                let (asked, expires_at) = (r#"{"client":"cli"}"#, NOW + 10);
                let new = NewDeviceRequest { device, code, place, asked, expires_at, wait_seconds: 5 };
                tx.open_device_request(&new, LIMITS, NOW).await
            })
        })
        .await
}

async fn decide(world: &World, code: &'static str, decision: DeviceDecision, now: i64) -> bool {
    let input = (code, decision, now);
    world.change(input, |tx, (code, decision, now)| Box::pin(tx.decide_device_request(code, *decision, *now))).await
}

async fn take_device(world: &World, device: &'static str) -> bool {
    world.change(device, |tx, device| Box::pin(tx.take_device_request(device))).await
}

async fn a_sign_in_is_taken_once_and_in_time(world: World) {
    for browser in ["one", "two"] {
        assert!(begin(&world, (browser, "here"), NOW + 10).await);
    }
    assert_eq!(take(&world, "One", NOW).await, None);
    assert_eq!(take(&world, "one", NOW + 9).await.as_deref(), Some("sealed"));
    assert_eq!(take(&world, "one", NOW).await, None);
    assert_eq!(take(&world, "two", NOW + 10).await, None, "it is over");
    assert_eq!(take(&world, "two", NOW).await, None, "and gone");
}

async fn so_many_sign_ins_are_open(world: World) {
    for (number, (browser, place, begins)) in
        [("a", "here", true), ("b", "here", true), ("c", "here", false), ("d", "there", true), ("e", "there", false)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(begin(&world, (browser, place), NOW + 10).await, begins, "{number}");
    }
    take(&world, "a", NOW).await;
    assert!(begin(&world, ("f", "here"), NOW).await, "one that is over at once");
    assert!(begin(&world, ("g", "here"), NOW + 10).await, "it does not count");
}

async fn a_session_holds_until_it_ends(world: World) {
    let of = Session { principal: world.alice.id, epoch: 3 };
    world.change(of, |tx, of| Box::pin(tx.open_session("s", *of, NOW + 10))).await;
    assert_eq!(world.metadata.session("s", NOW + 9).await.unwrap(), Some(of));
    assert_eq!(world.metadata.session("s", NOW + 10).await.unwrap(), None);
    assert_eq!(world.metadata.session("t", NOW).await.unwrap(), None);
    for held in [true, false] {
        assert_eq!(world.change((), |tx, ()| Box::pin(tx.end_session("s"))).await, held);
    }
    assert_eq!(world.metadata.session("s", NOW).await.unwrap(), None);
}

async fn a_device_is_decided_once_and_taken_once(world: World) {
    assert_eq!(ask(&world, ("device", "code"), "here").await, DeviceOpening::Opened);
    let mut expected = DeviceRequest {
        asked: r#"{"client":"cli"}"#.to_owned(),
        asked_at: NOW,
        expires_at: NOW + 10,
        wait_seconds: 5,
        polled_at: None,
        decision: None,
    };
    assert_eq!(world.metadata.device_request("device").await.unwrap().as_ref(), Some(&expected));
    assert_eq!(world.metadata.device_request_of_code("code").await.unwrap().as_ref(), Some(&expected));
    assert_eq!(world.metadata.device_request("code").await.unwrap(), None);
    assert_eq!(world.metadata.device_request_of_code("device").await.unwrap(), None);
    let held = world
        .change((), |tx, ()| {
            Box::pin(async move {
                let held = tx.hold_device_request("device").await?;
                tx.note_device_poll("device", 10, NOW + 1).await?;
                Ok::<_, hallmark_storage::metadata::Error>(held)
            })
        })
        .await;
    assert_eq!(held.as_ref(), Some(&expected));
    let approve = DeviceDecision::Approved(world.alice.id, 3);
    assert!(!decide(&world, "code", approve, NOW + 10).await, "it is over");
    assert!(decide(&world, "code", approve, NOW + 9).await);
    assert!(!decide(&world, "code", DeviceDecision::Denied, NOW + 9).await);
    expected.wait_seconds = 10;
    expected.polled_at = Some(NOW + 1);
    expected.decision = Some(approve);
    assert_eq!(world.metadata.device_request("device").await.unwrap(), Some(expected));
    assert!(take_device(&world, "device").await);
    assert!(!take_device(&world, "device").await);
    ask(&world, ("device", "code"), "here").await;
    assert!(decide(&world, "code", DeviceDecision::Denied, NOW).await);
    let denied = world.metadata.device_request("device").await.unwrap().unwrap();
    assert_eq!(denied.decision, Some(DeviceDecision::Denied));
}

async fn a_code_is_one_device_s(world: World) {
    assert_eq!(ask(&world, ("one", "code"), "here").await, DeviceOpening::Opened);
    assert_eq!(ask(&world, ("two", "code"), "here").await, DeviceOpening::CodeTaken);
    assert_eq!(ask(&world, ("two", "other"), "here").await, DeviceOpening::Opened);
}

async fn so_many_devices_are_open(world: World) {
    let (opened, full) = (DeviceOpening::Opened, DeviceOpening::Full);
    for (device, code, place, expected) in [
        ("a", "1", "here", opened),
        ("b", "2", "here", opened),
        ("c", "3", "here", full),
        ("d", "4", "there", opened),
        ("e", "5", "there", full),
    ] {
        assert_eq!(ask(&world, (device, code), place).await, expected, "{device}");
    }
    assert!(take_device(&world, "a").await);
    assert_eq!(ask(&world, ("c", "3"), "here").await, opened);
}

async fn a_device_is_taken_by_one_of_many(world: World) {
    ask(&world, ("device", "code"), "here").await;
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { take_device(&world, "device").await })
        })
        .collect();
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(task.await.unwrap());
    }
    assert_eq!(taken, 1);
}

async fn what_has_ended_is_forgotten(world: World) {
    begin(&world, ("browser", "here"), NOW + 10).await;
    ask(&world, ("device", "code"), "here").await;
    let of = Session { principal: world.alice.id, epoch: 0 };
    world.change(of, |tx, of| Box::pin(tx.open_session("s", *of, NOW + 20))).await;
    for (now, forgotten) in [(NOW + 9, 0), (NOW + 10, 2), (NOW + 19, 0), (NOW + 20, 1), (NOW + 20, 0)] {
        let some = world.change(now, |tx, now| Box::pin(tx.forget_sign_ins(*now, 100))).await;
        assert_eq!(some, forgotten, "{}", now - NOW);
    }
}
