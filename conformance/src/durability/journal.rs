//! The undo journal that `durability/powerloss.c` writes, read back as records. The layout of one record is spelled
//! there, in `struct record`.

use crate::{Failure, Outcome};

/// The first four bytes of every record.
const MAGIC: u32 = 0x4c4c_4148;
/// The fixed part of a record: eight bytes of magic and kind, five numbers, two lengths.
const HEAD: usize = 56;

/// A record and where it begins in the log; syncs name what they cover by that place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) record: Record,
}

/// One thing that the program did to the watched folder. Files are inode numbers, paths count from the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// `length` bytes at `offset` change; the file had `size` bytes and `old` is what stood there.
    Write { file: u64, offset: u64, length: u64, size: u64, old: Vec<u8> },
    /// A sync that began when the log ended at `upto` succeeded.
    Sync { file: u64, upto: u64 },
    /// A sync that began when the log ended at `upto` failed.
    Failed { file: u64, upto: u64 },
    /// A name appeared.
    Created { path: String },
    /// A name went; it had led to this file, or to a folder.
    Removed { path: String, file: u64, is_folder: bool },
    /// A sync of a folder succeeded.
    FolderSync { path: String, upto: u64 },
    /// A sync of the whole file system succeeded.
    AllSync { upto: u64 },
}

/// Reads a log. A last record that is cut short is left out: the kill came before the change it announces.
///
/// # Errors
/// The log is damaged, or the program did something that the model cannot follow; the failure names it.
pub(crate) fn parse(log: &[u8]) -> Outcome<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut rest = log;
    while let Some((head, tail)) = rest.split_at_checked(HEAD) {
        let at = (log.len() - rest.len()) as u64;
        let head = Head::parse(head);
        if head.magic != MAGIC {
            return Err(Failure::new(format!("the undo journal is damaged at byte {at}")));
        }
        let Some((path, tail)) = tail.split_at_checked(head.path_length) else {
            break;
        };
        let Some((data, tail)) = tail.split_at_checked(head.data_length) else {
            break;
        };
        let record = head.record(&String::from_utf8_lossy(path), data)?;
        entries.push(Entry { at, record });
        rest = tail;
    }
    Ok(entries)
}

struct Head {
    magic: u32,
    kind: u32,
    numbers: [u64; 5],
    path_length: usize,
    data_length: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let short = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        Self {
            magic: short(0),
            kind: short(4),
            numbers: std::array::from_fn(|number| long(8 + 8 * number)),
            path_length: short(48) as usize,
            data_length: short(52) as usize,
        }
    }

    fn record(&self, path: &str, data: &[u8]) -> Outcome<Record> {
        /// The type bits of a file's mode, and the type of a folder.
        const TYPE: u64 = 0o170_000;
        const FOLDER: u64 = 0o040_000;
        let [file, offset, length, size, upto] = self.numbers;
        let path = path.to_owned();
        Ok(match u8::try_from(self.kind).unwrap_or(0) {
            b'W' => Record::Write { file, offset, length, size, old: data.to_vec() },
            b'S' => Record::Sync { file, upto },
            b'F' => Record::Failed { file, upto },
            b'C' => Record::Created { path },
            b'R' => Record::Removed { path, file, is_folder: offset & TYPE == FOLDER },
            b'D' => Record::FolderSync { path, upto },
            b'A' => Record::AllSync { upto },
            b'U' => return Err(Failure::new(format!("the power loss model does not follow this call: {path}"))),
            kind => return Err(Failure::new(format!("the undo journal has a record of kind {kind}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, numbers: [u64; 5], path: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend(u32::from(kind).to_ne_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        bytes.extend(u32::try_from(path.len()).unwrap().to_ne_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_ne_bytes());
        bytes.extend(path.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_record_begins_where_the_one_before_ended() {
        let mut log = record(b'C', [0; 5], "a/b", b"");
        let second = log.len() as u64;
        log.extend(record(b'W', [7, 4, 3, 6, 0], "", b"xy"));
        let write = Record::Write { file: 7, offset: 4, length: 3, size: 6, old: b"xy".to_vec() };
        let created = Record::Created { path: "a/b".into() };
        let expected = [Entry { at: 0, record: created }, Entry { at: second, record: write }];
        assert_eq!(parse(&log).unwrap(), expected);
    }

    #[test]
    fn a_record_cut_short_by_the_kill_is_left_out() {
        let mut log = record(b'C', [0; 5], "a", b"");
        let torn = record(b'W', [7, 0, 4, 4, 0], "", b"old!");
        log.extend(&torn[..torn.len() - 1]);
        assert_eq!(parse(&log).unwrap().len(), 1);
    }

    #[test]
    fn a_call_that_the_model_does_not_follow_is_a_failure() {
        let failure = parse(&record(b'U', [0; 5], "mmap blobs/1", b"")).unwrap_err();
        assert!(failure.to_string().contains("mmap blobs/1"));
    }
}
