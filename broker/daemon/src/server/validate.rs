//! Requests are made into domain values here and nowhere else: what passes is in range, and what does not is named by field.

use std::time::Duration;

use cellular::sms::address::{PhoneNumber, PhoneNumberError};
use jiff::Timestamp;

use crate::refusal::Refusal;
use crate::resource::{AccessTechnology, Forwarding, ForwardingReason, WanMode, WanRole};

/// Largest page of a list.
const PAGE_SIZE_MAX: u32 = 1000;

/// 23.003 9.1: at most 100 octets.
const ACCESS_POINT_NAME_MAX: usize = 100;

/// A value of an enum. A number that this build does not know is never taken for "not set": a newer client means something.
pub(super) fn known<E: TryFrom<i32>>(field: &'static str, number: i32) -> Result<E, Refusal> {
    E::try_from(number).map_err(|_| Refusal::FieldInvalid {
        field,
        problem: format!("{number} is not known to this broker"),
    })
}

/// Values of a list, each of which has to be known and set, so that a list that is not empty never means "all".
pub(super) fn all_known<E: TryFrom<i32>>(field: &'static str, numbers: &[i32]) -> Result<Vec<E>, Refusal> {
    numbers
        .iter()
        .map(|number| match number {
            0 => Err(Refusal::FieldInvalid {
                field,
                problem: "has a value that is not set".to_owned(),
            }),
            number => known(field, *number),
        })
        .collect()
}

/// A page size, with its default for 0.
pub(super) fn page_size(value: u32, default: u32) -> Result<u32, Refusal> {
    match value {
        0 => Ok(default),
        1..=PAGE_SIZE_MAX => Ok(value),
        _ => Err(Refusal::FieldInvalid {
            field: "page_size",
            problem: format!("{value} is not between 1 and {PAGE_SIZE_MAX}"),
        }),
    }
}

/// A time.
pub(super) fn time(field: &'static str, written: prost_types::Timestamp) -> Result<Timestamp, Refusal> {
    Timestamp::new(written.seconds, written.nanos).map_err(|_| Refusal::FieldInvalid {
        field,
        problem: "is not a time".to_owned(),
    })
}

/// A `request_id`: a UUID, or a new one when the caller gave none.
pub(super) fn request_id(value: &str) -> Result<String, Refusal> {
    if value.is_empty() {
        return Ok(uuid::Uuid::new_v4().to_string());
    }
    uuid::Uuid::parse_str(value)
        .map(|id| id.to_string())
        .map_err(|_| Refusal::FieldInvalid {
            field: "request_id",
            problem: "is not a UUID, such as 123e4567-e89b-42d3-a456-426614174000".to_owned(),
        })
}

/// An access point name (23.003 9.1); `None` for an empty one.
pub(super) fn access_point_name(value: String) -> Result<Option<String>, Refusal> {
    let fits = value.len() <= ACCESS_POINT_NAME_MAX
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if !fits {
        return Err(Refusal::FieldInvalid {
            field: "apn",
            problem: format!("must be at most {ACCESS_POINT_NAME_MAX} letters, digits, '.', '-' and '_'"),
        });
    }
    Ok(Some(value).filter(|name| !name.is_empty()))
}

/// An operator to select: its MCC and MNC, none for automatic selection, and the technology.
pub(super) fn operator(
    plmn: String,
    technology: api::v1::AccessTechnology,
) -> Result<(Option<String>, Option<AccessTechnology>), Refusal> {
    let invalid = |field, problem: &str| Refusal::FieldInvalid {
        field,
        problem: problem.to_owned(),
    };
    let technology = match technology {
        api::v1::AccessTechnology::Unspecified => None,
        some => Some(access_technology("technology", some)?),
    };
    if plmn.is_empty() {
        return match technology {
            None => Ok((None, None)),
            Some(_) => Err(invalid(
                "technology",
                "needs plmn; for automatic selection in one technology set the modes",
            )),
        };
    }
    if !matches!(plmn.len(), 5 | 6) || !plmn.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(
            "plmn",
            "must be five or six digits: mobile country code and mobile network code",
        ));
    }
    Ok((Some(plmn), technology))
}

/// Technologies that may be used, each once; all if none is named.
pub(super) fn technologies(named: &[i32]) -> Result<Vec<AccessTechnology>, Refusal> {
    let mut technologies = Vec::new();
    for named in all_known("technologies", named)? {
        let technology = access_technology("technologies", named)?;
        if technologies.contains(&technology) {
            return Err(Refusal::FieldInvalid {
                field: "technologies",
                problem: "names one twice".to_owned(),
            });
        }
        technologies.push(technology);
    }
    if technologies.is_empty() {
        technologies.extend([AccessTechnology::Lte, AccessTechnology::Umts, AccessTechnology::Gsm]);
    }
    Ok(technologies)
}

fn access_technology(field: &'static str, named: api::v1::AccessTechnology) -> Result<AccessTechnology, Refusal> {
    match named {
        api::v1::AccessTechnology::Gsm => Ok(AccessTechnology::Gsm),
        api::v1::AccessTechnology::Umts => Ok(AccessTechnology::Umts),
        api::v1::AccessTechnology::Lte => Ok(AccessTechnology::Lte),
        api::v1::AccessTechnology::Unspecified | api::v1::AccessTechnology::NoService => Err(Refusal::FieldInvalid {
            field,
            problem: "must be GSM, UMTS or LTE".to_owned(),
        }),
    }
}

/// A telephone number. This is the one place where a number that somebody wrote is read.
pub(super) fn phone_number(field: &'static str, value: &str) -> Result<PhoneNumber, Refusal> {
    value
        .parse()
        .map_err(|error: PhoneNumberError| Refusal::PhoneNumberInvalid {
            field,
            problem: error.to_string(),
        })
}

/// Whose messages are asked for: a number in any spelling, or the name that a sender has instead of one.
pub(super) fn correspondent(value: String) -> Option<String> {
    let spelled = value.parse().map(|number: PhoneNumber| number.to_string());
    optional(spelled.unwrap_or(value))
}

/// A number to call: digits with an optional "+". Codes with `*` and `#` are supplementary services, which change the
/// subscription (call forwarding, for instance), and no call.
pub(super) fn callee(value: &str, field: &'static str, emergency_calls: bool) -> Result<Callee, Refusal> {
    let invalid = |problem: &str| Refusal::PhoneNumberInvalid {
        field,
        problem: problem.to_owned(),
    };
    let number = phone_number(field, value)?;
    if number.as_str().contains(['*', '#']) {
        return Err(invalid(
            "a code with * or # is no number to call; send it as USSD (modemctl ussd)",
        ));
    }
    let digits = number.as_str().trim_start_matches('+');
    let emergency = EMERGENCY.contains(&digits);
    if is_emergency(digits) && !emergency_calls {
        return Err(invalid(
            "this is an emergency number; emergency_calls = true in [voice] allows those",
        ));
    }
    Ok(Callee {
        number: number.into(),
        emergency,
    })
}

/// Whom to call.
pub(super) struct Callee {
    /// The number as it is dialled.
    pub(super) number: String,
    /// It reaches emergency services, which needs no network of one's own.
    pub(super) emergency: bool,
}

/// A call forwarding to set.
pub(super) fn forwarding(value: api::v1::CallForwarding) -> Result<Forwarding, Refusal> {
    use api::v1::CallForwardingReason;
    let invalid = |field, problem: &str| Refusal::FieldInvalid {
        field,
        problem: problem.to_owned(),
    };
    let reason = match known("forwarding.reason", value.reason)? {
        CallForwardingReason::Unconditional => ForwardingReason::Unconditional,
        CallForwardingReason::Busy => ForwardingReason::Busy,
        CallForwardingReason::NoReply => ForwardingReason::NoReply,
        CallForwardingReason::NotReachable => ForwardingReason::NotReachable,
        CallForwardingReason::Unspecified => return Err(invalid("forwarding.reason", "must be given")),
    };
    let number = if value.enabled {
        callee(&value.number, "forwarding.number", false)?.number
    } else {
        String::new()
    };
    let classes = u8::try_from(value.classes.max(1))
        .map_err(|_| invalid("forwarding.classes", "is no sum of the classes 1 to 128"))?;
    let no_reply_s = match (value.no_reply_seconds, reason) {
        (0, _) => None,
        (seconds @ (5 | 10 | 15 | 20 | 25 | 30), ForwardingReason::NoReply) => u8::try_from(seconds).ok(),
        _ => {
            let problem = "must be 5, 10, 15, 20, 25 or 30, and for NO_REPLY only";
            return Err(invalid("forwarding.no_reply_seconds", problem));
        }
    };
    Ok(Forwarding {
        reason,
        enabled: value.enabled,
        number,
        no_reply_s,
        classes,
    })
}

/// 22.101 10.1.1 without a SIM's own list: numbers that reach emergency services somewhere.
const EMERGENCY: &[&str] = &["000", "08", "110", "112", "118", "119", "911", "999"];

/// Ambulance, police and fire brigade of single countries, where a SIM of that country lists them.
const EMERGENCY_OF_COUNTRIES: &[&str] = &[
    "061", "100", "101", "102", "103", "104", "108", "113", "114", "115", "116", "117", "120", "122", "133", "144",
    "15", "166", "17", "18", "190", "191", "192", "193", "194", "197",
];

/// Whether digits reach emergency services somewhere, also with the prefix of an international call before them.
fn is_emergency(digits: &str) -> bool {
    let local = digits.strip_prefix("00").unwrap_or(digits);
    [digits, local]
        .iter()
        .any(|digits| EMERGENCY.contains(digits) || EMERGENCY_OF_COUNTRIES.contains(digits))
}

/// Refuses what would reach emergency services by something that is no call: nobody reads it there, and it may ring.
pub(super) fn no_emergency(field: &'static str, number: &str) -> Result<(), Refusal> {
    if is_emergency(number.trim_start_matches('+')) {
        return Err(Refusal::FieldInvalid {
            field,
            problem: "this is an emergency number; emergency services are called, not written to".to_owned(),
        });
    }
    Ok(())
}

/// Tones of one request.
const TONES_MAX: usize = 29;

/// DTMF tones (27.007 C.2.11).
pub(super) fn tones(value: &str, field: &'static str) -> Result<String, Refusal> {
    let upper = value.to_ascii_uppercase();
    let valid = !upper.is_empty()
        && upper.len() <= TONES_MAX
        && upper
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#'));
    if valid {
        Ok(upper)
    } else {
        Err(Refusal::FieldInvalid {
            field,
            problem: "must be 1 to 29 of 0-9, A-D, * and #".to_owned(),
        })
    }
}

/// A USSD code. What the modem cannot take is refused here, before anything is stored.
pub(super) fn ussd_code(value: &str) -> Result<(), Refusal> {
    no_emergency("code", value.trim())?;
    if value.trim().starts_with('+') {
        return Err(Refusal::FieldInvalid {
            field: "code",
            problem: "this is a number and no code: expected one such as *101#".to_owned(),
        });
    }
    cellular::at::command::ussd(value)
        .map(drop)
        .map_err(|error| Refusal::FieldInvalid {
            field: "code",
            problem: format!("{}: expected a code such as *101#", error.reason),
        })
}

/// An identifier that may be left out.
pub(super) fn optional(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// When a span that ends now began; without one, the beginning of time.
pub(super) fn span_start(span: Option<prost_types::Duration>) -> Result<Timestamp, Refusal> {
    let Some(span) = span else { return Ok(Timestamp::MIN) };
    let span = Duration::try_from(span).map_err(|_| Refusal::FieldInvalid {
        field: "span",
        problem: "must not be negative".to_owned(),
    })?;
    Ok(Timestamp::now().checked_sub(span).unwrap_or(Timestamp::MIN))
}

/// How the modem's data is to be used.
pub(super) fn wan_mode(mode: api::v1::WanMode) -> Result<WanMode, Refusal> {
    match mode {
        api::v1::WanMode::Off => Ok(WanMode::Off),
        api::v1::WanMode::Backup => Ok(WanMode::Backup),
        api::v1::WanMode::Standby => Ok(WanMode::Standby),
        api::v1::WanMode::AlwaysOn => Ok(WanMode::AlwaysOn),
        api::v1::WanMode::Unspecified => Err(Refusal::FieldInvalid {
            field: "mode",
            problem: "must be OFF, BACKUP, STANDBY or ALWAYS_ON".to_owned(),
        }),
    }
}

/// Which WAN is to be forced; `None` releases.
pub(super) fn forced_wan(role: api::v1::WanRole) -> Result<Option<WanRole>, Refusal> {
    Ok(match role {
        api::v1::WanRole::Primary => Some(WanRole::Primary),
        api::v1::WanRole::Backup => Some(WanRole::Backup),
        api::v1::WanRole::None | api::v1::WanRole::Unspecified => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callee_refuses_what_is_no_call() {
        for (number, accepted) in [
            ("+49 (30) 901820", true),
            ("030-901820", true),
            ("", false),
            ("+", false),
            ("**21*0301234#", false),
            ("0301234;AT+CFUN=0", false),
            ("112", false),
            ("0123456789012345678901", false),
        ] {
            assert_eq!(callee(number, "number", false).is_ok(), accepted, "{number}");
        }
    }

    #[test]
    fn every_number_is_read_by_the_same_rule_and_refused_in_the_same_words() {
        let spelled = "+44 (7700) 900-123";
        assert_eq!(phone_number("to", spelled).unwrap().as_str(), "+447700900123");
        assert_eq!(callee(spelled, "number", false).unwrap().number, "+447700900123");
        assert_eq!(correspondent(spelled.to_owned()).as_deref(), Some("+447700900123"));
        assert_eq!(correspondent("My Bank".to_owned()).as_deref(), Some("My Bank"));
        assert_eq!(correspondent(String::new()), None);
        for (field, refused) in [
            ("address", phone_number("address", "+0123456").map(drop)),
            ("number", callee("+0123456", "number", false).map(drop)),
        ] {
            assert_eq!(
                refused.unwrap_err().to_string(),
                format!("{field}: no country code starts with 0; write +44…, not +044… or +0044…")
            );
        }
    }

    #[test]
    fn emergency_services_are_not_reached_by_accident() {
        for number in ["112", "+112", "00112", "15", "17", "18", "144", "190", "061", "911"] {
            assert!(callee(number, "number", false).is_err(), "{number}");
            assert!(no_emergency("address", number).is_err(), "{number}");
            assert!(ussd_code(number).is_err(), "{number}");
        }
        for number in ["+447700900123", "1120", "116117", "07700900112"] {
            assert!(
                callee(number, "number", false).is_ok() && no_emergency("address", number).is_ok(),
                "{number}"
            );
        }
        assert!(ussd_code("*101#").is_ok() && ussd_code("+44909123456").is_err());
    }

    #[test]
    fn emergency_numbers_are_called_where_they_are_allowed() {
        for (number, emergency) in [("112", true), ("911", true), ("1120", false), ("+44112", false)] {
            let callee = callee(number, "number", true).unwrap();
            assert_eq!(callee.emergency, emergency, "{number}");
        }
    }

    #[test]
    fn forwardings_are_checked_field_by_field() {
        use api::v1::{CallForwarding, CallForwardingReason};
        let valid = CallForwarding {
            reason: CallForwardingReason::NoReply.into(),
            enabled: true,
            number: "+447700900456".to_owned(),
            no_reply_seconds: 20,
            classes: 0,
        };
        assert_eq!(forwarding(valid.clone()).unwrap().classes, 1);
        for invalid in [
            CallForwarding {
                reason: 0,
                ..valid.clone()
            },
            CallForwarding {
                number: String::new(),
                ..valid.clone()
            },
            CallForwarding {
                no_reply_seconds: 7,
                ..valid.clone()
            },
            CallForwarding {
                reason: CallForwardingReason::Busy.into(),
                ..valid.clone()
            },
            CallForwarding {
                classes: 256,
                ..valid.clone()
            },
        ] {
            assert!(forwarding(invalid.clone()).is_err(), "{invalid:?}");
        }
        let off = CallForwarding {
            number: String::new(),
            enabled: false,
            ..valid
        };
        assert!(forwarding(off).is_ok(), "switching it off needs no number");
    }

    #[test]
    fn page_size_has_a_default_and_a_limit() {
        assert_eq!(page_size(0, 100).unwrap(), 100);
        assert_eq!(page_size(1000, 100).unwrap(), 1000);
        assert!(page_size(1001, 100).is_err());
    }
}
