//! `modemctl trace`.

use api::v1::{GetTraceRequest, StreamTraceRequest, TraceDirection, TraceEntry};
use client::json::to_value;

use crate::Session;
use crate::arguments::TraceOptions;
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};

pub(crate) async fn trace(session: &mut Session<'_>, options: TraceOptions) -> Result<(), Failure> {
    let mut service = session.broker.diagnostics();
    let modem = session.modem.clone();
    if !options.follow {
        let request = GetTraceRequest { modem };
        let answer = session.ask("asking for the trace", service.get_trace(request)).await?;
        return answer.entries.iter().try_for_each(|entry| show(session, entry));
    }
    let request = StreamTraceRequest { modem };
    let mut stream = session
        .ask("asking for the trace", service.stream_trace(request))
        .await?;
    while let Some(message) = stream.message().await? {
        if message.lost_chunks > 0 {
            session
                .console
                .note(&format!("{} pieces of the trace were lost", message.lost_chunks));
        }
        for entry in &message.entries {
            show(session, entry)?;
        }
    }
    Ok(())
}

fn show(session: &mut Session<'_>, entry: &TraceEntry) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(entry));
    }
    let time = entry
        .trace_time
        .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
        .map(|time| {
            time.to_zoned(session.console.zone.clone())
                .strftime("%H:%M:%S%.3f")
                .to_string()
        })
        .unwrap_or_default();
    let (arrow, tone) = match entry.direction() {
        TraceDirection::ToModem => ("->", Tone::Heading),
        _ => ("<-", Tone::Plain),
    };
    let port = word!(entry.port(), "PORT_ROLE_");
    let text = if entry.octets.is_empty() {
        format!("({} octets)", entry.octet_count)
    } else {
        escaped(&entry.octets)
    };
    let head = present::list([time, entry.modem.clone(), format!("{port:<8}")], "  ");
    let line = format!("{head}  {arrow} {}", session.console.paint(tone, &text));
    session.console.line(&line)
}

/// Line ends and other control characters as in Rust and C.
fn escaped(octets: &[u8]) -> String {
    octets
        .escape_ascii()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}
