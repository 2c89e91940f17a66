//! `DiagnosticsService`: off unless the configuration allows it.

use std::time::Duration;

use ::modem::at::Command;
use api::v1::diagnostics_service_server::DiagnosticsService;
use api::v1::{
    ExecuteAtCommandRequest, ExecuteAtCommandResponse, GetTraceRequest, GetTraceResponse, OpenAtTerminalRequest,
    OpenAtTerminalResponse, StreamTraceRequest, StreamTraceResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::{Context, ResponseStream, not_built_yet};
use crate::modem;
use crate::refusal::Refusal;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(180);

/// Commands that leave command mode: their prompt or data connection would take the port away from the session.
const LEAVES_COMMAND_MODE: &[&str] = &[
    "+CMGS",
    "+CMGW",
    "+CMGC",
    "+CNMA",
    "+CMGSEX",
    "+CMSSEX",
    "+CIPSEND",
    "+CGDATA",
    "+CMUX",
    "+CFTRANRX",
    "+CSSLEND",
    "D*99",
    "O",
    "&F",
    "Z",
    "V0",
    "+IPR",
    "+CATR",
];

#[tonic::async_trait]
impl DiagnosticsService for Context {
    async fn execute_at_command(
        &self,
        request: Request<ExecuteAtCommandRequest>,
    ) -> Result<Response<ExecuteAtCommandResponse>, Status> {
        if !self.raw_at {
            return Err(Refusal::NotEnabled {
                key: "diagnostics.raw_at = true",
            }
            .into());
        }
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let command = command(&request)?;
        let response = modem.ask(|reply| modem::Request::Execute { command, reply }).await?;
        Ok(Response::new(ExecuteAtCommandResponse {
            ok: response.result.is_ok(),
            result: response.result.to_string(),
            lines: response.lines,
        }))
    }

    type OpenAtTerminalStream = ResponseStream<OpenAtTerminalResponse>;

    async fn open_at_terminal(
        &self,
        _: Request<Streaming<OpenAtTerminalRequest>>,
    ) -> Result<Response<Self::OpenAtTerminalStream>, Status> {
        not_built_yet("OpenAtTerminal")
    }

    type StreamTraceStream = ResponseStream<StreamTraceResponse>;

    async fn stream_trace(&self, _: Request<StreamTraceRequest>) -> Result<Response<Self::StreamTraceStream>, Status> {
        not_built_yet("StreamTrace")
    }

    async fn get_trace(&self, _: Request<GetTraceRequest>) -> Result<Response<GetTraceResponse>, Status> {
        not_built_yet("GetTrace")
    }
}

fn command(request: &ExecuteAtCommandRequest) -> Result<Command, Refusal> {
    let timeout = match request.timeout {
        None => TIMEOUT_DEFAULT,
        Some(timeout) => Duration::try_from(timeout)
            .ok()
            .filter(|timeout| (Duration::from_millis(1)..=TIMEOUT_MAX).contains(timeout))
            .ok_or_else(|| Refusal::FieldInvalid {
                field: "timeout",
                problem: "must be more than 0 and at most 180 s".to_owned(),
            })?,
    };
    let upper = request.command.trim().to_ascii_uppercase();
    for part in upper.strip_prefix("AT").unwrap_or(&upper).split(';') {
        let name = part.trim().split(['=', '?']).next().unwrap_or_default();
        let opens = part.contains('=') || !name.starts_with('+');
        if opens && LEAVES_COMMAND_MODE.contains(&name) && !part.contains('?') {
            return Err(Refusal::FieldInvalid {
                field: "command",
                problem: format!(
                    "{name} leaves command mode or changes how the port speaks; use the service made for it"
                ),
            });
        }
    }
    Command::raw(&request.command, timeout).map_err(|error| Refusal::FieldInvalid {
        field: "command",
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_would_take_the_port_away_are_refused() {
        for (line, accepted) in [
            ("AT+CSQ", true),
            ("AT+CMGS=?", true),
            ("AT+CMGS=23", false),
            ("AT+CSQ;+CMGS=23", false),
            ("ATD*99", false),
            ("ATZ", false),
            ("hello", false),
            ("AT+CSQ\rAT+CPIN=0000", false),
        ] {
            let request = ExecuteAtCommandRequest {
                command: line.to_owned(),
                ..Default::default()
            };
            assert_eq!(command(&request).is_ok(), accepted, "{line}");
        }
    }
}
