//! The `cloven` program.

use std::{path::PathBuf, process::ExitCode};

use cloven::Program;

fn main() -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("cloven"));
    ExitCode::from(cloven_cli::command(std::env::args_os(), &Program::from(program).into()))
}
