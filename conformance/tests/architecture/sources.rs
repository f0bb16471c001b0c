//! The files that the rules are about, with paths from the top of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file: its path with `/` between components, and its text.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The lines with their numbers, from 1, without what stands in `//` comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        (1..).zip(lines)
    }

    /// The lines before an inline test module.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with("mod tests {"));
        tests.unwrap_or(lines.len())
    }
}

fn top() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every Rust file of the workspace.
pub(crate) fn all() -> Vec<Source> {
    let sources = read(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(sources.len() > 50, "only {} files were found: the rules would hold of nothing", sources.len());
    sources
}

/// Every `Cargo.toml` of a package of the workspace.
pub(crate) fn manifests() -> Vec<Source> {
    let mut manifests = read(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    manifests.retain(|source| source.text.contains("[package]"));
    manifests
}

/// What stands at the top of the workspace.
pub(crate) fn top_level() -> Vec<String> {
    names(&top())
}

fn read(wanted: impl Fn(&Path) -> bool) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in names(&top().join(&folder)) {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let full = top().join(&path);
            if full.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if full.is_file() && wanted(&full) {
                let text = fs::read_to_string(&full).unwrap_or_default();
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
