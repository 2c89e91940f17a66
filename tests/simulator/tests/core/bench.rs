//! Drives the state machine without a runtime: text in, text out, time by hand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use simulator::control::{Request, Response};
use simulator::core::{Modem, Output};
use simulator::{Config, Function, Timing};

pub struct Bench {
    pub modem: Modem,
    now: Instant,
    heard: BTreeMap<Function, Vec<u8>>,
    pub facts: Vec<String>,
}

impl Bench {
    /// A module that has been on for a while: what it said at power-on is gone.
    pub fn new() -> Self {
        Self::with(Timing::Instant, Config::default())
    }

    pub fn with(timing: Timing, config: Config) -> Self {
        let now = Instant::now();
        let mut bench = Self {
            modem: Modem::new(now, timing, config),
            now,
            heard: BTreeMap::new(),
            facts: Vec::new(),
        };
        bench.modem.plug(now);
        bench.drain();
        bench
    }

    /// As [`Bench::new`], without echo and without the lines of power-on.
    pub fn quiet() -> Self {
        let mut bench = Self::new();
        bench.send("ATE0\r");
        bench.clear();
        bench
    }

    pub fn clear(&mut self) {
        self.heard.clear();
        self.facts.clear();
    }

    fn drain(&mut self) {
        while let Some(output) = self.modem.poll_output() {
            match output {
                Output::Bytes { port, bytes } => {
                    self.heard.entry(port).or_default().extend(bytes);
                }
                Output::Attached { composition, .. } => self.facts.push(format!("attached {:04X}", composition.0)),
                Output::Detached => self.facts.push("detached".to_owned()),
                Output::Deauthorized => self.facts.push("deauthorized".to_owned()),
                Output::AudioOn(flow) => {
                    self.facts
                        .push(format!("audio on {} {:?}", flow.sample_rate, flow.source));
                }
                Output::AudioOff => self.facts.push("audio off".to_owned()),
                Output::AudioTones(keys) => self.facts.push(format!("tones {keys}")),
                Output::AudioFault(fault) => self.facts.push(format!("audio {fault:?}")),
                Output::Kill { pid } => self.facts.push(format!("kill {pid}")),
            }
        }
    }

    /// What a port said since it was last asked, with `\r\n` shown as `|`.
    pub fn take_from(&mut self, port: Function) -> String {
        String::from_utf8_lossy(&self.heard.remove(&port).unwrap_or_default()).replace("\r\n", "|")
    }

    pub fn take(&mut self) -> String {
        self.take_from(Function::At)
    }

    pub fn send_to(&mut self, port: Function, text: &str) -> String {
        self.modem.handle_input(port, self.now, text.as_bytes());
        self.drain();
        self.take_from(port)
    }

    pub fn send_bytes(&mut self, port: Function, bytes: &[u8]) -> Vec<u8> {
        self.modem.handle_input(port, self.now, bytes);
        self.drain();
        self.heard.remove(&port).unwrap_or_default()
    }

    /// The host closes a port.
    pub fn close(&mut self, port: Function) {
        self.modem.handle_closed(port, self.now);
        self.drain();
    }

    pub fn send(&mut self, text: &str) -> String {
        self.send_to(Function::At, text)
    }

    /// Sends command lines and expects `OK` to each.
    pub fn set(&mut self, commands: &[&str]) {
        for command in commands {
            let answer = self.send(&format!("{command}\r"));
            assert!(answer.ends_with("|OK|"), "{command}: {answer}");
        }
    }

    pub fn ask(&mut self, request: Request) -> Result<Response, String> {
        let response = self
            .modem
            .handle_control(self.now, request)
            .map_err(|refused| refused.to_string());
        self.drain();
        response
    }

    pub fn tell(&mut self, request: Request) {
        let shown = format!("{request:?}");
        self.ask(request).unwrap_or_else(|refused| panic!("{shown}: {refused}"));
    }

    /// The same, and what the modem says about it on the QMI port.
    pub fn tell_and_take(&mut self, request: Request) -> Vec<u8> {
        self.tell(request);
        self.heard.remove(&Function::Qmi).unwrap_or_default()
    }

    pub fn deliver(&mut self, from: &str, text: &str) {
        self.tell(Request::DeliverText {
            from: from.to_owned(),
            text: text.to_owned(),
            flash: false,
        });
    }

    /// Lets time pass and gives what the AT port said meanwhile.
    pub fn wait(&mut self, ms: u64) -> String {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.modem.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.modem.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.take()
    }
}
