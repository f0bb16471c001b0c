//! The specification's grammars, as it writes them, run by an engine that shares nothing with the parsers under test.

use regex_automata::nfa::thompson::pikevm::PikeVM;

/// One component of a repository name.
const COMPONENT: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
pub(crate) const TAG: &str = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
pub(crate) const DIGEST: &str = r"(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})";
pub(crate) const UPLOAD: &str = r"[0-9a-f]{32}";

pub(crate) fn name_pattern() -> String {
    format!(r"{COMPONENT}(/{COMPONENT})*")
}

/// A compiled pattern. Compile it once per test, outside the cases of a property.
pub(crate) struct Grammar(PikeVM);

impl Grammar {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(PikeVM::new(&format!("^(?:{pattern})$")).unwrap())
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(&mut self.0.create_cache(), text)
    }

    /// The text of the first group, when the whole matches.
    pub(crate) fn first_group<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut captures = self.0.create_captures();
        self.0.captures(&mut self.0.create_cache(), text, &mut captures);
        captures.get_group(1).map(|span| &text[span.range()])
    }
}
