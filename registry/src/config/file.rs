//! The file of settings: TOML, flattened to dotted keys, each with its line and column.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use serde_json::Value;

use super::keys::{self, Key};
use super::section::{self, Section};
use super::source::{Gathered, Place};
use super::value::{Raw, Setting};

/// Reads `path` into `gathered`; what cannot be read or is unknown becomes a problem with its place. A file that was found
/// in the data folder cannot say where the data folder is.
pub(super) fn read(path: &Path, in_data_folder: bool, gathered: &mut Gathered) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("the file of settings cannot be read: {error}");
            return gathered.refuse(Place::WholeFile(path.to_owned()), message);
        }
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    let file = File { path, text: &text, in_data_folder };
    for error in errors {
        let place = file.place(error.span().map_or(0, |span| span.start));
        gathered.refuse(place, format!("this is not TOML: {}", error.message().replace('\n', "; ")));
    }
    if gathered.problems.iter().all(|problem| !matches!(problem.place, Place::File { .. })) {
        file.flatten("", table.get_ref(), gathered);
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    in_data_folder: bool,
}

impl File<'_> {
    /// Line and column of a byte of the file, both counted from one.
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn flatten(&self, prefix: &str, table: &DeTable<'_>, gathered: &mut Gathered) {
        // The parser sorts by key; problems are told in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            let place = self.place(key.span().start);
            if prefix.is_empty()
                && let Some(kind) = section::KINDS.into_iter().find(|kind| *kind == name)
            {
                self.sections(kind, (place, value.get_ref()), gathered);
                continue;
            }
            match (keys::find(&name), value.get_ref()) {
                (None, DeValue::Table(table)) => self.flatten(&name, table, gathered),
                (None, _) => gathered.refuse(place, unknown(&name)),
                (Some(key), _) if key.environment_only => {
                    let message = format!("`{name}` is a secret of this process: give it in {}", key.variable());
                    gathered.refuse(place, message);
                }
                (Some(_), _) if self.in_data_folder && name == "data" => {
                    let message = "`data` is decided before this file is found in the data folder: name the folder with \
                                   --data or HALLMARK_DATA, or the file with --config";
                    gathered.refuse(place, message.to_owned());
                }
                (Some(key), value) => match raw(value) {
                    Some(raw) => gathered.offer(key, Setting { raw, place, base: self.folder() }),
                    None => gathered.refuse(place, format!("`{name}` takes {}, not {}", key.accepts, kind(value))),
                },
            }
        }
    }

    /// The tables of one kind, each with the name that the operator gave it.
    fn sections(&self, kind: &'static str, (place, value): (Place, &DeValue<'_>), gathered: &mut Gathered) {
        let DeValue::Table(tables) = value else {
            return gathered.refuse(place, format!("`{kind}` is a table of tables: write [{kind}.NAME]"));
        };
        let mut entries: Vec<_> = tables.iter().collect();
        entries.sort_unstable_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let place = self.place(name.span().start);
            match value.get_ref() {
                table @ DeValue::Table(_) => gathered.sections.push(Section {
                    kind,
                    name: name.get_ref().to_string(),
                    place,
                    base: self.folder(),
                    value: json(table),
                }),
                _ => gathered.refuse(place, format!("write [{kind}.{}]", name.get_ref())),
            }
        }
    }

    /// Relative paths in the file start at the file's own folder.
    fn folder(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }
}

fn unknown(name: &str) -> String {
    let inside = format!("{name}.");
    if keys::KEYS.iter().any(|key| key.name.starts_with(&inside)) {
        return format!("`{name}` is a table: set the keys in it, such as `{}`", first_inside(&inside));
    }
    format!("unknown key `{name}`{}", keys::suggestion(name, keys::KEYS.iter().map(|key| key.name.to_owned())))
}

fn first_inside(prefix: &str) -> &'static str {
    keys::KEYS.iter().map(|key: &Key| key.name).find(|name| name.starts_with(prefix)).unwrap_or_default()
}

/// The value in the few shapes that settings have.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::String(text) => Some(Raw::Text(text.to_string())),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(Raw::Integer)
        }
        DeValue::Boolean(switch) => Some(Raw::Boolean(*switch)),
        DeValue::Array(items) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<_>>().map(Raw::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The same in JSON, for tables that are read whole. What JSON does not have (a date, a number beyond 64 bits) is its text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(&**text),
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_or_else(|_| Value::from(number.as_str()), Value::from),
        DeValue::Float(number) => Value::from(number.as_str()),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number of this size",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a switch",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list of other things than text",
        DeValue::Table(_) => "a table",
    }
}
