//! Who may do what through the management API: every operation × every kind of caller, and about repositories × a private, a
//! public and an absent one (threats 3, 37).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::Value;

use super::basic;
use super::endpoints::{Endpoint, Furnished, REPOSITORIES};
use crate::harness::{Acme, Credentials, World};

/// Everybody who asks, and what the table calls them.
pub(super) async fn callers(acme: &Acme) -> Vec<(&'static str, Credentials)> {
    let world = &acme.world;
    for (name, rights) in [("gus", "admin"), ("rea", "read"), ("sig", "sign"), ("del", "delete")] {
        world.add_user(name).await;
        for repository in &REPOSITORIES[..2] {
            world.grant(repository, &format!("user:{name}"), rights).await;
        }
    }
    let mut callers = vec![
        ("nobody", Credentials::none()),
        ("stranger", basic("ann")),
        ("member", basic("mia")),
        ("reader", basic("rea")),
        ("in team", basic("tim")),
        ("signer", basic("sig")),
        ("deleter", basic("del")),
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
        assert!(status < 500, "{place}: {answer}");
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

/// The table of what everybody is answered by these endpoints.
async fn table(furnished: &Furnished, endpoints: &[Endpoint]) -> String {
    let acme = &furnished.acme;
    let callers = callers(acme).await;
    let mut table = format!("{:58}", "");
    for (who, _) in &callers {
        write!(table, " {who:>8}").unwrap();
    }
    let mut world = acme.world.copied().await;
    for endpoint in endpoints {
        write!(table, "\n{:58}", furnished.shown(endpoint)).unwrap();
        for status in row(&mut world, &acme.world, endpoint, &callers).await {
            write!(table, " {status:>8}").unwrap();
        }
    }
    table
}

/// Whether an endpoint is an operation of this template.
fn is(endpoint: &Endpoint, method: &str, template: &str) -> bool {
    let path = format!("/api/v1{}", endpoint.path.split('?').next().unwrap_or_default());
    let (mut parts, mut named) = (path.split('/'), template.split('/'));
    let alike = named.all(|named| parts.next().is_some_and(|part| named.starts_with('{') || named == part));
    alike && parts.next().is_none() && endpoint.method == method
}

#[tokio::test]
async fn no_operation_of_the_document_is_left_out() {
    let furnished = Furnished::open().await;
    let endpoints = furnished.endpoints();
    let document: Value = furnished.acme.world.get("/api/v1/openapi.json").await.expect(200).json();
    let mut met = BTreeSet::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let found: Vec<_> =
                (0..endpoints.len()).filter(|index| is(&endpoints[*index], &method, template)).collect();
            assert!(!found.is_empty(), "{method} {template} has no line in endpoints.txt");
            met.extend(found);
        }
    }
    let unknown = (0..endpoints.len()).find(|index| !met.contains(index)).map(|index| &endpoints[index].path);
    assert_eq!(unknown, None, "the document has no such operation");
    // What is asked about a repository is asked about each of the three.
    let about = endpoints.iter().filter(|endpoint| endpoint.is_of_repository()).count();
    assert_eq!(REPOSITORIES.map(|name| furnished.endpoints_about(name).len()), [about; 3]);
}

/// I5: whatever the API changes, it changes with its event or not at all.
#[tokio::test]
async fn i5_where_no_event_can_be_recorded_no_operation_changes_anything() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    world.write_down().await;
    world.meddle("CREATE TRIGGER no_events BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no events'); END").await;
    // What the signer has signed it has written down before it is told whether that was kept.
    let state = async || {
        let mut rows = world.rows().await;
        rows.retain(|table, _| !table.starts_with("signer"));
        rows
    };
    let (before, mut asked) = (state().await, 0);
    for endpoint in furnished.endpoints().into_iter().filter(|endpoint| !endpoint.event.is_empty()) {
        let whose = match endpoint.path.as_str() {
            path if path.starts_with("/me/") => "olga",
            path if path.ends_with("/checks") => "tim",
            _ => "admin",
        };
        let answer = endpoint.call(world, &basic(whose)).await;
        let place = format!("{} {}", endpoint.method, endpoint.path);
        assert_eq!(answer.gist(), (500, "UNKNOWN".to_owned()), "{place}: {answer}");
        assert_eq!(state().await, before, "{place}");
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
}

/// A legal hold is for those who must not delete: who manages the repository, and may release a pin, is one of them.
#[tokio::test]
async fn a_legal_hold_is_released_by_who_governs_the_account() {
    let furnished = Furnished::open().await;
    let endpoints: Vec<_> = REPOSITORIES.into_iter().flat_map(|name| furnished.endpoints_about(name)).collect();
    let of_holds = |method| {
        let of_method = endpoints.iter().filter(move |endpoint| endpoint.method == method);
        of_method.filter(|endpoint| endpoint.path.contains("/holds")).cloned().collect::<Vec<_>>()
    };
    for place in of_holds("POST") {
        place.call(&furnished.acme.world, &basic("admin")).await;
    }
    let mut released = of_holds("DELETE");
    for endpoint in &mut released {
        endpoint.path = endpoint.path.replace("/pin", "/legal");
    }
    let digest = released[0].path.split('/').nth(4).unwrap().to_owned();
    let table = table(&furnished, &released).await.replace(&digest, "{digest}");
    assert_snapshot!(table, @r"
                                                                 nobody stranger   member   reader  in team   signer  deleter  granted    owner  auditor    admin    robot   images    reads   writes no admin   of web  of acme
    DELETE /repositories/acme%2Fweb/holds/{digest}/legal      401      404      404      403      403      403      403      403      204      403      204      403      403      403      204      403      403      204
    DELETE /repositories/acme%2Fsite/holds/{digest}/legal      401      403      403      403      403      403      403      403      204      403      204      403      403      403      204      403      404      204
    DELETE /repositories/acme%2Fnix/holds/{digest}/legal      401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    ");
}

#[tokio::test]
async fn every_endpoint_by_everybody() {
    let furnished = Furnished::open().await;
    let mut endpoints = furnished.endpoints();
    endpoints.retain(|endpoint| !endpoint.is_of_repository());
    let table = table(&furnished, &endpoints).await;
    assert_snapshot!(table, @r"
                                                                 nobody stranger   member   reader  in team   signer  deleter  granted    owner  auditor    admin    robot   images    reads   writes no admin   of web  of acme
    GET    /me                                                      401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /me/tokens                                               401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    POST   /me/tokens                                               401      201      201      201      201      201      201      201      201      201      201      403      403      403      201      403      403      403
    DELETE /me/tokens/{token}                                       401      404      404      404      404      404      404      404      204      404      404      404      403      403      204      403      403      403
    GET    /users                                                   401      403      403      403      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    POST   /users                                                   401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    GET    /users/mia                                               401      404      200      404      404      404      404      404      404      200      200      404      403      404      404      404      404      404
    PATCH  /users/mia                                               401      403      403      403      403      403      403      403      403      403      200      403      403      403      403      403      403      403
    DELETE /users/mia                                               401      403      403      403      403      403      403      403      403      403      204      403      403      403      403      403      403      403
    PUT    /users/mia/password                                      401      404      204      404      404      404      404      404      404      404      204      404      403      403      404      404      404      404
    POST   /users/mia/logout                                        401      404      204      404      404      404      404      404      404      404      204      404      403      403      404      404      404      404
    GET    /certificates                                            401      403      403      403      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    POST   /certificates                                            401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    DELETE /certificates/{certificate}                              401      403      403      403      403      403      403      403      403      403      204      403      403      403      403      403      403      403
    GET    /organizations                                           401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    POST   /organizations                                           401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    GET    /organizations/acme                                      401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /organizations/acme                                      401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme                                      401      404      403      404      403      404      404      404      409      403      409      404      403      403      409      403      403      409
    DELETE /organizations/acme-void                                 401      404      403      404      404      404      404      404      204      403      204      404      403      403      204      403      403      403
    GET    /organizations/acme/members                              401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PUT    /organizations/acme/members/ann                          401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/members/tim                          401      404      403      404      204      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /organizations/acme/teams                                401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    POST   /organizations/acme/teams                                401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    GET    /organizations/acme/teams/dev                            401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /organizations/acme/teams/dev                            401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/teams/dev                            401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /organizations/acme/teams/dev/members                    401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PUT    /organizations/acme/teams/dev/members/mia                401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    DELETE /organizations/acme/teams/dev/members/tim                401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots                                    401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    POST   /accounts/acme/robots                                    401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    GET    /accounts/acme/robots/ci                                 401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PATCH  /accounts/acme/robots/ci                                 401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    DELETE /accounts/acme/robots/ci                                 401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots/ci/secrets                         401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    POST   /accounts/acme/robots/ci/secrets                         401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    DELETE /accounts/acme/robots/ci/secrets/{secret}                401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/robots/ci/rules                           401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    POST   /accounts/acme/robots/ci/rules                           401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    DELETE /accounts/acme/robots/ci/rules/{rule}                    401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    GET    /accounts/acme/grants                                    401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    GET    /accounts/acme/policy                                    401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    PUT    /accounts/acme/policy                                    401      404      403      404      403      404      404      404      200      403      200      404      403      403      200      403      403      200
    GET    /accounts/acme/quota                                     401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    PUT    /accounts/acme/quota                                     401      404      403      404      403      404      404      404      403      403      200      404      403      403      403      403      403      403
    DELETE /accounts/acme/quota                                     401      404      403      404      403      404      404      404      403      403      204      404      403      403      403      403      403      403
    GET    /accounts/acme/sizes                                     401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    GET    /accounts/acme/trash                                     401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    POST   /accounts/acme/undelete                                  401      404      403      404      403      404      404      404      204      403      204      404      403      403      204      403      403      204
    PUT    /grants/acme%2F*/user:ann                                401      404      404      404      404      404      404      404      200      403      200      404      403      403      200      403      404      200
    GET    /repositories                                            401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      403      403
    POST   /repositories                                            401      403      403      403      403      403      403      403      201      403      201      403      403      403      201      201      403      201
    GET    /gc                                                      401      403      403      403      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    PATCH  /gc                                                      401      403      403      403      403      403      403      403      403      403      200      403      403      403      403      403      403      403
    POST   /gc/run                                                  401      403      403      403      403      403      403      403      403      403      200      403      403      403      403      403      403      403
    GET    /gc/explain?account=acme&digest={digest}                 401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    GET    /trust/root                                              401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    POST   /trust/root                                              401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    POST   /trust/root/drafts                                       401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    POST   /trust/rotations                                         401      403      403      403      403      403      403      403      403      403      201      403      403      403      403      403      403      403
    GET    /trust/files                                             401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    PUT    /trust/files/new.pem                                     401      403      403      403      403      403      403      403      403      403      200      403      403      403      403      403      403      403
    DELETE /trust/files/key.pem                                     401      403      403      403      403      403      403      403      403      403      204      403      403      403      403      403      403      403
    POST   /organizations/acme-void/trust                           401      404      403      404      404      404      404      404      201      403      201      404      403      403      201      403      403      403
    GET    /organizations/acme/trust/root                           401      404      200      404      200      404      404      404      200      200      200      404      403      200      200      200      200      200
    POST   /organizations/acme/trust/root                           401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    POST   /organizations/acme/trust/root/drafts                    401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    POST   /organizations/acme/trust/rotations                      401      404      403      404      403      404      404      404      201      403      201      404      403      403      201      403      403      201
    GET    /events                                                  401      403      403      403      403      403      403      403      403      200      200      403      403      403      403      403      403      403
    GET    /events?account=acme                                     401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    ");
}

#[tokio::test]
async fn every_endpoint_of_a_repository_by_everybody() {
    let furnished = Furnished::open().await;
    let of_each = REPOSITORIES.map(|repository| furnished.endpoints_about(repository));
    let [private, public, absent] = &of_each;
    let lines = private.iter().zip(public).zip(absent);
    let endpoints: Vec<_> = lines.flat_map(|((private, public), absent)| [private, public, absent]).cloned().collect();
    let table = table(&furnished, &endpoints).await;
    assert_snapshot!(table, @r"
                                                                 nobody stranger   member   reader  in team   signer  deleter  granted    owner  auditor    admin    robot   images    reads   writes no admin   of web  of acme
    GET    /repositories/acme%2Fweb                                 401      404      404      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /repositories/acme%2Fsite                                401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      404      200
    GET    /repositories/acme%2Fnix                                 401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    PATCH  /repositories/acme%2Fweb                                 401      404      404      403      403      403      403      200      200      403      200      403      403      403      200      403      200      200
    PATCH  /repositories/acme%2Fsite                                401      403      403      403      403      403      403      200      200      403      200      403      403      403      200      403      404      200
    PATCH  /repositories/acme%2Fnix                                 401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /repositories/acme%2Fweb                                 401      404      404      403      403      403      204      204      204      403      204      403      403      403      204      403      204      204
    DELETE /repositories/acme%2Fsite                                401      403      403      403      403      403      204      204      204      403      204      403      403      403      204      403      404      204
    DELETE /repositories/acme%2Fnix                                 401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    POST   /repositories/acme%2Fweb/transfer                        401      404      404      403      403      403      403      403      200      403      200      403      403      403      200      403      403      403
    POST   /repositories/acme%2Fsite/transfer                       401      403      403      403      403      403      403      403      200      403      200      403      403      403      200      403      404      403
    POST   /repositories/acme%2Fnix/transfer                        401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/grants                          401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /repositories/acme%2Fsite/grants                         401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    GET    /repositories/acme%2Fnix/grants                          401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    PUT    /grants/acme%2Fweb/user:ann                              401      404      404      403      403      403      403      200      200      403      200      403      403      403      200      403      200      200
    PUT    /grants/acme%2Fsite/user:ann                             401      403      403      403      403      403      403      200      200      403      200      403      403      403      200      403      404      200
    PUT    /grants/acme%2Fnix/user:ann                              401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /grants/acme%2Fweb/team:acme%2Fdev                       401      404      404      403      403      403      403      204      204      403      204      403      403      403      204      403      204      204
    DELETE /grants/acme%2Fsite/team:acme%2Fdev                      401      403      403      403      403      403      403      204      204      403      204      403      403      403      204      403      404      204
    DELETE /grants/acme%2Fnix/team:acme%2Fdev                       401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/signatures                      401      404      404      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /repositories/acme%2Fsite/signatures                     401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      404      200
    GET    /repositories/acme%2Fnix/signatures                      401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    POST   /repositories/acme%2Fweb/signatures                      401      404      404      403      201      201      403      201      201      403      201      201      403      403      201      201      201      201
    POST   /repositories/acme%2Fsite/signatures                     401      403      403      403      201      201      403      201      201      403      201      403      403      403      201      201      404      201
    POST   /repositories/acme%2Fnix/signatures                      401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /repositories/acme%2Fweb/signatures/1                    401      404      404      403      204      204      403      204      204      403      204      204      403      403      204      204      204      204
    DELETE /repositories/acme%2Fsite/signatures/1                   401      403      403      403      204      204      403      204      204      403      204      403      403      403      204      204      404      204
    DELETE /repositories/acme%2Fnix/signatures/1                    401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/sign-rules                      401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /repositories/acme%2Fsite/sign-rules                     401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    GET    /repositories/acme%2Fnix/sign-rules                      401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    POST   /repositories/acme%2Fweb/sign-rules                      401      404      404      403      403      403      403      201      201      403      201      403      403      403      201      403      201      201
    POST   /repositories/acme%2Fsite/sign-rules                     401      403      403      403      403      403      403      201      201      403      201      403      403      403      201      403      404      201
    POST   /repositories/acme%2Fnix/sign-rules                      401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /repositories/acme%2Fweb/sign-rules/{sign_rule}          401      404      404      403      403      403      403      204      204      403      204      403      403      403      204      403      204      204
    DELETE /repositories/acme%2Fsite/sign-rules/{sign_rule}         401      403      403      403      403      403      403      204      204      403      204      403      403      403      204      403      404      204
    DELETE /repositories/acme%2Fnix/sign-rules/{sign_rule}          401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    POST   /repositories/acme%2Fweb/checks                          401      404      404      403      204      403      403      403      403      403      403      403      403      403      403      403      403      403
    POST   /repositories/acme%2Fsite/checks                         401      403      403      403      204      403      403      403      403      403      403      403      403      403      403      403      404      403
    POST   /repositories/acme%2Fnix/checks                          401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    POST   /repositories/acme%2Fweb/signing-key                     401      404      404      403      403      403      403      201      201      403      201      403      403      403      201      403      201      201
    POST   /repositories/acme%2Fsite/signing-key                    401      403      403      403      403      403      403      201      201      403      201      403      403      403      201      403      404      201
    POST   /repositories/acme%2Fnix/signing-key                     401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/holds                           401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /repositories/acme%2Fsite/holds                          401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    GET    /repositories/acme%2Fnix/holds                           401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    POST   /repositories/acme%2Fweb/holds                           401      404      404      403      403      403      403      201      201      403      201      403      403      403      201      403      201      201
    POST   /repositories/acme%2Fsite/holds                          401      403      403      403      403      403      403      201      201      403      201      403      403      403      201      403      404      201
    POST   /repositories/acme%2Fnix/holds                           401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /repositories/acme%2Fweb/holds/{digest}/pin              401      404      404      403      403      403      403      204      204      403      204      403      403      403      204      403      204      204
    DELETE /repositories/acme%2Fsite/holds/{digest}/pin             401      403      403      403      403      403      403      204      204      403      204      403      403      403      204      403      404      204
    DELETE /repositories/acme%2Fnix/holds/{digest}/pin              401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/policy                          401      404      404      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /repositories/acme%2Fsite/policy                         401      200      200      200      200      200      200      200      200      200      200      200      403      200      200      200      404      200
    GET    /repositories/acme%2Fnix/policy                          401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    PUT    /repositories/acme%2Fweb/policy                          401      404      404      403      403      403      403      200      200      403      200      403      403      403      200      403      200      200
    PUT    /repositories/acme%2Fsite/policy                         401      403      403      403      403      403      403      200      200      403      200      403      403      403      200      403      404      200
    PUT    /repositories/acme%2Fnix/policy                          401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    POST   /repositories/acme%2Fweb/retention/preview               401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    POST   /repositories/acme%2Fsite/retention/preview              401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    POST   /repositories/acme%2Fnix/retention/preview               401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    GET    /repositories/acme%2Fweb/quota                           401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /repositories/acme%2Fsite/quota                          401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    GET    /repositories/acme%2Fnix/quota                           401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    PUT    /repositories/acme%2Fweb/quota                           401      404      404      403      403      403      403      403      200      403      200      403      403      403      200      403      403      200
    PUT    /repositories/acme%2Fsite/quota                          401      403      403      403      403      403      403      403      200      403      200      403      403      403      200      403      404      200
    PUT    /repositories/acme%2Fnix/quota                           401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    DELETE /repositories/acme%2Fweb/quota                           401      404      404      403      403      403      403      403      204      403      204      403      403      403      204      403      403      204
    DELETE /repositories/acme%2Fsite/quota                          401      403      403      403      403      403      403      403      204      403      204      403      403      403      204      403      404      204
    DELETE /repositories/acme%2Fnix/quota                           401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/sizes                           401      404      404      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /repositories/acme%2Fsite/sizes                          401      403      403      403      403      403      403      200      200      200      200      403      403      200      200      403      404      200
    GET    /repositories/acme%2Fnix/sizes                           401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    GET    /repositories/acme%2Fweb/trash                           401      404      404      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /repositories/acme%2Fsite/trash                          401      403      403      200      200      200      200      200      200      200      200      403      403      200      200      200      404      200
    GET    /repositories/acme%2Fnix/trash                           401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    POST   /repositories/acme%2Fweb/undelete                        401      404      404      403      200      403      403      200      200      403      200      200      403      403      200      200      200      200
    POST   /repositories/acme%2Fsite/undelete                       401      403      403      403      200      403      403      200      200      403      200      403      403      403      200      200      404      200
    POST   /repositories/acme%2Fnix/undelete                        401      404      404      404      404      404      404      404      404      404      404      404      403      403      404      404      404      404
    GET    /repositories/acme%2Fweb/tags/1/history                  401      404      404      200      200      200      200      200      200      200      200      200      403      200      200      200      200      200
    GET    /repositories/acme%2Fsite/tags/1/history                 401      403      403      200      200      200      200      200      200      200      200      403      403      200      200      200      404      200
    GET    /repositories/acme%2Fnix/tags/1/history                  401      404      404      404      404      404      404      404      404      404      404      404      403      404      404      404      404      404
    GET    /explain                                                 401      404      200      403      403      403      403      200      200      200      200      403      403      200      200      403      200      200
    GET    /explain                                                 401      403      200      403      403      403      403      200      200      200      200      403      403      200      200      403      403      200
    GET    /explain                                                 401      404      200      404      404      404      404      404      404      200      200      404      403      404      404      404      403      404
    GET    /events?account=acme&repository=acme/web                 401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    GET    /events?account=acme&repository=acme/site                401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    GET    /events?account=acme&repository=acme/nix                 401      404      403      404      403      404      404      404      200      200      200      404      403      200      200      403      403      200
    ");
}
