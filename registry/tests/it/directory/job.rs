//! The regular look at a directory, as the job of a running registry does it.

use std::time::Duration;

use super::door::{anna, ben, granted, login, opened_with};
use super::slapd::{GROUPS, PEOPLE, Setup, Slapd};
use crate::harness::Credentials;

/// How often its people are looked up: the world's clock, which is put on by hand, says when that is.
const OFTEN: Duration = Duration::from_millis(200);

#[tokio::test]
async fn the_job_disables_who_is_gone_and_takes_the_teams_of_who_left_a_group() {
    let slapd = Slapd::start(Setup::Usual, "");
    let member = format!("member: uid=ben,{PEOPLE}\n");
    let core = format!("dn: cn=core,{GROUPS}\nchangetype: modify\n");
    slapd.change(&format!("{core}add: member\n{member}"));
    let world = opened_with(slapd.config(), OFTEN).await;
    let bearer = login(&world, &anna()).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    assert_eq!(granted(&world, &ben()).await, "repository:acme/app:pull");
    slapd.change(&format!("dn: uid=anna,{PEOPLE}\nchangetype: delete\n"));
    slapd.change(&format!("{core}delete: member\n{member}"));
    let jobs = world.jobs();
    // The first look comes one interval after the start, by the clock that the test puts on.
    jobs.until("anna is disabled", async || {
        world.pass(1);
        world
            .look(
                "SELECT COUNT(*) FROM users u JOIN principals p ON p.id = u.principal_id
                     WHERE u.name = 'anna' AND p.disabled_at IS NOT NULL",
            )
            .await
            == ["1"]
    })
    .await;
    jobs.until("ben left the team", async || {
        world.pass(1);
        granted(&world, &ben()).await.is_empty()
    })
    .await;
    let shown = world.get("/v2/acme/app/tags/list").by(&Credentials::bearer(&bearer)).await;
    assert_eq!(shown.status, 401, "{shown}");
    jobs.stop().await;
}
