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
pub use failure::{Failure, as_json, exit_code};

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
        Command::Status(options) => Box::pin(command::status::run(&mut session, options)).await,
        Command::Watch(options) => Box::pin(command::watch::watch(&mut session, options)).await,
        Command::Events(options) => Box::pin(command::watch::list(&mut session, options)).await,
        Command::Sms(sms) => Box::pin(command::sms::run(&mut session, sms)).await,
        Command::Call(call) => Box::pin(command::call::run(&mut session, call)).await,
        Command::Sim(options) => Box::pin(command::sim::run(&mut session, options.command)).await,
        Command::Modem(modem) => Box::pin(command::modem::run(&mut session, modem)).await,
        Command::Network(options) => Box::pin(command::network::network(&mut session, options)).await,
        Command::Wan(options) => Box::pin(command::wan::wan(&mut session, options)).await,
        Command::Ussd(options) => Box::pin(command::ussd::ussd(&mut session, options)).await,
        Command::Location(options) => Box::pin(command::location::location(&mut session, options)).await,
        Command::At(options) => Box::pin(command::at::at(&mut session, options)).await,
        Command::Qmi(options) => Box::pin(command::qmi::qmi(&mut session, options)).await,
        Command::Trace(options) => Box::pin(command::trace::trace(&mut session, options)).await,
        Command::Completions { .. } => Ok(()),
    }
}
