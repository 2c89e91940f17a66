//! SMS-STATUS-REPORT (23.040 clause 9.2.2.3).

use super::octets::{Reader, Writer};
use super::{DecodeError, EncodeError, HAS_HEADER, ProtocolIdentifier, UserDataTruncated, flag};
use crate::sms::address::Address;
use crate::sms::data_coding::DataCodingScheme;
use crate::sms::status::Status;
use crate::sms::timestamp::TimestampOctets;
use crate::sms::user_data::UserData;
use serde::{Deserialize, Serialize};

const MESSAGE_TYPE: u8 = 0b10;
/// TP-MMS is inverted: a set bit says that nothing more waits (clause 9.2.3.2).
const NO_MORE_MESSAGES: u8 = 0x04;
const LOOP_PREVENTION: u8 = 0x08;
const STATUS_REPORT_QUALIFIER: u8 = 0x20;

/// The bits of TP-PI, the parameter indicator (clause 9.2.3.27).
const HAS_PROTOCOL_IDENTIFIER: u8 = 0x01;
const HAS_DATA_CODING_SCHEME: u8 = 0x02;
const HAS_USER_DATA: u8 = 0x04;
const HAS_MORE_INDICATORS: u8 = 0x80;

/// Fills SIM records behind the TPDU (31.102 clause 4.2.25). No indicator has all its reserved bits set.
const FILLER: u8 = 0xFF;

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusReport {
    /// TP-MMS: more messages wait at the service centre.
    pub more_messages_to_send: bool,
    /// TP-LP.
    pub loop_prevention: bool,
    /// TP-SRQ: the report answers an SMS-COMMAND, not an SMS-SUBMIT.
    pub answers_command: bool,
    /// TP-MR of the message in question.
    pub message_reference: u8,
    /// TP-RA.
    pub recipient_address: Address,
    /// TP-SCTS: when the service centre got the message in question.
    pub service_centre_timestamp: TimestampOctets,
    /// TP-DT: when the recipient got it, or when the service centre last tried.
    pub discharge_time: TimestampOctets,
    /// TP-ST.
    pub status: Status,
    /// TP-PID, where TP-PI announces it.
    pub protocol_identifier: Option<ProtocolIdentifier>,
    /// TP-DCS, where TP-PI announces it; user data without it is in the default alphabet.
    pub data_coding_scheme: Option<DataCodingScheme>,
    /// TP-UD, where TP-PI announces it.
    pub user_data: Option<UserData>,
}

impl StatusReport {
    /// Reads the report. What follows the status is optional, and modems cut it off in places: a report that ends where
    /// an optional field should begin is complete without it.
    pub(super) fn decode(
        first_octet: u8,
        reader: &mut Reader<'_>,
    ) -> Result<(Self, Option<UserDataTruncated>), DecodeError> {
        let mut report = Self {
            more_messages_to_send: first_octet & NO_MORE_MESSAGES == 0,
            loop_prevention: first_octet & LOOP_PREVENTION != 0,
            answers_command: first_octet & STATUS_REPORT_QUALIFIER != 0,
            message_reference: reader.octet("message reference")?,
            recipient_address: super::decode_address("recipient address", reader)?,
            service_centre_timestamp: TimestampOctets(reader.array("service centre time stamp")?),
            discharge_time: TimestampOctets(reader.array("discharge time")?),
            status: Status(reader.octet("status")?),
            protocol_identifier: None,
            data_coding_scheme: None,
            user_data: None,
        };
        let indicator = decode_parameter_indicator(reader)?;
        if indicator & HAS_PROTOCOL_IDENTIFIER != 0 && !reader.is_at_end() {
            report.protocol_identifier = Some(ProtocolIdentifier(reader.octet("protocol identifier")?));
        }
        if indicator & HAS_DATA_CODING_SCHEME != 0 && !reader.is_at_end() {
            report.data_coding_scheme = Some(DataCodingScheme(reader.octet("data coding scheme")?));
        }
        if indicator & HAS_USER_DATA == 0 || reader.is_at_end() {
            return Ok((report, None));
        }
        let scheme = report.data_coding_scheme.unwrap_or_default();
        let (user_data, truncated) = super::decode_user_data(scheme, first_octet & HAS_HEADER != 0, reader)?;
        report.user_data = Some(user_data);
        Ok((report, truncated))
    }

    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let has_header = self
            .user_data
            .as_ref()
            .is_some_and(|user_data| user_data.header.is_some());
        writer.octet(
            MESSAGE_TYPE
                | flag(!self.more_messages_to_send, NO_MORE_MESSAGES)
                | flag(self.loop_prevention, LOOP_PREVENTION)
                | flag(self.answers_command, STATUS_REPORT_QUALIFIER)
                | flag(has_header, HAS_HEADER),
        );
        writer.octet(self.message_reference);
        super::encode_address("recipient address", &self.recipient_address, writer)?;
        writer.octets(&self.service_centre_timestamp.0);
        writer.octets(&self.discharge_time.0);
        writer.octet(self.status.0);
        let indicator = flag(self.protocol_identifier.is_some(), HAS_PROTOCOL_IDENTIFIER)
            | flag(self.data_coding_scheme.is_some(), HAS_DATA_CODING_SCHEME)
            | flag(self.user_data.is_some(), HAS_USER_DATA);
        if indicator != 0 {
            writer.octet(indicator);
        }
        if let Some(ProtocolIdentifier(octet)) = self.protocol_identifier {
            writer.octet(octet);
        }
        if let Some(DataCodingScheme(octet)) = self.data_coding_scheme {
            writer.octet(octet);
        }
        match &self.user_data {
            Some(user_data) => super::encode_user_data(self.data_coding_scheme.unwrap_or_default(), user_data, writer),
            None => Ok(()),
        }
    }
}

/// The first octet tells which fields follow; those that it announces behind it have no meaning yet and are skipped.
/// What is not there, or is the filler of a SIM record, announces nothing.
fn decode_parameter_indicator(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    const FIELD: &str = "parameter indicator";
    if reader.is_at_end() {
        return Ok(0);
    }
    let indicator = reader.octet(FIELD)?;
    if indicator == FILLER {
        return Ok(0);
    }
    let mut last = indicator;
    while last & HAS_MORE_INDICATORS != 0 && !reader.is_at_end() {
        last = reader.octet(FIELD)?;
    }
    Ok(indicator)
}
