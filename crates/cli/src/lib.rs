//! The `cloven` command: flags and words only; everything else is in the library. A library itself, so that the Python package has the same command.

mod align;
mod allocator;
mod args;
mod commands;
mod demo;
mod enclave_plan;
mod logging;
mod plan;
mod predict;
mod progress;
mod run_folders;
mod service;
mod vertical_plan;
mod words;

use std::ffi::OsString;

use clap::Parser;
use cloven::{Error, Party, Program, helpers::Helpers};

/// What the command runs in.
pub struct Host<'a> {
    /// What a party's process is started with.
    pub program: Program,
    /// A party's helpers, where there are some for it.
    pub helpers: &'a dyn Fn(&Party) -> Result<PartyHelpers, Error>,
}

/// A party's helpers, if it has any.
pub type PartyHelpers = Option<Box<dyn Helpers>>;

impl From<Program> for Host<'_> {
    /// Without helpers.
    fn from(program: Program) -> Self {
        Self {
            program,
            helpers: &|_| Ok(None),
        }
    }
}

/// Runs a command line, the command's own name first; returns the process's exit code.
pub fn command(line: impl IntoIterator<Item = OsString>, host: &Host<'_>) -> u8 {
    let args = match args::Args::try_parse_from(line) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to stdout and is no failure. A reader that went away is none either.
            let _ = error.print();
            return error.exit_code() as u8;
        }
    };
    let json = args.json;
    match run(args, host) {
        Ok(()) => 0,
        Err(error) => {
            words::failure(&error, json);
            error.exit_code()
        }
    }
}

fn run(args: args::Args, host: &Host<'_>) -> Result<(), Error> {
    let logs = logging::wanted(&args.command)?;
    let party = args.command.logs().and_then(|(_, party)| party);
    let _process = logging::begin(logs.as_ref(), party);
    commands::dispatch(args, host, logs).inspect_err(|error| tracing::error!(exit_code = error.exit_code(), %error, "failed"))
}
