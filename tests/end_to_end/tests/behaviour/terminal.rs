//! The terminal: whoever has it may say anything, and nothing of it is left when it is over.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::v1::send_message_request::Content;
use api::v1::{
    AnswerRequest, CallState, ErrorReason, ExecuteAtCommandRequest, MessageState, ModemStage, OpenAtTerminalRequest,
    OpenAtTerminalResponse, SendMessageRequest, StartUssdSessionRequest,
};
use clap::Parser as _;
use client::Broker;
use end_to_end::{LIMIT, Naming, Rig, Setup, reason};
use simulator::core::Function;
use simulator::{Books, FaultAction, RingOptions};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// A client at a terminal.
struct Terminal {
    input: mpsc::Sender<OpenAtTerminalRequest>,
    output: Streaming<OpenAtTerminalResponse>,
    heard: String,
}

impl Terminal {
    async fn open(broker: &Broker, idle_s: i64) -> Result<Terminal, Status> {
        let (input, requests) = mpsc::channel(16);
        let first = OpenAtTerminalRequest {
            idle_timeout: (idle_s > 0).then_some(prost_types::Duration {
                seconds: idle_s,
                nanos: 0,
            }),
            ..Default::default()
        };
        input.send(first).await.expect("there is room");
        let mut diagnostics = broker.diagnostics();
        let mut output = diagnostics
            .open_at_terminal(ReceiverStream::new(requests))
            .await?
            .into_inner();
        tokio::time::timeout(LIMIT, output.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the terminal did not open"))??;
        Ok(Terminal {
            input,
            output,
            heard: String::new(),
        })
    }

    async fn type_in(&self, text: &str) {
        let request = OpenAtTerminalRequest {
            input: text.as_bytes().to_vec().into(),
            ..Default::default()
        };
        // A terminal that has ended says so by its output.
        let _ = self.input.send(request).await;
    }

    /// Waits until the modem said something.
    async fn hear(&mut self, needle: &str) -> anyhow::Result<()> {
        let heard = async {
            while !self.heard.contains(needle) {
                let message = self.output.message().await?;
                let message = message.ok_or_else(|| anyhow::anyhow!("the terminal ended"))?;
                self.heard.push_str(&String::from_utf8_lossy(&message.output));
            }
            anyhow::Ok(())
        };
        let outcome = tokio::time::timeout(LIMIT, heard).await;
        outcome.map_err(|_| anyhow::anyhow!("{needle:?} was not heard, but {:?}", self.heard))??;
        self.heard.clear();
        Ok(())
    }

    async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        self.type_in(&format!("{line}\r")).await;
        self.hear("OK").await
    }

    /// How the broker ended it.
    async fn ended(&mut self) -> anyhow::Result<Status> {
        let ended = async {
            loop {
                match self.output.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => anyhow::bail!("it ended without a reason"),
                    Err(status) => return Ok(status),
                }
            }
        };
        tokio::time::timeout(LIMIT, ended).await?
    }
}

fn cause(status: &Status) -> (Code, Option<ErrorReason>, String) {
    let cause = client::status::metadata(status).remove("cause").unwrap_or_default();
    (status.code(), reason(status), cause)
}

fn closed(cause: &str) -> (Code, Option<ErrorReason>, String) {
    (Code::Aborted, Some(ErrorReason::TerminalClosed), cause.to_owned())
}

async fn execute(broker: &Broker, command: &str) -> Result<Vec<String>, Status> {
    let request = ExecuteAtCommandRequest {
        command: command.to_owned(),
        ..Default::default()
    };
    Ok(broker
        .diagnostics()
        .execute_at_command(request)
        .await?
        .into_inner()
        .lines)
}

/// A broker with one AT port, which serves calls as well.
async fn one_port() -> anyhow::Result<Rig> {
    let mut rig = Rig::prepare(Setup {
        naming: Naming::Path,
        ..Setup::default()
    })
    .await?;
    let lines = rig.configuration().lines().filter(|line| !line.starts_with("at_calls"));
    let configuration = lines.map(|line| format!("{line}\n")).collect();
    rig.set_configuration(configuration);
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    Ok(rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_done_at_a_terminal_is_undone_when_its_client_vanishes() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut terminal = Terminal::open(&broker, 0).await?;
    terminal.type_in("AT+CGSN\r").await;
    terminal.hear("867584030000017").await?;
    for line in [
        "ATE1",
        "AT+CMEE=0",
        "AT+CSCS=\"UCS2\"",
        "AT+CNMI=0,0,0,0,0",
        "AT+CPMS=\"ME\",\"ME\",\"ME\"",
        "AT+CREG=0;+CEREG=0;+CLIP=0;+CRC=0;+CLCC=0",
        "AT+CMGF=1",
    ] {
        terminal.say(line).await?;
    }
    // Numeric codes, then none at all, and then a text that is never ended.
    terminal.type_in("ATV0\r").await;
    terminal.hear("0\r").await?;
    terminal.type_in("ATQ1\r").await;
    terminal.type_in("AT+CMGS=\"002B003400340037\"\r").await;
    terminal.hear("> ").await?;
    terminal.type_in("never to be sent").await;
    terminal.hear("never to be sent").await?;
    drop(terminal);

    assert_eq!(execute(&broker, "AT+CGSN").await?, ["867584030000017"]);
    for (query, expected) in [
        ("AT+CMGF?", "+CMGF: 0"),
        ("AT+CSCS?", "+CSCS: \"IRA\""),
        ("AT+CMEE?", "+CMEE: 1"),
        ("AT+CNMI?", "+CNMI: 2,1,0,2,0"),
        ("AT+CREG?", "+CREG: 2,1"),
        ("AT+CLIP?", "+CLIP: 1"),
        ("AT+CRC?", "+CRC: 1"),
    ] {
        let lines = execute(&broker, query).await?;
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{query}: {lines:?}"
        );
    }
    let mut news = rig.news().await?;
    rig.sim().deliver_text("+447700900123", "good morning").await?;
    news.message("a message", |message| message.text == "good morning")
        .await?;
    let message = SendMessageRequest {
        address: "+447700900123".to_owned(),
        content: Some(Content::Text("good evening".to_owned())),
        ..Default::default()
    };
    broker.sms().send_message(message).await?;
    news.message("it is sent", |message| message.state() == MessageState::Sent)
        .await?;
    let sent: Vec<_> = rig
        .sim()
        .books()
        .await?
        .submits
        .records
        .into_iter()
        .map(|submit| submit.text)
        .collect();
    assert_eq!(sent, [Some("good evening".to_owned())]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_exclusive_and_everything_else_waits_for_it() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut terminal = Terminal::open(&broker, 0).await?;
    let second = Terminal::open(&broker, 0).await.err().map(|status| reason(&status));
    assert_eq!(second, Some(Some(ErrorReason::TerminalTaken)));
    let start = StartUssdSessionRequest {
        code: "*101#".to_owned(),
        ..Default::default()
    };
    let ussd = broker
        .ussd()
        .start_ussd_session(start)
        .await
        .expect_err("its time would run");
    assert_eq!(reason(&ussd), Some(ErrorReason::TerminalTaken));
    let waits = execute(&broker, "AT+CGMM");
    let talks = async {
        // A message is announced while the port is lent, and read when it is back.
        rig.sim().deliver_text("+447700900123", "meanwhile").await?;
        terminal.hear("+CMTI").await?;
        terminal.say("AT+CSUB").await?;
        drop(terminal);
        anyhow::Ok(())
    };
    let (waited, talked) = tokio::join!(waits, talks);
    talked?;
    assert!(waited?.iter().any(|line| line.contains("SIM7600")));
    let mut journal = rig.journal().await?;
    journal
        .message("the message", |message| message.text == "meanwhile")
        .await?;
    let lines: Vec<String> = rig
        .sim()
        .books()
        .await?
        .commands
        .records
        .into_iter()
        .map(|command| command.line)
        .collect();
    let position = |wanted: &str| lines.iter().rposition(|line| line == wanted);
    assert!(position("AT+CSUB") < position("AT+CGMM"), "{lines:?}");
    assert!(Terminal::open(&broker, 0).await.is_ok(), "it is free again");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_closes_the_terminal_and_is_served() -> anyhow::Result<()> {
    for two_ports in [true, false] {
        let rig = if two_ports {
            Rig::start().await?
        } else {
            one_port().await?
        };
        let broker = rig.broker();
        let mut news = rig.news().await?;
        let mut terminal = Terminal::open(&broker, 0).await?;
        terminal.say("ATE1").await?;
        rig.sim()
            .ring(RingOptions {
                from: "+447700900123".to_owned(),
                ..RingOptions::default()
            })
            .await?;
        assert_eq!(
            cause(&terminal.ended().await?),
            closed("CALL"),
            "two ports: {two_ports}"
        );
        news.call("it rings", |call| call.state() == CallState::Incoming)
            .await?;
        broker.voice().answer(AnswerRequest::default()).await?;
        news.call("it is answered", |call| call.state() == CallState::Active)
            .await?;
        let refused = Terminal::open(&broker, 0).await.err().map(|status| reason(&status));
        assert_eq!(refused, Some(Some(ErrorReason::CallState)));
        rig.sim().hang_up().await?;
        news.call("it is over", |call| call.state() == CallState::Disconnected)
            .await?;
        rig.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_ends_when_nobody_talks_when_the_port_goes_and_when_it_is_not_allowed() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut terminal = Terminal::open(&broker, 1).await?;
    assert_eq!(cause(&terminal.ended().await?), closed("IDLE"));
    let wrong = Terminal::open(&broker, 100_000)
        .await
        .err()
        .map(|status| end_to_end::invalid_fields(&status));
    assert_eq!(wrong, Some(vec!["idle_timeout".to_owned()]));
    let mut terminal = Terminal::open(&broker, 0).await?;
    let mut news = rig.news().await?;
    terminal.say("AT+CRESET").await?;
    assert_eq!(cause(&terminal.ended().await?), closed("PORT"));
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    news.modem("it is back", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    assert_eq!(execute(&broker, "AT+CGSN").await?, ["867584030000017"]);
    drop(broker);
    rig.stop().await?;

    let rig = Rig::with(Setup {
        raw_at: false,
        ..Setup::default()
    })
    .await?;
    let refused = Terminal::open(&rig.broker(), 0)
        .await
        .err()
        .map(|status| reason(&status));
    assert_eq!(refused, Some(Some(ErrorReason::NotEnabled)));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_hangs_in_a_terminal_is_found_out_and_comes_back() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let mut terminal = Terminal::open(&broker, 0).await?;
    terminal.say("AT+CGMM").await?;
    rig.sim().inject_now(FaultAction::Silence { ms: 3_000 }).await?;
    terminal.type_in("AT+CGSN\r").await;
    drop(terminal);
    let answered = end_to_end::until("the modem answers again", LIMIT, async || {
        Ok(execute(&broker, "AT+CGSN").await.ok())
    });
    assert_eq!(answered.await?, ["867584030000017"]);
    rig.stop().await
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `modemctl` printed and how it ended, with lines from a pipe.
pub async fn modemctl(rig: &Rig, line: &[&str], input: &'static str) -> anyhow::Result<(bool, String)> {
    let endpoint = rig.endpoint();
    let line = ["modemctl", "--broker", &endpoint]
        .into_iter()
        .chain(line.iter().copied());
    let arguments = modemctl::Arguments::try_parse_from(line)?;
    let output = Output::default();
    let mut console = modemctl::Console::plain(output.clone(), output.clone()).with_input(Cursor::new(input));
    let done = tokio::time::timeout(LIMIT, modemctl::run(arguments, &mut console)).await?;
    let text = String::from_utf8(output.0.lock().unwrap().clone())?;
    Ok(match done {
        Ok(()) => (true, text),
        Err(failure) => (false, format!("{text}{failure:?}")),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_from_a_pipe_are_sent_one_after_the_other() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let (done, text) = modemctl(&rig, &["at"], "AT+CGSN\nAT+NONSENSE\n\nAT+CGMM\nquit\nAT+CIMI\n").await?;
    assert!(done, "{text}");
    let (imei, error, model) = (
        text.find("867584030000017"),
        text.find("ERROR"),
        text.find("SIM7600G-H"),
    );
    assert!(imei.is_some() && imei < error && error < model, "{text}");
    assert!(!text.contains("001010000000001"), "{text}");
    let asked = |books: &Books| {
        let lines = books
            .commands
            .records
            .iter()
            .filter(|command| command.port == Function::At);
        lines.filter(|command| command.line == "AT+NONSENSE").count() == 1
    };
    rig.sim().books_when(Duration::from_secs(10), asked).await?;
    // Without a newline at the end, and with a message that a script sends in text mode.
    let script = "AT+CMGF=1\nAT+CMGS=\"+447700900123\"\nfrom a script\u{1a}";
    let (done, text) = modemctl(&rig, &["at"], script).await?;
    assert!(done && text.contains("+CMGS:"), "{text}");
    let (done, text) = modemctl(&rig, &["ussd", "*123#", "3"], "4711\n").await?;
    assert!(done && text.ends_with("Voucher?\nThank you\n"), "{text}");
    let (done, text) = modemctl(&rig, &["ussd", "*777#"], "").await?;
    assert!(!done && text.contains("not supported"), "{text}");
    let (done, text) = modemctl(&rig, &["trace"], "").await?;
    assert!(done && text.contains("-> AT+CGSN\\r"), "{text}");
    let (done, text) = modemctl(&rig, &["location"], "").await?;
    assert!(!done && text.contains("[modem.gnss]"), "{text}");
    rig.stop().await
}
