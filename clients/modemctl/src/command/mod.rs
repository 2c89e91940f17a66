//! What the commands do.

pub(crate) mod call;
pub(crate) mod network;
pub(crate) mod sms;
pub(crate) mod status;
pub(crate) mod watch;

use std::time::Duration;

use api::v1::ExecuteAtCommandRequest;
use clap::CommandFactory;
use client::json::to_value;
use tonic::{Response, Status};

use crate::arguments::{Arguments, AtOptions};
use crate::console::Console;
use crate::failure::Failure;
use crate::{Session, table};

/// What the broker answers from what it knows takes milliseconds; what it asks the modem, seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// Waits for an answer of the broker, for at most a minute.
    async fn ask<T>(
        &mut self,
        what: &str,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.ask_within(REQUEST_TIMEOUT, what, request).await
    }

    async fn ask_within<T>(
        &mut self,
        limit: Duration,
        what: &str,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match self.console.wait(what, tokio::time::timeout(limit, request)).await {
            Ok(response) => Ok(response?.into_inner()),
            Err(_) => Err(Failure::new(format!(
                "{what}: the broker did not answer within {} s",
                limit.as_secs()
            ))),
        }
    }
}

/// What the contract promises in every response.
fn present<T>(value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new("the broker's answer is empty: do the versions of modemctl and the broker match?"))
}

pub(crate) fn completions(shell: clap_complete::Shell, console: &mut Console) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "modemctl", &mut script);
    console.octets(&script)
}

pub(crate) async fn at(session: &mut Session<'_>, options: AtOptions) -> Result<(), Failure> {
    if !(1..=180).contains(&options.timeout) {
        return Err(Failure::usage("--timeout must be 1 to 180 seconds"));
    }
    let request = ExecuteAtCommandRequest {
        modem: session.modem.clone(),
        command: options.command,
        timeout: Some(prost_types::Duration {
            seconds: options.timeout as i64,
            nanos: 0,
        }),
    };
    // The command may have to wait for others before its own time begins.
    let limit = Duration::from_secs(options.timeout) + REQUEST_TIMEOUT;
    let mut diagnostics = session.broker.diagnostics();
    let answer = session
        .ask_within(limit, "waiting for the modem", diagnostics.execute_at_command(request))
        .await?;
    if session.json {
        session.console.json(&to_value(&answer))?;
    } else {
        for line in answer.lines.iter().chain(Some(&answer.result)) {
            session.console.line(&table::clean(line))?;
        }
    }
    if answer.ok {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "the modem answered {}",
            table::clean(&answer.result)
        )))
    }
}
