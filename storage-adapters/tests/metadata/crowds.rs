//! Thousands of small organizations at random in one database: what it says of a principal and a name, and what it shows of
//! the catalog, is what a list of rows says that is searched from one end to the other.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{
    AccountId, Engine, Error, Facts, Grant, Granted, NameRange, NewRobot, Principal, PrincipalId, RepositoryId, Rights,
    Target, Tx, Viewer,
};

use crate::harness::{NOW, World, run};

/// Accounts, the users' own among them. A server takes many times as long for a statement as the embedded database.
const EMBEDDED: usize = 10_000;
const ON_A_SERVER: usize = 1_000;
/// Accounts with all that is in them that one change makes.
const IN_A_CHANGE: usize = 16;
/// Changes at a time. On a server they run beside each other, and those that give prefixes to the same holders in another
/// order would be in each other's way.
const WAVE: usize = 8;
const WAVE_ON_A_SERVER: usize = 1;
/// Of so many accounts one is a user's.
const USERS: usize = 20;
/// Pairs of a principal and a name that are compared, and principals whose catalog is.
const PAIRS: usize = 1_000;
const CATALOGS: usize = 24;

/// Parts of names and of prefixes of which many begin like others.
const REPOSITORIES: [&str; 9] = ["a", "app", "app-a", "app.a", "app/a", "app/a/b", "a_b", "web", "web-app"];
const PREFIXES: [&str; 11] = ["", "a", "ap", "app", "app-", "app/", "app.a", "a_", "axb", "w", "web-"];
const RIGHTS: [&str; 6] = ["read", "read", "write", "sign", "admin", "delete"];

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }
}

#[derive(Clone)]
enum Who {
    Known(PrincipalId),
    Team(usize),
    Robot(usize),
}

#[derive(Clone)]
enum What {
    Repository(usize),
    Prefix(String),
}

/// An account to be made; an organization when it has members.
#[derive(Clone)]
struct Plan {
    name: String,
    members: Vec<(Principal, bool)>,
    /// Teams, each as who is in it.
    teams: Vec<Vec<PrincipalId>>,
    robots: usize,
    repositories: Vec<(RepositoryName, bool)>,
    grants: Vec<(What, Who, Rights)>,
}

/// The ids of what was made of a plan.
struct Made {
    account: AccountId,
    teams: Vec<PrincipalId>,
    robots: Vec<PrincipalId>,
    repositories: Vec<RepositoryId>,
}

/// Every row there is, in no order that anything relies on.
#[derive(Default)]
struct Rows {
    accounts: Vec<(AccountId, String)>,
    users: Vec<Principal>,
    robots: Vec<PrincipalId>,
    teams: Vec<PrincipalId>,
    members: Vec<(AccountId, PrincipalId, bool)>,
    team_members: Vec<(PrincipalId, AccountId, PrincipalId)>,
    repositories: Vec<(RepositoryId, AccountId, RepositoryName, bool)>,
    grants: Vec<(RepositoryId, PrincipalId, Rights)>,
    prefixes: Vec<(AccountId, String, PrincipalId, Rights)>,
}

impl Rows {
    /// Who holds what this principal may use in this account.
    fn holders(&self, principal: PrincipalId, account: AccountId) -> Vec<PrincipalId> {
        let teams = self.team_members.iter().filter(|(_, of, user)| *of == account && *user == principal);
        teams.map(|(team, ..)| *team).chain([principal]).collect()
    }

    fn facts(
        &self,
        principal: PrincipalId,
        name: &RepositoryName,
    ) -> (Option<RepositoryId>, Option<bool>, Vec<Granted>) {
        let Some((account, _)) = self.accounts.iter().find(|(_, of)| Some(of.as_str()) == name.account()) else {
            return (None, None, Vec::new());
        };
        let holders = self.holders(principal, *account);
        let repository = self.repositories.iter().find(|(.., of, _)| of == name).map(|(id, ..)| *id);
        let member = self.members.iter().find(|(of, user, _)| of == account && *user == principal);
        let on_it = self.grants.iter().filter(|(on, holder, _)| Some(*on) == repository && holders.contains(holder));
        let on_it = on_it.map(|(_, holder, rights)| Granted { holder: *holder, prefix: None, rights: *rights });
        let reaching = self.prefixes.iter().filter(|(of, prefix, holder, _)| {
            of == account && holders.contains(holder) && name.as_str().starts_with(prefix)
        });
        let reaching = reaching.map(|(_, prefix, holder, rights)| Granted {
            holder: *holder,
            prefix: Some(prefix.clone()),
            rights: *rights,
        });
        (repository, member.map(|(.., owner)| *owner), sorted(on_it.chain(reaching).collect()))
    }

    fn catalog(&self, principal: PrincipalId) -> Vec<String> {
        let own = self.users.iter().find(|user| user.id == principal).map(|user| user.account_id);
        let owned: Vec<_> = self.members.iter().filter(|(_, user, owner)| *user == principal && *owner).collect();
        let teams: Vec<_> = self.team_members.iter().filter(|(.., user)| *user == principal).collect();
        let holds = |holder: PrincipalId, account: AccountId| {
            holder == principal || teams.iter().any(|(team, of, _)| (*team, *of) == (holder, account))
        };
        let may_hold = |holder, rights: Rights| {
            rights.contain(Rights::PULL) && (holder == principal || teams.iter().any(|(team, ..)| *team == holder))
        };
        let grants: Vec<_> = self.grants.iter().filter(|(_, holder, rights)| may_hold(*holder, *rights)).collect();
        let prefixes: Vec<_> = self.prefixes.iter().filter(|(.., holder, rights)| may_hold(*holder, *rights)).collect();
        let seen = self.repositories.iter().filter(|(id, account, name, public)| {
            let granted = |(on, holder, _): &&(RepositoryId, _, _)| on == id && holds(*holder, *account);
            let reached = |(of, prefix, holder, _): &&(AccountId, String, _, _)| {
                of == account && holds(*holder, *account) && name.as_str().starts_with(prefix)
            };
            *public
                || own == Some(*account)
                || owned.iter().any(|(of, ..)| of == account)
                || grants.iter().any(granted)
                || prefixes.iter().any(reached)
        });
        seen.map(|(.., name, _)| name.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn keep(&mut self, plan: &Plan, made: &Made) {
        self.accounts.push((made.account, plan.name.clone()));
        self.members.extend(plan.members.iter().map(|(user, owner)| (made.account, user.id, *owner)));
        self.robots.extend(&made.robots);
        for (team, within) in made.teams.iter().zip(&plan.teams) {
            self.teams.push(*team);
            self.team_members.extend(within.iter().map(|user| (*team, made.account, *user)));
        }
        for (id, (name, public)) in made.repositories.iter().zip(&plan.repositories) {
            self.repositories.push((*id, made.account, name.clone(), *public));
        }
        for (what, who, rights) in &plan.grants {
            let holder = made.holder(who);
            match what {
                What::Repository(number) => self.grants.push((made.repositories[*number], holder, *rights)),
                What::Prefix(prefix) => self.prefixes.push((made.account, prefix.clone(), holder, *rights)),
            }
        }
    }
}

impl Made {
    fn holder(&self, who: &Who) -> PrincipalId {
        match who {
            Who::Known(id) => *id,
            Who::Team(number) => self.teams[*number],
            Who::Robot(number) => self.robots[*number],
        }
    }
}

fn sorted(mut grants: Vec<Granted>) -> Vec<Granted> {
    grants.sort_by(|a, b| (a.holder, &a.prefix).cmp(&(b.holder, &b.prefix)));
    grants
}

impl Plan {
    fn roll(dice: &mut Dice, number: usize, rows: &Rows) -> Self {
        let name = format!("o{}{}", number / 3, ["", "-a", ".a"][number % 3]);
        let mut members = vec![(dice.of(&rows.users).clone(), true)];
        for _ in 0..dice.below(4) {
            let user = dice.of(&rows.users).clone();
            if members.iter().all(|(member, _)| member.id != user.id) {
                members.push((user, dice.one_in(4)));
            }
        }
        let teams = (0..dice.below(3))
            .map(|_| members.iter().filter(|_| dice.one_in(2)).map(|(user, _)| user.id).collect())
            .collect();
        Self { members, teams, ..Self::filled(dice, name, rows) }.granted(dice, rows)
    }

    /// An account without members.
    fn filled(dice: &mut Dice, name: String, rows: &Rows) -> Self {
        let mut repositories: Vec<(RepositoryName, bool)> = Vec::new();
        for _ in 0..dice.below(4) {
            let repository: RepositoryName = format!("{name}/{}", dice.of(&REPOSITORIES)).parse().unwrap();
            if repositories.iter().all(|(other, _)| *other != repository) {
                repositories.push((repository, dice.one_in(40)));
            }
        }
        let robots = usize::from(!rows.robots.is_empty() && dice.one_in(2) || rows.robots.is_empty());
        Self { name, members: Vec::new(), teams: Vec::new(), robots, repositories, grants: Vec::new() }
    }

    /// Grants to members, to strangers, to teams, also to those of other organizations, and to robots.
    fn granted(mut self, dice: &mut Dice, rows: &Rows) -> Self {
        for _ in 0..dice.below(13) {
            let who = match dice.below(6) {
                0 | 1 if !self.teams.is_empty() => Who::Team(dice.below(self.teams.len())),
                2 if self.robots > 0 => Who::Robot(dice.below(self.robots)),
                3 if !rows.teams.is_empty() => Who::Known(*dice.of(&rows.teams)),
                4 if !self.members.is_empty() => Who::Known(dice.of(&self.members).0.id),
                _ => Who::Known(dice.of(&rows.users).id),
            };
            let what = if self.repositories.is_empty() || dice.one_in(2) {
                What::Prefix(format!("{}/{}", self.name, dice.of(&PREFIXES)))
            } else {
                What::Repository(dice.below(self.repositories.len()))
            };
            // The last word on one thing would count; the list has no order.
            let same = |(other, holder, _): &(What, Who, Rights)| match (other, &what, holder, &who) {
                (What::Prefix(one), What::Prefix(two), ..) if one != two => false,
                (What::Repository(one), What::Repository(two), ..) if one != two => false,
                (What::Prefix(_), What::Repository(_), ..) | (What::Repository(_), What::Prefix(_), ..) => false,
                (.., Who::Known(one), Who::Known(two)) => one == two,
                (.., Who::Team(one), Who::Team(two)) | (.., Who::Robot(one), Who::Robot(two)) => one == two,
                _ => false,
            };
            if !self.grants.iter().any(same) {
                self.grants.push((what, who, dice.of(&RIGHTS).parse().unwrap()));
            }
        }
        self
    }

    async fn make(&self, tx: &mut Tx) -> Result<Made, Error> {
        if let Some((owner, _)) = self.members.first() {
            let organization = tx.create_organization(&self.name, owner.id, NOW).await?.expect("a free name");
            for (member, owner) in &self.members[1..] {
                tx.put_member(&organization, member, *owner).await?;
            }
        }
        let account = tx.account(&self.name).await?.expect("an account");
        let mut made = Made { account: account.id, teams: Vec::new(), robots: Vec::new(), repositories: Vec::new() };
        if !self.teams.is_empty() {
            let organization = tx.organization(&self.name).await?.expect("an organization");
            for (number, within) in self.teams.iter().enumerate() {
                let team = tx.create_team(&organization, &number.to_string(), "").await?.expect("a free name");
                for user in within {
                    tx.add_to_team(&team, *user, "").await?;
                }
                made.teams.push(team.id);
            }
        }
        for number in 0..self.robots {
            let new = NewRobot { account: &account, repository: None, name: &number.to_string(), description: "" };
            made.robots.push(tx.create_robot(&new, NOW).await?.expect("a free name").id);
        }
        for (name, public) in &self.repositories {
            let repository = tx.create_repository(name, account.id, NOW).await?;
            if *public {
                tx.set_public(&repository, true).await?;
            }
            made.repositories.push(repository.id);
        }
        for (what, who, rights) in &self.grants {
            let target = match what {
                What::Repository(number) => Target::Repository(made.repositories[*number]),
                What::Prefix(prefix) => Target::Prefix(account.id, prefix),
            };
            let grant = Grant { account: &self.name, target, holder: made.holder(who) };
            assert!(tx.put_grant(&grant, *rights, PrincipalId::SYSTEM, NOW).await?);
        }
        Ok(made)
    }
}

/// Fills a database and tells all that is in it.
async fn fill(world: &World, accounts: usize, dice: &mut Dice) -> Rows {
    let mut rows = Rows::default();
    for number in 0..accounts / USERS {
        rows.users.push(world.user(&format!("u{number}")).await);
    }
    let mut number = 0;
    let wave = match world.metadata.engine() {
        Engine::Sqlite => WAVE,
        Engine::Postgres => WAVE_ON_A_SERVER,
    };
    while number < accounts {
        let changes = (0..wave).map(|_| {
            let plans: Vec<Plan> = (0..IN_A_CHANGE)
                .map(|_| {
                    number += 1;
                    match rows.users.get(number - 1) {
                        Some(user) => Plan::filled(dice, user.name.clone(), &rows).granted(dice, &rows),
                        None => Plan::roll(dice, number, &rows),
                    }
                })
                .collect();
            let input = plans.clone();
            let made = world.change(input, |tx, plans: &Vec<Plan>| {
                Box::pin(async move {
                    let mut made = Vec::new();
                    for plan in plans {
                        made.push(plan.make(tx).await?);
                    }
                    Ok(made)
                })
            });
            async move { (plans, made.await) }
        });
        let changes: Vec<_> = changes.collect();
        for (plans, made) in join_all(changes).await {
            plans.iter().zip(&made).for_each(|(plan, made)| rows.keep(plan, made));
        }
    }
    rows
}

/// A name near what is there, and somebody who may have to do with it.
fn pair(dice: &mut Dice, rows: &Rows) -> (PrincipalId, RepositoryName) {
    let (account, name) = dice.of(&rows.accounts).clone();
    let teams: Vec<_> = rows.team_members.iter().filter(|(_, of, _)| *of == account).map(|(.., user)| *user).collect();
    let repository = if dice.one_in(3) { dice.of(&REPOSITORIES) } else { dice.of(&REPOSITORIES[..6]) };
    let members: Vec<_> = rows.members.iter().filter(|(of, ..)| *of == account).map(|(_, user, _)| *user).collect();
    let granted: Vec<_> = rows.prefixes.iter().filter(|(of, ..)| *of == account).map(|(.., who, _)| *who).collect();
    let who = match dice.below(7) {
        0 | 1 if !members.is_empty() => *dice.of(&members),
        2 if !teams.is_empty() => *dice.of(&teams),
        3 | 4 if !granted.is_empty() => *dice.of(&granted),
        5 => *dice.of(&rows.robots),
        _ => dice.of(&rows.users).id,
    };
    (who, format!("{name}/{repository}").parse().unwrap())
}

async fn compare(world: &World, rows: &Rows, dice: &mut Dice) {
    let mut told = 0;
    for _ in 0..PAIRS {
        let (who, name) = pair(dice, rows);
        let (facts, _) = world.metadata.facts(Some(who), &name).await.unwrap();
        let Facts { account, repository, member, grants } = Facts::clone(&facts);
        told += grants.len();
        let found = (repository.as_ref().map(|repository| repository.id), member, sorted(grants));
        assert_eq!(found, rows.facts(who, &name), "{who} {name}");
        let expected = rows.accounts.iter().find(|(_, of)| Some(of.as_str()) == name.account()).map(|(id, _)| *id);
        assert_eq!(account.map(|account| account.id), expected, "{name}");
        assert_eq!(world.metadata.repository(&name).await.unwrap(), repository, "{name}");
    }
    assert!(told > PAIRS / 8, "{told} grants tell little");
    for number in 0..CATALOGS {
        let who = if number % 6 == 5 { *dice.of(&rows.robots) } else { dice.of(&rows.users).id };
        let expected = rows.catalog(who);
        let viewer = Viewer::Principal(world.metadata.sight(who).await.unwrap());
        for limit in [5, 64, 100_000] {
            let mut seen: Vec<String> = Vec::new();
            loop {
                let page = world
                    .metadata
                    .catalog(&viewer, &NameRange::after(seen.last().map(String::as_str)), None, limit)
                    .await
                    .unwrap();
                if page.is_empty() {
                    break;
                }
                seen.extend(page);
            }
            assert_eq!(seen, expected, "{who} by {limit}");
        }
        assert!(expected.len() > 5, "{}", expected.len());
    }
}

fn crowd(engine: Engine, accounts: usize) {
    run(engine, async move |world: World| {
        let mut dice = Dice(20_250_101);
        let rows = fill(&world, accounts, &mut dice).await;
        assert!(rows.accounts.len() >= accounts && rows.grants.len() > accounts / 2, "{}", rows.grants.len());
        compare(&world, &rows, &mut dice).await;
    });
}

#[test]
fn ten_thousand_accounts_are_what_their_rows_say() {
    crowd(Engine::Sqlite, EMBEDDED);
}

#[test]
fn a_thousand_accounts_on_a_server_are_what_their_rows_say() {
    crowd(Engine::Postgres, ON_A_SERVER);
}
