//! What the parties' processes of one machine log.

use std::ffi::OsString;

/// What a process logs to its stderr, as it is asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// A level, or levels by part of the program, such as `info,cloven_wire=trace`.
    pub filter: String,
    /// One JSON object a line.
    pub json: bool,
}

impl Logs {
    /// The same for a process that is started.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let json = self.json.then(|| "--log-json".into());
        ["--log".into(), self.filter.clone().into()].into_iter().chain(json)
    }
}
