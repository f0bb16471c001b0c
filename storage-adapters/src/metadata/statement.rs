//! How a statement is written down once and spelled for each engine. This file names no driver.

use std::sync::atomic::{AtomicU64, Ordering};

/// One statement: a name for errors and its text in both spellings. It is prepared once a connection.
pub(super) struct Statement {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    runs: [AtomicU64; 2],
}

/// The database that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded database.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl Statement {
    pub(super) const fn new(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres, runs: [AtomicU64::new(0), AtomicU64::new(0)] }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The text for this engine; asking for it counts as one run.
    pub(super) fn text(&self, engine: Engine) -> &'static str {
        self.runs[engine as usize].fetch_add(1, Ordering::Relaxed);
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }

    pub(super) fn usage(&self) -> StatementUsage {
        let runs = |engine: Engine| self.runs[engine as usize].load(Ordering::Relaxed);
        StatementUsage { name: self.name, sqlite: runs(Engine::Sqlite), postgres: runs(Engine::Postgres) }
    }
}

/// How often this process has run one statement.
#[derive(Clone, Copy, Debug)]
pub struct StatementUsage {
    /// The statement: its file and its name there.
    pub name: &'static str,
    /// Runs on SQLite.
    pub sqlite: u64,
    /// Runs on PostgreSQL.
    pub postgres: u64,
}

/// One piece of a statement as one engine spells it. Text stands for itself; in braces stand
/// `share`, `update`, `skip` (row locks, each also `of alias`), `in texts N`, `in integers N` (a condition on the list in
/// parameter N), and `texts N`, `integers N` (that list as a table with one column, `value`). Where the engines need other words,
/// each has its own: `on_sqlite "…"`, `on_postgres "…"`.
macro_rules! piece {
    ($engine:ident $text:literal) => {
        $text
    };
    (sqlite {on_sqlite $text:literal}) => {
        $text
    };
    (postgres {on_sqlite $text:literal}) => {
        ""
    };
    (sqlite {on_postgres $text:literal}) => {
        ""
    };
    (postgres {on_postgres $text:literal}) => {
        $text
    };
    (sqlite {share $($of:tt)*}) => {
        ""
    };
    (sqlite {update $($of:tt)*}) => {
        ""
    };
    (sqlite {skip $($of:tt)*}) => {
        ""
    };
    (postgres {share}) => {
        " FOR KEY SHARE"
    };
    (postgres {share of $alias:ident}) => {
        concat!(" FOR KEY SHARE OF ", stringify!($alias))
    };
    (postgres {update}) => {
        " FOR UPDATE"
    };
    (postgres {update of $alias:ident}) => {
        concat!(" FOR UPDATE OF ", stringify!($alias))
    };
    // Rows of both may change, and only the change of a row that was waited for is seen.
    (postgres {update of $alias:ident, $other:ident}) => {
        concat!(" FOR UPDATE OF ", stringify!($alias), ", ", stringify!($other))
    };
    (postgres {skip}) => {
        " FOR UPDATE SKIP LOCKED"
    };
    (sqlite {in $type:ident $n:literal}) => {
        concat!(" IN (SELECT value FROM json_each($", $n, "))")
    };
    (postgres {in texts $n:literal}) => {
        concat!(" = ANY (ARRAY(SELECT json_array_elements_text(CAST($", $n, " AS JSON))))")
    };
    (postgres {in integers $n:literal}) => {
        concat!(" = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($", $n, " AS JSON)) AS BIGINT)))")
    };
    (sqlite {$type:ident $n:literal}) => {
        concat!("(SELECT value FROM json_each($", $n, "))")
    };
    (postgres {texts $n:literal}) => {
        concat!("(SELECT json_array_elements_text(CAST($", $n, " AS JSON)) AS value)")
    };
    (postgres {integers $n:literal}) => {
        concat!("(SELECT CAST(json_array_elements_text(CAST($", $n, " AS JSON)) AS BIGINT) AS value)")
    };
}

/// Declares the statements of one file, and `ALL`, the list of them that the coverage test reads.
macro_rules! statements {
    ($($name:ident = [$($piece:tt)+];)+) => {
        $(
            pub(super) static $name: $crate::metadata::statement::Statement = $crate::metadata::statement::Statement::new(
                concat!(module_path!(), "::", stringify!($name)),
                concat!($($crate::metadata::statement::piece!(sqlite $piece)),+),
                concat!($($crate::metadata::statement::piece!(postgres $piece)),+),
            );
        )+
        pub(super) static ALL: &[&$crate::metadata::statement::Statement] = &[$(&$name),+];
    };
}

pub(super) use {piece, statements};
