//! The fault script: what goes wrong, when, and how often.

use serde::{Deserialize, Serialize};

use super::hang::Cure;
use super::result_code::Code;
use super::sim_card::PinState;
use super::usb::Function;
use crate::control::RegistrationState;

/// One entry of the script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When it strikes.
    #[serde(default)]
    pub trigger: Trigger,
    /// What happens.
    pub action: FaultAction,
    /// How many times a command trigger strikes before the entry is used up; 0 is for ever.
    #[serde(default = "once")]
    pub count: u32,
}

const fn once() -> u32 {
    1
}

impl Fault {
    /// Strikes at once.
    pub fn now(action: FaultAction) -> Self {
        Self {
            trigger: Trigger::Now,
            action,
            count: 1,
        }
    }

    /// Strikes at the next command that fits, before or after its effect.
    pub fn on_command(matches: impl Into<String>, phase: Phase, action: FaultAction) -> Self {
        Self {
            trigger: Trigger::OnCommand {
                matches: matches.into(),
                nth: 1,
                phase,
                port: None,
            },
            action,
            count: 1,
        }
    }

    /// The same with a number of strikes.
    pub fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// Strikes first at the n-th command that fits.
    pub fn at_nth(mut self, n: u32) -> Self {
        if let Trigger::OnCommand { nth, .. } = &mut self.trigger {
            *nth = n;
        }
        self
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// As soon as it is told.
    #[default]
    Now,
    /// At a command.
    OnCommand {
        /// The beginning of the command without `AT` (`+CMGS`, `D`), case ignored; `*` stands for any run of characters.
        matches: String,
        /// The first fitting command that counts, from 1.
        #[serde(default = "once")]
        nth: u32,
        /// Before or after the effect of the command.
        #[serde(default)]
        phase: Phase,
        /// Only on this port.
        #[serde(default)]
        port: Option<Function>,
    },
}

/// On which side of a command's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The command has had no effect yet, and with an unplug or a refusal never will.
    #[default]
    Before,
    /// The command has had its effect; its final result is not out yet.
    After,
    /// The prompt of the command is out, and no octet of its data has come.
    Prompted,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// The final result code never comes; the information lines do.
    LoseFinalResult,
    /// Neither lines nor result come.
    LoseReply,
    /// The result comes late.
    Delay {
        /// By this much.
        ms: u64,
    },
    /// The command is answered with an error: before, instead of being executed; prompted, after its data was taken, which
    /// has no effect either; after, although it was executed.
    Refuse {
        /// With this one.
        code: Code,
    },
    /// The command is answered with these lines instead of being executed: what another firmware says, or what noise made
    /// of a reply.
    Answer {
        /// Information text, without line ends.
        lines: Vec<String>,
        /// The result code behind it.
        code: Code,
    },
    /// The same at every fitting command, until the radio is switched off and on again.
    RefuseUntilRadioCycled {
        /// With this one.
        code: Code,
    },
    /// An unsolicited line inside the reply, between its lines and its result code; at once without a command.
    InjectUnsolicited {
        /// Without line ends.
        line: String,
    },
    /// Raw bytes: before the reply (phase before), inside it (phase after), or at once.
    InjectBytes {
        /// Hexadecimal.
        hex: String,
    },
    /// The `> ` prompt never appears, although the module waits for data.
    LosePrompt,
    /// The module resets itself right after the prompt.
    ResetAfterPrompt,
    /// The AT ports swallow everything for a while.
    Silence {
        /// For so long.
        ms: u64,
    },
    /// A port, or every AT port, takes everything and says nothing, until something brings it back.
    Hang {
        /// Only this port.
        #[serde(default)]
        port: Option<Function>,
        /// What brings it back.
        until: Cure,
    },
    /// The command line is echoed twice.
    EchoTwice,
    /// The module crashes and enumerates anew.
    Reset,
    /// A program of the host is killed (SIGKILL) at this very moment, before it hears anything more of the module.
    KillHost {
        /// Its process id.
        pid: u32,
    },
    /// The cable is pulled.
    Unplug {
        /// And put back after this time.
        #[serde(default)]
        replug_after_ms: Option<u64>,
        /// The nodes come back with other numbers.
        #[serde(default)]
        renumber: bool,
    },
    /// A message storage has no room any more, as if it held other messages.
    StorageFull {
        /// `ME` or `SM`.
        storage: String,
    },
    /// `AT+CPCMREG=1` answers `ERROR` although a call is up.
    RefusePcm {
        /// So many times.
        times: u32,
    },
    /// From the second call after each start on, `AT+CPCMREG=1` is refused at first; a restart of the module cures it until
    /// the second call.
    PcmWearsOut {
        /// So many times at each call; 0: not any more.
        times: u32,
    },
    /// The module reports no change of a call any more: neither `+CLCC` nor `VOICE CALL` nor `MISSED_CALL`. Its list is
    /// still right.
    MuteCallReports {
        /// So, or as usual again.
        muted: bool,
    },
    /// Unsolicited lines with this beginning are not written, so many times; what they tell of happens all the same.
    LoseUnsolicited {
        /// Such as `+CMTI`.
        prefix: String,
        /// So many lines.
        times: u32,
    },
    /// The device leaves the bus and comes back while the module and its calls go on.
    Reenumerate {
        /// After this time.
        ms: u64,
        /// The nodes come back with other numbers.
        #[serde(default)]
        renumber: bool,
    },
    /// What the audio port does wrong.
    Audio(AudioFault),
    /// The network treats the modem differently.
    Registration {
        /// From now on.
        state: RegistrationState,
    },
    /// The SIM changes its state (removed, locked).
    Sim {
        /// To this.
        state: PinState,
    },
}

/// What can be wrong with the flow of PCM. Each stays until it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioFault {
    /// Back to normal.
    None,
    /// Nothing moves in either direction for a while; the downlink samples of that time are lost.
    Stall {
        /// For so long.
        ms: u64,
    },
    /// The flow begins late.
    Late {
        /// By so much.
        ms: u64,
    },
    /// Frames of 20 ms come `frames` at a time, then nothing until the next are due.
    Burst {
        /// Per burst.
        frames: u32,
    },
    /// Bytes per write instead of 320; odd numbers split samples.
    Chunk {
        /// At least 1.
        bytes: u32,
    },
    /// The module does not take what the host writes.
    DeadUplink,
    /// Nothing comes from the module; what the host writes is taken.
    DeadDownlink,
    /// One byte of the downlink is lost; after that everything is normal.
    ByteSlip,
    /// Its clock runs fast (positive) or slow.
    Clock {
        /// Parts per million.
        ppm: i32,
    },
}

/// The script with its progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    entries: Vec<(Fault, u32)>,
    /// Beginnings of unsolicited lines that get lost, and how many of them still.
    lost_lines: Vec<(String, u32)>,
}

impl Script {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.entries.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.lost_lines.clear();
    }

    /// Loses unsolicited lines from now on.
    pub(crate) fn lose_lines(&mut self, prefix: String, times: u32) {
        self.lost_lines.push((prefix, times));
    }

    /// Whether this unsolicited line gets lost.
    pub(crate) fn loses(&mut self, line: &str) -> bool {
        let lost = self
            .lost_lines
            .iter_mut()
            .find(|(prefix, _)| line.starts_with(prefix.as_str()));
        if let Some((_, times)) = lost {
            *times = times.saturating_sub(1);
            self.lost_lines.retain(|(_, times)| *times > 0);
            return true;
        }
        false
    }

    /// The radio was switched on.
    pub(crate) fn radio_cycled(&mut self) {
        self.entries
            .retain(|(fault, _)| !matches!(fault.action, FaultAction::RefuseUntilRadioCycled { .. }));
    }

    pub(crate) fn pending(&self) -> Vec<Fault> {
        self.entries.iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// The faults that strike at this command.
    pub(crate) fn strike(&mut self, port: Function, command: &str) -> Vec<(Phase, FaultAction)> {
        let mut striking = Vec::new();
        self.entries.retain_mut(|(fault, seen)| {
            let Trigger::OnCommand {
                matches,
                nth,
                phase,
                port: only,
            } = &fault.trigger
            else {
                return false;
            };
            if only.is_some_and(|only| only != port) || !fits(matches, command) {
                return true;
            }
            *seen += 1;
            if *seen < (*nth).max(1) {
                return true;
            }
            striking.push((*phase, fault.action.clone()));
            let lasts = matches!(fault.action, FaultAction::RefuseUntilRadioCycled { .. });
            lasts || fault.count == 0 || *seen + 1 < (*nth).max(1) + fault.count
        });
        striking
    }
}

/// Prefix match without case, `*` for any run of characters.
fn fits(pattern: &str, command: &str) -> bool {
    let pattern = pattern.to_ascii_uppercase();
    let pattern = pattern.strip_prefix("AT").unwrap_or(&pattern);
    let command = command.to_ascii_uppercase();
    let mut rest = command.as_str();
    for (position, part) in pattern.split('*').enumerate() {
        let found = if position == 0 {
            rest.starts_with(part).then_some(0)
        } else {
            rest.find(part)
        };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_from_the_nth_fitting_command_and_so_often() {
        let mut script = Script::default();
        script.add(
            Fault::on_command("+CMGS", Phase::After, FaultAction::LoseFinalResult)
                .at_nth(2)
                .times(2),
        );
        let struck: Vec<bool> = ["+CMGS=1", "+CSQ", "+CMGS=2", "+cmgs=3", "+CMGS=4"]
            .into_iter()
            .map(|command| !script.strike(Function::At, command).is_empty())
            .collect();
        assert_eq!(struck, [false, false, true, true, false]);
        assert!(script.pending().is_empty());
    }

    #[test]
    fn patterns_are_prefixes_with_wildcards() {
        for (pattern, command, expected) in [
            ("AT+CMGS", "+CMGS=23", true),
            ("+CMGS=*4", "+CMGS=154", true),
            ("*23", "+CMGS=123", true),
            ("+CMGR", "+CMGS=1", false),
            ("D", "D123;", true),
            ("", "+CSQ", true),
        ] {
            assert_eq!(fits(pattern, command), expected, "{pattern} {command}");
        }
    }
}
