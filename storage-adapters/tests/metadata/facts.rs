//! What a right is decided on.

use std::time::{Duration, Instant};

use hallmark_oci::Reference;
use hallmark_storage::metadata::{
    AccountFacts, AccountId, AccountKind, Engine, Facts, Granted, ManifestId, NameRange, PrincipalId, Rights, Source,
};

use crate::harness::images::image;
use crate::harness::people::{On, on_prefix, on_repository};
use crate::harness::{World, family, run};

family! {
    every_kind_of_fact_is_found,
    a_prefix_reaches_the_names_that_begin_with_it,
    no_letter_of_a_prefix_is_a_pattern,
    teams_of_another_organization_do_not_count,
    a_robot_has_its_own_grants,
    nobody_in_particular_has_no_grant,
    a_repository_of_the_system_is_no_account_s,
    a_change_sees_the_facts_it_makes,
    a_manifest_is_seen_with_whoever_wants_it,
    a_manifest_is_seen_by_members_as_far_as_they_reach,
}

async fn facts(world: &World, principal: Option<PrincipalId>, name: &str) -> Facts {
    let (kept, from) = world.metadata.facts(principal, &name.parse().unwrap()).await.unwrap();
    let (asked, source) = world.metadata.without_cache().facts(principal, &name.parse().unwrap()).await.unwrap();
    assert_eq!((&kept, source), (&asked, Source::Database), "{from:?}");
    Facts::clone(&kept)
}

fn granted(holder: PrincipalId, prefix: Option<&str>, rights: Rights) -> Granted {
    Granted { holder, prefix: prefix.map(str::to_owned), rights }
}

async fn every_kind_of_fact_is_found(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    world.member(&acme, &bob, false).await;
    let team = world.team(&acme, "web").await;
    world.join(&team, &bob).await;
    world.try_join(&team, &bob, "ldap").await.unwrap();
    let repository = world.named("acme/web-app").await;
    world.give(on_repository(&repository, bob.id), "read").await;
    world.give(on_repository(&repository, team.id), "write").await;
    world.give(on_prefix(&acme, "acme/web-", bob.id), "sign").await;
    world.give(on_prefix(&acme, "acme/", team.id), "delete").await;
    world.give(on_repository(&repository, world.alice.id), "admin").await;
    let mut grants = vec![
        granted(bob.id, None, Rights::READ),
        granted(bob.id, Some("acme/web-"), Rights::SIGN),
        granted(team.id, None, Rights::WRITE),
        granted(team.id, Some("acme/"), Rights::DELETE),
    ];
    grants.sort_by(|a, b| (a.holder, &a.prefix).cmp(&(b.holder, &b.prefix)));
    let account =
        Some(AccountFacts { id: acme.id, kind: AccountKind::Organization, create_on_push: false, writers_sign: true });
    let expected = Facts { account, repository: Some(repository.clone()), member: Some(false), grants };
    assert_eq!(facts(&world, Some(bob.id), "acme/web-app").await, expected);
    assert_eq!(world.metadata.repository(&repository.name).await.unwrap(), expected.repository);
    assert_eq!(facts(&world, Some(world.alice.id), "acme/web-app").await.member, Some(true));
    let absent = facts(&world, Some(bob.id), "acme/web-other").await;
    assert_eq!((absent.repository, absent.account), (None, expected.account));
    assert_eq!(absent.grants.len(), 2, "a prefix reaches what is to come");
    let own = facts(&world, Some(bob.id), "bob/app").await;
    let account = own.account.unwrap();
    assert_eq!((account.id, account.kind, own.member), (bob.account_id, AccountKind::User, None));
    assert_eq!(facts(&world, Some(bob.id), "nobody/app").await, Facts::default());
}

async fn a_prefix_reaches_the_names_that_begin_with_it(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    world.organization("acme-web", &world.alice).await;
    world.give(on_prefix(&acme, "acme/web-", bob.id), "read").await;
    let reached = async |name: &str| !facts(&world, Some(bob.id), name).await.grants.is_empty();
    for name in ["acme/web-a", "acme/web-app/base", "acme/web-a.b"] {
        world.named(name).await;
        assert!(reached(name).await, "{name}");
    }
    for name in ["acme/web", "acme/web/a", "acme/we", "acme/a/web-a", "acme/xweb-a", "acme-web/web-a", "bob/web-a"] {
        world.named(name).await;
        assert!(!reached(name).await, "{name}");
    }
    world.give(on_prefix(&acme, "acme/a/b", bob.id), "read").await;
    assert!(reached("acme/a/b").await, "a name begins with itself");
    assert!(!reached("acme/a").await);
}

async fn no_letter_of_a_prefix_is_a_pattern(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    for prefix in ["acme/a_", "acme/b%", "acme/C", "acme/d*", "acme/e.", "acme/f["] {
        world.give(on_prefix(&acme, prefix, bob.id), "read").await;
    }
    for name in ["acme/axb", "acme/ab", "acme/bxx", "acme/cc", "acme/dd", "acme/exx", "acme/ff"] {
        assert_eq!(facts(&world, Some(bob.id), name).await.grants, [], "{name}");
    }
    for name in ["acme/a_b", "acme/e.e"] {
        assert_eq!(facts(&world, Some(bob.id), name).await.grants.len(), 1, "{name}");
    }
}

async fn teams_of_another_organization_do_not_count(world: World) {
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    let (team, bob) = (world.team(&other, "web").await, world.user("bob").await);
    world.member(&other, &bob, false).await;
    world.join(&team, &bob).await;
    let repository = world.named("acme/app").await;
    world.give(on_repository(&repository, team.id), "admin").await;
    world.give(on_prefix(&acme, "acme/", team.id), "admin").await;
    let found = facts(&world, Some(bob.id), "acme/app").await;
    assert_eq!((found.grants, found.member), (vec![], None));
    let sight = hallmark_storage::metadata::Viewer::Principal(world.metadata.sight(bob.id).await.unwrap());
    assert_eq!(world.metadata.catalog(&sight, &NameRange::after(None), None, 9).await.unwrap(), [""; 0]);
}

async fn a_robot_has_its_own_grants(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let repository = world.named("acme/app").await;
    let robot = world.robot("acme", Some(&repository), "ci").await;
    world.give(on_repository(&repository, robot.id), "write").await;
    world.give(on_prefix(&acme, "acme/", world.alice.id), "admin").await;
    let found = facts(&world, Some(robot.id), "acme/app").await;
    assert_eq!(found.grants, [granted(robot.id, None, Rights::WRITE)]);
    assert_eq!(found.member, None);
}

async fn nobody_in_particular_has_no_grant(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let repository = world.named("acme/app").await;
    world.give(on_repository(&repository, world.alice.id), "admin").await;
    world.give(on_prefix(&acme, "acme/", world.alice.id), "admin").await;
    world.open_up(&repository, true).await;
    let found = facts(&world, None, "acme/app").await;
    assert_eq!((found.grants, found.member), (vec![], None));
    assert!(found.repository.unwrap().public);
}

async fn a_repository_of_the_system_is_no_account_s(world: World) {
    let repository = world.repository("library").await;
    world.give(("_system".to_owned(), On::Repository(repository.id), world.alice.id), "read").await;
    let found = facts(&world, Some(world.alice.id), "library").await;
    assert_eq!(found.repository, Some(repository));
    let account = found.account.unwrap();
    assert_eq!((account.id, account.kind), (AccountId::SYSTEM, AccountKind::System));
    assert_eq!(found.grants, [granted(world.alice.id, None, Rights::READ)]);
}

async fn a_change_sees_the_facts_it_makes(world: World) {
    world.organization("acme", &world.alice).await;
    let repository = world.named("acme/app").await;
    let holding = on_repository(&repository, world.alice.id);
    let seen = world
        .change((holding, repository.name), |tx, (holding, name)| {
            Box::pin(async move {
                let holder = holding.2;
                let before = tx.facts(holder, name).await?.grants.len();
                tx.put_grant(&crate::harness::people::grant(holding), Rights::READ, holder, 0).await?;
                Ok((before, tx.facts(holder, name).await?.grants.len()))
            })
        })
        .await;
    assert_eq!(seen, (0, 1));
}

async fn a_manifest_is_seen_with_whoever_wants_it(world: World) {
    let (repository, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let (config, layer) = (world.blob(&repository, b"config").await, world.blob(&repository, b"layer").await);
    let digest = world.put(&repository, &image(&config, &[&layer], ""), &["1"]).await;
    let (by_tag, by_digest) = (Reference::Tag("1".parse().unwrap()), Reference::Digest(digest));
    for reference in [&by_tag, &by_digest] {
        let seen = world.metadata.seen(world.alice.id, None, &repository.name, Some(reference)).await.unwrap();
        let found = world.metadata.manifest(repository.id, reference).await.unwrap();
        assert!(found.is_some() && seen.manifest == found, "{reference:?}: {:?}", seen.manifest);
        assert_eq!(seen.facts.repository.as_ref(), Some(&repository));
        // Only of this repository (I6), and only what is wanted.
        let elsewhere = world.metadata.seen(world.alice.id, None, &other.name, Some(reference)).await.unwrap();
        assert_eq!(elsewhere.manifest, None);
    }
    // Nobody who has no right there has it read for them, and whoever has one, however they came by it, has.
    let bob = world.user("bob").await;
    let shown = async |world: &World| {
        let seen = world.metadata.seen(bob.id, None, &repository.name, Some(&by_tag)).await.unwrap();
        seen.manifest.is_some()
    };
    assert!(!shown(&world).await);
    world.open_up(&repository, true).await;
    assert!(shown(&world).await);
    world.open_up(&repository, false).await;
    assert!(!shown(&world).await);
    world.give(on_repository(&repository, bob.id), "read").await;
    assert!(shown(&world).await);
    let absent = Reference::Tag("2".parse().unwrap());
    for reference in [Some(&absent), None] {
        let seen = world.metadata.seen(world.alice.id, None, &repository.name, reference).await.unwrap();
        assert_eq!((seen.manifest, seen.facts.repository.as_ref()), (None, Some(&repository)));
    }
}

async fn a_manifest_is_seen_by_members_as_far_as_they_reach(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    world.member(&acme, &bob, false).await;
    let repository = world.named("acme/web-app").await;
    let (config, layer) = (world.blob(&repository, b"config").await, world.blob(&repository, b"layer").await);
    let digest = Reference::Digest(world.put(&repository, &image(&config, &[&layer], ""), &[]).await);
    let shown = async |who: PrincipalId| {
        let seen = world.metadata.seen(who, None, &repository.name, Some(&digest)).await.unwrap();
        seen.manifest.is_some()
    };
    assert_eq!(
        (shown(world.alice.id).await, shown(bob.id).await),
        (true, false),
        "an owner, and a member without a right"
    );
    let team = world.team(&acme, "web").await;
    world.join(&team, &bob).await;
    assert!(!shown(bob.id).await);
    world.give(on_prefix(&acme, "acme/web-", team.id), "read").await;
    assert!(shown(bob.id).await, "by a prefix of a team");
}

/// Who is many: members, a team for every ten of them, a repository for each with a manifest and a tag, which its team may read;
/// prefixes, robots and personal access tokens.
const CROWD: [&str; 15] = [
    "INSERT INTO accounts (id, name, kind, created_at) VALUES (1000000, 'acme', 'organization', 0)",
    "INSERT INTO accounts (id, name, kind, created_at) SELECT 2000000 + n, 'u' || n, 'user', 0 FROM generate_series(0, {people}) n",
    "INSERT INTO principals (id, kind) SELECT 3000000 + n, 'user' FROM generate_series(0, {people}) n",
    "INSERT INTO users (principal_id, name, account_id) SELECT 3000000 + n, 'u' || n, 2000000 + n FROM generate_series(0, {people}) n",
    "INSERT INTO members (account_id, user_id) SELECT 1000000, 3000000 + n FROM generate_series(0, {people}) n",
    "INSERT INTO principals (id, kind) SELECT 4000000 + n, 'team' FROM generate_series(0, {teams}) n",
    "INSERT INTO teams (principal_id, account_id, name) SELECT 4000000 + n, 1000000, 't' || n FROM generate_series(0, {teams}) n",
    "INSERT INTO team_members (team_id, account_id, user_id) SELECT 4000000 + n / 10, 1000000, 3000000 + n FROM generate_series(0, {people}) n",
    "INSERT INTO repositories (id, account_id, name, created_at) SELECT 5000000 + n, 1000000, 'acme/r' || n, 0 FROM generate_series(0, {people}) n",
    "INSERT INTO repository_grants (repository_id, principal_id, rights, granted_by, granted_at)
       SELECT 5000000 + n, 4000000 + n / 10, 1, 3000000, 0 FROM generate_series(0, {people}) n",
    "INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
       SELECT 1000000, 'acme/r' || n, 3000000 + n, 2, 3000000, 0 FROM generate_series(0, {people}) n",
    "WITH made AS (INSERT INTO principals (id, kind) SELECT 6000000 + n, 'robot' FROM generate_series(0, {teams}) n RETURNING id)
       INSERT INTO robots (principal_id, account_id, name, created_at) SELECT id, 1000000, 'b' || id, 0 FROM made",
    "INSERT INTO credentials (id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at, expires_at)
       SELECT 7000000 + n, 3000000 + n, 'personal', 's' || n, '', '', '', 0, 0, 1 FROM generate_series(0, {people}) n",
    "INSERT INTO manifests (id, repository_id, digest, media_type, size, touched_at, pushed_by, body)
       SELECT 8000000 + n, 5000000 + n, 'sha256:' || lpad(to_hex(n), 64, '0'), 'application/json', 2, 0, 3000000, '{}'
         FROM generate_series(0, {people}) n",
    "INSERT INTO tags (repository_id, name, manifest_id, version, moved_at)
       SELECT 5000000 + n, '1', 8000000 + n, 1, 0 FROM generate_series(0, {people}) n",
];

/// So many people, a tenth as many teams and robots, and a repository for each of the people.
async fn fill(world: &World, people: usize) {
    for statement in CROWD {
        let (last, last_team) = ((people - 1).to_string(), (people / 10 - 1).to_string());
        world.meddle(&statement.replace("{people}", &last).replace("{teams}", &last_team)).await;
    }
}

/// Waits until no connection but ours and those of this name is left: what a connection has read is told when it ends, before it is
/// gone from the list of those that are there.
pub(crate) async fn ended(world: &World, but: &str) {
    let others = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
            AND pid <> pg_backend_pid() AND application_name <> '{but}'"
    );
    let begin = Instant::now();
    while world.count(&others).await > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "connections do not end");
    }
}

/// What a request with a token stands on is one statement, and every table that it asks is reached by an index, however
/// many rows there are.
#[test]
fn on_postgres_a_request_asks_once_and_reads_no_table_through() {
    run(Engine::Postgres, async |world: World| {
        fill(&world, 100_000).await;
        world.meddle("ANALYZE").await;
        let read = async |but: &str| {
            ended(&world, but).await;
            let of_all = "SELECT SUM(seq_tup_read)::BIGINT, SUM(idx_scan)::BIGINT FROM pg_stat_user_tables";
            let sums = world.look(of_all).await.remove(0);
            let (through, by_index) = sums.split_once(' ').unwrap();
            (through.parse::<i64>().unwrap(), by_index.parse::<i64>().unwrap())
        };
        // Plans that do not know the values are made after the fifth time.
        let (before, asked) = (read("hallmark").await, world.metadata.statistics().reads);
        for number in 0..50_i64 {
            let (user, token) = (PrincipalId(3_000_000 + number * 7), 7_000_000 + number * 7);
            let name = format!("acme/r{}", number * 7).parse().unwrap();
            let reference = match number % 2 {
                0 => Reference::Tag("1".parse().unwrap()),
                _ => Reference::Digest(format!("sha256:{:064x}", number * 7).parse().unwrap()),
            };
            let seen = world.metadata.seen(user, Some(token), &name, Some(&reference)).await.unwrap();
            assert_eq!(seen.manifest.unwrap().id, ManifestId(8_000_000 + number * 7));
            assert_eq!(seen.principal.unwrap().id, user);
            assert_eq!(seen.credential.unwrap().principal, user);
            assert_eq!((seen.facts.grants.len(), seen.facts.member), (2, Some(false)), "{name}");
        }
        assert_eq!(world.metadata.statistics().reads - asked, 50);
        world.metadata.close().await;
        let after = read("").await;
        assert!(after.1 - before.1 >= 50 * 7, "{before:?} {after:?}");
        // The pool tells by now too that alice was looked for among the first accounts.
        let through = "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > 0";
        assert!(after.0 - before.0 < 50, "rows were read without an index: {:?}", world.look(through).await);
    });
}

/// One who is in a hundred teams, of which each holds sixty-four prefixes: a few of all of them reach a name.
const MANY: [&str; 4] = [
    "INSERT INTO team_members (team_id, account_id, user_id) SELECT 4000000 + n, 1000000, 3000000 FROM generate_series(1, 100) n",
    "INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
       SELECT 1000000, 'acme/p' || k || '-', 4000000 + n, 2, 3000000, 0 FROM generate_series(1, 100) n, generate_series(1, 64) k",
    "INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
       SELECT 1000000, 'acme/web-', 4000000 + n, 2, 3000000, 0 FROM generate_series(7, 8) n",
    // Of others, by thousands.
    "INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
       SELECT 1000000, 'acme/web-', 3000000 + n, 2, 3000000, 0 FROM generate_series(101, 9100) n",
];

/// What a request reads is bounded by what reaches the name and by the teams of who asks, not by all that these hold, nor by all
/// that others hold on the same prefix.
#[test]
fn on_postgres_a_member_of_many_teams_reads_the_prefixes_that_reach_the_name() {
    run(Engine::Postgres, async |world: World| {
        fill(&world, 20_000).await;
        for statement in MANY {
            world.meddle(statement).await;
        }
        world.meddle("ANALYZE").await;
        let read = async |but: &str| {
            ended(&world, but).await;
            world
                .count("SELECT SUM(idx_tup_read)::BIGINT FROM pg_stat_user_indexes WHERE relname = 'prefix_grants'")
                .await
        };
        let name = "acme/web-shop/base".parse().unwrap();
        let before = read("hallmark").await;
        for _ in 0..50 {
            let seen = world.metadata.seen(PrincipalId(3_000_000), None, &name, None).await.unwrap();
            assert_eq!(seen.facts.grants.len(), 2, "{:?}", seen.facts.grants);
        }
        world.metadata.close().await;
        let each = (read("").await - before) / 50;
        // The two that reach it, and for each prefix that exists whether one does.
        assert!(each <= 110, "{each} grants were read for a request");
    });
}
