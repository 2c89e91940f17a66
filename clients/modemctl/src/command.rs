//! What the commands do.

pub(crate) mod at;
pub(crate) mod call;
mod identity;
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

use api::v1::ListModemsRequest;
use clap::CommandFactory;
use client::Broker;
use tonic::{Response, Status};

use crate::Session;
use crate::arguments::Arguments;
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::table::{Table, clean, wrap};

/// A value has at least so many columns beside its name, however narrow the terminal is.
const NARROWEST: usize = 20;
/// What the broker answers from what it knows takes milliseconds; what it asks the modem, seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A request that takes longer makes modemctl ask whether the broker is there at all.
const SLOW: Duration = Duration::from_secs(2);
/// A broker that has not answered that within this time hangs.
const SILENT: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Waits for an answer of the broker, for at most a minute.
    async fn ask<T>(
        &mut self,
        what: &str,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.ask_within(REQUEST_TIMEOUT, what, request).await
    }

    /// Values with their names, one below the other; what is empty is left out, and what is long goes on below itself.
    fn rows<const N: usize>(&mut self, rows: [(&str, String); N]) -> Result<(), Failure> {
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            let value = clean(value);
            let lines = match self.console.width {
                Some(width) => wrap(&value, width.saturating_sub(widest + 2).max(NARROWEST)),
                None => vec![value],
            };
            for (index, line) in lines.iter().enumerate() {
                let name = if index == 0 { *name } else { "" };
                let name = self.console.paint(Tone::Quiet, &format!("{name:<widest$}"));
                self.console.line(format!("{name}  {line}").trim_end())?;
            }
        }
        Ok(())
    }

    /// The lines of a table.
    fn table(&mut self, table: &Table) -> Result<(), Failure> {
        let lines = table.lines(self.console);
        lines.iter().try_for_each(|line| self.console.line(line))
    }

    async fn ask_within<T>(
        &mut self,
        limit: Duration,
        what: &str,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let broker = self.broker.clone();
        // On the heap, because a future of everything that every command asks would be too large for a stack.
        let (request, hanging) = (Box::pin(request), Box::pin(hangs(&broker)));
        let asking = async {
            tokio::select! {
                response = tokio::time::timeout(limit, request) => Some(response),
                () = hanging => None,
            }
        };
        match self.console.wait(what, asking).await {
            Some(Ok(response)) => Ok(response?.into_inner()),
            Some(Err(_)) => Err(Failure::new(format!(
                "{what}: no answer within {} s; see modemctl status",
                limit.as_secs()
            ))),
            None => Err(Failure::unreachable(format!(
                "the broker at {} does not answer; see systemctl status modem-broker",
                broker.address()
            ))),
        }
    }
}

/// Returns when the broker does not even answer what it knows by heart. A request that asks the modem may take its time.
async fn hangs(broker: &Broker) {
    loop {
        tokio::time::sleep(SLOW).await;
        let mut service = broker.modems();
        let answer = service.list_modems(ListModemsRequest {});
        if tokio::time::timeout(SILENT, answer).await.is_err() {
            return;
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
