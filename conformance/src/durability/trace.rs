//! Reads what `strace -f -tt -yy -o FILE` wrote: system calls with the lines on which they began and ended.

use std::collections::BTreeMap;

use crate::{Failure, Outcome};

/// One system call. Lines order calls: one that ended on an earlier line than another began happened before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The line on which it was entered.
    pub start: usize,
    /// The line on which it returned.
    pub end: usize,
    /// Its name.
    pub name: String,
    /// Its arguments, as strace prints them.
    pub arguments: String,
    /// What it returned; below zero for an error.
    pub result: i64,
    /// What stands behind the result: the path of a new descriptor, or the error's name.
    pub note: String,
}

impl Call {
    /// The arguments, split at the commas between them.
    pub(crate) fn argument(&self, number: usize) -> &str {
        split(&self.arguments).get(number).copied().unwrap_or_default()
    }

    /// What the first argument, a descriptor, leads to: a path, or a socket with both its ends.
    pub fn path(&self) -> &str {
        // Most of a trace are arguments of kilobytes: only their begin is looked at.
        target(self.arguments.split(", ").next().unwrap_or_default())
    }

    /// The bytes of the first string among the arguments.
    pub(crate) fn first_string(&self) -> Vec<u8> {
        let first = split(&self.arguments).into_iter().find(|argument| argument.starts_with('"'));
        first.map(strings).unwrap_or_default()
    }

    /// The bytes of all strings in the arguments, as far as strace printed them.
    pub(crate) fn data(&self) -> Vec<u8> {
        strings(&self.arguments)
    }
}

/// What stands between the angle brackets of `9</path>` or `9<TCP:[…]>`.
pub(crate) fn target(descriptor: &str) -> &str {
    let inner = descriptor.split_once('<').map_or("", |(_, rest)| rest);
    let inner = inner.rsplit_once('>').map_or("", |(inner, _)| inner);
    inner.strip_suffix(" (deleted)").or_else(|| inner.strip_suffix(">(deleted")).unwrap_or(inner)
}

/// Reads a trace. Calls that never returned (the kill came first) are left out.
///
/// # Errors
/// A line is not strace's.
pub fn parse(trace: &str) -> Outcome<Vec<Call>> {
    let mut calls = Vec::new();
    let mut open: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (line, text) in trace.lines().enumerate() {
        let (process, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_start();
        let rest = rest.split_once(' ').map_or("", |(_, call)| call.trim_start());
        if rest.starts_with("+++") || rest.starts_with("---") || rest.contains("<detached") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            open.insert(process, (line, begun.trim_end_matches(' ')));
            continue;
        }
        let resumed = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"));
        let call = match resumed {
            Some((_, end)) => open.remove(process).map(|(start, begun)| whole(start, line, &format!("{begun}{end}"))),
            None => Some(whole(line, line, rest)),
        };
        let Some(call) = call else {
            continue;
        };
        calls.push(call.ok_or_else(|| Failure::new(format!("line {} is not strace's: {text}", line + 1)))?);
    }
    Ok(calls)
}

fn whole(start: usize, end: usize, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // The result stands behind the last `) = `; what the arguments quote may contain another.
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let (number, note) = split_result(result.trim());
    let result = if number == "?" { -1 } else { number.parse().ok()? };
    Some(Call { start, end, name: name.to_owned(), arguments: arguments.to_owned(), result, note: note.to_owned() })
}

fn split_result(result: &str) -> (&str, &str) {
    let end = result.find(|character: char| character != '-' && character != '?' && !character.is_ascii_digit());
    end.map_or((result, ""), |end| (&result[..end], result[end..].trim()))
}

/// Splits at commas that stand in no string, bracket or angle.
fn split(arguments: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut depth, mut quoted, mut escaped) = (0, 0_i32, false, false);
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' | b'<' => depth += 1,
            // `->` of a socket's two ends opens nothing and closes nothing.
            b'>' if at > 0 && arguments.as_bytes()[at - 1] == b'-' => {}
            b']' | b'}' | b'>' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(arguments[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(arguments[begin..].trim());
    parts
}

/// The bytes of all quoted strings, with strace's escapes undone.
fn strings(arguments: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut quoted = false;
    let mut rest = arguments.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => rest = unescape(tail, &mut bytes),
            byte if quoted => bytes.push(byte),
            _ => {}
        }
    }
    bytes
}

/// Reads what follows a backslash.
fn unescape<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> &'a [u8] {
    let digits = text.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if digits > 0 {
        let value = text[..digits].iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
        bytes.push(u8::try_from(value & 0xff).unwrap_or(0));
        return &text[digits..];
    }
    let Some((&letter, rest)) = text.split_first() else {
        return text;
    };
    bytes.push(match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        other => other,
    });
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_another_thread_interrupts_keeps_both_its_lines() {
        let trace = "7 10:00:00.1 fdatasync(9</d/a> <unfinished ...>\n\
                     8 10:00:00.2 close(3</d/b>) = 0\n\
                     7 10:00:00.3 <... fdatasync resumed>) = 0\n";
        let calls = parse(trace).unwrap();
        assert_eq!((calls[1].start, calls[1].end, calls[1].path()), (0, 2, "/d/a"));
    }

    #[test]
    fn bytes_that_stand_in_vectors_are_read_in_order() {
        let line = r#"7 10:00:00.1 writev(5<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="a\r\n", iov_len=3}, {iov_base="\1012\"", iov_len=3}], 2) = 6"#;
        let calls = parse(line).unwrap();
        assert_eq!(calls[0].data(), b"a\r\nA2\"");
        assert_eq!(calls[0].path(), "TCP:[127.0.0.1:1->127.0.0.1:2]");
    }

    #[test]
    fn an_error_has_its_name() {
        let calls = parse("7 10:00:00.1 fsync(9</d/a>) = -1 EIO (Input/output error)\n").unwrap();
        assert_eq!((calls[0].result, calls[0].note.as_str()), (-1, "EIO (Input/output error)"));
    }

    #[test]
    fn a_new_descriptor_tells_its_path() {
        let line = r#"7 10:00:00.1 openat(AT_FDCWD</d>, "a, (b)", O_RDWR|O_CREAT, 0644) = 9</d/a, (b)>"#;
        let call = parse(line).unwrap().remove(0);
        assert_eq!((call.argument(2), target(&call.note)), ("O_RDWR|O_CREAT", "/d/a, (b)"));
    }
}
