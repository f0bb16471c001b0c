//! Every sentence that a client of images or tokens can be refused with stands in a test at the door, so that none changes unseen.
//! Never judges the wording, nor whether the refusal is right: the tests that show it do.
//! Start at [`unseen`]; what nobody is ever told stands in the tables above it, with the reason.

use super::sources::Source;

/// The rooms whose sentences go out, by the beginnings of their paths.
const ROOMS: [&str; 6] = [
    "registry/oci/src/",
    "registry/src/access/",
    "registry/src/auth/error.rs",
    "registry/src/auth/http.rs",
    "registry/src/distribution/",
    "registry/src/http/",
];
/// Where sentences are shown.
const DOOR: &str = "registry/tests/it/";
/// How a sentence begins in code: the text that stands before its first quote.
const BEGINNINGS: [&str; 6] =
    ["#[error(", "Error::new(", "Self::new(", "Error::unavailable(", "invalid_request(", "unauthorized("];
/// The most bytes between one of [`BEGINNINGS`] and the quote: a code and some names.
const BEFORE_QUOTE: usize = 80;
/// A piece shorter than this is part of any prose: it counts only in an answer.
const SHORT: usize = 12;

/// The files whose sentences are for others than clients.
const UNSPOKEN: &[(&str, &str)] = &[
    ("registry/oci/src/challenge.rs", "read by those who write a client, or by the log"),
    ("registry/oci/src/claims.rs", "told in the words of auth/token.rs"),
    ("registry/oci/src/hasher.rs", "told as a failure inside"),
    ("registry/oci/src/token.rs", "told as malformed: what is wrong with a token helps forgers only"),
    ("registry/src/http/server/", "connections, not answers"),
    ("registry/src/http/tls.rs", "for the operator at the start"),
];

/// Beginnings of sentences that no answer holds.
pub(crate) const NEVER_TOLD: &[(&str, &str)] = &[
    ("a manifest has at most", "the body is refused before, while it is read"),
    ("a scope is written as", "a scope that is none grants nothing and is not refused"),
    ("an action is one of", "an action that is none grants nothing and is not refused"),
    ("more room is needed than was reserved", "is reserved anew and tried again"),
    (
        "the Content-Range of a chunk is written as",
        "told as a chunk that begins elsewhere, with the place to go on from",
    ),
    ("the blob store did not answer", "a cause, told in the words of http/error.rs"),
    ("the bytes of {digest} are missing or damaged", "for the log; told as absent"),
    ("a role is root, targets, snapshot,", "told as no trust data, or as Notary's own names of what is wrong"),
    ("the database did not answer", "a cause, told in the words of http/error.rs"),
    ("the manifest could not be read", "told as a failure inside"),
    ("the name {0} rests", "told in the words of PushError and UploadError"),
    ("the registry is stopping", "nobody closes the places that are waited for"),
    (
        "the registry's storage is full",
        "told by a disk that is full: conformance/tests/bad_input/disk.rs holds these words",
    ),
    ("the repository is another's by now", "told as a grant that lapsed"),
    ("the repository name is missing", "a path with an empty component is refused as a path"),
    ("the repository {0} does not exist, and a push may not make it", "told in the words of PushError and UploadError"),
    ("the token keys cannot be used", "told as a failure inside"),
    ("this needs the right to", "told as a challenge"),
    ("what this needs room for kept changing", "after three races are lost, which no test can have happen"),
];

/// Each sentence that no test at the door shows, and each exception that there is no reason for any more.
pub(crate) fn unseen(sources: &[Source], never_told: &[(&str, &str)]) -> Vec<String> {
    let shown: Vec<String> = sources
        .iter()
        .filter(|source| source.path.starts_with(DOOR))
        .flat_map(|source| shown_in(&source.text))
        .collect();
    let mut excused = vec![false; never_told.len()];
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| speaks(&source.path)) {
        for sentence in sentences(&source.text) {
            if shown.iter().any(|line| tells(line, &sentence)) {
                continue;
            }
            match never_told.iter().position(|(beginning, _)| sentence.starts_with(beginning)) {
                Some(index) => excused[index] = true,
                None => found.push(format!("{}: no test at the door shows {sentence:?}", source.path)),
            }
        }
    }
    let needless = never_told.iter().zip(excused).filter(|(_, excused)| !excused);
    found.extend(needless.map(|((beginning, _), _)| format!("{beginning:?} is shown or gone: it needs no exception")));
    found
}

fn speaks(path: &str) -> bool {
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    ROOMS.iter().any(|room| path.starts_with(room))
        && !is_test
        && !UNSPOKEN.iter().any(|(file, _)| path.starts_with(file))
}

/// The lines of a test without its comments, as an answer spells them.
fn shown_in(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    joined(&code.join("\n")).replace("\\\"", "\"").lines().map(str::to_owned).collect()
}

/// Whether a line holds all that is fixed of a sentence, in order.
fn tells(line: &str, sentence: &str) -> bool {
    let pieces = || {
        sentence.split('{').enumerate().map(|(index, piece)| match index {
            0 => piece,
            _ => piece.split_once('}').map_or(piece, |(_, fixed)| fixed),
        })
    };
    let mut rest = line;
    let in_order = pieces().all(|piece| match rest.split_once(piece) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    });
    in_order && (line.contains("\"message\":") || pieces().any(|piece| piece.trim().len() >= SHORT))
}

/// The sentences of a file, with the places that are filled in as they stand in code.
fn sentences(text: &str) -> Vec<String> {
    let text = joined(text);
    let begun = BEGINNINGS.iter().flat_map(|beginning| text.match_indices(beginning));
    begun
        .filter_map(|(at, beginning)| first_literal(&text[at + beginning.len()..]))
        .filter(|text| text.contains(' '))
        .collect()
}

/// The literal that these arguments begin with, after a code at most.
fn first_literal(arguments: &str) -> Option<String> {
    let (before, literal) = arguments.split_once('"')?;
    if before.len() > BEFORE_QUOTE || before.contains([')', ';']) {
        return None;
    }
    let mut sentence = String::new();
    let mut characters = literal.chars();
    loop {
        match characters.next()? {
            '"' => return Some(sentence),
            '\\' => sentence.push(characters.next()?),
            other => sentence.push(other),
        }
    }
}

/// The text with literals that go on in the next line made one line.
fn joined(text: &str) -> String {
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |joined, piece| joined + piece.trim_start())
}
