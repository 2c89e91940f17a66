//! What the commands do.

pub(crate) mod at;
pub(crate) mod call;
pub(crate) mod location;
pub(crate) mod modem;
pub(crate) mod network;
pub(crate) mod qmi;
mod radio;
pub(crate) mod sim;
pub(crate) mod sms;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod ussd;
pub(crate) mod wan;
pub(crate) mod watch;

use std::time::Duration;

use clap::CommandFactory;
use tonic::{Response, Status};

use crate::Session;
use crate::arguments::Arguments;
use crate::console::Console;
use crate::failure::Failure;

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
