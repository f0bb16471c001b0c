//! Passwords that are known to everybody, and so are nobody's: a list on this machine that the operator keeps.
//!
//! The list has the form in which Pwned Passwords is handed out, ordered by hash: a line for each password, its SHA-1 in
//! forty hexadecimal digits, and after a colon how often it was seen. It is tens of gigabytes long, so it is never read but
//! bisected, and opened anew for each password, so that the operator may put another in its place.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Digits of a SHA-1.
const DIGITS: usize = 40;
/// More bytes than two lines have: wherever one begins to read, a whole line lies within.
const WINDOW: usize = 192;

/// Whether the list at `path` has `password`.
///
/// # Errors
/// The list cannot be read, or is none.
pub(super) fn contains(path: &Path, password: &str) -> io::Result<bool> {
    let list = File::open(path)?;
    let wanted = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()).as_ref());
    // The line that is looked for begins at one of the bytes from `low` to before `high`.
    let (mut low, mut high) = (0, list.metadata()?.len());
    // What every line between must lie between: a list in another order would seem to have nothing.
    let (mut least, mut most) = ([b'0'; DIGITS], [b'F'; DIGITS]);
    while low < high {
        let middle = low + (high - low) / 2;
        match line_from(&list, middle)? {
            None => high = middle,
            Some((_, found)) if found < least || found > most => return Err(no_list()),
            Some((begins, found)) if begins < high => match found.cmp(&wanted) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => (low, least) = (begins + 1, found),
                Ordering::Greater => (high, most) = (middle, found),
            },
            Some(_) => high = middle,
        }
    }
    Ok(false)
}

/// The first line that begins at `place` or after it: where, and its hash in upper-case digits.
fn line_from(list: &File, place: u64) -> io::Result<Option<(u64, [u8; DIGITS])>> {
    // A line begins behind a line break, or with the file.
    let from = place.saturating_sub(1);
    let mut window = [0; WINDOW];
    let read = fill(list, &mut window, from)?;
    let skipped = match place {
        0 => Some(0),
        _ => window[..read].iter().position(|byte| *byte == b'\n').map(|at| at + 1),
    };
    let Some(line) = skipped.map(|skipped| (skipped, &window[skipped..read])) else {
        // No line is as long as the window.
        return if read == WINDOW { Err(no_list()) } else { Ok(None) };
    };
    let (skipped, rest) = line;
    if rest.is_empty() {
        return Ok(None);
    }
    let mut hash = [0; DIGITS];
    hash.copy_from_slice(rest.get(..DIGITS).ok_or_else(no_list)?);
    hash.make_ascii_uppercase();
    if !hash.iter().all(u8::is_ascii_hexdigit) {
        return Err(no_list());
    }
    Ok(Some((from + skipped as u64, hash)))
}

/// Reads until the window is full or the file ends; the number of bytes.
fn fill(list: &File, window: &mut [u8], from: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < window.len() {
        match list.read_at(&mut window[read..], from + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn no_list() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no list of SHA-1 hashes ordered by hash")
}

fn hex(hash: &[u8]) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
        let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn line_of(password: &str, seen: u32) -> String {
        let hash = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()).as_ref());
        format!("{}:{seen}", String::from_utf8(hash.to_vec()).unwrap())
    }

    fn list(folder: &TempDir, lines: &[String], ending: &str) -> std::path::PathBuf {
        let path = folder.path().join("list");
        let text = lines.iter().fold(String::new(), |mut text, line| {
            write!(text, "{line}{ending}").unwrap();
            text
        });
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_hash_is_the_one_that_lists_have() {
        assert_eq!(line_of("password", 1), "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:1");
    }

    #[test]
    fn every_password_of_a_list_is_found_and_none_beside() {
        let folder = TempDir::new().unwrap();
        for count in [0, 1, 2, 3, 17, 500] {
            let mut lines: Vec<_> =
                (0..count).map(|number| line_of(&format!("known {number}"), 10_u32.pow(number % 9))).collect();
            lines.sort();
            for ending in ["\n", "\r\n"] {
                let path = list(&folder, &lines, ending);
                for number in 0..count {
                    assert!(contains(&path, &format!("known {number}")).unwrap(), "{number} of {count}");
                }
                for number in 0..200 {
                    assert!(!contains(&path, &format!("own {number}")).unwrap(), "{number} beside {count}");
                }
            }
        }
    }

    /// As it is handed out too: ordered by how often each was seen.
    #[test]
    fn a_list_in_another_order_is_told_and_not_searched_in_vain() {
        let folder = TempDir::new().unwrap();
        let lines: Vec<_> = (0..500).map(|number| line_of(&format!("known {number}"), 500 - number)).collect();
        let path = list(&folder, &lines, "\n");
        let told = |number| {
            contains(&path, &format!("own {number}")).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
        };
        assert!((0..50).filter(|number| told(*number)).count() > 40);
        assert_eq!(contains(&path, "").unwrap_err().kind(), io::ErrorKind::InvalidData, "what the start asks for");
    }

    #[test]
    fn a_list_without_a_last_line_break_or_in_small_letters_is_read_too() {
        let folder = TempDir::new().unwrap();
        let mut lines: Vec<_> = (0..9).map(|number| line_of(&format!("known {number}"), 1).to_lowercase()).collect();
        lines.sort();
        let path = folder.path().join("list");
        fs::write(&path, lines.join("\n")).unwrap();
        for number in 0..9 {
            assert!(contains(&path, &format!("known {number}")).unwrap());
        }
        assert!(!contains(&path, "own").unwrap());
    }

    #[test]
    fn what_is_no_list_is_told_and_not_taken_for_an_empty_one() {
        let folder = TempDir::new().unwrap();
        for text in ["password\n123456\n", &"x".repeat(1_000), "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD\n"] {
            let path = list(&folder, &[text.to_owned()], "");
            assert_eq!(contains(&path, "own").unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:.20}");
        }
        assert_eq!(contains(&folder.path().join("absent"), "own").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
