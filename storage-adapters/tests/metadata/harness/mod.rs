//! Worlds to test in: an empty database of each engine, helpers that push into it, and eyes that look at its tables.
//! No clause stands here.
//! Start with [`World`]; `suite!` stamps clauses out for both engines.

pub(crate) mod images;
pub(crate) mod people;
mod postgres;
mod world;

use std::future::Future;
use std::pin::Pin;

use hallmark_storage::metadata::Engine;

pub(crate) use world::{NOW, WINDOW, World};

/// A clause, for the test that runs them all.
pub(crate) type Clause = fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>;

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

/// A suite whose clauses together run every statement of a family; lists them as `CLAUSES`.
macro_rules! family {
    ($($clause:ident),+ $(,)?) => {
        $crate::harness::suite!($($clause),+);
        pub(crate) const CLAUSES: &[$crate::harness::Clause] = &[$(|world| Box::pin($clause(world))),+];
    };
}

pub(crate) use {family, suite};
