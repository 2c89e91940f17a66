//! Dialogues of real modems, replayed through a session.
//!
//! The first line of each file in `data/at_transcripts` names its source. Some are excerpts: where a reply has no final result
//! code before the next command, the replay supplies `OK` and says so.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cellular::at::{Command, Config, Expects, Output, Session};
use expect_test::expect_file;

struct Replay {
    session: Session,
    now: Instant,
    log: String,
    fed: HashMap<String, i64>,
}

impl Replay {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin with; all others are sums"
    )]
    fn run(text: &str) -> String {
        let mut replay = Self {
            session: Session::new(Config::default()),
            now: Instant::now(),
            log: String::new(),
            fed: HashMap::new(),
        };
        let dump = hex_dump(text);
        let text = dump.as_deref().unwrap_or(text);
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<_> = lines.collect();
        for (at, line) in lines.iter().enumerate() {
            replay.line(line, lines.get(at + 1).copied().and_then(typed_payload));
        }
        replay.finish();
        replay.log
    }

    fn line(&mut self, line: &str, next_payload: Option<&str>) {
        if line.contains("\\r\\n") {
            let text = line.replace("\\r", "\r").replace("\\n", "\n");
            text.split(['\r', '\n'])
                .filter(|part| !part.is_empty())
                .for_each(|part| self.owe(part, 1));
            return self.feed(&text);
        }
        if line.starts_with("AT") {
            return self.command(line, next_payload);
        }
        if let Some(payload) = typed_payload(line) {
            self.feed("\r\n> ");
            return self.feed(&format!("{payload}\x1A\r\n"));
        }
        self.owe(line, 1);
        self.feed(&format!("\r\n{line}\r\n"));
    }

    fn command(&mut self, line: &str, next_payload: Option<&str>) {
        if !self.session.is_ready() {
            self.log.push_str("  (no final result code in the source)\n");
            self.feed("\r\nOK\r\n");
        }
        let name = line.split(['=', '?']).next().unwrap_or(line);
        let expects = match name {
            "AT+CMGR" | "AT+CMGL" if line.ends_with("=?") => Expects::Any,
            "AT+CMGR" => Expects::PrefixedWithBody(&["+CMGR"]),
            "AT+CMGL" => Expects::PrefixedWithBody(&["+CMGL"]),
            "AT+CMGRD" => Expects::PrefixedWithBody(&["+CMGRD"]),
            _ => Expects::Any,
        };
        let command = Command {
            line: line.to_owned(),
            expects,
            payload: next_payload.map(|payload| payload.as_bytes().to_vec()),
            timeout: Duration::from_secs(5),
            payload_timeout: None,
            abortable: false,
        };
        writeln!(self.log, "{line}").expect("a string takes everything");
        self.session.start(self.now, command).expect("the session is ready");
        self.feed(&format!("{line}\r\r\n"));
    }

    fn owe(&mut self, line: &str, count: i64) {
        *self.fed.entry(line.trim().to_owned()).or_default() += count;
    }

    fn feed(&mut self, text: &str) {
        self.session.handle_input(self.now, text.as_bytes());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Finished {
                    outcome: Ok(response), ..
                } => {
                    for line in &response.lines {
                        writeln!(self.log, "  reply {line}").expect("a string takes everything");
                        self.owe(line, -1);
                    }
                    writeln!(self.log, "  {}", response.result).expect("a string takes everything");
                }
                Output::Unsolicited(unsolicited) => {
                    for line in &unsolicited.lines {
                        writeln!(self.log, "  urc {line}").expect("a string takes everything");
                        self.owe(line, -1);
                    }
                    let meaning = format!("{:?}", unsolicited.urc);
                    let name = meaning.split(['(', ' ']).next().unwrap_or_default();
                    writeln!(self.log, "  = {name}").expect("a string takes everything");
                }
                Output::Finished {
                    outcome: Err(failure), ..
                } => panic!("{failure}"),
                Output::Transmit(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn finish(&mut self) {
        if !self.session.is_ready() {
            self.log.push_str("  (no final result code in the source)\n");
            self.feed("\r\nOK\r\n");
        }
        self.now += Duration::from_secs(2);
        self.session.handle_timeout(self.now);
        self.drain();
        let is_final = |line: &str| cellular::at::ResultCode::parse(line).is_some();
        let lost: Vec<_> = self
            .fed
            .iter()
            .filter(|(line, count)| **count != 0 && !is_final(line))
            .collect();
        assert!(
            lost.is_empty(),
            "lines that did not come out exactly once: {lost:?}\n{}",
            self.log
        );
    }
}

/// What was typed behind a prompt.
fn typed_payload(line: &str) -> Option<&str> {
    let payload = line
        .strip_suffix("<ctrl-Z>")
        .or_else(|| line.strip_suffix("<Ctrl+Z>"))?;
    Some(payload.trim_matches(['>', ' ']))
}

/// The text in a dump of bytes, up to its last complete line.
fn hex_dump(text: &str) -> Option<String> {
    let rows = text.lines().filter_map(|line| line.split_once("uart-rx:"));
    let octets = rows.flat_map(|(_, row)| row.split('|').next().unwrap_or_default().split_whitespace());
    let bytes: Vec<u8> = octets
        .map(|octet| u8::from_str_radix(octet, 16).expect("hexadecimal"))
        .collect();
    let text = String::from_utf8(bytes).expect("ASCII");
    text.rsplit_once("\r\n").map(|(complete, _)| complete.to_owned())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the dialogues are files beside the test")]
fn every_line_of_a_real_dialogue_comes_out_once_where_it_belongs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/at_transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() > 15, "transcripts are missing");
    let mut log = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let name = file
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        writeln!(log, "{name}\n{}", Replay::run(&text)).expect("a string takes everything");
    }
    expect_file!["data/at_transcripts/expected.log"].assert_eq(&log);
}
