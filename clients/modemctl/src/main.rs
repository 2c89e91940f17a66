//! `modemctl`.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use modemctl::{Arguments, Console, Failure, as_json, exit_code};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && std::env::args().any(|argument| argument == "--json") => {
            return fail(Failure::usage(error.to_string()), true);
        }
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
    let json = arguments.json;
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(failure, json),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut console = Console::standard(arguments.no_color)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(modemctl::run(arguments, &mut console));
    // A read of the standard input cannot be interrupted; it must not hold the process up.
    runtime.shutdown_background();
    result
}

fn fail(failure: Failure, json: bool) -> ExitCode {
    match failure {
        Failure::OutputClosed => ExitCode::SUCCESS,
        Failure::Told { code, reason, message } => {
            let line = match json {
                true => as_json(&reason, &message).to_string(),
                false => format!("modemctl: {message}"),
            };
            // Without anybody to read it, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::from(code)
        }
    }
}
