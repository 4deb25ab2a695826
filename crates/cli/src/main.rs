//! The `cloven` command: flags and words only; everything else is in the library.

mod args;
mod commands;
mod demo;
mod predict;
mod progress;
mod run_folders;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    match commands::dispatch(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            words::failure(&error, json);
            ExitCode::from(error.exit_code())
        }
    }
}
