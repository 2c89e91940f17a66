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
    let command = match arguments.command {
        Command::Sms(SmsCommand::Decode(options)) => {
            return command::sms::pdu::decode(console, arguments.json, options).await;
        }
        Command::Sms(SmsCommand::Encode(options)) => {
            return command::sms::pdu::encode(console, arguments.json, options).await;
        }
        other => other,
    };
    let settings = arguments.broker.or_env();
    let broker = console.wait("connecting", Broker::connect(&settings)).await?;
    let mut session = Session {
        broker,
        modem: arguments.modem,
        json: arguments.json,
        console,
    };
    match command {
        Command::Status => command::status::status(&mut session).await,
        Command::Watch(options) => command::watch::watch(&mut session, options).await,
        Command::Events(options) => command::watch::list(&mut session, options).await,
        Command::Sms(sms) => command::sms::run(&mut session, sms).await,
        Command::Call(call) => command::call::run(&mut session, call).await,
        Command::Sim(sim) => command::sim::run(&mut session, sim).await,
        Command::Modem(modem) => command::modem::run(&mut session, modem).await,
        Command::Network(options) => command::network::network(&mut session, options).await,
        Command::Wan(options) => command::wan::wan(&mut session, options).await,
        Command::Ussd(options) => command::ussd::ussd(&mut session, options).await,
        Command::Location(options) => command::location::location(&mut session, options).await,
        Command::At(options) => command::at::at(&mut session, options).await,
        Command::Qmi(options) => command::qmi::qmi(&mut session, options).await,
        Command::Trace(options) => command::trace::trace(&mut session, options).await,
        Command::Completions { .. } => Ok(()),
    }
}
