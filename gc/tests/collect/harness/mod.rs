//! A registry's facts and bytes without its doors: what pushes, deletes and collects in them, and eyes that look at both.
//! No clause stands here.
//! Start with [`World`]; `suite!` stamps clauses out for both databases.

pub(crate) mod images;
mod postgres;
mod world;

use std::future::Future;

use hallmark_storage::metadata::{Engine, Error, ErrorKind};

pub(crate) use world::{NOW, TINY, World};

/// Runs a clause in a fresh world of this engine.
pub(crate) fn run<F: Future<Output = ()>>(engine: Engine, clause: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::open(engine).await;
        let metadata = world.metadata.clone();
        clause(world).await;
        metadata.close().await;
    });
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A failure that says that others were in the way, and nothing else.
pub(crate) fn is_crowded(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Contended | ErrorKind::TimedOut)
}

/// Stamps each clause out as a test on SQLite and one on PostgreSQL.
macro_rules! suite {
    ($($clause:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $clause() { $crate::harness::run(hallmark_storage::metadata::Engine::Sqlite, super::$clause); })+
        }
        mod postgres {
            $(#[test] fn $clause() { $crate::harness::run(hallmark_storage::metadata::Engine::Postgres, super::$clause); })+
        }
    };
}

pub(crate) use suite;
