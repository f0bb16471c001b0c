//! Names that were released and have rested.

use hallmark_storage::metadata;

use crate::app::App;

/// How many are forgotten at once.
const FORGOTTEN: u32 = 1_000;

/// Forgets names that have rested: anybody may have them.
///
/// # Errors
/// The database's; what is left goes the next time.
pub(crate) async fn forget(app: &App) -> Result<(), metadata::Error> {
    let now = app.clock.now();
    loop {
        let forgotten: Result<u64, metadata::Error> =
            app.metadata.write(now, |tx, now| Box::pin(tx.forget_rested_names(*now, FORGOTTEN))).await;
        if forgotten? < u64::from(FORGOTTEN) {
            return Ok(());
        }
    }
}
