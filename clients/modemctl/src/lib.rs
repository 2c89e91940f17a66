//! The command line for people: `modemctl`.

#![forbid(unsafe_code)]

mod arguments;
mod command;
mod console;
mod failure;
mod present;
mod table;

use client::Broker;

pub use arguments::{Arguments, CallCommand, Command, SmsCommand};
pub use console::Console;
pub use failure::{Failure, exit_code};

/// What every command has at hand.
struct Session<'a> {
    broker: Broker,
    modem: String,
    json: bool,
    console: &'a mut Console,
}

/// Does what the command line says.
pub async fn run(arguments: Arguments, console: &mut Console) -> Result<(), Failure> {
    if let Command::Completions { shell } = arguments.command {
        return command::completions(shell, console);
    }
    let settings = arguments.broker.or_env();
    let broker = console.wait("connecting", Broker::connect(&settings)).await?;
    let mut session = Session {
        broker,
        modem: arguments.modem,
        json: arguments.json,
        console,
    };
    match arguments.command {
        Command::Status => command::status::status(&mut session).await,
        Command::Watch(options) => command::watch::watch(&mut session, options).await,
        Command::Events(options) => command::watch::list(&mut session, options).await,
        Command::Sms(sms) => command::sms::run(&mut session, sms).await,
        Command::Call(call) => command::call::run(&mut session, call).await,
        Command::Network(options) => command::network::network(&mut session, options).await,
        Command::At(options) => command::at(&mut session, options).await,
        Command::Completions { .. } => Ok(()),
    }
}
