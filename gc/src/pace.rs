//! How fast the collector goes. The embedded database has one writer: whoever pushes waits for what the collector writes, and with
//! each of the changes that a push is made of anew. So it leaves the writer to others for two thirds of the time.

use std::time::{Duration, Instant};

use hallmark_storage::metadata::{Engine, Metadata};

/// So many times as long as a change took nothing is written.
const REST: u32 = 2;
/// No rest is longer: a database that was slow once need not be so again, and whoever wants the run to end waits.
const LONGEST: Duration = Duration::from_millis(250);

/// Does what writes, and rests; on a server, where nobody waits for the changes of others, it does not rest.
pub(crate) async fn paced<T>(metadata: &Metadata, change: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let done = change.await;
    if metadata.engine() == Engine::Sqlite {
        tokio::time::sleep((begin.elapsed() * REST).min(LONGEST)).await;
    }
    done
}
