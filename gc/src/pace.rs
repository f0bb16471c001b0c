//! How fast the collector goes. The embedded database has one writer: whoever pushes waits for what the collector writes, and with
//! each of the changes that a push is made of anew. So it leaves the writer to others for two thirds of the time.

use std::time::{Duration, Instant};

use hallmark_storage::metadata::{Engine, Metadata};

/// So many times as long as a change took nothing is written.
const REST: u32 = 2;
/// No rest is longer: a database that was slow once need not be so again, and whoever wants the run to end waits.
const LONGEST: Duration = Duration::from_millis(250);

/// Does what writes, and rests.
pub(crate) async fn paced<T>(metadata: &Metadata, change: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let done = change.await;
    if let Some(rest) = rest(metadata.engine(), begin.elapsed()) {
        tokio::time::sleep(rest).await;
    }
    done
}

/// How long nothing is written after a change that took so long. On a server, where nobody waits for the changes of others, it does
/// not rest.
fn rest(engine: Engine, took: Duration) -> Option<Duration> {
    match engine {
        Engine::Sqlite => Some((took * REST).min(LONGEST)),
        Engine::Postgres => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use hallmark_storage::metadata::{DatabaseConfig, Engine, Metadata};

    use super::{paced, rest};

    #[test]
    fn the_one_writer_is_left_to_others_for_twice_as_long_and_a_server_is_not_waited_for() {
        let milliseconds = Duration::from_millis;
        for (engine, took, rests) in [
            (Engine::Sqlite, milliseconds(10), Some(milliseconds(20))),
            (Engine::Sqlite, milliseconds(125), Some(milliseconds(250))),
            (Engine::Sqlite, milliseconds(1_000), Some(milliseconds(250))),
            (Engine::Postgres, milliseconds(10), None),
        ] {
            assert_eq!(rest(engine, took), rests, "{engine:?} after {took:?}");
        }
    }

    #[tokio::test]
    async fn what_writes_is_rested_after() {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::Sqlite { path: folder.path().join("hallmark.db") };
        let metadata = Metadata::open(&config, 0).await.unwrap();
        let (took, begin) = (Duration::from_millis(20), Instant::now());
        paced(&metadata, tokio::time::sleep(took)).await;
        assert!(begin.elapsed() >= 3 * took, "{:?}", begin.elapsed());
        metadata.close().await;
    }
}
