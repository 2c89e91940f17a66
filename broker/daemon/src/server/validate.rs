//! Requests are made into domain values here and nowhere else: what passes is in range, and what does not is named by field.

use ::modem::sms::address::PhoneNumber;

use crate::refusal::Refusal;
use crate::resource::{WanMode, WanRole};

/// Largest page of a list.
const PAGE_SIZE_MAX: u32 = 1000;

/// 3GPP allows 80 digits in a command; nobody's number has more than these.
const DIGITS_MAX: usize = 20;

/// 23.003 9.1: at most 100 octets.
const ACCESS_POINT_NAME_MAX: usize = 100;

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

/// A number to send a message to.
pub(super) fn message_recipient(value: &str) -> Result<PhoneNumber, Refusal> {
    value.parse().map_err(
        |error: <PhoneNumber as std::str::FromStr>::Err| Refusal::PhoneNumberInvalid {
            field: "to",
            problem: error.to_string(),
        },
    )
}

/// A number to call: digits with an optional "+". Codes with `*` and `#` are supplementary services, which change the
/// subscription (call forwarding, for instance), and no call.
pub(super) fn callee(value: &str) -> Result<String, Refusal> {
    let invalid = |problem: &str| Refusal::PhoneNumberInvalid {
        field: "number",
        problem: problem.to_owned(),
    };
    let compact: String = value
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '/' | '.'))
        .collect();
    let digits = compact.strip_prefix('+').unwrap_or(&compact);
    if digits.is_empty() {
        return Err(invalid("is empty"));
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("holds something else than digits and a leading +"));
    }
    if digits.len() > DIGITS_MAX {
        return Err(invalid("has more than 20 digits"));
    }
    if EMERGENCY.contains(&digits) {
        return Err(invalid("is an emergency number; the broker does not call those"));
    }
    Ok(compact)
}

/// 22.101 10.1.1 without a SIM's own list: numbers that reach emergency services somewhere.
const EMERGENCY: &[&str] = &["000", "08", "110", "112", "118", "119", "911", "999"];

/// Tones of one request.
const TONES_MAX: usize = 29;

/// DTMF tones (27.007 C.2.11).
pub(super) fn tones(value: &str) -> Result<String, Refusal> {
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
            field: "tones",
            problem: "must be 1 to 29 of 0-9, A-D, * and #".to_owned(),
        })
    }
}

/// A USSD code. What the modem cannot take is refused here, before anything is stored.
pub(super) fn ussd_code(value: &str) -> Result<(), Refusal> {
    ::modem::at::command::ussd(value)
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
            assert_eq!(callee(number).is_ok(), accepted, "{number}");
        }
    }

    #[test]
    fn page_size_has_a_default_and_a_limit() {
        assert_eq!(page_size(0, 100).unwrap(), 100);
        assert_eq!(page_size(1000, 100).unwrap(), 1000);
        assert!(page_size(1001, 100).is_err());
    }
}
