//! The fields of a PDU, each for people and for machines.

use cellular::sms::address::{Address, TypeOfNumber};
use cellular::sms::alphabet::NationalLanguage;
use cellular::sms::data_coding::{Alphabet, DataCodingScheme, WaitingKind};
use cellular::sms::pdu::{Deliver, ProtocolIdentifier, StatusReport, Submit};
use cellular::sms::status::{Status, StatusCategory};
use cellular::sms::timestamp::TimestampOctets;
use cellular::sms::user_data::{Body, ConcatenationReference, InformationElement, UserData};
use cellular::sms::validity::ValidityPeriod;
use cellular::sms::{Pdu, Tpdu};
use serde_json::{Value, json};

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    /// What machines call it; people see spaces.
    pub(super) key: &'static str,
    /// For people.
    pub(super) text: String,
    /// For machines.
    pub(super) value: Value,
}

impl Field {
    pub(super) fn new(key: &'static str, text: impl Into<String>, value: Value) -> Self {
        Self {
            key,
            text: text.into(),
            value,
        }
    }

    fn flag(key: &'static str, is_set: bool) -> Self {
        Self::new(key, if is_set { "yes" } else { "no" }, is_set.into())
    }
}

/// Every field, in the order of the standard.
pub(super) fn of(pdu: &Pdu) -> Vec<Field> {
    let service_centre = match &pdu.service_centre {
        Some(address) => self::address("service_centre", address),
        None => Field::new("service_centre", "that of the SIM", Value::Null),
    };
    let mut fields = vec![service_centre];
    match &pdu.tpdu {
        Tpdu::Deliver(deliver) => fields.extend(self::deliver(deliver)),
        Tpdu::Submit(submit) => fields.extend(self::submit(submit)),
        Tpdu::StatusReport(report) => fields.extend(status_report(report)),
    }
    fields
}

fn deliver(deliver: &Deliver) -> Vec<Field> {
    let mut fields = vec![
        Field::new("type", "SMS-DELIVER", "SMS-DELIVER".into()),
        Field::flag("more_messages", deliver.more_messages_to_send),
        Field::flag("loop_prevention", deliver.loop_prevention),
        Field::flag("reply_path", deliver.reply_path),
        Field::flag("report_to_sender", deliver.status_report_indication),
        address("originator", &deliver.originating_address),
        protocol(deliver.protocol_identifier),
        coding(deliver.data_coding_scheme),
        time("service_centre_time", deliver.service_centre_timestamp),
    ];
    fields.extend(user_data(deliver.data_coding_scheme, &deliver.user_data));
    fields
}

fn submit(submit: &Submit) -> Vec<Field> {
    let mut fields = vec![
        Field::new("type", "SMS-SUBMIT", "SMS-SUBMIT".into()),
        Field::flag("reject_duplicates", submit.reject_duplicates),
        Field::flag("reply_path", submit.reply_path),
        Field::flag("report_requested", submit.status_report_request),
        Field::new(
            "message_reference",
            submit.message_reference.to_string(),
            submit.message_reference.into(),
        ),
        address("destination", &submit.destination_address),
        protocol(submit.protocol_identifier),
        coding(submit.data_coding_scheme),
        validity(submit.validity_period.as_ref()),
    ];
    fields.extend(user_data(submit.data_coding_scheme, &submit.user_data));
    fields
}

fn status_report(report: &StatusReport) -> Vec<Field> {
    let mut fields = vec![
        Field::new("type", "SMS-STATUS-REPORT", "SMS-STATUS-REPORT".into()),
        Field::flag("more_messages", report.more_messages_to_send),
        Field::flag("loop_prevention", report.loop_prevention),
        Field::flag("answers_command", report.answers_command),
        Field::new(
            "message_reference",
            report.message_reference.to_string(),
            report.message_reference.into(),
        ),
        address("recipient", &report.recipient_address),
        time("service_centre_time", report.service_centre_timestamp),
        time("discharge_time", report.discharge_time),
        status(report.status),
    ];
    fields.extend(report.protocol_identifier.map(protocol));
    fields.extend(report.data_coding_scheme.map(coding));
    if let Some(user_data) = &report.user_data {
        fields.extend(self::user_data(
            report.data_coding_scheme.unwrap_or_default(),
            user_data,
        ));
    }
    fields
}

fn address(key: &'static str, address: &Address) -> Field {
    let kind = match address.type_of_address.type_of_number() {
        TypeOfNumber::Unknown => "unknown",
        TypeOfNumber::International => "international",
        TypeOfNumber::National => "national",
        TypeOfNumber::NetworkSpecific => "network specific",
        TypeOfNumber::Subscriber => "subscriber",
        TypeOfNumber::Alphanumeric => "alphanumeric",
        TypeOfNumber::Abbreviated => "abbreviated",
        TypeOfNumber::Reserved => "reserved",
    };
    let octet = address.type_of_address.0;
    Field::new(
        key,
        format!("{address} ({kind}, {octet:#04x})"),
        json!({"address": address.to_string(), "kind": kind, "type_of_address": octet}),
    )
}

fn protocol(identifier: ProtocolIdentifier) -> Field {
    let meaning = match identifier {
        ProtocolIdentifier(0) => "plain".to_owned(),
        ProtocolIdentifier::SHORT_MESSAGE_TYPE_0 => "silent message (type 0)".to_owned(),
        ProtocolIdentifier::RETURN_CALL => "return call message".to_owned(),
        ProtocolIdentifier(0x20..=0x3F) => "telematic interworking".to_owned(),
        ProtocolIdentifier(0x7D) => "data download to the mobile equipment".to_owned(),
        ProtocolIdentifier(0x7E) => "depersonalization".to_owned(),
        ProtocolIdentifier(0x7F) => "data download to the SIM".to_owned(),
        other => other
            .replace_type()
            .map_or_else(|| "other".to_owned(), |number| format!("replaces type {number}")),
    };
    Field::new(
        "protocol_identifier",
        format!("{:#04x}: {meaning}", identifier.0),
        json!({"octet": identifier.0, "meaning": meaning}),
    )
}

pub(super) fn alphabet(alphabet: Alphabet) -> &'static str {
    match alphabet {
        Alphabet::Gsm7 => "GSM 7-bit",
        Alphabet::Data8 => "8-bit data",
        Alphabet::Ucs2 => "UCS2",
    }
}

fn waiting_kind(kind: WaitingKind) -> &'static str {
    match kind {
        WaitingKind::Voicemail => "voicemail",
        WaitingKind::Fax => "fax",
        WaitingKind::Email => "email",
        WaitingKind::Other => "other",
    }
}

fn coding(scheme: DataCodingScheme) -> Field {
    let alphabet = alphabet(scheme.alphabet());
    let class = scheme.class().map(|class| class as u8);
    let waiting = scheme.message_waiting();
    let mut text = format!("{:#04x}: {alphabet}", scheme.0);
    if let Some(class) = class {
        text.push_str(&format!(", class {class}{}", if class == 0 { " (flash)" } else { "" }));
    }
    if scheme.is_compressed() {
        text.push_str(", compressed");
    }
    if scheme.is_automatically_deleted() {
        text.push_str(", deleted once read");
    }
    if let Some(waiting) = waiting {
        let state = if waiting.active { "waiting" } else { "none waiting" };
        text.push_str(&format!(", {} {state}", waiting_kind(waiting.kind)));
    }
    let waiting = waiting
        .map(|waiting| json!({"kind": waiting_kind(waiting.kind), "active": waiting.active, "store": waiting.store}));
    Field::new(
        "data_coding",
        text,
        json!({
            "octet": scheme.0,
            "alphabet": alphabet,
            "class": class,
            "compressed": scheme.is_compressed(),
            "deleted_once_read": scheme.is_automatically_deleted(),
            "message_waiting": waiting,
        }),
    )
}

fn time(key: &'static str, octets: TimestampOctets) -> Field {
    match octets.timestamp() {
        Ok(time) => Field::new(key, time.to_string(), time.to_string().into()),
        Err(error) => Field::new(
            key,
            format!("{}: {error}", hex(&octets.0)),
            json!({"octets": hex(&octets.0), "problem": error.to_string()}),
        ),
    }
}

fn validity(period: Option<&ValidityPeriod>) -> Field {
    let key = "validity";
    let enhanced = |octets: &[u8], single: bool, seconds: Option<u32>| {
        let length = seconds.map_or_else(|| "no period".to_owned(), |seconds| format!("{seconds} s"));
        let single_shot = if single { ", one attempt" } else { "" };
        Field::new(
            key,
            format!("enhanced: {length}{single_shot}"),
            json!({"format": "enhanced", "octets": hex(octets), "seconds": seconds, "single_attempt": single}),
        )
    };
    match period {
        None => Field::new(key, "as the service centre likes", Value::Null),
        Some(ValidityPeriod::Relative(period)) => Field::new(
            key,
            format!("relative: {} s ({:#04x})", period.seconds(), period.0),
            json!({"format": "relative", "octet": period.0, "seconds": period.seconds()}),
        ),
        Some(ValidityPeriod::Absolute(octets)) => {
            let until = time(key, *octets);
            Field::new(
                key,
                format!("absolute: {}", until.text),
                json!({"format": "absolute", "until": until.value}),
            )
        }
        Some(ValidityPeriod::Enhanced(period)) => {
            enhanced(&period.0, period.is_single_shot(), period.seconds().ok().flatten())
        }
    }
}

fn status(status: Status) -> Field {
    let category = match status.category() {
        StatusCategory::Completed => "completed",
        StatusCategory::StillTrying => "still trying",
        StatusCategory::PermanentFailure => "permanent failure",
        StatusCategory::GaveUp => "gave up",
        StatusCategory::Reserved => "reserved",
    };
    let meaning = status.meaning();
    Field::new(
        "status",
        format!("{:#04x}: {category}, {meaning}", status.0),
        json!({"octet": status.0, "category": category, "meaning": meaning, "delivered": status.is_delivered()}),
    )
}

fn user_data(scheme: DataCodingScheme, user_data: &UserData) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(header) = &user_data.header {
        let (texts, values): (Vec<String>, Vec<Value>) = header.elements.iter().map(element).unzip();
        fields.push(Field::new("header", texts.join("; "), values.into()));
    }
    let (unit, length, octets) = match &user_data.body {
        Body::Septets(septets) => ("septets", septets.len(), None),
        Body::Octets(octets) => ("octets", octets.len(), Some(hex(octets))),
    };
    fields.push(Field::new(
        "length",
        format!("{length} {unit}"),
        json!({"units": unit, "count": length}),
    ));
    match (user_data.text(scheme), octets) {
        (Some(text), _) => fields.push(Field::new("text", text.clone(), text.into())),
        (None, Some(octets)) => fields.push(Field::new("data", octets.clone(), octets.into())),
        (None, None) => {}
    }
    fields
}

fn element(element: &InformationElement) -> (String, Value) {
    let (identifier, octets) = element.parts();
    let octets = hex(&octets);
    let language = |language: u8| {
        NationalLanguage::from_identifier(language)
            .map_or_else(|| format!("reserved {language}"), |name| format!("{name:?}"))
    };
    let meaning = match element {
        InformationElement::Concatenation(concatenation) => {
            let (reference, bits) = match concatenation.reference {
                ConcatenationReference::Bits8(reference) => (u16::from(reference), 8),
                ConcatenationReference::Bits16(reference) => (reference, 16),
            };
            format!(
                "part {} of {}, reference {reference} of {bits} bits",
                concatenation.part, concatenation.part_count
            )
        }
        InformationElement::MessageWaiting(waiting) => {
            format!("{} waiting: {}", waiting_kind(waiting.kind()), waiting.count)
        }
        InformationElement::Ports8 {
            destination,
            originator,
        } => format!("port {destination} from {originator}"),
        InformationElement::Ports16 {
            destination,
            originator,
        } => format!("port {destination} from {originator}"),
        InformationElement::SingleShift(identifier) => format!("single shift {}", language(*identifier)),
        InformationElement::LockingShift(identifier) => format!("locking shift {}", language(*identifier)),
        InformationElement::Other { .. } => "not known here".to_owned(),
    };
    (
        format!("{identifier:02X} {octets}: {meaning}"),
        json!({"identifier": identifier, "octets": octets, "meaning": meaning}),
    )
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}
