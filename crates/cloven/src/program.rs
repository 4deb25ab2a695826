//! How parties' processes are started.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The `cloven` command, as it is started once per party: a program, and what stands before the verb. From Python that is the interpreter and a
/// script, elsewhere the command itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// An interpreter that runs the command given these arguments first.
    pub fn interpreted(path: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { path, arguments }
    }

    /// The file that is executed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A process of it, with a verb and what belongs to it still to be added.
    pub(crate) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.path);
        command.args(&self.arguments);
        command
    }

    /// Every file that makes it up, as far as its name says: another build has other files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path.as_path()).chain(self.arguments.iter().map(Path::new))
    }
}

impl From<PathBuf> for Program {
    fn from(path: PathBuf) -> Self {
        Self::interpreted(path, Vec::new())
    }
}

impl From<&Path> for Program {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<&Program> for Program {
    fn from(program: &Program) -> Self {
        program.clone()
    }
}
