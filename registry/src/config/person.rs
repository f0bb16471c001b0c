//! What belongs to the person who types a command and to no server: where their own files are, and what they chose.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Secret;
use super::source::{CONTEXT_VARIABLE, PASSWORD_VARIABLE, USER_VARIABLE};

/// The folder of ours in a person's folder of configuration.
const FOLDER: &str = "hallmark";

/// Who types, as the environment tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The folder of their own files: `$XDG_CONFIG_HOME/hallmark`, else `~/.config/hallmark`; `None` without a home.
    pub folder: Option<PathBuf>,
    /// The context that `HALLMARK_CONTEXT` names.
    pub context: Option<String>,
    /// The name and the password, token or workload's token that `HALLMARK_USER` and `HALLMARK_PASSWORD` hold: for programs that
    /// sign in nowhere, such as a job of CI.
    pub login: Option<(String, Secret)>,
}

impl Person {
    /// Who started this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this room is the one place that may read the environment")]
    pub fn of_process() -> Self {
        Self::told_by(|name| std::env::var_os(name))
    }

    /// From the variables that `variable` knows.
    #[must_use]
    pub fn told_by(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // The base folder specification: a relative path in the variable is to be ignored.
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let configuration = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(Path::new(".config"))));
        let context = variable(CONTEXT_VARIABLE).filter(|name| !name.is_empty());
        let text = |name: &str| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        Self {
            login: text(USER_VARIABLE).zip(text(PASSWORD_VARIABLE).map(Secret::new)),
            folder: configuration.map(|folder| folder.join(FOLDER)),
            context: context.map(|name| name.to_string_lossy().into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Person {
        Person::told_by(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_person_s_files_are_where_the_base_folder_specification_says() {
        let folder = |variables: &[(&str, &str)]| told(variables).folder.map(|folder| folder.display().to_string());
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]).as_deref(), Some("/c/hallmark"));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", "c"), ("HOME", "/h")]).as_deref(), Some("/h/.config/hallmark"));
        assert_eq!(folder(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]).as_deref(), Some("/h/.config/hallmark"));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn who_they_are_takes_a_name_and_a_password() {
        assert_eq!(told(&[("HALLMARK_USER", "acme+ci")]).login, None);
        assert_eq!(told(&[("HALLMARK_USER", "acme+ci"), ("HALLMARK_PASSWORD", "")]).login, None);
        let login = told(&[("HALLMARK_USER", "acme+ci"), ("HALLMARK_PASSWORD", "secret")]).login.unwrap();
        assert_eq!((login.0.as_str(), login.1.expose()), ("acme+ci", "secret"));
    }

    #[test]
    fn an_empty_choice_is_none() {
        assert_eq!(told(&[("HALLMARK_CONTEXT", "")]).context, None);
        assert_eq!(told(&[("HALLMARK_CONTEXT", "work")]).context.as_deref(), Some("work"));
    }
}
