//! Where output goes, and what that place can show.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::failure::Failure;

/// What takes longer gets a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// A colour, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Warning,
    Bad,
    Quiet,
}

/// Where output goes.
pub struct Console {
    output: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    /// The columns of the terminal; none when the output is a file or a pipe.
    pub(crate) width: Option<usize>,
    colour: bool,
    /// Whether notes go to a terminal, so that a spinner makes sense.
    live: bool,
    pub(crate) zone: TimeZone,
}

impl Console {
    /// The process's own output.
    pub fn standard(no_colour: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        // https://no-color.org: set and not empty.
        let unwanted = no_colour || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            output: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            width: terminal.then(|| columns.or_else(terminal_columns).unwrap_or(100)),
            colour: terminal && !unwanted,
            live: io::stderr().is_terminal(),
            zone: TimeZone::system(),
        }
    }

    /// Output to anything else: without colours, times in UTC.
    pub fn plain(output: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Self {
        Self {
            output: Box::new(output),
            notes: Box::new(notes),
            width: None,
            colour: false,
            live: false,
            zone: TimeZone::UTC,
        }
    }

    /// The same as a terminal of so many columns.
    pub fn as_terminal(mut self, columns: usize, colour: bool) -> Self {
        self.width = Some(columns);
        self.colour = colour;
        self
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.output.write_all(format!("{text}\n").as_bytes())?;
        Ok(self.output.flush()?)
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.output.write_all(octets)?;
        Ok(self.output.flush()?)
    }

    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// A line beside the output: what goes on, never what was asked for.
    pub(crate) fn note(&mut self, text: &str) {
        // Without anybody to read notes, none is missed.
        let _ = writeln!(self.notes, "{text}");
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Waits; what takes longer than a second shows the time that has passed.
    pub(crate) async fn wait<T>(&mut self, what: &str, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        if !self.live {
            return future.await;
        }
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut shown = false;
        let result = loop {
            tokio::select! {
                result = &mut future => break result,
                _ = ticks.tick() => {
                    let elapsed = began.elapsed();
                    if elapsed < PATIENCE {
                        continue;
                    }
                    shown = true;
                    let spinner = SPINNER[(elapsed.as_millis() / 100) as usize % SPINNER.len()];
                    let _ = write!(self.notes, "\r\u{1b}[K{spinner} {what}, {} s", elapsed.as_secs());
                    let _ = self.notes.flush();
                }
            }
        };
        if shown {
            let _ = write!(self.notes, "\r\u{1b}[K");
            let _ = self.notes.flush();
        }
        result
    }
}

/// The columns of the terminal as clap finds them for its help; none when there is no terminal.
fn terminal_columns() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}
