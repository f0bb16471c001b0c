//! What a rule says of a tag's name: a glob, or `re:` and a regular expression. Both match the whole name.

use regex_automata::nfa::thompson::NFA;
use regex_automata::nfa::thompson::pikevm::PikeVM;

/// What begins a regular expression.
const REGEX: &str = "re:";
/// The longest pattern, in bytes.
const LONGEST: usize = 256;
/// The most memory that a regular expression may become, in bytes: it is run on every tag of a repository.
const COMPILED: usize = 256 * 1024;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern: {why}")]
pub struct PatternInvalid {
    pattern: String,
    why: String,
}

/// A pattern of names.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Option<PikeVM>,
}

impl Pattern {
    /// Reads a pattern: in a glob `*` stands for any characters and `?` for one.
    ///
    /// # Errors
    /// [`PatternInvalid`]: it is empty, too long, or no regular expression that may be run.
    pub fn parse(text: &str) -> Result<Self, PatternInvalid> {
        let invalid = |why: String| PatternInvalid { pattern: text.to_owned(), why };
        if text.is_empty() || text.len() > LONGEST {
            return Err(invalid(format!("it has between 1 and {LONGEST} bytes")));
        }
        let Some(regex) = text.strip_prefix(REGEX) else { return Ok(Self { text: text.to_owned(), regex: None }) };
        let config = NFA::config().nfa_size_limit(Some(COMPILED));
        let built = PikeVM::builder().thompson(config).build(&format!("^(?:{regex})$"));
        let built = built.map_err(|error| invalid(error.to_string()))?;
        Ok(Self { text: text.to_owned(), regex: Some(built) })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(&mut regex.create_cache(), name),
            None => glob(self.text.as_bytes(), name.as_bytes()),
        }
    }
}

/// Goes back to the last `*` only, so that it takes at most the product of the two lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[read] => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((before, from)) = star else { return false };
                star = Some((before, from + 1));
                (at, read) = (before + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_or_a_regular_expression_matches_the_whole_name() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(name);
        assert!(matches("*", "latest") && matches("v1.*", "v1.2") && matches("v?", "v1") && matches("a*b*c", "aXbYbc"));
        assert!(!matches("v1.*", "v2.1") && !matches("v?", "v10") && !matches("a*b", "abc") && !matches("v1", "v"));
        assert!(matches(r"re:v\d+", "v12") && !matches(r"re:v\d+", "v12-rc") && !matches("re:a|b", "ab"));
        assert!(matches("re:.*", "") && !matches("a", "re:a"));
    }

    #[test]
    fn what_may_not_be_run_is_refused() {
        for text in ["", "re:(", "re:[", &"x".repeat(257), "re:((((a{99}){99}){99}){99}"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse("re:(").unwrap_err().to_string().contains("re:("));
    }
}
