//! Who tells the story, and how it looks.

use std::io::{IsTerminal as _, Write as _};
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
        let terminal = if to_stderr {
            std::io::stderr().is_terminal()
        } else {
            std::io::stdout().is_terminal()
        };
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Teller(Arc::new(Look {
            began: Instant::now(),
            to_stderr,
            colours,
        }))
    }

    /// One line of the story.
    pub(crate) fn say(&self, speaker: &str, text: &str) {
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
            format!("cargo run --release --bin modemctl -- --broker unix:{socket} status"),
            format!("cargo run --release --bin modemctl -- --broker unix:{socket} watch"),
            format!("curl -s http://127.0.0.1:{}/status", cast.http_port),
            format!(
                "curl -s -X POST http://127.0.0.1:{}/send -H 'content-type: application/json' -d '{{\"to\":\"+447700900123\",\"message\":\"hello\"}}'",
                cast.http_port
            ),
            format!(
                "cargo run --release --bin modem-sim -- ctl --dir {directory} sms --from +447700900123 --text 'hello'"
            ),
            format!(
                "cargo run --release --bin modem-sim -- ctl --dir {directory} ring --from +447700900123 --wav {directory}/caller.wav"
            ),
            format!("cargo run --release --bin modem-sim -- ctl --dir {directory} unplug"),
        ] {
            self.line(&format!("  {line}"));
        }
        self.line("");
    }
}
