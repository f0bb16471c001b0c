//! What a server costs: processor time and memory of its process and all that it started, as the kernel counts them.
//! Never asks the server itself.
//! Start at `Watch`.

use std::{collections::HashSet, fs, time::Duration};

use hallmark_conformance::{
    Outcome,
    failure::{Failure, While},
};
use nix::{time::ClockId, unistd::Pid};

/// The parent's id among the fields of `/proc/PID/stat` after the closing parenthesis of the name.
const PARENT_FIELD: usize = 1;

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
        processor_time(self.root).or_fail("the process is gone")
    }

    /// User and system time so far; what the kernel does in threads of its own is in no process's account.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        Ok(self.tree()?.into_iter().filter_map(processor_time).sum())
    }

    /// Sets the peak back to what is held now.
    ///
    /// # Errors
    /// The process is gone, or belongs to another user.
    pub(crate) fn reset_peak(&self) -> Outcome<()> {
        for id in self.tree()? {
            match fs::write(format!("/proc/{id}/clear_refs"), "5") {
                // A descendant that ended since it was seen has no peak any more.
                Err(_) if id != self.root && parent(id).is_none() => {}
                reset => reset.or_fail("cannot reset the peak of memory")?,
            }
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
            match memory(id, field) {
                Some(bytes) => total += bytes,
                None if id == self.root => {
                    return Err(Failure::new(format!("process {id} is gone: it has no {field}")));
                }
                None => {}
            }
        }
        Ok(total)
    }

    /// The ids of the root and of all that descend from it.
    fn tree(&self) -> Outcome<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let id = entry?.file_name().to_string_lossy().parse::<u32>().ok();
            parents.extend(id.and_then(|id| Some((id, parent(id)?))));
        }
        let mut tree = vec![self.root];
        let mut known = HashSet::from([self.root]);
        let mut next = 0;
        while let Some(current) = tree.get(next).copied() {
            let children = parents.iter().filter(|(_, of)| *of == current).map(|(id, _)| *id);
            tree.extend(children.filter(|id| known.insert(*id)));
            next += 1;
        }
        Ok(tree)
    }
}

/// User and system time of a process over all its threads, also those that have ended; `None` when it is gone.
/// The clock of the process counts nanoseconds. `/proc/PID/stat` tells the same in steps of 10 ms, longer than a short job,
/// and `schedstat` knows only threads that still run.
fn processor_time(id: u32) -> Option<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(id.try_into().ok()?)).ok()?;
    Some(clock.now().ok()?.into())
}

/// Bytes that `/proc/PID/status` tells in a field; `None` when the process is gone or has ended and only waits for its
/// parent: it holds no memory then, and has no such field.
fn memory(id: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The id of a process's parent; `None` when it is gone.
fn parent(id: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it may hold anything, also spaces and parentheses.
    text.rsplit_once(')')?.1.split_whitespace().nth(PARENT_FIELD)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_process_sees_itself() {
        let watch = Watch::own();
        assert!(watch.processor_time().unwrap() > Duration::ZERO);
        watch.reset_peak().unwrap();
        assert!(watch.peak_memory().unwrap() > 0);
    }

    #[test]
    fn a_child_that_ended_holds_nothing_and_a_root_that_ended_is_an_error() {
        let mut child = Command::new("true").spawn().unwrap();
        let ended = Watch::new(child.id());
        // Nobody has asked for its end yet: it stays among the processes, without memory.
        while ended.resident_memory().is_ok() {
            std::thread::yield_now();
        }
        assert!(parent(child.id()).is_some());
        assert!(ended.peak_memory().unwrap_err().to_string().contains("is gone"));
        let own = Watch::own();
        assert!(own.tree().unwrap().contains(&child.id()));
        own.reset_peak().unwrap();
        assert!(own.peak_memory().unwrap() > 0);
        child.wait().unwrap();
    }

    #[test]
    fn the_time_of_a_thread_that_ended_is_counted_and_less_than_a_tick_is_seen() {
        let watch = Watch::own();
        let mut last = watch.processor_time_alone().unwrap();
        // Each thread does too little for a tick of 10 ms; some of them would then have cost nothing.
        for _ in 0..20 {
            let work = || (0..20_000_u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
            std::thread::spawn(work).join().unwrap();
            let now = watch.processor_time_alone().unwrap();
            assert!(now > last);
            last = now;
        }
    }

    #[test]
    fn another_process_is_seen_from_outside() {
        let mut child =
            Command::new("sh").args(["-c", "while read line; do :; done"]).stdin(Stdio::piped()).spawn().unwrap();
        let watch = Watch::new(child.id());
        let before = watch.processor_time().unwrap();
        let mut input = child.stdin.take().unwrap();
        // More than a pipe holds: some of it was read when the write is over.
        input.write_all("line\n".repeat(100_000).as_bytes()).unwrap();
        assert!(watch.processor_time().unwrap() > before);
        drop(input);
        child.wait().unwrap();
        assert!(watch.processor_time_alone().is_err());
    }
}
