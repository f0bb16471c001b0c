//! The preloaded library: built from `durability/powerloss.c`, told which folder to watch and what to get wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    restore::{Lost, prepare, restore},
    undo::Loss,
};
use crate::{Outcome, failure::While, process::run, server::Plan, tools};

/// The built library.
#[derive(Debug)]
pub struct Shim {
    folder: TempDir,
}

impl Shim {
    /// Compiles the library.
    ///
    /// # Errors
    /// There is no C compiler, or it refuses.
    pub fn build() -> Outcome<Self> {
        let shim = Self { folder: tempfile::Builder::new().prefix("hallmark-shim-").tempdir()? };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("durability/powerloss.c");
        let mut compiler = Command::new(tools::locate("cc")?);
        compiler.args(["-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        compiler.arg(shim.library()).arg(source).args(["-ldl", "-lpthread"]);
        run(&mut compiler)?;
        Ok(shim)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("powerloss.so")
    }
}

/// A folder that loses its power, and the journal beside it.
#[derive(Debug)]
pub struct Watched {
    home: TempDir,
    library: PathBuf,
}

impl Watched {
    /// An empty folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(shim: &Shim) -> Outcome<Self> {
        let home = tempfile::Builder::new().prefix("hallmark-power-").tempdir()?;
        let watched = Self { home, library: shim.library() };
        fs::create_dir(watched.folder())?;
        prepare(&watched.journal())?;
        Ok(watched)
    }

    /// The folder.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A server with its data in a folder of this one, watched.
    pub fn plan(&self, data: &Path) -> Plan {
        let variables = self.variables().into_iter();
        variables.fold(Plan::default().data(data), |plan, (name, value)| plan.variable(name, value))
    }

    /// What a program needs in its environment to be watched.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD", text(self.library.clone())),
            ("POWERLOSS_FOLDER", text(self.folder())),
            ("POWERLOSS_JOURNAL", text(self.journal())),
            ("POWERLOSS_FAULTS", text(self.faults())),
        ]
    }

    /// Makes calls fail, or syncs count as not done, from now on: rules as the head of `faults.h` tells them, for now
    /// and for later starts. Without rules, none.
    ///
    /// # Errors
    /// The rules cannot be written.
    pub fn fail(&self, rules: &[&str]) -> Outcome<()> {
        let next = self.home.path().join("faults.next");
        fs::write(&next, rules.join("\n"))?;
        fs::rename(next, self.faults()).or_fail("cannot write the faults")
    }

    /// Takes the power away. The watched program must have been killed.
    ///
    /// # Errors
    /// The journal cannot be followed.
    pub fn lose_power(&self, loss: Loss) -> Outcome<Lost> {
        restore(&self.folder(), &self.journal(), loss)
    }

    fn journal(&self) -> PathBuf {
        self.home.path().join("journal")
    }

    fn faults(&self) -> PathBuf {
        self.home.path().join("faults")
    }
}
