//! What a power loss takes away: the changes of a journal that no sync kept. Pure; `restore` applies it to the disk.
//!
//! A page of a file, a file's size and a directory entry are each a cell of their own, as they are in the kernel: a
//! cell is dirty from its first change to the sync that began after its last. A sync that fails leaves the change in
//! the cell but takes the dirty mark, so that only another change followed by a sync can keep it (what Linux does).

use std::collections::BTreeMap;

use super::{
    journal::{Entry, Record},
    random::mix,
};

/// Bytes of a page, the smallest piece that is lost or kept.
const PAGE: u64 = 4096;

/// How much of what was not synced the power loss takes.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// All of it.
    Everything,
    /// About half, page by page and name by name, chosen by this seed: a disk that had begun to write.
    Torn(u64),
}

impl Loss {
    fn takes(self, cell: (u64, u64)) -> bool {
        match self {
            Self::Everything => true,
            Self::Torn(seed) => mix(mix(seed, cell.0), cell.1) & 1 == 0,
        }
    }
}

/// What is to be put back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Undo {
    pub(crate) files: BTreeMap<u64, FileUndo>,
    pub(crate) names: BTreeMap<String, Was>,
}

/// Bytes to write back in this order, then the size to set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FileUndo {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) size: Option<u64>,
}

/// `length` bytes at `offset` that were `old`, and zeros where that is shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) old: Vec<u8>,
}

/// What a name led to before the first change that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Absent,
    File(u64),
    Folder,
}

/// Replays a journal and says what its end loses.
pub(crate) fn undo(entries: Vec<Entry>, loss: Loss) -> Undo {
    let mut world = World::default();
    for Entry { at, record } in entries {
        world.replay(at, record);
    }
    world.lost(loss)
}

/// The changes of one cell that are not durable, oldest first.
#[derive(Debug)]
struct Cell<T> {
    changes: Vec<(u64, T)>,
    dirty_since: Option<u64>,
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self { changes: Vec::new(), dirty_since: None }
    }
}

impl<T> Cell<T> {
    fn change(&mut self, at: u64, undo: T) {
        self.changes.push((at, undo));
        self.dirty_since.get_or_insert(at);
    }

    fn sync(&mut self, upto: u64) {
        if self.dirty_since.is_some_and(|since| since < upto) {
            self.changes.retain(|(at, _)| *at >= upto);
            self.dirty_since = self.changes.first().map(|(at, _)| *at);
        }
    }

    fn fail(&mut self, upto: u64) {
        let later = self.changes.iter().map(|(at, _)| *at).find(|at| *at >= upto);
        self.dirty_since = self.dirty_since.and(later);
    }

    fn is_clean(&self) -> bool {
        self.changes.is_empty()
    }
}

#[derive(Debug, Default)]
struct FileCells {
    pages: BTreeMap<u64, Cell<Piece>>,
    size: Cell<u64>,
}

impl FileCells {
    fn write(&mut self, at: u64, change: &Change<'_>) {
        let end = change.offset + change.length;
        for page in change.offset / PAGE..end.div_ceil(PAGE) {
            let from = change.offset.max(page * PAGE);
            let to = end.min((page + 1) * PAGE);
            let piece = Piece { offset: from, length: to - from, old: change.old(from, to) };
            self.pages.entry(page).or_default().change(at, piece);
        }
        if change.size <= end || change.length == 0 {
            self.size.change(at, change.size);
        }
    }

    fn sync(&mut self, upto: u64) {
        self.size.sync(upto);
        self.pages.retain(|_, page| {
            page.sync(upto);
            !page.is_clean()
        });
    }

    fn fail(&mut self, upto: u64) {
        self.size.fail(upto);
        self.pages.values_mut().for_each(|page| page.fail(upto));
    }

    fn lost(self, file: u64, loss: Loss) -> FileUndo {
        let pages = self.pages.into_iter().filter(|(page, _)| loss.takes((file, *page)));
        let pieces = pages.flat_map(|(_, page)| page.changes.into_iter().rev().map(|(_, piece)| piece));
        let size = self.size.changes.first().map(|(_, size)| *size);
        FileUndo { pieces: pieces.collect(), size: size.filter(|_| loss.takes((file, u64::MAX))) }
    }
}

/// A write record's numbers.
struct Change<'a> {
    offset: u64,
    length: u64,
    size: u64,
    old: &'a [u8],
}

impl Change<'_> {
    fn old(&self, from: u64, to: u64) -> Vec<u8> {
        let clip =
            |place: u64| usize::try_from(place - self.offset).map_or(self.old.len(), |at| at.min(self.old.len()));
        self.old[clip(from)..clip(to)].to_vec()
    }
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<u64, FileCells>,
    names: BTreeMap<String, Cell<Was>>,
}

impl World {
    fn replay(&mut self, at: u64, record: Record) {
        match record {
            Record::Write { file, offset, length, size, old } => {
                let change = Change { offset, length, size, old: &old };
                self.files.entry(file).or_default().write(at, &change);
            }
            Record::Sync { file, upto } => {
                if let Some(cells) = self.files.get_mut(&file) {
                    cells.sync(upto);
                }
            }
            Record::Failed { file, upto } => {
                if let Some(cells) = self.files.get_mut(&file) {
                    cells.fail(upto);
                }
            }
            Record::Created { path } => self.names.entry(path).or_default().change(at, Was::Absent),
            Record::Removed { path, file, is_folder } => {
                let was = if is_folder { Was::Folder } else { Was::File(file) };
                self.names.entry(path).or_default().change(at, was);
            }
            Record::FolderSync { path, upto } => self.sync_names(upto, |name| parent(name) == path),
            Record::AllSync { upto } => {
                self.files.values_mut().for_each(|cells| cells.sync(upto));
                self.sync_names(upto, |_| true);
            }
        }
    }

    fn sync_names(&mut self, upto: u64, covers: impl Fn(&str) -> bool) {
        self.names.retain(|name, cell| {
            if covers(name) {
                cell.sync(upto);
            }
            !cell.is_clean()
        });
    }

    fn lost(self, loss: Loss) -> Undo {
        let files = self.files.into_iter().map(|(file, cells)| (file, cells.lost(file, loss)));
        let names = self.names.into_iter().filter(|(name, _)| loss.takes((u64::MAX, hash(name))));
        let was = |cell: Cell<Was>| cell.changes.into_iter().next().map(|(_, was)| was);
        Undo {
            files: files.filter(|(_, undo)| *undo != FileUndo::default()).collect(),
            names: names.filter_map(|(name, cell)| Some((name, was(cell)?))).collect(),
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0, |sum, byte| mix(sum, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_after(records: Vec<Record>) -> Option<u64> {
        let entries = (0..).zip(records).map(|(at, record)| Entry { at, record }).collect();
        undo(entries, Loss::Everything).files.get(&1).and_then(|file| file.size)
    }

    /// A write that makes file 1 grow from a size by one byte.
    fn growth(size: u64) -> Record {
        Record::Write { file: 1, offset: size, length: 1, size, old: Vec::new() }
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began_and_nothing_later() {
        let records = vec![growth(0), growth(1), Record::Sync { file: 1, upto: 1 }];
        assert_eq!(size_after(records), Some(1));
    }

    #[test]
    fn a_sync_of_another_file_covers_nothing() {
        assert_eq!(size_after(vec![growth(0), Record::Sync { file: 2, upto: 1 }]), Some(0));
    }

    #[test]
    fn a_change_that_a_failed_sync_left_behind_is_kept_only_with_a_later_change_of_its_cell() {
        let failed = vec![growth(0), Record::Failed { file: 1, upto: 1 }, Record::Sync { file: 1, upto: 2 }];
        assert_eq!(size_after(failed.clone()), Some(0));
        let again = failed.into_iter().chain([growth(1), Record::Sync { file: 1, upto: 4 }]).collect();
        assert_eq!(size_after(again), None);
    }

    #[test]
    fn a_change_made_while_a_sync_failed_is_kept_by_the_next() {
        let records =
            vec![growth(0), growth(1), Record::Failed { file: 1, upto: 1 }, Record::Sync { file: 1, upto: 3 }];
        assert_eq!(size_after(records), None);
    }

    #[test]
    fn what_a_name_led_to_first_is_what_it_leads_to_again() {
        let removed = Record::Removed { path: "d/a".into(), file: 7, is_folder: false };
        let created = Record::Created { path: "d/a".into() };
        let elsewhere = Record::FolderSync { path: String::new(), upto: 2 };
        let entries = (0..).zip([removed, created, elsewhere]).map(|(at, record)| Entry { at, record }).collect();
        assert_eq!(undo(entries, Loss::Everything).names, [("d/a".to_owned(), Was::File(7))].into());
    }

    #[test]
    fn old_bytes_are_split_at_pages_and_end_with_zeros() {
        let old = vec![9; 100];
        let write = Record::Write { file: 1, offset: 4090, length: 200, size: 4190, old };
        let undo = undo(vec![Entry { at: 0, record: write }], Loss::Everything);
        let piece = |offset, length, old: usize| Piece { offset, length, old: vec![9; old] };
        assert_eq!(undo.files[&1].pieces, [piece(4090, 6, 6), piece(4096, 194, 94)]);
    }
}
