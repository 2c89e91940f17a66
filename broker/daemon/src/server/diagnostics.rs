//! `DiagnosticsService`: off unless the configuration allows it.

use std::time::Duration;

use ::modem::at::Command;
use api::v1::diagnostics_service_server::DiagnosticsService;
use api::v1::{
    ExecuteAtCommandRequest, ExecuteAtCommandResponse, GetTraceRequest, GetTraceResponse, OpenAtTerminalRequest,
    OpenAtTerminalResponse, StreamTraceRequest, StreamTraceResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::trace::TraceView;
use super::{Context, ResponseStream};
use crate::modem;
use crate::refusal::Refusal;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(180);

/// The form of answers, on which the session relies.
const ANSWER_FORM: &[&str] = &["Q", "Q1"];

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
];

#[tonic::async_trait]
impl DiagnosticsService for Context {
    async fn execute_at_command(
        &self,
        request: Request<ExecuteAtCommandRequest>,
    ) -> Result<Response<ExecuteAtCommandResponse>, Status> {
        self.raw_at_allowed()?;
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
        request: Request<Streaming<OpenAtTerminalRequest>>,
    ) -> Result<Response<Self::OpenAtTerminalStream>, Status> {
        self.raw_at_allowed()?;
        super::terminal::open(self, request.into_inner()).await
    }

    type StreamTraceStream = ResponseStream<StreamTraceResponse>;

    async fn stream_trace(
        &self,
        request: Request<StreamTraceRequest>,
    ) -> Result<Response<Self::StreamTraceStream>, Status> {
        let view = self.trace_view(&request.into_inner().modem)?;
        Ok(Response::new(view.follow(self.shutdown.clone())))
    }

    async fn get_trace(&self, request: Request<GetTraceRequest>) -> Result<Response<GetTraceResponse>, Status> {
        let entries = self.trace_view(&request.into_inner().modem)?.everything();
        Ok(Response::new(GetTraceResponse { entries }))
    }
}

impl Context {
    fn raw_at_allowed(&self) -> Result<(), Refusal> {
        if self.raw_at {
            return Ok(());
        }
        Err(Refusal::NotEnabled {
            key: "diagnostics.raw_at = true",
        })
    }

    fn trace_view(&self, modem: &str) -> Result<TraceView, Refusal> {
        let modem = self.modems.find(modem)?;
        let reader = modem.trace().follow().ok_or(Refusal::NotEnabled {
            key: "diagnostics.trace_kib = 64",
        })?;
        Ok(TraceView::new(modem.name(), reader))
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
        let name = part.split(['=', '?']).next().unwrap_or_default().trim();
        let opens = part.contains('=') || !name.starts_with('+');
        let sets = opens && !part.contains('?');
        if sets && (modem::is_relied_on(name) || ANSWER_FORM.contains(&name)) {
            return Err(Refusal::FieldInvalid {
                field: "command",
                problem: format!(
                    "the broker relies on the value of {name}; at a terminal it may be changed for a while"
                ),
            });
        }
        if sets && LEAVES_COMMAND_MODE.contains(&name) {
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
            ("AT+CMGF=1", false),
            ("AT+CMGF?", true),
            ("AT+CPMS=\"ME\",\"ME\",\"ME\"", false),
            ("AT+CPMS?", true),
            ("AT+CNMI=0,0,0,0,0", false),
            ("at+cpms = \"ME\"", false),
            ("AT+CATR=3", false),
            ("AT+CSCS=?", true),
            ("AT+CREG?;+CSCS=IRA", false),
            ("ATQ1", false),
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
