//! The cycle: start, let every client settle what was in flight and push on, kill at a random moment, take the power
//! away where that is asked for, start again; at the end, look at everything.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{
    checker::Known,
    pusher::{Offered, Pusher},
    random::{Random, mix},
    session::{Session, Step},
    shim::Watched,
    tally::Tally,
    undo::Loss,
};
use crate::{
    Failure, Outcome,
    server::{Plan, Server},
};

/// Clients that push beside each other.
const CLIENTS: u64 = 6;
/// A server is killed after this many milliseconds, at least and at most.
const LIFE: std::ops::Range<u64> = 20..900;
/// Of so many power losses one takes only a part of what was not synced.
const TORN: usize = 3;

/// What the clients of a storm do besides pushing and deleting.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// They mount blobs of each other.
    pub mounts: bool,
}

/// A server and its clients.
#[derive(Debug)]
pub struct Storm {
    server: Server,
    watched: Option<Watched>,
    clients: Vec<Pusher>,
    random: Random,
    tally: Tally,
}

impl Storm {
    /// A server that is killed and keeps its page cache.
    ///
    /// # Errors
    /// No folder or port could be had.
    pub fn new(seed: u64) -> Outcome<Self> {
        let server = Plan::default().prepare()?;
        Ok(Self::of(server, None, seed, Habits { mounts: true }))
    }

    /// A server whose folder loses its power.
    ///
    /// # Errors
    /// No port could be had.
    pub fn watched(seed: u64, watched: Watched) -> Outcome<Self> {
        let server = watched.plan(&watched.folder()).prepare()?;
        Ok(Self::of(server, Some(watched), seed, Habits { mounts: true }))
    }

    /// A server that is prepared in any way.
    pub fn of(server: Server, watched: Option<Watched>, seed: u64, habits: Habits) -> Self {
        let offered = Offered::default();
        let repositories = (0..CLIENTS).map(|number| format!("admin/storm-{number}")).collect::<Vec<_>>();
        let client = |(number, repository): (u64, &String)| {
            let session = Session::new(server.port(), repository, &repositories);
            Pusher::new(session, repository, mix(seed, number), habits, &offered)
        };
        let clients = (0..).zip(&repositories).map(client).collect();
        Self { server, watched, clients, random: Random::new(seed), tally: Tally::default() }
    }

    /// The server.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// The watched folder.
    ///
    /// # Errors
    /// Nothing is watched.
    pub fn folder(&self) -> Outcome<&Watched> {
        self.watched.as_ref().ok_or_else(|| Failure::new("the storm has no watched folder"))
    }

    /// Starts the server, lets the clients settle and push, kills it while they do. A watched folder loses its power
    /// with that: all that was not synced, and every third time a random part of it.
    ///
    /// # Errors
    /// The server does not come up again, had ended by itself, or the journal cannot be followed.
    pub fn cycle(&mut self) -> Outcome<()> {
        self.server.start()?;
        let life = Duration::from_millis(self.random.within(LIFE));
        let server = &mut self.server;
        let killed = busy(&mut self.clients, || {
            thread::sleep(life);
            server.kill()
        });
        killed?;
        self.after_kill()
    }

    /// Lets the clients of a running server settle and push for a while.
    pub fn work(&mut self, time: Duration) {
        busy(&mut self.clients, || thread::sleep(time));
    }

    /// Kills the server between requests, and takes the power where a folder is watched.
    ///
    /// # Errors
    /// As for [`Storm::cycle`].
    pub fn kill(&mut self) -> Outcome<()> {
        self.server.kill()?;
        self.after_kill()
    }

    /// Looks at everything that any client of a running server was told, and ends what was in flight.
    ///
    /// # Errors
    /// The server goes away meanwhile.
    pub fn check_everything(&mut self) -> Outcome<()> {
        self.each_client(Pusher::check_everything)
    }

    /// The same without a single write.
    ///
    /// # Errors
    /// The server goes away meanwhile.
    pub fn pull_everything(&mut self) -> Outcome<()> {
        self.each_client(Pusher::pull_everything)
    }

    /// Starts the server once more, looks at everything that any client was told, and stops it. Gives the counts.
    ///
    /// # Errors
    /// The server does not come up, goes away while it is looked at, or does not stop.
    pub fn finish(mut self) -> Outcome<Tally> {
        self.server.start()?;
        self.check_everything()?;
        self.server.stop()?;
        Ok(self.tally())
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        let mut sum = self.tally.clone();
        self.clients.iter().for_each(|client| sum += client.tally.clone());
        sum
    }

    /// What a checker of the server's system calls must know.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        for client in &self.clients {
            let blobs = client.ledger.blobs.values().map(|fact| &fact.content);
            known.blobs.extend(blobs.map(|content| (content.digest().to_owned(), content.mark())));
            known.uploads.extend(client.opened.iter().cloned());
        }
        known
    }

    fn each_client(&mut self, look: fn(&mut Pusher) -> Step<()>) -> Outcome<()> {
        let came_to_end = thread::scope(|scope| {
            let looks = self.clients.iter_mut().map(|client| scope.spawn(move || look(client)));
            let looks = looks.collect::<Vec<_>>();
            looks.into_iter().all(|look| matches!(look.join(), Ok(Ok(()))))
        });
        if came_to_end {
            return Ok(());
        }
        Err(Failure::new("the server went away while it was looked at"))
    }

    fn after_kill(&mut self) -> Outcome<()> {
        self.tally.kills += 1;
        self.clients.iter_mut().for_each(|client| client.session.disconnect());
        if let Some(watched) = &self.watched {
            let torn = self.tally.kills.is_multiple_of(TORN).then(|| self.random.bits());
            let counted = if torn.is_some() { &mut self.tally.torn } else { &mut self.tally.dark };
            *counted += 1;
            self.tally.lost += watched.lose_power(torn.map_or(Loss::Everything, Loss::Torn))?;
        }
        Ok(())
    }
}

/// Runs something while all clients work, and lets each end what it does.
fn busy<T>(clients: &mut [Pusher], meanwhile: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.work(&stop));
        }
        let result = meanwhile();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
