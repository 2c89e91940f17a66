//! Who tells the story, and how it looks.

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Instant;

use crate::cast::Cast;
use crate::story::Summary;

/// Writes lines with the time since the start and who speaks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Teller(Arc<Look>);

struct Look {
    began: Instant,
    to_stderr: bool,
    colours: bool,
    /// Columns of the terminal; a file has room for everything.
    width: Option<usize>,
}

/// Columns in front of what is said: the time and the speaker.
const MARGIN: usize = 15;

/// Where nothing says how wide it is, a PDU is cut here: its end says nothing to a person.
const LONG_LINE: usize = 80;

/// Whether a stream shows colours: never in a file, and not where `NO_COLOR` forbids them.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Colours of the speakers: who acts is easier to follow than what is said.
const SPEAKERS: &[(&str, &str)] = &[
    ("modem", "90"),
    ("broker", "36"),
    ("bridge", "35"),
    ("bot", "33"),
    ("world", "32"),
    ("demo", "1"),
];

impl Teller {
    pub(crate) fn new(to_stderr: bool) -> Self {
        let (colours, size) = if to_stderr {
            (
                has_colours(&std::io::stderr()),
                terminal_size::terminal_size_of(std::io::stderr()),
            )
        } else {
            (
                has_colours(&std::io::stdout()),
                terminal_size::terminal_size_of(std::io::stdout()),
            )
        };
        Teller(Arc::new(Look {
            began: Instant::now(),
            to_stderr,
            colours,
            width: size.map(|(width, _)| usize::from(width.0)),
        }))
    }

    /// One line of the story, cut where the terminal ends.
    pub(crate) fn say_shortened(&self, speaker: &str, text: &str) {
        let room = self.0.width.map_or(LONG_LINE, |width| width.saturating_sub(MARGIN + 1));
        if text.chars().count() <= room {
            self.say(speaker, text);
        } else {
            let kept: String = text.chars().take(room).collect();
            self.say(speaker, &format!("{kept}…"));
        }
    }

    /// One line of the story, or several below each other where the terminal is narrow.
    pub(crate) fn say(&self, speaker: &str, text: &str) {
        let text = &self.wrap(text);
        let seconds = self.0.began.elapsed().as_secs_f64();
        let line = if self.0.colours {
            let colour = SPEAKERS
                .iter()
                .find(|(name, _)| *name == speaker)
                .map_or("0", |(_, colour)| colour);
            format!(
                "\x1b[2m{seconds:7.3}\x1b[0m \x1b[{colour}m{speaker:<6}\x1b[0m {}",
                self.tint(colour, text)
            )
        } else {
            format!("{seconds:7.3} {speaker:<6} {text}")
        };
        self.line(&line);
    }

    fn wrap(&self, text: &str) -> String {
        let Some(room) = self.0.width.map(|width| width.saturating_sub(MARGIN).max(20)) else {
            return text.to_owned();
        };
        let mut lines = vec![String::new()];
        let mut taken = 0;
        for word in text.split(' ') {
            let columns = word.chars().count();
            if taken > 0 && taken + 1 + columns > room {
                lines.push(String::new());
                taken = 0;
            }
            if let Some(line) = lines.last_mut() {
                if taken > 0 {
                    line.push(' ');
                    taken += 1;
                }
                line.push_str(word);
                taken += columns;
            }
        }
        lines.join(&format!("\n{:MARGIN$}", ""))
    }

    fn tint(&self, colour: &str, text: &str) -> String {
        if colour == "90" {
            format!("\x1b[90m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The head of an act.
    pub(crate) fn act(&self, title: &str) {
        let line = if self.0.colours {
            format!("\n\x1b[1m── {title}\x1b[0m")
        } else {
            format!("\n-- {title}")
        };
        self.line(&line);
    }

    /// A pipe that closed is nobody's problem here.
    fn line(&self, text: &str) {
        if self.0.to_stderr {
            let _ = writeln!(std::io::stderr(), "{text}");
        } else {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    pub(crate) fn json(&self, summary: &Summary) -> anyhow::Result<()> {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(summary)?)?;
        Ok(())
    }

    pub(crate) fn summary(&self, summary: &Summary) {
        self.act("summary");
        let row = |name: &str, value: String| self.line(&format!("  {name:<22} {value}"));
        row("modem", format!("{}, {}", summary.modem_stage, summary.operator));
        row(
            "messages",
            format!("{} received, {} sent", summary.sms_received, summary.sms_sent),
        );
        row(
            "call",
            format!(
                "answered: {}, {:.1} s, {} turns",
                summary.call_answered, summary.call_seconds, summary.call_turns
            ),
        );
        row(
            "audio from the caller",
            format!(
                "{} frames of 20 ms, {} discontinuities",
                summary.pcm_frames_down, summary.pcm_discontinuities
            ),
        );
        row(
            "audio to the caller",
            format!(
                "{} frames of 20 ms, {} underruns",
                summary.pcm_frames_up, summary.pcm_underruns
            ),
        );
    }

    pub(crate) fn how_to_reach(&self, cast: &Cast) {
        self.act("it stays up until Ctrl-C; try");
        let socket = cast.socket.display();
        let directory = cast.directory.display();
        for line in [
            format!("grpcurl -plaintext 127.0.0.1:{} list", cast.grpc_port),
            format!(
                "grpcurl -plaintext 127.0.0.1:{} modembroker.v1.ModemService/ListModems",
                cast.grpc_port
            ),
            format!("cargo run --quiet --bin modemctl -- --broker unix:{socket} status"),
            format!("cargo run --quiet --bin modemctl -- --broker unix:{socket} watch"),
            format!("curl -s http://127.0.0.1:{}/status", cast.http_port),
            format!(
                "curl -s -X POST http://127.0.0.1:{}/send -H 'content-type: application/json' -d '{{\"to\":\"+447700900123\",\"message\":\"hello\"}}'",
                cast.http_port
            ),
            format!(
                "cargo run --quiet --bin modem-sim -- ctl --dir {directory} sms --from +447700900123 --text 'hello'"
            ),
            format!(
                "cargo run --quiet --bin modem-sim -- ctl --dir {directory} ring --from +447700900123 --wav {directory}/caller.wav"
            ),
            format!("cargo run --quiet --bin modem-sim -- ctl --dir {directory} unplug"),
        ] {
            self.line(&format!("  {line}"));
        }
        self.line("");
    }
}
