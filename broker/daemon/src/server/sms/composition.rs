//! What a client wants said, made valid; and what it would be, shown.

use std::time::Duration;

use api::v1;
use api::v1::send_message_request::Content as Written;
use cellular::sms::PhoneNumber;
use cellular::sms::alphabet::NationalLanguage;
use cellular::sms::compose::TextCoding;
use jiff::{SignedDuration, Timestamp};

use super::super::{convert, validate};
use crate::modem::{Composed, Content, Draft, Validity};
use crate::refusal::Refusal;
use crate::resource::{ApplicationPorts, MessageCoding, Priority};

/// 23.040 9.2.3.12.1: the relative format ends at 63 weeks.
const VALIDITY_MAX: Duration = Duration::from_secs(63 * 7 * 24 * 3600);
/// How far ahead a message may be scheduled.
const SCHEDULE_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

fn invalid(field: &'static str, problem: impl Into<String>) -> Refusal {
    Refusal::FieldInvalid {
        field,
        problem: problem.into(),
    }
}

/// A valid composition of what a request asks for.
pub(super) fn composition(request: v1::SendMessageRequest) -> Result<Draft, Refusal> {
    let priority = match validate::known("priority", request.priority)? {
        v1::MessagePriority::Low => Priority::Low,
        v1::MessagePriority::Unspecified | v1::MessagePriority::Normal => Priority::Normal,
        v1::MessagePriority::High => Priority::High,
    };
    let content = content(&request)?;
    let address: PhoneNumber = validate::phone_number("address", &request.address)?;
    validate::no_emergency("address", address.as_str())?;
    let send_time = send_time(request.send_time)?;
    let validity = validity(&request, send_time)?;
    if request.single_attempt && matches!(validity, Validity::Until(_)) {
        return Err(invalid(
            "single_attempt",
            "cannot be told to the service centre together with expire_time; use validity",
        ));
    }
    Ok(Draft {
        address,
        application_ports: request.application_ports.map(ports).transpose()?,
        flash: request.flash,
        delivery_report: request.delivery_report,
        replace_type: replace_type(request.replace_type)?,
        validity,
        single_attempt: request.single_attempt,
        priority,
        send_time,
        content,
    })
}

fn content(request: &v1::SendMessageRequest) -> Result<Content, Refusal> {
    let coding = match validate::known("coding", request.coding)? {
        v1::MessageCoding::Unspecified => TextCoding::Cheapest,
        v1::MessageCoding::Gsm7 => TextCoding::Gsm7,
        v1::MessageCoding::Ucs2 => TextCoding::Ucs2,
        v1::MessageCoding::Data => return Err(invalid("coding", "is for texts; give `data` instead of `text`")),
    };
    let language = |identifier: &i32| {
        u8::try_from(*identifier)
            .ok()
            .and_then(NationalLanguage::from_identifier)
            .ok_or_else(|| invalid("national_languages", format!("{identifier} is no language")))
    };
    let languages = request
        .national_languages
        .iter()
        .map(language)
        .collect::<Result<_, _>>()?;
    match &request.content {
        Some(Written::Text(text)) => Ok(Content::Text {
            text: text.clone(),
            coding,
            languages,
            transliterate: request.transliterate,
        }),
        Some(Written::Data(data)) if !data.is_empty() => Ok(Content::Data(data.to_vec())),
        Some(Written::Data(_)) => Err(invalid("data", "is empty")),
        None => Err(invalid("content", "either text or data must be given")),
    }
}

fn ports(ports: v1::ApplicationPorts) -> Result<ApplicationPorts, Refusal> {
    let port =
        |port: u32| u16::try_from(port).map_err(|_| invalid("application_ports", format!("{port} is more than 65535")));
    Ok(ApplicationPorts {
        destination: port(ports.destination)?,
        originator: port(ports.originator)?,
    })
}

fn replace_type(written: u32) -> Result<Option<u8>, Refusal> {
    match u8::try_from(written) {
        Ok(0) => Ok(None),
        Ok(number @ 1..=7) => Ok(Some(number)),
        _ => Err(invalid("replace_type", format!("{written} is not between 0 and 7"))),
    }
}

fn time(field: &'static str, written: prost_types::Timestamp) -> Result<Timestamp, Refusal> {
    Timestamp::new(written.seconds, written.nanos).map_err(|_| invalid(field, "is not a time"))
}

/// A time in the past is no error: a request that is repeated after its time has to find the message that it made.
fn send_time(written: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Refusal> {
    let Some(written) = written else { return Ok(None) };
    let (send_time, now) = (time("send_time", written)?, Timestamp::now());
    if send_time.duration_since(now) > SCHEDULE_MAX {
        return Err(invalid("send_time", "is more than a year ahead"));
    }
    Ok(Some(send_time).filter(|time| *time > now))
}

fn validity(request: &v1::SendMessageRequest, send_time: Option<Timestamp>) -> Result<Validity, Refusal> {
    match (request.validity, request.expire_time) {
        (None, None) => Ok(Validity::Unstated),
        (Some(_), Some(_)) => Err(invalid("expire_time", "cannot be given together with validity")),
        (Some(validity), None) => Duration::try_from(validity)
            .ok()
            .filter(|validity| !validity.is_zero() && *validity <= VALIDITY_MAX)
            .map(Validity::For)
            .ok_or_else(|| invalid("validity", "must be more than 0 and at most 63 weeks")),
        (None, Some(until)) => {
            let until = time("expire_time", until)?;
            if send_time.is_some_and(|send_time| until <= send_time) {
                return Err(invalid("expire_time", "is not after send_time"));
            }
            let ahead = until.duration_since(Timestamp::now());
            // A time in the past is no error here either; the message then fails.
            if Duration::try_from(ahead).is_ok_and(|ahead| ahead > VALIDITY_MAX) {
                return Err(invalid("expire_time", "is more than 63 weeks away"));
            }
            Ok(Validity::Until(until))
        }
    }
}

/// A composed message, shown.
pub(super) fn composed(composed: Composed) -> v1::ComposeMessageResponse {
    let language = |language: Option<NationalLanguage>| language.map_or(0, |language| i32::from(language.identifier()));
    let Composed {
        text,
        coding,
        tables,
        sizes,
        pdus,
        ..
    } = composed;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let part = |(size, pdu): (cellular::sms::compose::PartSize, String)| v1::ComposedPart {
        units: count(size.units),
        capacity: count(size.capacity),
        pdu,
    };
    v1::ComposeMessageResponse {
        part_count: count(pdus.len()),
        coding: convert::message_coding(coding).into(),
        text: if coding == MessageCoding::Data {
            String::new()
        } else {
            text
        },
        locking_shift: language(tables.locking),
        single_shift: language(tables.single),
        parts: sizes.into_iter().zip(pdus).map(part).collect(),
    }
}
