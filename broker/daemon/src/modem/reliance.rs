//! The settings of the module that the broker relies on.
//!
//! One list for all who have to do with them: the sequence that brings the modem up compares and sets them, a port that was
//! lent to a terminal gets them set again, and nobody else may change them by a raw command.

use cellular::at::Command;
use cellular::at::command::{self, ErrorReporting, Setting, Storage};
use cellular::at::reply::{Domain, NewMessageIndication};
use cellular::pcm::SampleRate;

/// One of them.
pub(super) struct Reliance {
    /// The command that sets it, for people.
    pub(super) what: &'static str,
    /// How it is read, and what its values have to begin with. Some are read in another way, or not at all.
    pub(super) wanted: Option<(Setting, &'static [u32])>,
    /// What sets it, from the least to the best: of several, a firmware that refuses one keeps the one before.
    pub(super) writes: fn() -> Vec<Command>,
}

/// Every refusal has a number.
pub(super) const ERROR_NUMBERS: Reliance = Reliance {
    what: "AT+CMEE=1",
    wanted: None,
    writes: || vec![command::error_reporting(ErrorReporting::Numeric)],
};

/// PDU mode: a PDU that is handed over in text mode would go to somebody else.
pub(super) const MESSAGE_FORMAT: Reliance = Reliance {
    what: "AT+CMGF=0",
    wanted: Some((Setting::MessageFormat, &[0])),
    writes: || vec![command::message_format_pdu()],
};

/// A storage that somebody else selects while messages are received would have one deleted that nobody has read.
pub(super) const MESSAGE_STORAGE: Reliance = Reliance {
    what: "AT+CPMS",
    wanted: None,
    writes: || vec![command::message_storage(Storage::Sim, Storage::Sim, Storage::Sim)],
};

/// Messages are announced by their place, so that they are stored in the module until they are stored here; status reports
/// the same way where the firmware can, otherwise as they come, otherwise not at all.
pub(super) const MESSAGE_INDICATION: Reliance = Reliance {
    what: "AT+CNMI",
    wanted: Some((Setting::NewMessageIndication, &[2, 1, 0, 2])),
    writes: || [0, 1, 2].into_iter().filter_map(message_indication).collect(),
};

/// The character set of strings: what is not in it comes in hexadecimal all the same.
pub(super) const STRINGS: &str = "IRA";

/// `AT+CUSD`, `AT+CLIP` and others write strings in it. Another program may have left it at UCS2, and modules keep it until
/// they lose power.
pub(super) const CHARACTER_SET: Reliance = Reliance {
    what: "AT+CSCS",
    wanted: None,
    writes: || command::character_set(STRINGS).into_iter().collect(),
};

/// Unsolicited result codes go to every port.
pub(super) const UNSOLICITED_PORTS: Reliance = Reliance {
    what: "AT+CATR=0",
    wanted: Some((Setting::UnsolicitedPorts, &[0])),
    writes: || command::unsolicited_port(0).into_iter().collect(),
};

/// Registration with area and cell.
pub(super) const REGISTRATION: [(Domain, Reliance); 3] = [
    (
        Domain::Cs,
        Reliance {
            what: "AT+CREG=2",
            wanted: None,
            writes: || vec![command::registration_reports(Domain::Cs)],
        },
    ),
    (
        Domain::Ps,
        Reliance {
            what: "AT+CGREG=2",
            wanted: None,
            writes: || vec![command::registration_reports(Domain::Ps)],
        },
    ),
    (
        Domain::Eps,
        Reliance {
            what: "AT+CEREG=2",
            wanted: None,
            writes: || vec![command::registration_reports(Domain::Eps)],
        },
    ),
];

/// A sleeping UART loses the first bytes of a command and shows as I/O errors.
pub(super) const NO_SLEEP: Reliance = Reliance {
    what: "AT+CSCLK=0",
    wanted: Some((Setting::Sleep, &[0])),
    writes: || vec![command::sleep_off()],
};

/// What the network says in a USSD dialogue is shown.
pub(super) const USSD_REPORTS: Reliance = Reliance {
    what: "AT+CUSD=1",
    wanted: Some((Setting::UssdReports, &[1])),
    writes: || vec![command::ussd_reports()],
};

/// Who calls.
pub(super) const CALLER_ID: Reliance = Reliance {
    what: "AT+CLIP=1",
    wanted: Some((Setting::CallerId, &[1])),
    writes: || vec![command::caller_id_on()],
};

/// The caller's name, where the network knows it. Most firmwares do not know the command.
pub(super) const CALLER_NAME: Reliance = Reliance {
    what: "AT+CNAP=1",
    wanted: Some((Setting::CallerName, &[1])),
    writes: || vec![command::caller_name_on()],
};

/// Another call waits. The service itself is the network's and stays as it is.
pub(super) const CALL_WAITING: Reliance = Reliance {
    what: "AT+CCWA=1",
    wanted: Some((Setting::CallWaiting, &[1])),
    writes: || vec![command::call_waiting_indication(true)],
};

/// What kind of call it is that rings.
pub(super) const EXTENDED_RING: Reliance = Reliance {
    what: "AT+CRC=1",
    wanted: Some((Setting::ExtendedRing, &[1])),
    writes: || vec![command::extended_ring()],
};

/// Every change of a call.
pub(super) const CALL_REPORTS: Reliance = Reliance {
    what: "AT+CLCC=1",
    wanted: Some((Setting::CallListReports, &[1])),
    writes: || vec![command::call_list_reports()],
};

/// VoLTE calls run at 16 kHz unless told otherwise, which is noise on an audio port with 8 kHz.
const NARROW_AUDIO: Reliance = Reliance {
    what: "AT+CPCMBANDWIDTH=1,1",
    wanted: Some((Setting::PcmBandwidth, &[1, 1])),
    writes: || vec![command::pcm_bandwidth(SampleRate::Hz8000, SampleRate::Hz8000)],
};

/// The module's own default. Only VoLTE has wideband codecs here.
const WIDE_AUDIO: Reliance = Reliance {
    what: "AT+CPCMBANDWIDTH=0,1",
    wanted: Some((Setting::PcmBandwidth, &[0, 1])),
    writes: || vec![command::pcm_bandwidth(SampleRate::Hz16000, SampleRate::Hz8000)],
};

/// What the audio of calls relies on.
pub(super) const fn audio(rate: SampleRate) -> Reliance {
    match rate {
        SampleRate::Hz8000 => NARROW_AUDIO,
        SampleRate::Hz16000 => WIDE_AUDIO,
    }
}

/// Keys that the other side presses.
pub(super) const DTMF_DETECTION: Reliance = Reliance {
    what: "AT+DDET=1",
    wanted: Some((Setting::DtmfDetection, &[1])),
    writes: || vec![command::dtmf_detection()],
};

/// All of them, in the order in which they are set, but for the audio's.
const ALL: [Reliance; 17] = {
    let [(_, circuit), (_, packet), (_, evolved)] = REGISTRATION;
    [
        ERROR_NUMBERS,
        MESSAGE_FORMAT,
        MESSAGE_STORAGE,
        CHARACTER_SET,
        UNSOLICITED_PORTS,
        MESSAGE_INDICATION,
        circuit,
        packet,
        evolved,
        NO_SLEEP,
        USSD_REPORTS,
        CALLER_ID,
        CALLER_NAME,
        CALL_WAITING,
        EXTENDED_RING,
        CALL_REPORTS,
        DTMF_DETECTION,
    ]
};

/// What sets everything but the audio.
pub(super) fn commands_but_audio() -> Vec<Command> {
    ALL.iter().flat_map(|reliance| (reliance.writes)()).collect()
}

/// What sets everything. A firmware that does not know one of them refused it when the modem came up as well.
pub(super) fn commands(rate: SampleRate) -> Vec<Command> {
    ALL.iter()
        .chain([&audio(rate)])
        .flat_map(|reliance| (reliance.writes)())
        .collect()
}

/// Whether the broker relies on what a command sets, named without its `AT` and in capitals.
pub fn is_relied_on(name: &str) -> bool {
    let named = |reliance: &Reliance| reliance.what.trim_start_matches("AT").split('=').next() == Some(name);
    ALL.iter().chain([&NARROW_AUDIO]).any(named)
}

/// Announcements of messages by their place, and of status reports in this way.
pub(super) fn message_indication(status_report: u8) -> Option<Command> {
    let indication = NewMessageIndication {
        mode: 2,
        deliver: 1,
        broadcast: 0,
        status_report,
        buffer: 0,
    };
    // Every value is one that the command knows.
    command::new_message_indication(indication).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_nobody_else_may_set() {
        for command in commands(SampleRate::Hz16000) {
            let name = command
                .line
                .trim_start_matches("AT")
                .split('=')
                .next()
                .unwrap_or_default();
            assert!(is_relied_on(name), "{}", command.line);
        }
        for (name, relied_on) in [
            ("+CPMS", true),
            ("+CNMI", true),
            ("+CSQ", false),
            ("", false),
            ("+CMG", false),
        ] {
            assert_eq!(is_relied_on(name), relied_on, "{name}");
        }
    }
}
