//! How long commands may take.
//!
//! The SIM7600 manual V1.12 states a maximum for `AT+CNMP` only. The rest are safe limits: well above what was measured on
//! real units (a plain command under 1 s, 3 to 4 s when the module is busy, a hang-up 0.7 s, a message 5 to 21 s and its
//! failure after 120 s), and below the point where waiting longer never helped.

use std::time::Duration;

/// Commands that concern the module alone.
pub const LOCAL: Duration = Duration::from_secs(5);
/// Commands that read the SIM or the message storage. Messages in the module's own memory are slow.
pub const STORAGE: Duration = Duration::from_secs(30);
/// Deleting one message. It was never seen to take a second, and a time-out costs little: nothing is lost when it is asked
/// for again, whereas everything else waits for it.
pub const STORAGE_DELETE: Duration = Duration::from_secs(5);
/// Listing a full storage.
pub const STORAGE_BULK: Duration = Duration::from_secs(60);
/// `AT+CFUN`: switching the radio.
pub const FUNCTIONALITY: Duration = Duration::from_secs(15);
/// `AT+CRESET`: accepting it. The restart takes 14 to 20 s and is seen by the ports going away.
pub const RESET: Duration = Duration::from_secs(10);
/// `AT+COPS?`, which may have to ask the radio.
pub const OPERATOR: Duration = Duration::from_secs(15);
/// `AT+COPS=?`: a search on every band.
pub const OPERATOR_SCAN: Duration = Duration::from_secs(180);
/// `AT+COPS=…`: selecting and registering.
pub const OPERATOR_SELECTION: Duration = Duration::from_secs(120);
/// `AT+CNMP`, the only maximum that the manual states.
pub const PREFERRED_MODE: Duration = Duration::from_secs(10);
/// The prompt of `AT+CMGS`. It comes at once or not at all.
pub const MESSAGE_PROMPT: Duration = Duration::from_secs(10);
/// From the end of the message to its reference. The network's own time-out was seen after 120 s.
pub const MESSAGE_SUBMISSION: Duration = Duration::from_secs(150);
/// `ATD…;`
pub const DIAL: Duration = Duration::from_secs(90);
/// `ATA`
pub const ANSWER: Duration = Duration::from_secs(20);
/// `AT+CHUP`
pub const HANG_UP: Duration = Duration::from_secs(15);
/// `AT+CUSD`: accepting it. The answer is unsolicited and may take another two minutes.
pub const USSD: Duration = Duration::from_secs(30);
/// `AT+CCFC`: a dialogue with the network.
pub const SUPPLEMENTARY_SERVICE: Duration = Duration::from_secs(60);
/// `AT+CGACT`
pub const PDP_ACTIVATION: Duration = Duration::from_secs(150);
/// `AT+CGPS=0` waits for the receiver.
pub const GNSS: Duration = Duration::from_secs(30);
/// `AT+CUSBPIDSWITCH`: accepting it before the module restarts.
pub const COMPOSITION: Duration = Duration::from_secs(10);
