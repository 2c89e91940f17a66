//! `modemctl`.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use modemctl::{Arguments, Console, Failure, exit_code};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to do when even the help text cannot be written.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(exit_code::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit_code::FAILURE, &format!("failed to start: {error}")),
    };
    let mut console = Console::standard(arguments.no_color);
    let result = runtime.block_on(modemctl::run(arguments, &mut console));
    // A read of the standard input cannot be interrupted; it must not hold the process up.
    runtime.shutdown_background();
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Told { code, message }) => fail(code, &message),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Without anybody to read it, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "modemctl: {message}");
    ExitCode::from(code)
}
