//! Who may do what through the management API: every endpoint × every kind of caller (threat 37).

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::{Endpoint, basic, endpoints};
use crate::harness::{Acme, Credentials, World};

/// Everybody who asks, and what the table calls them.
async fn callers(acme: &Acme) -> Vec<(&'static str, Credentials)> {
    let world = &acme.world;
    world.add_user("gus").await;
    world.grant("acme/web", "user:gus", "admin").await;
    let mut callers = vec![
        ("nobody", Credentials::none()),
        ("stranger", basic("ann")),
        ("member", basic("mia")),
        ("in team", basic("tim")),
        ("granted", basic("gus")),
        ("owner", basic("olga")),
        ("auditor", basic("aud")),
        ("admin", basic("admin")),
        ("robot", acme.robot.clone()),
    ];
    for (shown, scopes) in [
        ("images", "admin"),
        ("reads", "admin api:read"),
        ("writes", "admin api:write"),
        ("no admin", "write api:write"),
        ("of web", "admin api:write on:acme/web"),
        ("of acme", "admin api:write on:acme/*"),
    ] {
        callers.push((shown, Credentials::bearer(&world.personal("olga", scopes).await.1)));
    }
    callers
}

/// Asks as everybody; what each is answered. Whoever changes something does it in a registry of their own.
async fn row(world: &mut World, base: &World, endpoint: &Endpoint, callers: &[(&str, Credentials)]) -> Vec<u16> {
    let (mut statuses, mut refused) = (Vec::new(), Vec::new());
    for (who, by) in callers {
        let events = world.count_events().await;
        let answer = endpoint.call(world, by).await;
        let (status, place) = (answer.status.as_u16(), format!("{} {} by {who}", endpoint.method, endpoint.path));
        statuses.push(status);
        if endpoint.method != "GET" && answer.status.is_success() {
            let kinds: Vec<_> = world
                .events_after(events)
                .await
                .iter()
                .map(|event| event.split(' ').nth(1).unwrap().to_owned())
                .collect();
            assert_eq!(kinds.join(","), endpoint.event, "{place}");
            *world = base.copied().await;
        } else {
            refused.push((by, status));
        }
    }
    // Whoever only looks or was refused has changed nothing.
    let before = world.rows().await;
    for (by, status) in refused {
        assert_eq!(endpoint.call(world, by).await.status, status, "{} {}", endpoint.method, endpoint.path);
    }
    assert_eq!(world.rows().await, before, "{} {}", endpoint.method, endpoint.path);
    statuses
}

#[tokio::test]
async fn every_endpoint_by_everybody() {
    let acme = Acme::open().await;
    let callers = callers(&acme).await;
    let endpoints = endpoints(&acme).await;
    let mut table = format!("{:58}", "");
    for (who, _) in &callers {
        write!(table, " {who:>8}").unwrap();
    }
    let mut world = acme.world.copied().await;
    for endpoint in &endpoints {
        write!(table, "\n{:6} {:51}", endpoint.method, endpoint.path.split("?subject").next().unwrap()).unwrap();
        for status in row(&mut world, &acme.world, endpoint, &callers).await {
            write!(table, " {status:>8}").unwrap();
        }
    }
    let secret = acme.world.look("SELECT id FROM credentials WHERE kind = 'robot'").await.remove(0);
    assert_snapshot!(table.replace(&format!("/{secret} "), "/N "), @r"
                                                                 nobody stranger   member  in team  granted    owner  auditor    admin    robot   images    reads   writes no admin   of web  of acme
    GET    /me                                                      401      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /me/tokens                                               401      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    POST   /me/tokens                                               401      201      201      201      201      201      201      201      403      403      403      201      403      403      403
    DELETE /me/tokens/1                                             401      404      404      404      404      404      404      404      404      403      403      404      403      403      403
    GET    /users                                                   401      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    POST   /users                                                   401      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    GET    /users/mia                                               401      404      200      404      404      404      200      200      404      403      404      404      404      404      404
    PATCH  /users/mia                                               401      403      403      403      403      403      403      200      403      403      403      403      403      403      403
    DELETE /users/mia                                               401      403      403      403      403      403      403      204      403      403      403      403      403      403      403
    PUT    /users/mia/password                                      401      404      204      404      404      404      404      204      404      403      403      404      404      404      404
    POST   /users/mia/logout                                        401      404      204      404      404      404      404      204      404      403      403      404      404      404      404
    GET    /organizations                                           401      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    POST   /organizations                                           401      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    GET    /organizations/acme                                      401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /organizations/acme                                      401      404      403      403      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme                                      401      404      403      403      404      409      403      409      404      403      403      409      403      403      409
    GET    /organizations/acme/members                              401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    PUT    /organizations/acme/members/ann                          401      404      403      403      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/members/tim                          401      404      403      204      404      204      403      204      404      403      403      204      403      403      204
    GET    /organizations/acme/teams                                401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    POST   /organizations/acme/teams                                401      404      403      403      404      201      403      201      404      403      403      201      403      403      201
    GET    /organizations/acme/teams/dev                            401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /organizations/acme/teams/dev                            401      404      403      403      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/teams/dev                            401      404      403      403      404      204      403      204      404      403      403      204      403      403      204
    GET    /organizations/acme/teams/dev/members                    401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    PUT    /organizations/acme/teams/dev/members/mia                401      404      403      403      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/teams/dev/members/tim                401      404      403      403      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots                                    401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    POST   /accounts/acme/robots                                    401      404      403      403      404      201      403      201      404      403      403      201      403      403      201
    GET    /accounts/acme/robots/ci                                 401      404      200      200      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /accounts/acme/robots/ci                                 401      404      403      403      404      200      403      200      404      403      403      200      403      403      200
    DELETE /accounts/acme/robots/ci                                 401      404      403      403      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots/ci/secrets                         401      404      403      403      404      200      200      200      404      403      200      200      403      403      200
    POST   /accounts/acme/robots/ci/secrets                         401      404      403      403      404      201      403      201      404      403      403      201      403      403      201
    DELETE /accounts/acme/robots/ci/secrets/N                      401      404      403      403      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots/ci/rules                           401      404      403      403      404      200      200      200      404      403      200      200      403      403      200
    DELETE /accounts/acme/robots/ci/rules/1                         401      404      403      403      404      404      403      404      404      403      403      404      403      403      404
    GET    /repositories                                            401      200      200      200      200      200      200      200      200      403      200      200      200      403      403
    POST   /repositories                                            401      403      403      403      403      201      403      201      403      403      403      201      201      403      201
    GET    /repositories/acme%2Fweb                                 401      404      404      200      200      200      200      200      200      403      200      200      200      200      200
    PATCH  /repositories/acme%2Fweb                                 401      404      404      403      200      200      403      200      403      403      403      200      403      200      200
    DELETE /repositories/acme%2Fweb                                 401      404      404      403      204      204      403      204      403      403      403      204      403      204      204
    GET    /repositories/acme%2Fweb/grants                          401      404      404      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /accounts/acme/grants                                    401      404      403      403      404      200      200      200      404      403      200      200      403      403      200
    PUT    /grants/acme%2Fweb/user:ann                              401      404      404      403      200      200      403      200      403      403      403      200      403      200      200
    DELETE /grants/acme%2Fweb/team:acme%2Fdev                       401      404      404      403      204      204      403      204      403      403      403      204      403      204      204
    PUT    /grants/acme%2F*/user:ann                                401      404      404      404      404      200      403      200      404      403      403      200      403      404      200
    GET    /explain                                                 401      404      200      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /events                                                  401      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    GET    /events?account=acme                                     401      404      403      403      404      200      200      200      404      403      200      200      403      403      200
    ");
}
