//! A dated record of one run: what was done, on which machine, and what came out. What a note claims, it quotes from here.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::{Outcome, settings};

/// A record that is being written, line by line, so that a run which dies leaves what it saw.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
}

impl Record {
    /// A record called `<UTC>-<name>.txt` in the folder of [`settings::records_folder`], begun with date and machine.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn begin(name: &str) -> Outcome<Self> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ");
        Self::at(&settings::records_folder().join(format!("{date}-{name}.txt")))
    }

    /// A record in this file, begun with date and machine.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn at(path: &Path) -> Outcome<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut record = Self { path: path.to_owned(), file: File::create(path)? };
        record.line(&format!("date: {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC")))?;
        record.line(&format!("machine: {}", machine()))?;
        Ok(record)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn line(&mut self, text: &str) -> Outcome<()> {
        Ok(writeln!(self.file, "{text}")?)
    }

    /// Where the record stands.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The machine in one line: processors, memory, kernel.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} × {}, memory {memory}, Linux {}", value(&processors, "model name"), kernel.trim())
}
