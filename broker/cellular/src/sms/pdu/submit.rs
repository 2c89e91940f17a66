//! SMS-SUBMIT (23.040 clause 9.2.2.2).

use super::octets::{Reader, Writer};
use super::{DecodeError, EncodeError, HAS_HEADER, ProtocolIdentifier, UserDataTruncated, flag};
use crate::sms::address::Address;
use crate::sms::data_coding::DataCodingScheme;
use crate::sms::timestamp::TimestampOctets;
use crate::sms::user_data::UserData;
use crate::sms::validity::{EnhancedValidity, RelativeValidity, ValidityPeriod};
use serde::{Deserialize, Serialize};

const MESSAGE_TYPE: u8 = 0b01;
const REJECT_DUPLICATES: u8 = 0x04;
const STATUS_REPORT_REQUEST: u8 = 0x20;
const REPLY_PATH: u8 = 0x80;

/// The values of TP-VPF, in bits 4 and 3 (clause 9.2.3.3).
const VALIDITY_FORMAT: u8 = 0x18;
const ENHANCED: u8 = 0x08;
const RELATIVE: u8 = 0x10;
const ABSOLUTE: u8 = 0x18;

/// A message to send, or one part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Submit {
    /// TP-RD: the service centre refuses a message with the same reference to the same destination.
    pub reject_duplicates: bool,
    /// TP-RP: a reply travels over the same service centre.
    pub reply_path: bool,
    /// TP-SRR: a status report is wanted.
    pub status_report_request: bool,
    /// TP-MR. The modem puts its own in the place of zero and states it in `+CMGS`.
    pub message_reference: u8,
    /// TP-DA.
    pub destination_address: Address,
    /// TP-PID.
    pub protocol_identifier: ProtocolIdentifier,
    /// TP-DCS.
    pub data_coding_scheme: DataCodingScheme,
    /// TP-VPF and TP-VP. Without it the service centre decides.
    pub validity_period: Option<ValidityPeriod>,
    /// TP-UD.
    pub user_data: UserData,
}

impl Submit {
    pub(super) fn decode(
        first_octet: u8,
        reader: &mut Reader<'_>,
    ) -> Result<(Self, Option<UserDataTruncated>), DecodeError> {
        let message_reference = reader.octet("message reference")?;
        let destination_address = super::decode_address("destination address", reader)?;
        let protocol_identifier = ProtocolIdentifier(reader.octet("protocol identifier")?);
        let data_coding_scheme = DataCodingScheme(reader.octet("data coding scheme")?);
        let validity_period = decode_validity_period(first_octet, reader)?;
        let has_header = first_octet & HAS_HEADER != 0;
        let (user_data, truncated) = super::decode_user_data(data_coding_scheme, has_header, reader)?;
        let submit = Self {
            reject_duplicates: first_octet & REJECT_DUPLICATES != 0,
            reply_path: first_octet & REPLY_PATH != 0,
            status_report_request: first_octet & STATUS_REPORT_REQUEST != 0,
            message_reference,
            destination_address,
            protocol_identifier,
            data_coding_scheme,
            validity_period,
            user_data,
        };
        Ok((submit, truncated))
    }

    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let (validity_format, validity_octets): (u8, &[u8]) = match &self.validity_period {
            None => (0, &[]),
            Some(ValidityPeriod::Relative(RelativeValidity(octet))) => (RELATIVE, std::slice::from_ref(octet)),
            Some(ValidityPeriod::Absolute(TimestampOctets(octets))) => (ABSOLUTE, octets),
            Some(ValidityPeriod::Enhanced(EnhancedValidity(octets))) => (ENHANCED, octets),
        };
        writer.octet(
            MESSAGE_TYPE
                | validity_format
                | flag(self.reject_duplicates, REJECT_DUPLICATES)
                | flag(self.reply_path, REPLY_PATH)
                | flag(self.status_report_request, STATUS_REPORT_REQUEST)
                | flag(self.user_data.header.is_some(), HAS_HEADER),
        );
        writer.octet(self.message_reference);
        super::encode_address("destination address", &self.destination_address, writer)?;
        writer.octet(self.protocol_identifier.0);
        writer.octet(self.data_coding_scheme.0);
        writer.octets(validity_octets);
        super::encode_user_data(self.data_coding_scheme, &self.user_data, writer)
    }
}

fn decode_validity_period(first_octet: u8, reader: &mut Reader<'_>) -> Result<Option<ValidityPeriod>, DecodeError> {
    const FIELD: &str = "validity period";
    Ok(match first_octet & VALIDITY_FORMAT {
        RELATIVE => Some(ValidityPeriod::Relative(RelativeValidity(reader.octet(FIELD)?))),
        ABSOLUTE => Some(ValidityPeriod::Absolute(TimestampOctets(reader.array(FIELD)?))),
        ENHANCED => Some(ValidityPeriod::Enhanced(EnhancedValidity(reader.array(FIELD)?))),
        _ => None,
    })
}
