//! The `cloven` command: flags and words only; everything else is in the library.

mod align;
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

use std::process::ExitCode;

use clap::Parser;
use cloven::Error;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            words::failure(&error, json);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: args::Args) -> Result<(), Error> {
    let logs = logging::wanted(&args.command)?;
    let party = args.command.logs().and_then(|(_, party)| party);
    let _process = logging::begin(logs.as_ref(), party);
    commands::dispatch(args, logs).inspect_err(|error| tracing::error!(exit_code = error.exit_code(), %error, "failed"))
}
