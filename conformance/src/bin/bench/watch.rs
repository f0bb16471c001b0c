//! What a server costs: processor time and memory of its process and all that it started, read from `/proc`.
//! Never asks the server itself.
//! Start at `Watch`.

use std::{collections::HashSet, fs, time::Duration};

use hallmark_conformance::{Outcome, failure::While};

/// Length of a tick in `/proc/PID/stat`: a hundredth of a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/PID/stat` after the closing parenthesis of the name.
const PARENT_FIELD: usize = 1;
const USER_FIELD: usize = 11;
const SYSTEM_FIELD: usize = 12;

/// A process tree under observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    root: u32,
}

impl Watch {
    /// Observes a process and its descendants.
    pub(crate) fn new(root: u32) -> Self {
        Self { root }
    }

    /// Observes this very process: the load client.
    pub(crate) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// User and system time so far of the root process alone.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn processor_time_alone(&self) -> Outcome<Duration> {
        let stat = Stat::read(self.root).or_fail("the process is gone")?;
        Ok(TICK * stat.ticks)
    }

    /// User and system time so far, in steps of 10 ms; what the kernel does in threads of its own is in no process's account.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        let ticks = self.tree()?.iter().filter_map(|id| Stat::read(*id)).map(|stat| stat.ticks).sum::<u32>();
        Ok(TICK * ticks)
    }

    /// Sets the peak back to what is held now.
    ///
    /// # Errors
    /// The process is gone, or belongs to another user.
    pub(crate) fn reset_peak(&self) -> Outcome<()> {
        for id in self.tree()? {
            fs::write(format!("/proc/{id}/clear_refs"), "5").or_fail("cannot reset the peak of memory")?;
        }
        Ok(())
    }

    /// Most bytes held at once since [`Watch::reset_peak`] (`VmHWM`), summed over the tree.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn peak_memory(&self) -> Outcome<u64> {
        self.memory("VmHWM:")
    }

    /// Bytes held now (`VmRSS`), summed over the tree.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn resident_memory(&self) -> Outcome<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Outcome<u64> {
        let mut total = 0;
        for id in self.tree()? {
            let status =
                fs::read_to_string(format!("/proc/{id}/status")).or_fail("a process ended while it was looked at")?;
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            total += kibibytes.or_fail(format!("/proc/{id}/status has no {field}"))? * 1024;
        }
        Ok(total)
    }

    /// The ids of the root and of all that descend from it.
    fn tree(&self) -> Outcome<Vec<u32>> {
        let mut stats = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let id = entry?.file_name().to_string_lossy().parse::<u32>().ok();
            stats.extend(id.and_then(|id| Some((id, Stat::read(id)?.parent))));
        }
        let mut tree = vec![self.root];
        let mut known = HashSet::from([self.root]);
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            let children = stats.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id);
            tree.extend(children.filter(|id| known.insert(*id)));
            next += 1;
        }
        Ok(tree)
    }
}

/// What is read from `/proc/PID/stat`.
#[derive(Debug)]
struct Stat {
    parent: u32,
    ticks: u32,
}

impl Stat {
    /// `None` when the process is gone.
    fn read(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before it may hold anything, also spaces and parentheses.
        let fields = text.rsplit_once(')')?.1.split_whitespace().collect::<Vec<_>>();
        let number = |field: usize| fields.get(field)?.parse::<u32>().ok();
        Some(Self { parent: number(PARENT_FIELD)?, ticks: number(USER_FIELD)? + number(SYSTEM_FIELD)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_itself() {
        let watch = Watch::own();
        watch.processor_time().unwrap();
        watch.reset_peak().unwrap();
        assert!(watch.peak_memory().unwrap() > 0);
    }
}
