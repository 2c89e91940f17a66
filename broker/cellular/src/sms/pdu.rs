//! TPDUs with the service centre address before them, as `+CMGR`, `+CMGL`, `+CMT`, `+CDS` and `+CMGS` carry them in PDU
//! mode (27.005 clause 3.1, 23.040 clause 9.2.2).

mod deliver;
mod error;
mod octets;
mod status_report;
mod submit;

pub use deliver::Deliver;
pub use error::{DecodeError, EncodeError, UserDataTruncated};
pub use status_report::StatusReport;
pub use submit::Submit;

use super::address::{Address, TypeOfAddress};
use super::data_coding::DataCodingScheme;
use super::user_data::UserData;
use octets::{Reader, Writer};
use serde::{Deserialize, Serialize};

/// TP-UDHI, bit 6 of the first octet of every TPDU with user data (clause 9.2.3.23).
const HAS_HEADER: u8 = 0x40;

/// Which way a TPDU travels. The message type has two bits only and needs it (clause 9.2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the service centre to the modem: received messages, read or unread, and status reports.
    FromNetwork,
    /// From the modem to the service centre: stored messages, sent or unsent.
    ToNetwork,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FromNetwork => "from the network",
            Self::ToNetwork => "from the modem",
        })
    }
}

/// TP-PID, the protocol identifier (clause 9.2.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ProtocolIdentifier(pub u8);

impl ProtocolIdentifier {
    /// *Short message type 0*: to be acknowledged and thrown away, a silent message.
    pub const SHORT_MESSAGE_TYPE_0: Self = Self(0x40);
    /// *Return call message*.
    pub const RETURN_CALL: Self = Self(0x5F);

    /// *Replace short message type* 1 to 7: it replaces an earlier message of the same type from the same address.
    pub const fn replace_type(self) -> Option<u8> {
        match self.0 {
            0x41..=0x47 => Some(self.0 - 0x40),
            _ => None,
        }
    }

    /// The identifier for *replace short message type* 1 to 7.
    pub const fn from_replace_type(replace_type: u8) -> Option<Self> {
        match replace_type {
            1..=7 => Some(Self(0x40 + replace_type)),
            _ => None,
        }
    }

    /// Whether nobody is to see the message.
    pub const fn is_silent(self) -> bool {
        self.0 == Self::SHORT_MESSAGE_TYPE_0.0
    }
}

/// One of the three TPDUs that carry messages and reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tpdu {
    /// SMS-DELIVER: a received message.
    Deliver(Deliver),
    /// SMS-SUBMIT: a message to send, or sent.
    Submit(Submit),
    /// SMS-STATUS-REPORT: what became of a message that was sent.
    StatusReport(StatusReport),
}

impl Tpdu {
    /// The other party: originating, destination or recipient address.
    pub const fn address(&self) -> &Address {
        match self {
            Self::Deliver(deliver) => &deliver.originating_address,
            Self::Submit(submit) => &submit.destination_address,
            Self::StatusReport(report) => &report.recipient_address,
        }
    }

    /// The user data with its coding; a status report rarely has any.
    pub fn user_data(&self) -> Option<(DataCodingScheme, &UserData)> {
        match self {
            Self::Deliver(deliver) => Some((deliver.data_coding_scheme, &deliver.user_data)),
            Self::Submit(submit) => Some((submit.data_coding_scheme, &submit.user_data)),
            Self::StatusReport(report) => report
                .user_data
                .as_ref()
                .map(|user_data| (report.data_coding_scheme.unwrap_or_default(), user_data)),
        }
    }

    /// The text of this TPDU alone; see [`UserData::text`].
    pub fn text(&self) -> Option<String> {
        self.user_data().and_then(|(scheme, user_data)| user_data.text(scheme))
    }

    fn decode(reader: &mut Reader<'_>, direction: Direction) -> Result<(Self, Option<UserDataTruncated>), DecodeError> {
        let first_octet = reader.octet("first octet")?;
        let type_indicator = first_octet & 0b11;
        match (direction, type_indicator) {
            // Receivers treat the reserved type as SMS-DELIVER (clause 9.2.3.1).
            (Direction::FromNetwork, 0b00 | 0b11) => {
                let (deliver, truncated) = Deliver::decode(first_octet, reader)?;
                Ok((Self::Deliver(deliver), truncated))
            }
            (Direction::FromNetwork, 0b10) => {
                let (report, truncated) = StatusReport::decode(first_octet, reader)?;
                Ok((Self::StatusReport(report), truncated))
            }
            (Direction::ToNetwork, 0b01) => {
                let (submit, truncated) = Submit::decode(first_octet, reader)?;
                Ok((Self::Submit(submit), truncated))
            }
            _ => Err(DecodeError::UnsupportedType {
                type_indicator,
                direction,
            }),
        }
    }

    fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        match self {
            Self::Deliver(deliver) => deliver.encode(writer),
            Self::Submit(submit) => submit.encode(writer),
            Self::StatusReport(report) => report.encode(writer),
        }
    }
}

/// A TPDU with the address of the service centre it came from or goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pdu {
    /// None when sending means: the service centre that `AT+CSCA` has set.
    pub service_centre: Option<Address>,
    /// The message.
    pub tpdu: Tpdu,
}

/// A PDU ready for `AT+CMGS` or `AT+CMGW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncodedPdu {
    /// The service centre address and the TPDU in upper case hexadecimal digits.
    pub hex: String,
    /// The `<length>` of the command: the octets of the TPDU, without the service centre address.
    pub tpdu_length: usize,
}

impl Pdu {
    /// Reads the hexadecimal digits of a PDU that starts with the service centre address.
    pub fn decode_hex(hex: &str, direction: Direction) -> Result<Self, DecodeError> {
        Self::decode(&octets::from_hex(hex)?, direction)
    }

    /// Reads a PDU beside the `<length>` that the modem states with it.
    ///
    /// The length counts the TPDU only. It tells whether the service centre address is there at all, which some modems
    /// leave out for status reports and for messages that they stored themselves, and where filler begins.
    pub fn decode_hex_with_length(hex: &str, tpdu_length: usize, direction: Direction) -> Result<Self, DecodeError> {
        let octets = octets::from_hex(hex)?;
        if octets.len() == tpdu_length {
            return Self::decode_tpdu(&octets, direction);
        }
        let service_centre_octets = octets.first().map_or(0, |length| usize::from(*length) + 1);
        let length = service_centre_octets.saturating_add(tpdu_length);
        Self::decode(octets.get(..length).unwrap_or(&octets), direction)
    }

    /// Reads the octets of a PDU that starts with the service centre address. Octets behind the user data are ignored,
    /// because a SIM fills its records.
    pub fn decode(octets: &[u8], direction: Direction) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let service_centre = decode_service_centre(&mut reader)?;
        Self::decode_behind(service_centre, reader, direction)
    }

    /// Reads the octets of a TPDU without a service centre address.
    pub fn decode_tpdu(octets: &[u8], direction: Direction) -> Result<Self, DecodeError> {
        Self::decode_behind(None, Reader::new(octets), direction)
    }

    fn decode_behind(
        service_centre: Option<Address>,
        mut reader: Reader<'_>,
        direction: Direction,
    ) -> Result<Self, DecodeError> {
        let (tpdu, truncated) = Tpdu::decode(&mut reader, direction)?;
        let pdu = Self { service_centre, tpdu };
        match truncated {
            None => Ok(pdu),
            Some(truncated) => Err(DecodeError::UserDataTruncated {
                truncated,
                partial: Box::new(pdu),
            }),
        }
    }

    /// Writes the PDU.
    pub fn encode(&self) -> Result<EncodedPdu, EncodeError> {
        let (octets, tpdu_length) = self.encode_octets()?;
        Ok(EncodedPdu {
            hex: octets::to_hex(&octets),
            tpdu_length,
        })
    }

    /// The octets of the PDU and how many of them are the TPDU.
    pub fn encode_octets(&self) -> Result<(Vec<u8>, usize), EncodeError> {
        let mut writer = Writer::default();
        encode_service_centre(self.service_centre.as_ref(), &mut writer)?;
        let service_centre_octets = writer.len();
        self.tpdu.encode(&mut writer)?;
        let octets = writer.finish();
        let tpdu_length = octets.len() - service_centre_octets;
        Ok((octets, tpdu_length))
    }
}

/// The length before a service centre address counts octets, the type among them, unlike that of a TPDU's addresses
/// (24.011 clause 8.2.5.1).
fn decode_service_centre(reader: &mut Reader<'_>) -> Result<Option<Address>, DecodeError> {
    const FIELD: &str = "service centre address";
    let length = usize::from(reader.octet(FIELD)?);
    if length == 0 {
        return Ok(None);
    }
    let type_of_address = TypeOfAddress(reader.octet(FIELD)?);
    let octets = reader.take(FIELD, length - 1)?;
    Ok(Some(Address::from_semi_octets(
        type_of_address,
        octets.len() * 2,
        octets,
    )))
}

fn encode_service_centre(address: Option<&Address>, writer: &mut Writer) -> Result<(), EncodeError> {
    let Some(address) = address else {
        writer.octet(0);
        return Ok(());
    };
    let (_, value) = address
        .value_octets()
        .map_err(EncodeError::address("service centre address"))?;
    // The value has at most ten octets.
    writer.octet(value.len().to_le_bytes()[0] + 1);
    writer.octet(address.type_of_address.0);
    writer.octets(&value);
    Ok(())
}

fn decode_address(field: &'static str, reader: &mut Reader<'_>) -> Result<Address, DecodeError> {
    let semi_octets = usize::from(reader.octet(field)?);
    if semi_octets > super::address::MAX_DIGITS {
        let problem = super::address::AddressError::TooLong { semi_octets };
        return Err(DecodeError::Address { field, problem });
    }
    let type_of_address = TypeOfAddress(reader.octet(field)?);
    let octets = reader.take(field, semi_octets.div_ceil(2))?;
    Ok(Address::from_semi_octets(type_of_address, semi_octets, octets))
}

fn encode_address(field: &'static str, address: &Address, writer: &mut Writer) -> Result<(), EncodeError> {
    let (semi_octets, value) = address.value_octets().map_err(EncodeError::address(field))?;
    writer.octet(semi_octets);
    writer.octet(address.type_of_address.0);
    writer.octets(&value);
    Ok(())
}

/// TP-UDL and TP-UD, which end every TPDU.
fn decode_user_data(
    scheme: DataCodingScheme,
    has_header: bool,
    reader: &mut Reader<'_>,
) -> Result<(UserData, Option<UserDataTruncated>), DecodeError> {
    let length = reader.octet("user data length")?;
    let octets = reader.rest();
    let decoded = UserData::decode(scheme, has_header, length, octets)?;
    let declared_octets = decoded.declared_octets;
    let is_truncated = octets.len() < declared_octets;
    let truncated = is_truncated.then_some(UserDataTruncated {
        declared_octets,
        received_octets: octets.len(),
    });
    Ok((decoded.user_data, truncated))
}

fn encode_user_data(scheme: DataCodingScheme, user_data: &UserData, writer: &mut Writer) -> Result<(), EncodeError> {
    let (length, octets) = user_data.encode(scheme)?;
    writer.octet(length);
    writer.octets(&octets);
    Ok(())
}

const fn flag(is_set: bool, mask: u8) -> u8 {
    if is_set { mask } else { 0 }
}
