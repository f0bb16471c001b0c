//! Whether a server said 201 only after everything behind it was synced (I4). Pure: from system calls to sentences.
//!
//! For each answer on a socket the rules look back at the calls that ended before the answer began:
//! 1. every write to a file that holds the blob is followed by a sync of that file;
//! 2. every file and folder that was made for it is followed by a sync of the folder that holds it;
//! 3. the pages of the write-ahead log that name the digest, and all that the request itself led to write there, are
//!    followed by a sync of that log; a manifest that is put, or that a tag is moved to, is named by pages written since it was asked for;
//! 4. a `Range` in a 202, and in an answer that tells how far an upload has come, reports no byte beyond the synced ones;
//! 5. after a failed sync only a write that repeats the bytes, and a sync after it, count (a sync alone does not).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::trace::{Call, target};

/// What a digest begins with.
const DIGEST: &str = "sha256:";
/// So many characters of a write's text hold the mark of the blob whose content is written.
const MARKED: usize = 400;

/// What the pushing client knows and no system call tells.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// From a blob's digest to the mark that its content repeats.
    pub blobs: BTreeMap<String, String>,
    /// From an upload's path to the mark of the content that is sent to it.
    pub uploads: BTreeMap<String, String>,
}

/// An answer that was sent too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The line of the trace on which the answer was written.
    pub line: usize,
    /// Its status.
    pub status: u16,
    /// What had not been done.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line + 1, self.what)
    }
}

/// What a check looked at and what it found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// 201 answers.
    pub created: usize,
    /// Those of them that were for a blob whose file the trace shows: the rules of files hold for these alone.
    pub of_files: usize,
    /// 202 answers to PATCH.
    pub appended: usize,
    /// Other answers that tell of bytes of an upload.
    pub told: usize,
    /// 202 answers to DELETE.
    pub deleted: usize,
    /// Answers that were sent too early.
    pub violations: Vec<Violation>,
}

/// Looks at every answer of a trace. `folder` is the server's data folder.
pub fn check(calls: &[Call], known: &Known, folder: &str) -> Report {
    let disk = Disk::of(calls, folder);
    let mut report = Report::default();
    // What each manifest's target was last told to be: the same once more need not be written.
    let mut put = BTreeMap::new();
    for answer in answers(calls) {
        let mut complaints = Vec::new();
        match (answer.status, answer.method.as_str()) {
            (201, _) => {
                report.created += 1;
                report.of_files += usize::from(files_of(&disk, known, &answer).next().is_some());
                complaints = created(&disk, known, &answer);
                if let Some(digest) = answer.header("docker-content-digest").filter(|_| answer.is_of_manifest())
                    && put.insert(answer.target.clone(), digest.to_owned()).as_deref() != Some(digest)
                {
                    complaints.extend(disk.log_of_digest(digest, answer.asked, &answer));
                }
            }
            (204 | 416, _) if answer.header("range").is_some_and(|range| range != "0-0") => {
                report.told += 1;
                complaints.extend(appended(&disk, known, &answer));
            }
            (202, "PATCH") => {
                report.appended += 1;
                complaints.extend(appended(&disk, known, &answer));
            }
            (202, "DELETE") => {
                report.deleted += 1;
                complaints.extend(disk.log_of_request(&answer));
            }
            _ => {}
        }
        let violation = |what| Violation { line: answer.start, status: answer.status, what };
        report.violations.extend(complaints.into_iter().map(violation));
    }
    report
}

/// Rules 1, 2 and 3.
fn created(disk: &Disk<'_>, known: &Known, answer: &Answer) -> Vec<String> {
    let Some(digest) = answer.header("docker-content-digest") else {
        return vec!["a 201 without Docker-Content-Digest".to_owned()];
    };
    let mut complaints = Vec::new();
    complaints.extend(disk.log_of_request(answer));
    complaints.extend(disk.log_of_digest(digest, 0, answer));
    for file in files_of(disk, known, answer) {
        if disk.renamed.contains(file.path) {
            complaints.push(format!("201 for {digest}: {} was renamed, which these rules do not follow", file.path));
        }
        complaints.extend(file.unsynced(answer.start).map(|why| format!("201 for {digest}: {why}")));
        complaints.extend(disk.entries_unsynced(file.path, answer.start).map(|why| format!("201 for {digest}: {why}")));
    }
    complaints
}

/// The files of the blob that a 201 is for. A mounted blob and one that was there before have none of their own in this trace, nor
/// has a manifest, and a blob so small that it stands in the database.
fn files_of<'a>(disk: &'a Disk<'_>, known: &'a Known, answer: &Answer) -> impl Iterator<Item = &'a Traced<'a>> {
    let mark = answer.header("docker-content-digest").and_then(|digest| known.blobs.get(digest));
    mark.into_iter().flat_map(|mark| disk.files_with(mark))
}

/// Rule 4.
fn appended(disk: &Disk<'_>, known: &Known, answer: &Answer) -> Option<String> {
    let reported = answer.header("range")?.strip_prefix("0-")?.parse::<u64>().ok()? + 1;
    let mark = known.uploads.get(path_of(answer.header("location")?))?;
    let synced = disk.files_with(mark).map(|file| file.synced_length(answer.start)).sum::<u64>();
    let entries = disk.files_with(mark).find_map(|file| disk.entries_unsynced(file.path, answer.start));
    if synced < reported && reported > 1 {
        return Some(format!("{} reports {reported} bytes of an upload and {synced} are synced", answer.status));
    }
    entries.filter(|_| reported > 1).map(|why| format!("{} for an upload: {why}", answer.status))
}

fn path_of(location: &str) -> &str {
    let path = crate::registry::path_of(location);
    path.split('?').next().unwrap_or(path)
}

/// An answer and the request that it answers.
struct Answer {
    start: usize,
    /// The line on which the first byte of the request was read.
    asked: usize,
    method: String,
    target: String,
    status: u16,
    head: String,
}

impl Answer {
    fn is_of_manifest(&self) -> bool {
        self.method == "PUT" && self.target.contains("/manifests/")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.head.lines().find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
        line?.get(name.len()..)?.strip_prefix(':').map(str::trim)
    }
}

/// Every answer of HTTP/1.1 that was written to a socket.
fn answers(calls: &[Call]) -> Vec<Answer> {
    let mut asked: BTreeMap<&str, (usize, [String; 2])> = BTreeMap::new();
    let mut found = Vec::new();
    for call in calls.iter().filter(|call| call.result > 0 && call.path().starts_with("TCP")) {
        let socket = call.path();
        match call.name.as_str() {
            "read" | "readv" | "recvfrom" | "recvmsg" => {
                asked.entry(socket).or_insert_with(|| (call.start, first_words(&call.arguments)));
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                if !call.arguments.contains("HTTP/1.1 ") {
                    continue;
                }
                let head = String::from_utf8_lossy(&call.data()).into_owned();
                let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
                let Some(status) = status.filter(|status| *status >= 200) else {
                    continue;
                };
                let (asked, [method, target]) = asked.remove(socket).unwrap_or_default();
                found.push(Answer { start: call.start, asked, method, target, status, head });
            }
            _ => {}
        }
    }
    found
}

/// The first two words of the first string: a request's method and target.
fn first_words(arguments: &str) -> [String; 2] {
    let text = arguments.split('"').nth(1).unwrap_or_default();
    let mut words = text.split(' ').map(str::to_owned);
    [words.next().unwrap_or_default(), words.next().unwrap_or_default()]
}

/// Everything that happened to one file.
struct Traced<'a> {
    path: &'a str,
    /// Writes and truncations, with the end of the range and the bytes as far as they are known.
    writes: Vec<Written<'a>>,
    /// Begin, end and success of each sync.
    syncs: Vec<(usize, usize, bool)>,
}

/// A write. What is searched in it, marks and digests, strace prints as it is: the text needs no decoding.
struct Written<'a> {
    start: usize,
    end: usize,
    from: u64,
    to: u64,
    text: &'a str,
}

impl Traced<'_> {
    /// Whether a write is durable before a line (rule 5 included).
    fn covers(&self, write: &Written<'_>, before: usize) -> bool {
        let mut later = self.syncs.iter().filter(|(begin, end, _)| *begin > write.end && *end < before);
        later.any(|(begin, _, success)| *success && !self.spoilt(write, *begin))
    }

    /// Whether a sync of this write failed before a line and the bytes were not written again since.
    fn spoilt(&self, write: &Written<'_>, before: usize) -> bool {
        let failed = self.syncs.iter().filter(|(begin, end, success)| !success && *begin > write.end && *end < before);
        let Some(failure) = failed.map(|(_, end, _)| *end).max() else {
            return false;
        };
        let again = self.writes.iter().filter(|other| other.start > failure && other.end < before);
        !again.into_iter().any(|other| other.from <= write.from && other.to >= write.to)
    }

    fn unsynced(&self, before: usize) -> Option<String> {
        let early = self.writes.iter().filter(|write| write.start < before);
        let open = early.filter(|write| !self.covers(write, before)).map(|write| write.start + 1).collect::<Vec<_>>();
        let first = open.first()?;
        Some(format!("{} has {} unsynced writes, the first on line {first}", self.path, open.len()))
    }

    /// Every digest that the bytes of a write name, with those writes.
    fn digests(&self) -> BTreeMap<String, Vec<usize>> {
        let mut named = BTreeMap::<String, Vec<usize>>::new();
        for (at, write) in self.writes.iter().enumerate() {
            for (begin, _) in write.text.match_indices(DIGEST) {
                let digits = write.text[begin + DIGEST.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
                let digest = &write.text[begin..begin + DIGEST.len() + digits];
                named.entry(digest.to_owned()).or_default().push(at);
            }
        }
        named
    }

    /// The bytes from the file's begin that are durable before a line.
    fn synced_length(&self, before: usize) -> u64 {
        let mut ranges = self
            .writes
            .iter()
            .filter(|write| self.covers(write, before))
            .map(|write| (write.from, write.to))
            .collect::<Vec<_>>();
        ranges.sort_unstable();
        ranges.iter().fold(0, |length, (from, to)| if *from <= length { length.max(*to) } else { length })
    }
}

/// What a trace did to the files of the data folder.
#[derive(Default)]
struct Disk<'a> {
    folder: &'a str,
    files: BTreeMap<&'a str, Traced<'a>>,
    /// Where each name was made: the line on which the call ended.
    made: BTreeMap<String, usize>,
    /// For each digest, which writes to the log name it.
    named: BTreeMap<String, Vec<usize>>,
    /// Names that were taken from their files: the rules do not follow those any further.
    renamed: BTreeSet<String>,
}

impl<'a> Disk<'a> {
    fn of(calls: &'a [Call], folder: &'a str) -> Self {
        let mut disk = Self { folder, ..Self::default() };
        for call in calls {
            disk.replay(call);
        }
        disk.named = disk.log().map(Traced::digests).unwrap_or_default();
        disk
    }

    fn replay(&mut self, call: &'a Call) {
        let path = call.path();
        match call.name.as_str() {
            "openat" | "open" | "creat"
                if call.result >= 0 && (call.arguments.contains("O_CREAT") || call.name == "creat") =>
            {
                self.make(target(&call.note).to_owned(), call.end);
            }
            "mkdir" | "mkdirat" if call.result == 0 => {
                let path = String::from_utf8_lossy(&call.data()).into_owned();
                self.make(path, call.end);
            }
            "rename" | "renameat" | "renameat2" if call.result == 0 => {
                self.renamed.insert(String::from_utf8_lossy(&call.first_string()).into_owned());
            }
            "write" | "writev" | "pwrite64" | "pwritev" if call.result >= 0 && self.holds(path) => {
                self.write(call, path)
            }
            "ftruncate" if call.result == 0 && self.holds(path) => self.truncate(call, path),
            "fsync" | "fdatasync" if self.holds(path) => {
                self.file(path).syncs.push((call.start, call.end, call.result == 0));
            }
            _ => {}
        }
    }

    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn make(&mut self, path: String, line: usize) {
        if self.holds(&path) && path.len() > self.folder.len() {
            self.made.entry(path).or_insert(line);
        }
    }

    fn file(&mut self, path: &'a str) -> &mut Traced<'a> {
        self.files.entry(path).or_insert_with(|| Traced { path, writes: Vec::new(), syncs: Vec::new() })
    }

    fn write(&mut self, call: &'a Call, path: &'a str) {
        let length = u64::try_from(call.result).unwrap_or(0);
        let offset =
            call.name.starts_with('p').then(|| call.arguments.rsplit(", ").next()?.parse::<u64>().ok()).flatten();
        let file = self.file(path);
        // Without an offset of its own a write continues where the last one ended: blobs are appended to.
        let from = offset.unwrap_or_else(|| file.writes.last().map_or(0, |write| write.to));
        let (start, end) = (call.start, call.end);
        file.writes.push(Written { start, end, from, to: from + length, text: &call.arguments });
    }

    fn truncate(&mut self, call: &Call, path: &'a str) {
        let size = call.argument(1).parse().unwrap_or(0);
        let (start, end) = (call.start, call.end);
        self.file(path).writes.push(Written { start, end, from: size, to: size, text: "" });
    }

    /// The files that a blob was written to: every piece of its content begins with a part of a line, and its mark.
    fn files_with<'b>(&'b self, mark: &'b str) -> impl Iterator<Item = &'b Traced<'a>> {
        let begin = move |write: &Written<'_>| write.text.get(..MARKED).unwrap_or(write.text).contains(mark);
        let blobs = self.files.values().filter(|file| !is_database(file.path));
        blobs.filter(move |file| file.writes.iter().any(begin))
    }

    /// Rule 2, for a file and every folder above it that was made in this trace.
    fn entries_unsynced(&self, path: &str, before: usize) -> Option<String> {
        let mut name = path;
        while name.len() > self.folder.len() {
            let (parent, _) = name.rsplit_once('/')?;
            if let Some(made) = self.made.get(name) {
                let syncs = self.files.get(parent).map_or(&[][..], |folder| &folder.syncs);
                if !syncs.iter().any(|(begin, end, success)| *success && begin > made && *end < before) {
                    return Some(format!("{name} was made on line {} and {parent} is not synced", made + 1));
                }
            }
            name = parent;
        }
        None
    }

    /// Rule 3, by time: something was written to the log since the request came, and synced.
    fn log_of_request(&self, answer: &Answer) -> Option<String> {
        let log = self.log()?;
        let mut since = log.writes.iter().filter(|write| write.start > answer.asked && write.end < answer.start);
        if since.any(|write| log.covers(write, answer.start)) {
            return None;
        }
        Some(format!(
            "{} to {}: nothing was written to {} and synced since the request",
            answer.status, answer.method, log.path
        ))
    }

    /// Rule 3, by content: a page that names the digest, written since a line, is synced.
    fn log_of_digest(&self, digest: &str, since: usize, answer: &Answer) -> Option<String> {
        let log = self.log()?;
        let Some(naming) = self.named.get(digest) else {
            return Some(format!("201 for {digest}: no page of {} names it", log.path));
        };
        let mut pages =
            naming.iter().map(|at| &log.writes[*at]).filter(|write| write.start >= since && write.end < answer.start);
        if pages.any(|write| log.covers(write, answer.start)) {
            return None;
        }
        let when = if since > 0 { " and was written since the request" } else { "" };
        Some(format!("201 for {digest}: no page of {} that names it{when} is synced", log.path))
    }

    fn log(&self) -> Option<&Traced<'a>> {
        self.files.values().find(|file| file.path.ends_with("-wal"))
    }
}

fn is_database(path: &str) -> bool {
    ["-wal", "-shm", "-journal", ".db", ".sqlite"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
#[path = "checker/tests.rs"]
mod tests;
