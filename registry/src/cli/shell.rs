//! `hallmark completion` and `hallmark man`: what can be typed, told to shells and to `man`.

use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell as Generator;

use super::output::{self, Failure};

/// The program's name, as it is typed.
const NAME: &str = "hallmark";

#[derive(Args, Debug)]
pub(super) struct Completion {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// For ~/.local/share/bash-completion/completions/hallmark
    Bash,
    /// For a file _hallmark in a folder of $fpath
    Zsh,
    /// For ~/.config/fish/completions/hallmark.fish
    Fish,
}

#[derive(Args, Debug)]
pub(super) struct Man {
    /// The folder, such as ~/.local/share/man/man1; it is made if it is missing
    folder: PathBuf,
}

impl Completion {
    pub(super) fn run(self, command: &mut Command) -> Result<(), Failure> {
        let shell = match self.shell {
            Shell::Bash => Generator::Bash,
            Shell::Zsh => Generator::Zsh,
            Shell::Fish => Generator::Fish,
        };
        let mut text = Vec::new();
        clap_complete::generate(shell, command, NAME, &mut text);
        output::print(&String::from_utf8_lossy(&text))
    }
}

impl Man {
    pub(super) fn run(self, command: Command) -> Result<(), Failure> {
        let folder = &self.folder;
        let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        written.map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", folder.display())))?;
        output::say(format_args!("the manual is in {}; begin with {NAME}.1", folder.display()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn every_verb_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        Man { folder: folder.path().join("man1") }.run(Arguments::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(page("hallmark.1").contains("Exit codes"));
        assert!(page("hallmark-org-member-add.1").contains("owner"));
    }

    #[test]
    fn each_shell_is_told_the_verbs() {
        for shell in [Generator::Bash, Generator::Zsh, Generator::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
            assert!(String::from_utf8_lossy(&text).contains("explain"), "{shell}");
        }
    }
}
