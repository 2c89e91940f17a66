//! Final result codes and the numbers behind `+CME ERROR` and `+CMS ERROR`.
//!
//! Sources: the SIM7500/SIM7600 command manual V1.12 (clause 19.3) for CME, the module's CMS table as published with
//! py-sim7600. Both tables use the module's own spelling, which differs from 27.007 and 27.005 in places.

use serde::{Deserialize, Serialize};

/// `+CME ERROR` by number.
const CME: &[(u16, &str)] = &[
    (0, "phone failure"),
    (1, "no connection to phone"),
    (2, "phone adaptor link reserved"),
    (3, "operation not allowed"),
    (4, "operation not supported"),
    (5, "PH-SIM PIN required"),
    (6, "PH-FSIM PIN required"),
    (7, "PH-FSIM PUK required"),
    (10, "SIM not inserted"),
    (11, "SIM PIN required"),
    (12, "SIM PUK required"),
    (13, "SIM failure"),
    (14, "SIM busy"),
    (15, "SIM wrong"),
    (16, "incorrect password"),
    (17, "SIM PIN2 required"),
    (18, "SIM PUK2 required"),
    (20, "memory full"),
    (21, "invalid index"),
    (22, "not found"),
    (23, "memory failure"),
    (24, "text string too long"),
    (25, "invalid characters in text string"),
    (26, "dial string too long"),
    (27, "invalid characters in dial string"),
    (30, "no network service"),
    (31, "network timeout"),
    (32, "network not allowed - emergency calls only"),
    (40, "network personalization PIN required"),
    (41, "network personalization PUK required"),
    (42, "network subset personalization PIN required"),
    (43, "network subset personalization PUK required"),
    (44, "service provider personalization PIN required"),
    (45, "service provider personalization PUK required"),
    (46, "corporate personalization PIN required"),
    (47, "corporate personalization PUK required"),
    (100, "Unknown"),
    (106, "Illegal ME"),
    (107, "GPRS services not allowed"),
    (111, "PLMN not allowed"),
    (112, "Location area not allowed"),
    (113, "Roaming not allowed in this location area"),
    (132, "service option not supported"),
    (133, "requested service option not subscribed"),
    (134, "service option temporarily out of order"),
    (148, "unspecified GPRS error"),
    (149, "PDP authentication failure"),
    (150, "invalid mobile class"),
    (257, "network rejected request"),
    (258, "retry operation"),
    (259, "invalid deflected to number"),
    (260, "deflected to own number"),
    (261, "unknown subscriber"),
    (262, "service not available"),
    (263, "unknown class specified"),
    (264, "unknown network message"),
    (273, "minimum TFTS per PDP address violated"),
    (274, "TFT precedence index not unique"),
    (275, "invalid parameter combination"),
];

/// `+CMS ERROR` by number.
const CMS: &[(u16, &str)] = &[
    (300, "ME failure"),
    (301, "SMS service of ME reserved"),
    (302, "Operation not allowed"),
    (303, "Operation not supported"),
    (304, "Invalid PDU mode parameter"),
    (305, "Invalid text mode parameter"),
    (310, "SIM not inserted"),
    (311, "SIM PIN required"),
    (312, "PH-SIM PIN required"),
    (313, "SIM failure"),
    (314, "SIM busy"),
    (315, "SIM wrong"),
    (316, "SIM PUK required"),
    (317, "SIM PIN2 required"),
    (318, "SIM PUK2 required"),
    (320, "Memory failure"),
    (321, "Invalid memory index"),
    (322, "Memory full"),
    (330, "SMSC address unknown"),
    (331, "No network service"),
    (332, "Network timeout"),
    (340, "NO +CNMA ACK EXPECTED"),
    (341, "Buffer overflow"),
    (342, "SMS size more than expected"),
    (500, "Unknown error"),
];

/// What ends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// `OK`
    Ok,
    /// `ERROR`
    Error,
    /// `CONNECT`, with the rate of the port.
    Connect,
    /// `NO CARRIER`
    NoCarrier,
    /// `BUSY`
    Busy,
    /// `NO ANSWER`
    NoAnswer,
    /// `+CME ERROR` with its number (27.007 clause 9.2).
    Cme(u16),
    /// `+CMS ERROR` with its number (27.005 clause 3.2.5).
    Cms(u16),
}

impl Code {
    /// The line for this code with `AT+CMEE` set to `verbosity`.
    pub fn line(self, verbosity: u32) -> String {
        let numbered = |kind: &str, number: u16, table: &[(u16, &str)]| match verbosity {
            0 if kind == "CME" => "ERROR".to_owned(),
            2 => {
                let name = table.iter().find(|(n, _)| *n == number).map(|(_, name)| *name);
                name.map_or_else(
                    || format!("+{kind} ERROR: {number}"),
                    |name| format!("+{kind} ERROR: {name}"),
                )
            }
            _ => format!("+{kind} ERROR: {number}"),
        };
        match self {
            Self::Ok => "OK".to_owned(),
            Self::Error => "ERROR".to_owned(),
            Self::Connect => "CONNECT 115200".to_owned(),
            Self::NoCarrier => "NO CARRIER".to_owned(),
            Self::Busy => "BUSY".to_owned(),
            Self::NoAnswer => "NO ANSWER".to_owned(),
            Self::Cme(number) => numbered("CME", number, CME),
            Self::Cms(number) => numbered("CMS", number, CMS),
        }
    }

    /// The digit of `ATV0` (V.250 clause 5.7.1); the `+CMx ERROR` forms have none.
    pub fn digit(self) -> Option<u8> {
        match self {
            Self::Ok => Some(0),
            Self::Connect => Some(1),
            Self::NoCarrier => Some(3),
            Self::Error => Some(4),
            Self::Busy => Some(7),
            Self::NoAnswer => Some(8),
            Self::Cme(_) | Self::Cms(_) => None,
        }
    }
}
