//! Lives here: the control socket `DIR/control.sock`, over which the command line speaks to a running server, and the lock
//! of the data folder that says whether one runs (I12).
//! Never here: what a command does; the application answers, this room only carries.
//! Start reading at `protocol.rs`.

mod client;
mod folder;
mod protocol;
mod server;

#[cfg(test)]
mod tests;

pub(crate) use self::client::{CallError, call};
pub(crate) use self::folder::{FolderError, FolderLock};
pub(crate) use self::protocol::{
    Answer, Command, Health, NewMaster, RepositoryLine, SignatureLine, SignerKeyLine, StatusReport, SwitchChange,
    TokenKeyLine, UserLine, Visibility,
};
pub(crate) use self::server::ControlServer;

use std::path::{Path, PathBuf};

/// Where the running server of this data folder listens for commands.
pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}
