//! Where output goes, and what that place can show.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::termios::{SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::table::{clean, escape_hidden};

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
    /// Whether somebody sits at the input.
    interactive: bool,
    /// Where what is typed comes from, until it is taken.
    input: Option<Box<dyn Read + Send>>,
    pub(crate) zone: TimeZone,
    /// What counts as now; the clock, where nothing is set.
    now: Option<Timestamp>,
}

/// What is typed, or comes from a pipe.
pub(crate) struct Typed {
    chunks: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Typed {
    /// The next bytes as they come; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        self.chunks.recv().await
    }

    /// The next line without its end; `None` at the end. Cancel safe.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            match self.chunks.recv().await {
                Some(chunk) => self.rest.extend(chunk),
                None if self.rest.is_empty() => return None,
                None => return Some(String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()),
            }
        }
    }
}

/// A terminal whose lines can also be ended by Ctrl-Z and Ctrl-], and on which Ctrl-Z does not stop the program. Editing a
/// line stays the terminal's own matter. Dropping it restores what was.
pub(crate) struct LineMode(Option<Termios>);

impl LineMode {
    pub(crate) fn enter() -> LineMode {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return LineMode(None);
        };
        let mut mode = before.clone();
        mode.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0;
        mode.control_chars[SpecialCharacterIndices::VEOL as usize] = 0x1A;
        mode.control_chars[SpecialCharacterIndices::VEOL2 as usize] = 0x1D;
        match tcsetattr(io::stdin(), SetArg::TCSADRAIN, &mode) {
            Ok(()) => LineMode(Some(before)),
            Err(_) => LineMode(None),
        }
    }
}

impl Drop for LineMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing is left to do about a terminal that cannot be restored.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

impl Console {
    /// The process's own output, with times in the zone of the machine or of `TZ`.
    pub fn standard(no_colour: bool) -> Result<Self, Failure> {
        let terminal = io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        // https://no-color.org: set and not empty.
        let unwanted = no_colour
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Ok(Self {
            output: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            width: terminal.then(|| columns.or_else(terminal_columns).unwrap_or(100)),
            colour: terminal && !unwanted,
            live: io::stderr().is_terminal(),
            interactive: io::stdin().is_terminal(),
            input: Some(Box::new(io::stdin())),
            zone: local_zone()?,
            now: None,
        })
    }

    /// Output to anything else: without colours, times in UTC.
    pub fn plain(output: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Self {
        Self {
            output: Box::new(output),
            notes: Box::new(notes),
            width: None,
            colour: false,
            live: false,
            interactive: false,
            input: None,
            zone: TimeZone::UTC,
            now: None,
        }
    }

    /// The same with an input.
    pub fn with_input(mut self, input: impl Read + Send + 'static) -> Self {
        self.input = Some(Box::new(input));
        self
    }

    /// Whether somebody sits at the input.
    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Takes the input. Reading blocks a thread of its own, which ends with the program.
    pub(crate) fn typed(&mut self) -> Typed {
        let (sender, chunks) = mpsc::channel(4);
        if let Some(mut input) = self.input.take() {
            tokio::task::spawn_blocking(move || {
                let mut buffer = [0_u8; 4096];
                while let Ok(count @ 1..) = input.read(&mut buffer) {
                    if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        Typed {
            chunks,
            rest: Vec::new(),
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }

    /// Lives at this time, in this zone.
    pub fn at(mut self, now: Timestamp, zone: TimeZone) -> Self {
        self.now = Some(now);
        self.zone = zone;
        self
    }

    /// A question on the line that is then typed on.
    pub(crate) fn prompt(&mut self, text: &str) {
        // Without anybody to read it, nobody has to be asked.
        let _ = write!(self.notes, "{text}");
        let _ = self.notes.flush();
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
        self.line(&escape_hidden(&value.to_string()))
    }

    /// A line beside the output: what goes on, never what was asked for.
    pub(crate) fn note(&mut self, text: &str) {
        // Without anybody to read notes, none is missed.
        let _ = writeln!(self.notes, "{}", clean(text));
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

/// The zone that `TZ` names, otherwise that of the machine, otherwise UTC.
fn local_zone() -> Result<TimeZone, Failure> {
    let named = std::env::var("TZ").unwrap_or_default();
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        Err(_) if named.is_empty() => Ok(TimeZone::UTC),
        Err(_) => Err(Failure::usage(format!(
            "TZ={named} is no time zone; use a name such as Europe/Berlin, or unset TZ"
        ))),
    }
}

/// The columns of the terminal as clap finds them for its help; none when there is no terminal.
fn terminal_columns() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}
