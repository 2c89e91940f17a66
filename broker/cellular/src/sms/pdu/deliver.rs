//! SMS-DELIVER (23.040 clause 9.2.2.1).

use super::octets::{Reader, Writer};
use super::{DecodeError, EncodeError, HAS_HEADER, ProtocolIdentifier, UserDataTruncated, flag};
use crate::sms::address::Address;
use crate::sms::data_coding::DataCodingScheme;
use crate::sms::timestamp::TimestampOctets;
use crate::sms::user_data::UserData;
use serde::{Deserialize, Serialize};

/// TP-MMS is inverted: a set bit says that nothing more waits (clause 9.2.3.2).
const NO_MORE_MESSAGES: u8 = 0x04;
const LOOP_PREVENTION: u8 = 0x08;
const STATUS_REPORT_INDICATION: u8 = 0x20;
const REPLY_PATH: u8 = 0x80;

/// A received message, or one part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deliver {
    /// TP-MMS: more messages wait at the service centre.
    pub more_messages_to_send: bool,
    /// TP-LP: the message was forwarded and is not to be forwarded again.
    pub loop_prevention: bool,
    /// TP-RP: a reply travels over the same service centre.
    pub reply_path: bool,
    /// TP-SRI: the sender gets a report.
    pub status_report_indication: bool,
    /// TP-OA.
    pub originating_address: Address,
    /// TP-PID.
    pub protocol_identifier: ProtocolIdentifier,
    /// TP-DCS.
    pub data_coding_scheme: DataCodingScheme,
    /// TP-SCTS.
    pub service_centre_timestamp: TimestampOctets,
    /// TP-UD.
    pub user_data: UserData,
}

impl Deliver {
    pub(super) fn decode(
        first_octet: u8,
        reader: &mut Reader<'_>,
    ) -> Result<(Self, Option<UserDataTruncated>), DecodeError> {
        let originating_address = super::decode_address("originating address", reader)?;
        let protocol_identifier = ProtocolIdentifier(reader.octet("protocol identifier")?);
        let data_coding_scheme = DataCodingScheme(reader.octet("data coding scheme")?);
        let service_centre_timestamp = TimestampOctets(reader.array("service centre time stamp")?);
        let has_header = first_octet & HAS_HEADER != 0;
        let (user_data, truncated) = super::decode_user_data(data_coding_scheme, has_header, reader)?;
        let deliver = Self {
            more_messages_to_send: first_octet & NO_MORE_MESSAGES == 0,
            loop_prevention: first_octet & LOOP_PREVENTION != 0,
            reply_path: first_octet & REPLY_PATH != 0,
            status_report_indication: first_octet & STATUS_REPORT_INDICATION != 0,
            originating_address,
            protocol_identifier,
            data_coding_scheme,
            service_centre_timestamp,
            user_data,
        };
        Ok((deliver, truncated))
    }

    pub(super) fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.octet(
            flag(!self.more_messages_to_send, NO_MORE_MESSAGES)
                | flag(self.loop_prevention, LOOP_PREVENTION)
                | flag(self.reply_path, REPLY_PATH)
                | flag(self.status_report_indication, STATUS_REPORT_INDICATION)
                | flag(self.user_data.header.is_some(), HAS_HEADER),
        );
        super::encode_address("originating address", &self.originating_address, writer)?;
        writer.octet(self.protocol_identifier.0);
        writer.octet(self.data_coding_scheme.0);
        writer.octets(&self.service_centre_timestamp.0);
        super::encode_user_data(self.data_coding_scheme, &self.user_data, writer)
    }
}
