//! A terminal between a client's stream and a port.

use std::time::Duration;

use api::v1::{OpenAtTerminalRequest, OpenAtTerminalResponse};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::{Context, ResponseStream};
use crate::modem;
use crate::port::terminal::{Terminal, TerminalEnd};
use crate::refusal::Refusal;
use crate::supervisor;

const IDLE_DEFAULT: Duration = Duration::from_secs(300);
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Bytes of one message of a client.
const INPUT_MAX: usize = 4096;

/// How long a client that has stopped typing still hears the modem.
const LINGER: Duration = Duration::from_secs(1);

const RESPONSE_DEPTH: usize = 16;

pub(super) async fn open(
    context: &Context,
    mut requests: Streaming<OpenAtTerminalRequest>,
) -> Result<Response<ResponseStream<OpenAtTerminalResponse>>, Status> {
    let first = requests.message().await?.unwrap_or_default();
    let idle = idle_timeout(&first)?;
    checked(&first.input)?;
    let modem = context.modems.find(&first.modem)?;
    let terminal = modem.ask(|reply| modem::Request::OpenTerminal { idle, reply }).await?;
    if !first.input.is_empty() {
        // A terminal that has ended already says so by itself.
        let _ = terminal.input.send(first.input).await;
    }
    let (responses, stream) = mpsc::channel(RESPONSE_DEPTH);
    // An empty message says that the terminal is open; the channel is empty too, so there is room.
    let _ = responses.try_send(Ok(OpenAtTerminalResponse::default()));
    supervisor::spawn("terminal", modem.name(), relay(terminal, requests, responses));
    Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
}

fn idle_timeout(first: &OpenAtTerminalRequest) -> Result<Duration, Refusal> {
    let Some(timeout) = first.idle_timeout else {
        return Ok(IDLE_DEFAULT);
    };
    Duration::try_from(timeout)
        .ok()
        .filter(|timeout| (Duration::from_secs(1)..=IDLE_MAX).contains(timeout))
        .ok_or_else(|| Refusal::FieldInvalid {
            field: "idle_timeout",
            problem: "must be 1 s to 1 h".to_owned(),
        })
}

fn checked(input: &Bytes) -> Result<(), Refusal> {
    if input.len() <= INPUT_MAX {
        return Ok(());
    }
    Err(Refusal::FieldInvalid {
        field: "input",
        problem: format!("{} bytes in one message, at most {INPUT_MAX}", input.len()),
    })
}

/// Carries bytes until one side ends. Dropping the terminal gives the port back.
async fn relay(
    terminal: Terminal,
    mut requests: Streaming<OpenAtTerminalRequest>,
    responses: mpsc::Sender<Result<OpenAtTerminalResponse, Status>>,
) {
    let Terminal { input, mut output, end } = terminal;
    let mut leaving: Option<Instant> = None;
    let mut refusal = None;
    loop {
        let left = async {
            match leaving {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            said = output.recv() => match said {
                Some(output) => {
                    leaving = leaving.map(|_| Instant::now() + LINGER);
                    if responses.send(Ok(OpenAtTerminalResponse { output })).await.is_err() {
                        return;
                    }
                }
                None => break,
            },
            request = requests.next(), if leaving.is_none() => match request {
                Some(Ok(request)) => {
                    if let Err(problem) = checked(&request.input) {
                        refusal = Some(problem);
                        break;
                    }
                    if !request.input.is_empty() && input.send(request.input).await.is_err() {
                        leaving = Some(Instant::now() + LINGER);
                    }
                }
                // The client has said everything, and waits for the answer.
                None => leaving = Some(Instant::now() + LINGER),
                // The client is gone.
                Some(Err(_)) => return,
            },
            () = responses.closed() => return,
            () = left => return,
        }
    }
    drop((input, output));
    let refusal = match refusal {
        Some(refusal) => Some(refusal),
        None => end.await.ok().and_then(closed),
    };
    if let Some(refusal) = refusal {
        // The client may be gone.
        let _ = responses.send(Err(refusal.into())).await;
    }
}

fn closed(end: TerminalEnd) -> Option<Refusal> {
    let (cause, detail) = match end {
        TerminalEnd::Left => return None,
        TerminalEnd::Call => ("CALL", "a call is there"),
        TerminalEnd::Urgent => ("URGENT", "the broker needs the port for a command that cannot wait"),
        TerminalEnd::Idle => ("IDLE", "nobody said anything for too long"),
        TerminalEnd::Slow => ("SLOW", "its client does not read"),
        TerminalEnd::Port => ("PORT", "the port is gone or is opened again"),
    };
    Some(Refusal::TerminalClosed {
        cause,
        detail: detail.to_owned(),
    })
}
