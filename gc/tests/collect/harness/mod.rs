//! A registry's facts and bytes without its doors: what pushes, deletes and collects in them, and eyes that look at both.
//! No clause stands here.
//! Start with [`World`]; `suite!` stamps clauses out for both databases.

pub(crate) mod images;
mod postgres;
mod world;

use std::future::Future;

use hallmark_storage::metadata::Engine;

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
