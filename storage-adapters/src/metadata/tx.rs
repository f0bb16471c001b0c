use std::sync::Arc;

use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::ids::Ids;
use super::names::Rest;
use super::rows::RepositoryId;
use super::sql::{Connection, Row};
use super::statement::{Engine, Statement};
use super::usage::{Charges, Limits};
use super::value::Value;

/// How often a change inserts, and looks for the row that stood in its way, before it lets others go first. A row that
/// is neither insertable nor there is being deleted just now; on SQLite, with its one writer, the first turn succeeds.
pub(super) const TURNS: usize = 5;

pub(super) fn ids_used_up() -> Error {
    Error::new(ErrorKind::Contended, "the ids laid ready are used up")
}

/// A change that is under way: what the body of [`Metadata::write`](super::Metadata::write) works with.
///
/// The body awaits nothing but its methods. A statement that failed ends the change, also when the body looks away:
/// PostgreSQL would silently answer COMMIT with a rollback.
pub struct Tx {
    connection: Connection,
    ids: Arc<Ids>,
    rest: Arc<Rest>,
    touched: Vec<Slot>,
    statements: u64,
    failure: Option<Error>,
    dry: bool,
    charges: Charges,
    limits: Option<(RepositoryId, Limits)>,
}

impl Tx {
    pub(super) fn new(connection: Connection, ids: Arc<Ids>, rest: Arc<Rest>) -> Self {
        let (touched, charges) = (Vec::new(), Charges::default());
        Self { connection, ids, rest, touched, statements: 0, failure: None, dry: false, charges, limits: None }
    }

    /// How many statements this change has run. Each costs a microsecond's fraction of a COMMIT, but they add up: tests
    /// hold the common changes to stated numbers.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements
    }

    pub(super) fn engine(&self) -> Engine {
        self.connection.engine()
    }

    /// How long names rest.
    pub(super) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// An id that no row has had and none will have again.
    ///
    /// # Errors
    /// When the ids laid ready are used up; the change is then run again with fresh ones.
    pub(super) fn id(&mut self) -> Result<i64, Error> {
        self.ids.take().ok_or_else(|| {
            self.dry = true;
            ids_used_up()
        })
    }

    pub(super) async fn rows(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.begin_statement()?;
        let answer = self.connection.rows(statement, values).await;
        self.watch(answer)
    }

    pub(super) async fn row(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        self.begin_statement()?;
        let answer = self.connection.row(statement, values).await;
        self.watch(answer)
    }

    /// Runs a statement; the number of rows it inserted, updated or deleted.
    pub(super) async fn execute(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<u64, Error> {
        self.begin_statement()?;
        let answer = self.connection.execute(statement, values).await;
        self.watch(answer)
    }

    /// Ends the change because others keep deleting the row it needs; it is then run again.
    pub(super) fn give_way(&mut self, place: &'static str) -> Error {
        let error = Error::new(ErrorKind::Contended, place);
        self.failure = Some(error.clone());
        error
    }

    /// Says that cached answers of this slot are wrong once the change is committed.
    pub(super) fn touch(&mut self, slot: Slot) {
        self.touched.push(slot);
    }

    /// What this change has charged so far.
    pub(super) fn charges(&mut self) -> &mut Charges {
        &mut self.charges
    }

    /// Remembers the limits that hold where this change writes.
    pub(super) fn note_limits(&mut self, repository: RepositoryId, limits: Limits) {
        self.limits = Some((repository, limits));
    }

    /// The hard limits that hold in the repository that [`Tx::repository`] held last, as it read them; none for another.
    #[must_use]
    pub fn limits(&self, repository: RepositoryId) -> Limits {
        self.limits.filter(|(held, _)| *held == repository).map(|(_, limits)| limits).unwrap_or_default()
    }

    /// Makes ready for the next body on the same connection; what the last one touched.
    pub(super) fn turn(&mut self) -> Vec<Slot> {
        self.statements = 0;
        self.failure = None;
        self.dry = false;
        self.charges = Charges::default();
        self.limits = None;
        std::mem::take(&mut self.touched)
    }

    /// The first statement that failed.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Whether the body ran out of ids.
    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Has more ids laid ready for the next run of a body that ran out of them with no neighbour that took any; `false` when it had
    /// as many as there ever are.
    pub(super) fn lay_more_ids(&self) -> bool {
        self.ids.lay_more()
    }

    /// Lays ids ready; only between transactions.
    pub(super) async fn fill_ids(&mut self) -> Result<(), Error> {
        self.ids.fill(&mut self.connection).await
    }

    /// The frame of a transaction: BEGIN, COMMIT and what stands between members.
    pub(super) async fn frame(&mut self, text: &'static str) -> Result<(), Error> {
        self.connection.frame(text).await
    }

    #[cfg(test)]
    pub(super) async fn plan(&mut self, statement: &Statement) -> Vec<String> {
        self.connection.plan(statement).await
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// Refuses every statement after one that failed, as PostgreSQL does: SQLite gives a whole transaction up on a full
    /// disk, and what came after would be a change of its own.
    fn begin_statement(&mut self) -> Result<(), Error> {
        self.statements += 1;
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn watch<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &answer
            && self.failure.is_none()
        {
            self.failure = Some(error.clone());
        }
        answer
    }
}
