//! `modemctl at`: one command, or a terminal.

use std::time::Duration;

use api::v1::{ExecuteAtCommandRequest, OpenAtTerminalRequest, OpenAtTerminalResponse};
use client::json::to_value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::REQUEST_TIMEOUT;
use crate::Session;
use crate::arguments::AtOptions;
use crate::console::{LineMode, Typed};
use crate::failure::Failure;
use crate::table;

/// Ctrl-], which telnet made the way out.
const LEAVE: u8 = 0x1D;
/// Ctrl-Z ends a text after a prompt, ESC cancels it: neither is followed by a line end.
const ENDS_TEXT: [u8; 2] = [0x1A, 0x1B];

/// How long the end of the terminal is waited for.
const END_LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn at(session: &mut Session<'_>, options: AtOptions) -> Result<(), Failure> {
    if !(1..=180).contains(&options.timeout) {
        return Err(Failure::usage("--timeout must be 1 to 180 seconds"));
    }
    let timeout = Duration::from_secs(options.timeout);
    match options.command {
        Some(command) => execute(session, command, timeout).await,
        None => terminal(session, timeout).await,
    }
}

async fn execute(session: &mut Session<'_>, command: String, timeout: Duration) -> Result<(), Failure> {
    let request = ExecuteAtCommandRequest {
        modem: session.modem.clone(),
        command,
        timeout: Some(prost_types::Duration {
            seconds: timeout.as_secs() as i64,
            nanos: 0,
        }),
    };
    // The command may have to wait for others before its own time begins.
    let limit = timeout + REQUEST_TIMEOUT;
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

async fn terminal(session: &mut Session<'_>, timeout: Duration) -> Result<(), Failure> {
    let (requests, stream) = mpsc::channel(16);
    let first = OpenAtTerminalRequest {
        modem: session.modem.clone(),
        ..OpenAtTerminalRequest::default()
    };
    // The channel is empty, so there is room.
    let _ = requests.send(first).await;
    let mut diagnostics = session.broker.diagnostics();
    let opening = diagnostics.open_at_terminal(ReceiverStream::new(stream));
    let mut responses = session.ask("waiting for the port", opening).await?;
    // The first message says that the terminal is open.
    responses.message().await?;
    let typed = session.console.typed();
    let conversation = Conversation {
        requests,
        responses,
        typed,
        heard: Heard::default(),
    };
    if session.console.is_interactive() {
        session
            .console
            .note("The terminal is open. quit or Ctrl-] leaves, Ctrl-Z ends a text.");
        let _mode = LineMode::enter();
        conversation.interactive(session).await
    } else {
        conversation.piped(session, timeout).await
    }
}

struct Conversation {
    requests: mpsc::Sender<OpenAtTerminalRequest>,
    responses: Streaming<OpenAtTerminalResponse>,
    typed: Typed,
    heard: Heard,
}

impl Conversation {
    /// Carries what is typed and what is said until one side leaves.
    async fn interactive(mut self, session: &mut Session<'_>) -> Result<(), Failure> {
        loop {
            tokio::select! {
                message = self.responses.message() => match message? {
                    Some(message) => show(session, &message)?,
                    None => return Ok(()),
                },
                chunk = self.typed.chunk() => {
                    let Some(chunk) = chunk.filter(|chunk| !leaves(chunk)) else {
                        return self.leave(session).await;
                    };
                    self.send(as_typed(&chunk)).await;
                }
                _ = tokio::signal::ctrl_c() => return self.leave(session).await,
            }
        }
    }

    /// Sends line after line, each after the modem has answered the one before, as a script needs it.
    async fn piped(mut self, session: &mut Session<'_>, timeout: Duration) -> Result<(), Failure> {
        while let Some(line) = self.typed.line().await {
            if line.trim() == "quit" {
                break;
            }
            let bytes = as_typed(line.as_bytes());
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.heard = Heard::default();
            self.send(bytes).await;
            let until = Instant::now() + timeout;
            while !self.heard.is_answer() {
                match tokio::time::timeout_at(until, self.responses.message()).await {
                    Ok(message) => match message? {
                        Some(message) => {
                            self.heard.push(&message.output);
                            show(session, &message)?;
                        }
                        None => return Ok(()),
                    },
                    Err(_) => {
                        return Err(Failure::new(format!(
                            "the modem did not answer within {} s; --timeout waits longer",
                            timeout.as_secs()
                        )));
                    }
                }
            }
        }
        self.leave(session).await
    }

    async fn send(&self, input: Vec<u8>) {
        let request = OpenAtTerminalRequest {
            input: input.into(),
            ..OpenAtTerminalRequest::default()
        };
        // When the stream has ended, its last message says why.
        let _ = self.requests.send(request).await;
    }

    /// Closes our side and shows what is still said.
    async fn leave(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let Conversation {
            requests,
            mut responses,
            ..
        } = self;
        drop(requests);
        let rest = async {
            while let Some(message) = responses.message().await? {
                show(session, &message)?;
            }
            Ok(())
        };
        tokio::time::timeout(END_LIMIT, rest).await.unwrap_or(Ok(()))
    }
}

fn show(session: &mut Session<'_>, message: &OpenAtTerminalResponse) -> Result<(), Failure> {
    if message.output.is_empty() {
        return Ok(());
    }
    if session.json {
        let text = String::from_utf8_lossy(&message.output);
        return session.console.json(&serde_json::json!({ "output": text }));
    }
    session.console.octets(&harmless(&message.output))
}

/// What the modem says may hold the text of a message, which must not control the terminal.
fn harmless(octets: &[u8]) -> Vec<u8> {
    let hide = |octet: &u8| match octet {
        b'\r' | b'\n' | b'\t' | 0x20..=0x7E => *octet,
        _ => b'.',
    };
    octets.iter().map(hide).filter(|octet| *octet != b'\r').collect()
}

fn leaves(chunk: &[u8]) -> bool {
    chunk.contains(&LEAVE) || chunk.trim_ascii() == b"quit"
}

/// A line as the modem wants it: ended by CR, or by what ends a text.
fn as_typed(line: &[u8]) -> Vec<u8> {
    let mut line = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if !line.last().is_some_and(|last| ENDS_TEXT.contains(last)) {
        line.push(b'\r');
    }
    line
}

/// What was heard since the last line was sent.
#[derive(Default)]
struct Heard(String);

impl Heard {
    fn push(&mut self, output: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(output));
    }

    /// Whether it ends with a final result code, or with a prompt (V.250 5.7.1, 27.005 3.5.1).
    fn is_answer(&self) -> bool {
        let is_final = |line: &str| {
            let line = line.trim();
            matches!(
                line,
                "OK" | "ERROR" | "NO CARRIER" | "BUSY" | "NO ANSWER" | "NO DIALTONE" | "CONNECT"
            ) || line.starts_with("+CME ERROR:")
                || line.starts_with("+CMS ERROR:")
        };
        let whole_lines = self.0.rsplit_once('\n').map_or("", |(lines, _)| lines);
        self.0.ends_with("\n> ") || whole_lines.lines().any(is_final)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_modem_wants_them() {
        for (typed, sent) in [
            (&b"AT+CSQ\n"[..], &b"AT+CSQ\r"[..]),
            (b"AT\r\n", b"AT\r"),
            (b"AT", b"AT\r"),
            (b"hello\x1a\n", b"hello\x1a"),
            (b"hello\x1a", b"hello\x1a"),
            (b"\n", b"\r"),
        ] {
            assert_eq!(as_typed(typed), sent);
        }
        assert!(leaves(b"quit\n") && leaves(b"\x1d") && !leaves(b"AT+QUIT\n"));
    }

    #[test]
    fn an_answer_ends_with_a_result_code_or_a_prompt() {
        for (heard, is_answer) in [
            ("\r\n+CSQ: 1,2\r\n\r\nOK\r\n", true),
            ("\r\nOK", false),
            ("\r\n+CMS ERROR: 500\r\n", true),
            ("\r\n> ", true),
            ("\r\nRING\r\n", false),
        ] {
            let mut all = Heard::default();
            all.push(heard.as_bytes());
            assert_eq!(all.is_answer(), is_answer, "{heard:?}");
        }
        assert_eq!(harmless(b"\x1b[2Jx\r\n"), b".[2Jx\n");
    }
}
