//! `DiagnosticsService`: off unless the configuration allows it.

mod command_line;

use std::time::Duration;

use api::v1::diagnostics_service_server::DiagnosticsService;
use api::v1::{
    ExecuteAtCommandRequest, ExecuteAtCommandResponse, ExecuteQmiRequestRequest, ExecuteQmiRequestResponse,
    GetTraceRequest, GetTraceResponse, ListQmiServicesRequest, ListQmiServicesResponse, OpenAtTerminalRequest,
    OpenAtTerminalResponse, StreamTraceRequest, StreamTraceResponse,
};
use cellular::at::Command;
use cellular::qmi::{self, Service, Tlvs};
use tonic::{Request, Response, Status, Streaming};

use self::command_line::{Action, Part};
use super::trace::TraceView;
use super::{Context, ResponseStream, radio};
use crate::modem;
use crate::refusal::Refusal;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(180);

/// Octets of all TLVs of a request: `qmi_wwan` takes no longer message.
const TLVS_MAX: usize = 4096;

/// The form of answers, on which the session relies: suppressed, in numbers, with other ends of lines (V.250 6.2).
const ANSWER_FORM: &[&str] = &["Q", "V", "S3", "S4", "S5"];

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
    "D",
    "O",
    "&F",
    "Z",
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

    async fn execute_qmi_request(
        &self,
        request: Request<ExecuteQmiRequestRequest>,
    ) -> Result<Response<ExecuteQmiRequestResponse>, Status> {
        if !self.raw_qmi {
            let key = "diagnostics.raw_qmi = true";
            return Err(Refusal::NotEnabled { key }.into());
        }
        let request = request.into_inner();
        let modem = self.modems.find(&request.modem)?;
        let request = qmi_request(request)?;
        Ok(Response::new(radio::execute(modem, request).await?))
    }

    async fn list_qmi_services(
        &self,
        request: Request<ListQmiServicesRequest>,
    ) -> Result<Response<ListQmiServicesResponse>, Status> {
        let modem = self.modems.find(&request.get_ref().modem)?;
        Ok(Response::new(ListQmiServicesResponse {
            services: radio::services(modem).await?,
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

fn limit(timeout: Option<prost_types::Duration>) -> Result<Duration, Refusal> {
    let Some(timeout) = timeout else {
        return Ok(TIMEOUT_DEFAULT);
    };
    Duration::try_from(timeout)
        .ok()
        .filter(|timeout| (Duration::from_millis(1)..=TIMEOUT_MAX).contains(timeout))
        .ok_or_else(|| Refusal::FieldInvalid {
            field: "timeout",
            problem: "must be more than 0 and at most 180 s".to_owned(),
        })
}

fn qmi_request(request: ExecuteQmiRequestRequest) -> Result<qmi::Request, Refusal> {
    fn number<T: TryFrom<u32>>(field: &'static str, number: u32) -> Result<T, Refusal> {
        T::try_from(number).map_err(|_| Refusal::FieldInvalid {
            field,
            problem: format!("{number} is too large"),
        })
    }
    let (service, message) = (number("service", request.service)?, number("message", request.message)?);
    let mut tlvs = Tlvs::default();
    for tlv in &request.tlvs {
        if tlvs.octets().len() + 3 + tlv.value.len() > TLVS_MAX {
            return Err(Refusal::FieldInvalid {
                field: "tlvs",
                problem: format!("more than {TLVS_MAX} octets"),
            });
        }
        tlvs = tlvs.with(number("tlvs.type", tlv.r#type)?, &tlv.value);
    }
    modem::by_hand(Service(service), message, tlvs, limit(request.timeout)?)
}

fn command(request: &ExecuteAtCommandRequest) -> Result<Command, Refusal> {
    let timeout = limit(request.timeout)?;
    for Part { name, action } in command_line::parts(&request.command) {
        if action != Action::Does {
            continue;
        }
        let name = name.as_str();
        if modem::is_relied_on(name) || ANSWER_FORM.contains(&name) {
            return Err(Refusal::FieldInvalid {
                field: "command",
                problem: format!(
                    "the broker relies on the value of {name}; at a terminal it may be changed for a while"
                ),
            });
        }
        if LEAVES_COMMAND_MODE.contains(&name) {
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
            ("ATE0+CMGF=1", false),
            ("ATE0Q1", false),
            ("ATE0V0", false),
            ("ATZ0", false),
            ("AT&F0", false),
            ("ATD*99***1#", false),
            ("ATD+447700900123;", false),
            ("ATS3=10", false),
            ("AT+CNMA", false),
            ("ATI", true),
            ("ATE0", true),
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
