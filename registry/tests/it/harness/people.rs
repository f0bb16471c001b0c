//! People, programs and what they may do, made through the management API as an administrator would.

use hallmark::config::Config;
use hallmark_storage::metadata::{Error, SystemRole};
use serde_json::{Value, json};

use super::{Answer, Call, Credentials, PASSWORD, World};

/// A year after every world begins.
const NEXT_YEAR: &str = "2028-01-15T08:00:00Z";

/// A registry with people of every kind around the organization `acme`.
///
/// `olga` owns it, `mia` belongs to it, `tim` is in its team `dev`, which may write to `acme/web`; `ann` and `bob` are
/// strangers, `aud` is an auditor. The robot `acme+ci` is bound to `acme/web`, where it may write. `acme/web` is private,
/// `acme/site` public, and each holds an image `1`.
pub(crate) struct Acme {
    pub(crate) world: World,
    /// The name and secret of `acme+ci`.
    pub(crate) robot: Credentials,
}

impl Acme {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with settings that are changed first.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let world = World::with(change).await;
        for name in ["olga", "mia", "tim", "aud"] {
            world.add_user(name).await;
        }
        world.set_role("aud", SystemRole::Auditor).await;
        world.organization("acme", "olga").await;
        world.member("acme", "mia", "member").await;
        world.member("acme", "tim", "member").await;
        world.team("acme", "dev", &["tim"]).await;
        let admin = Credentials::basic("admin", PASSWORD);
        for name in ["acme/web", "acme/site"] {
            world.image(&admin, name, "1", "layer").await;
        }
        world.publish("acme/site").await;
        world.grant("acme/web", "team:acme/dev", "write").await;
        let robot = world.robot("acme", "ci", Some("acme/web")).await;
        world.grant("acme/web", "robot:acme+ci", "write").await;
        Self { world, robot }
    }
}

impl World {
    /// What the log tells of who signed in (`signed_in`), or could not (`sign_in_failed`), but of the administrator, in order: by
    /// whom, as what, how and how often.
    pub(crate) async fn sign_ins(&self, kind: &str) -> Vec<String> {
        self.write_down().await;
        let admin = Credentials::basic("admin", PASSWORD);
        let log = self.api("GET", &format!("/events?kind={kind}&limit=1000"), &admin).await.expect(200).json();
        let events = log["items"].as_array().unwrap().iter().filter(|event| event["actor"] != "admin");
        let mut told: Vec<_> = events
            .map(|event| {
                let (detail, actor) = (&event["detail"], event["actor"].as_str().unwrap());
                let (subject, how) = (event["subject"].as_str().unwrap_or_default(), detail["how"].as_str().unwrap());
                format!("{actor} {subject} {how} {}", detail["count"])
            })
            .collect();
        told.sort();
        told
    }

    /// A request of the management API; `path` begins behind `/api/v1`.
    pub(crate) fn api(&self, method: &str, path: &str, by: &Credentials) -> Call<'_> {
        self.call(method, &format!("/api/v1{path}")).by(by)
    }

    /// A request of the management API that sends this document.
    pub(crate) fn sends(&self, method: &str, path: &str, by: &Credentials, document: &Value) -> Call<'_> {
        self.api(method, path, by).header("content-type", "application/json").body(document.to_string())
    }

    async fn as_admin(&self, method: &str, path: &str, document: &Value) -> Answer {
        let answer = self.sends(method, path, &Credentials::basic("admin", PASSWORD), document).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer}");
        answer
    }

    pub(crate) async fn set_role(&self, name: &str, role: SystemRole) {
        let user = self.app.metadata.user(name).await.unwrap().unwrap().principal;
        let changed: Result<_, Error> =
            self.app.metadata.write((user, role), |tx, (user, role)| Box::pin(tx.set_role(user, *role))).await;
        changed.unwrap();
    }

    pub(crate) async fn organization(&self, name: &str, owner: &str) {
        self.as_admin("POST", "/organizations", &json!({"name": name, "owner": owner})).await;
    }

    /// Lets pushes of members make repositories.
    pub(crate) async fn create_on_push(&self, organization: &str) {
        self.as_admin("PATCH", &format!("/organizations/{organization}"), &json!({"create_on_push": true})).await;
    }

    /// Makes a user a `member` or an `owner`.
    pub(crate) async fn member(&self, organization: &str, user: &str, role: &str) {
        self.as_admin("PUT", &format!("/organizations/{organization}/members/{user}"), &json!({"role": role})).await;
    }

    pub(crate) async fn team(&self, organization: &str, team: &str, users: &[&str]) {
        let teams = format!("/organizations/{organization}/teams");
        self.as_admin("POST", &teams, &json!({"name": team})).await;
        for user in users {
            self.as_admin("PUT", &format!("{teams}/{team}/members/{user}"), &json!({})).await;
        }
    }

    pub(crate) async fn grant(&self, on: &str, holder: &str, rights: &str) {
        self.as_admin("PUT", &grant(on, holder), &json!({"rights": rights})).await;
    }

    /// Takes a grant back.
    pub(crate) async fn take(&self, on: &str, holder: &str) {
        self.as_admin("DELETE", &grant(on, holder), &json!({})).await;
    }

    /// Makes a robot, bound to a repository or not; its name and secret.
    pub(crate) async fn robot(&self, account: &str, name: &str, repository: Option<&str>) -> Credentials {
        let robots = format!("/accounts/{account}/robots");
        self.as_admin("POST", &robots, &json!({"name": name, "repository": repository})).await;
        Credentials::basic(&format!("{account}+{name}"), &self.secret(account, name, 0).await)
    }

    /// Makes a secret of a robot; those before it end after so many seconds.
    pub(crate) async fn secret(&self, account: &str, robot: &str, overlap: u32) -> String {
        let path = format!("/accounts/{account}/robots/{robot}/secrets");
        let made = self.as_admin("POST", &path, &json!({"overlap_seconds": overlap})).await.json();
        made["secret"].as_str().unwrap().to_owned()
    }

    /// Makes a personal access token of a user; its id and secret.
    pub(crate) async fn personal(&self, user: &str, scopes: &str) -> (i64, String) {
        let by = Credentials::basic(user, PASSWORD);
        let new = json!({"name": "test", "scopes": scopes, "expires_at": NEXT_YEAR});
        let made = self.sends("POST", "/me/tokens", &by, &new).await.expect(201).json();
        (made["id"].as_i64().unwrap(), made["secret"].as_str().unwrap().to_owned())
    }

    /// How many events there are.
    pub(crate) async fn count_events(&self) -> usize {
        self.look("SELECT COUNT(*) FROM events").await[0].parse().unwrap()
    }

    /// The events after the first so many: who did what to what, in which repository, and how.
    pub(crate) async fn events_after(&self, count: usize) -> Vec<String> {
        self.look(&format!(
            "SELECT COALESCE((SELECT name FROM users WHERE principal_id = actor_id),
                (SELECT a.name || '+' || b.name FROM robots b JOIN accounts a ON a.id = b.account_id
                  WHERE b.principal_id = actor_id), 'system'), kind, subject, payload
               FROM events ORDER BY id LIMIT -1 OFFSET {count}"
        ))
        .await
    }
}

fn grant(on: &str, holder: &str) -> String {
    format!("/grants/{}/{}", encoded(on), encoded(holder))
}

/// A text as one segment of a path.
pub(crate) fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}
