//! From what a client wants said to the message that is queued, cut into its parts.

use std::time::Duration;

use cellular::sms::alphabet::{NationalLanguage, ShiftTables};
use cellular::sms::compose::{
    self, ComposeError, Layout, PartSize, SubmitOptions, TextCoding, TextOptions, compose_data, compose_text,
};
use cellular::sms::data_coding::MessageClass;
use cellular::sms::pdu::ProtocolIdentifier;
use cellular::sms::timestamp;
use cellular::sms::validity::{EnhancedValidity, RelativeValidity, ValidityPeriod};
use cellular::sms::{Pdu, PhoneNumber, Tpdu};
use jiff::Timestamp;

use super::coding;
use crate::refusal::Refusal;
use crate::resource::{ApplicationPorts, Message, MessageCoding, MessageDirection, MessageState, Priority};

/// A message to be composed; every field is valid.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it goes.
    pub address: PhoneNumber,
    /// What it says.
    pub content: Content,
    /// Application ports.
    pub application_ports: Option<ApplicationPorts>,
    /// Class 0.
    pub flash: bool,
    /// Ask for a delivery report.
    pub delivery_report: bool,
    /// Replaces the receiver's message of the same number: 1 to 7.
    pub replace_type: Option<u8>,
    /// How long the service centre keeps trying.
    pub validity: Validity,
    /// It tries once only.
    pub single_attempt: bool,
    /// Which message goes first.
    pub priority: Priority,
    /// Nothing of it is sent before.
    pub send_time: Option<Timestamp>,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A text and how it may be coded.
    Text {
        /// The text.
        text: String,
        /// The alphabet.
        coding: TextCoding,
        /// Languages whose tables may be used.
        languages: Vec<NationalLanguage>,
        /// Similar characters may stand in for those that the 7-bit alphabet lacks.
        transliterate: bool,
    },
    /// Octets.
    Data(Vec<u8>),
}

/// How long the service centre keeps trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// As long as it likes.
    Unstated,
    /// For so long after it got the message.
    For(Duration),
    /// Until then; the broker begins no sending later either.
    Until(Timestamp),
}

/// A message as it would go out.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The text that arrives; empty for data.
    pub text: String,
    /// The octets of a data message.
    pub data: Vec<u8>,
    /// How characters are coded.
    pub coding: MessageCoding,
    /// National tables.
    pub tables: ShiftTables,
    /// How full each part is.
    pub sizes: Vec<PartSize>,
    /// The parts.
    pub pdus: Vec<String>,
}

impl Draft {
    /// Chooses the alphabet and cuts. The reference tells the parts of this message from those of others.
    pub fn compose(&self, reference: u16) -> Result<Composed, Refusal> {
        let layout = Layout {
            wide_reference: false,
            ports: self.application_ports.map(|ports| compose::Ports {
                destination: ports.destination,
                originator: ports.originator,
            }),
        };
        let (composed, data) = match &self.content {
            Content::Text {
                text,
                coding,
                languages,
                transliterate,
            } => {
                let options = TextOptions {
                    coding: *coding,
                    national_languages: languages.clone(),
                    transliterate: *transliterate,
                    layout,
                };
                (compose_text(text, &options), Vec::new())
            }
            Content::Data(data) => (compose_data(data, layout), data.clone()),
        };
        let composed = composed.map_err(|error| match error {
            ComposeError::TooLong { segment_count } => Refusal::MessageTooLong { segment_count },
            ComposeError::Unencodable(unencodable) => invalid(format!(
                "the 7-bit alphabet has no {:?}; choose another coding or allow transliteration",
                unencodable.character
            )),
        })?;
        let submits = composed.submits(&self.address, reference, &self.submit_options()?);
        let encode = |submit| {
            let pdu = Pdu {
                service_centre: None,
                tpdu: Tpdu::Submit(submit),
            };
            pdu.encode().map(|encoded| encoded.hex)
        };
        let pdus = submits
            .into_iter()
            .map(encode)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Composed {
            text: composed.text().unwrap_or_default(),
            data,
            coding: coding(composed.alphabet()),
            tables: composed.shift_tables(),
            sizes: composed.part_sizes().collect(),
            pdus,
        })
    }

    /// The message that is queued.
    pub fn message(&self, modem: &str, request_id: &str, client: &str) -> Result<Message, Refusal> {
        let id = uuid::Uuid::new_v4();
        let [high, low, ..] = *id.as_bytes();
        let composed = self.compose(u16::from_be_bytes([high, low]))?;
        let now = Timestamp::now();
        Ok(Message {
            id: id.to_string(),
            modem: modem.to_owned(),
            direction: MessageDirection::Outgoing,
            state: MessageState::Queued,
            address: self.address.to_string(),
            text: composed.text,
            data: composed.data,
            coding: Some(composed.coding),
            part_count: u32::try_from(composed.pdus.len()).unwrap_or(u32::MAX),
            create_time: now,
            update_time: now,
            request_id: Some(request_id.to_owned()),
            message_class: self.flash.then_some(0),
            pdus: composed.pdus,
            delivery_report_requested: self.delivery_report,
            protocol_identifier: self.protocol_identifier().0,
            application_ports: self.application_ports,
            priority: self.priority,
            send_time: self.send_time,
            expire_time: match self.validity {
                Validity::Until(until) => Some(until),
                Validity::Unstated | Validity::For(_) => None,
            },
            client: client.to_owned(),
            ..Message::default()
        })
    }

    fn protocol_identifier(&self) -> ProtocolIdentifier {
        self.replace_type
            .and_then(ProtocolIdentifier::from_replace_type)
            .unwrap_or_default()
    }

    fn submit_options(&self) -> Result<SubmitOptions, Refusal> {
        let seconds = |validity: Duration| u32::try_from(validity.as_secs()).unwrap_or(u32::MAX);
        let validity_period = match (self.validity, self.single_attempt) {
            (Validity::Unstated, false) => None,
            (Validity::Unstated, true) => Some(ValidityPeriod::Enhanced(EnhancedValidity::new(true, None))),
            (Validity::For(validity), false) => {
                Some(ValidityPeriod::Relative(RelativeValidity::at_least(seconds(validity))))
            }
            (Validity::For(validity), true) => Some(ValidityPeriod::Enhanced(EnhancedValidity::new(
                true,
                Some(seconds(validity)),
            ))),
            // The absolute format has no bit for a single attempt (23.040 9.2.3.12.2).
            (Validity::Until(until), _) => {
                let until = timestamp::Timestamp::from_unix_seconds(until.as_second(), 0).map_err(|error| {
                    Refusal::FieldInvalid {
                        field: "expire_time",
                        problem: error.to_string(),
                    }
                })?;
                Some(ValidityPeriod::Absolute(until.into()))
            }
        };
        Ok(SubmitOptions {
            class: self.flash.then_some(MessageClass::Class0),
            validity_period,
            status_report_request: self.delivery_report,
            protocol_identifier: self.protocol_identifier(),
            ..SubmitOptions::default()
        })
    }
}

fn invalid(problem: String) -> Refusal {
    Refusal::FieldInvalid {
        field: "content",
        problem,
    }
}
