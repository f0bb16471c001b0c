//! Which words may stand in which files.

use super::sources::Source;

/// A rule: inside some folders, none of these words, but for some files.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The beginnings of the paths that the rule is about.
    pub(crate) within: &'static [&'static str],
    /// The paths in which the words may stand: whole, or with a `*` before or after.
    pub(crate) except: &'static [&'static str],
    /// The words. They count where no letter, digit or underscore stands before or after.
    pub(crate) words: &'static [&'static str],
    /// The reason, for who breaks the rule.
    pub(crate) because: &'static str,
    /// A file that breaks the rule, so that the rule is itself tested.
    pub(crate) forbidden: (&'static str, &'static str),
    /// A file that looks as if it did.
    pub(crate) allowed: (&'static str, &'static str),
}

pub(crate) const RULES: &[Rule] = &[
    Rule {
        within: &[""],
        // The pages of the sign-in are part of its door; the stage of the tests is another server.
        except: &[
            "*/http.rs",
            "registry/src/http/*",
            "registry/src/api/*",
            "registry/src/auth/signin/page.rs",
            "registry/src/auth/oidc/tests/*",
            "conformance/tests/architecture/*",
        ],
        words: &["axum"],
        because: "a rule knows no HTTP: axum is named in a room's http.rs, in registry/src/http and in registry/src/api",
        forbidden: ("registry/src/distribution/push.rs", "use axum::body::Body;"),
        allowed: ("registry/src/distribution/http.rs", "use axum::body::Body;"),
    },
    Rule {
        within: &[""],
        // The suite looks at rows and tables behind the back of what it tests.
        except: &[
            "storage-adapters/src/metadata/sql/*",
            "storage-adapters/tests/metadata/harness/*",
            "registry/tests/it/harness/*",
            "gc/tests/collect/harness/*",
            "conformance/tests/architecture/*",
        ],
        words: &["sqlx", "rusqlite"],
        because: "one folder names the database drivers: storage-adapters/src/metadata/sql",
        forbidden: ("storage-adapters/src/metadata/tags.rs", "sqlx::query(\"\")"),
        allowed: ("storage-adapters/src/metadata/tags.rs", "// sqlx is named in sql"),
    },
    Rule {
        within: &[""],
        except: &["storage-adapters/src/blobs/*", "storage-adapters/tests/*", "conformance/tests/architecture/*"],
        words: &["object_store"],
        because: "bytes are reached through Blobs: object_store is named in storage-adapters/src/blobs",
        forbidden: ("registry/src/app.rs", "store: Arc<dyn object_store::ObjectStore>"),
        allowed: ("storage-adapters/src/blobs/mod.rs", "use object_store::ObjectStore;"),
    },
    Rule {
        within: &["registry/oci/src/"],
        except: &[],
        words: &["tokio", "async", "await", "std::fs", "std::net", "std::env", "SystemTime", "Instant", "rand"],
        because: "the vocabulary is pure: no input or output, no async, no clock, no randomness",
        forbidden: ("registry/oci/src/digest.rs", "use std::fs::File;"),
        allowed: ("registry/oci/src/digest.rs", "let operand = 1;"),
    },
    Rule {
        within: &[
            "registry/src/",
            "registry/oci/src/",
            "storage-adapters/src/",
            "signer/src/",
            "gc/src/",
            "conformance/",
        ],
        except: &["registry/src/config/*", "conformance/src/settings.rs", "conformance/tests/architecture/*"],
        words: &["env::var", "env::vars", "env::var_os", "env::vars_os"],
        because: "settings are read in one place: registry/src/config, and conformance/src/settings.rs for the tests",
        forbidden: ("registry/src/app.rs", "let home = std::env::var(\"HOME\");"),
        allowed: ("registry/src/config/source.rs", "std::env::vars_os().collect()"),
    },
    Rule {
        within: &["registry/", "storage-adapters/", "signer/", "gc/"],
        except: &["registry/src/clock.rs", "registry/tests/provider.rs", "storage-adapters/examples/*"],
        words: &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        because: "`now` is an argument: registry/src/clock.rs reads the clock",
        forbidden: ("gc/src/sweep.rs", "let now = std::time::SystemTime::now();"),
        allowed: ("registry/src/clock.rs", "let now = SystemTime::now();"),
    },
    Rule {
        within: &["conformance/"],
        except: &["conformance/tests/architecture/*"],
        words: &["hallmark_storage", "hallmark_signer", "hallmark_gc", "use hallmark::"],
        because: "conformance is a stranger: it speaks HTTP and runs programs, or it would forgive the server",
        forbidden: ("conformance/tests/clients/raw.rs", "use hallmark_storage::metadata::Metadata;"),
        allowed: ("conformance/tests/clients/raw.rs", "use hallmark_oci::Digest;"),
    },
    Rule {
        within: &[""],
        except: &["conformance/tests/architecture/*"],
        words: &["#[ignore"],
        because: "a test that is not run tells nothing: make it fast, or a step of `conformance/run --long`",
        forbidden: ("gc/src/tests.rs", "#[ignore = \"slow\"]"),
        allowed: ("gc/src/tests.rs", "let ignored = 1;"),
    },
    Rule {
        within: &[""],
        except: &["conformance/tests/architecture/*"],
        words: &["#[allow", "#![allow"],
        because: "an exception to a lint is #[expect(lint, reason = \"…\")], so that it goes when it is not needed",
        forbidden: ("gc/src/sweep.rs", "#[allow(dead_code)]"),
        allowed: ("gc/src/sweep.rs", "#[expect(dead_code, reason = \"for now\")]"),
    },
];

impl Rule {
    /// Each place where the rule is broken, in one sentence.
    pub(crate) fn broken_by(&self, sources: &[Source]) -> Vec<String> {
        let ours = sources.iter().filter(|source| self.is_about(&source.path));
        ours.flat_map(|source| self.found_in(source)).collect()
    }

    fn is_about(&self, path: &str) -> bool {
        self.within.iter().any(|folder| path.starts_with(folder))
            && !self.except.iter().any(|pattern| is(path, pattern))
    }

    fn found_in(&self, source: &Source) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in source.code() {
            for word in self.words.iter().filter(|word| stands_in(word, line)) {
                found.push(format!("{}:{number}: `{word}`: {}", source.path, self.because));
            }
        }
        found
    }
}

/// Each use of a room's `http.rs` from another room of the registry: only the router may enter all doors.
pub(crate) fn doors_entered(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let Some((room, _)) = source.path.strip_prefix("registry/src/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        if room == "http" {
            continue;
        }
        for (number, line) in source.code() {
            let others = line.split("crate::").skip(1).filter_map(|rest| {
                let mut words = rest.split("::");
                let other = words.next()?;
                let door = words.next()?;
                (other != room && door.starts_with("http") && !door.starts_with("https")).then_some(other)
            });
            for other in others {
                found.push(format!(
                    "{}:{number}: the room {room} goes through the door of {other}: call its rule, not its http.rs",
                    source.path
                ));
            }
        }
    }
    found
}

/// Whether a path is what a pattern with at most one `*`, at its beginning or end, says.
fn is(path: &str, pattern: &str) -> bool {
    if let Some(end) = pattern.strip_prefix('*') {
        return path.ends_with(end);
    }
    pattern.strip_suffix('*').map_or(path == pattern, |begin| path.starts_with(begin))
}

/// Whether a word stands in a line with nothing of a word around it.
fn stands_in(word: &str, line: &str) -> bool {
    let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = word.ends_with("::");
        (!joins(before) || word.starts_with('#')) && (open || !joins(after))
    })
}
