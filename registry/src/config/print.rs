//! `config print`: the effective settings as TOML that can be loaded again.

use serde_json::Value;
use url::Url;

use super::keys::{Hidden, KEYS, Key, Shape};
use super::source::{Gathered, Place};
use super::value::{Raw, Setting};

/// One line of the print. What nobody set, or nobody may see, is a comment; a default can be uncommented and changed.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    name: &'static str,
    set: bool,
    value: String,
    note: String,
}

/// The tables that have names of their own, as they can be loaded again; their secrets never stand in them.
pub(super) fn sections(gathered: &Gathered) -> String {
    let mut text = String::new();
    for section in &gathered.sections {
        text.push_str(&format!("\n[{}.{}]  # {}\n", section.kind, section.name, section.place));
        let Value::Object(table) = &section.value else { continue };
        for (key, value) in table {
            text.push_str(&format!("{key} = {}\n", inline(value)));
        }
    }
    text
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let entries = table.iter().map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Every key of the table with the value that holds and its place.
pub(super) fn effective(gathered: &Gathered) -> Vec<Effective> {
    KEYS.iter().map(|key| line(key, gathered.settings.get(key.name))).collect()
}

fn line(key: &Key, setting: Option<&Setting>) -> Effective {
    let (set, value, note) = match (setting, key.default) {
        (Some(setting), _) if is_shown(key, setting) => (true, spell(key, setting), setting.place.to_string()),
        (Some(setting), _) => (false, String::new(), format!("[secret] from {}", setting.place)),
        (None, Some(default)) => {
            (false, spell(key, &Setting::typed(default.to_owned(), Place::Default)), Place::Default.to_string())
        }
        (None, None) => (false, String::new(), format!("not set; takes {}", key.accepts)),
    };
    Effective { name: key.name, set, value, note }
}

fn is_shown(key: &Key, setting: &Setting) -> bool {
    let text = setting.raw.to_string();
    match key.hidden {
        Hidden::Nothing => true,
        Hidden::Everything => false,
        Hidden::Password if text.contains("://") => {
            // A password can also stand in the query.
            Url::parse(&text).is_ok_and(|url| url.password().is_none() && url.query().is_none())
        }
        Hidden::Password => true,
    }
}

/// The value in TOML. A path becomes absolute, so that the print means the same wherever it is saved.
fn spell(key: &Key, setting: &Setting) -> String {
    let text = setting.raw.to_string();
    match key.shape {
        Shape::Number | Shape::Switch => text,
        Shape::List => {
            let items = match &setting.raw {
                Raw::List(items) => items.iter().map(String::as_str).collect::<Vec<_>>(),
                _ => text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect(),
            };
            format!("[{}]", items.into_iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Shape::Text => quoted(&text),
        Shape::UrlOrPath if text.contains("://") => quoted(&text),
        Shape::UrlOrPath | Shape::Path => {
            let path = setting.base.join(&text);
            quoted(&std::path::absolute(&path).unwrap_or(path).to_string_lossy())
        }
    }
}

/// A basic string: quotes, backslashes and control characters escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn to_toml(lines: &[Effective]) -> String {
    let line = |line: &Effective| {
        let comment = if line.set { "" } else { "# " };
        let space = if line.value.is_empty() { "" } else { " " };
        format!("{comment}{} ={space}{}  # {}\n", line.name, line.value, line.note)
    };
    lines.iter().map(line).collect()
}
