//! Short messages (23.040, 23.038): from octets to meaning and back.
//!
//! | module | what it knows |
//! |---|---|
//! | [`pdu`] | the TPDUs: SMS-DELIVER, SMS-SUBMIT and SMS-STATUS-REPORT with the service centre address before them |
//! | [`address`] | addresses as a PDU carries them, and telephone numbers as people type them |
//! | [`alphabet`] | GSM 7-bit with its national language tables, septet packing, UCS2 |
//! | [`user_data`] | TP-UD: the user data header and the body behind it |
//! | [`data_coding`] | TP-DCS: alphabet, class, message waiting |
//! | [`timestamp`], [`validity`], [`status`] | the smaller fields that have a meaning of their own |
//! | [`compose`], [`transliteration`] | a text or octets in, as few SMS-SUBMITs as possible out |
//! | [`reassembly`] | parts in any order in, whole messages out |
//! | [`stored`] | whether what a module hands out of its storage is whole |
//! | [`refusal`] | whether the network may have a message although it was answered with an error |
//! | [`identity`] | a name for a received PDU that stays the same however often it is read |

pub mod address;
pub mod alphabet;
pub mod compose;
pub mod data_coding;
pub mod identity;
pub mod pdu;
pub mod reassembly;
pub mod refusal;
pub mod status;
pub mod stored;
pub mod timestamp;
pub mod transliteration;
pub mod user_data;
pub mod validity;

pub use address::{Address, PhoneNumber};
pub use pdu::{Direction, EncodedPdu, Pdu, Tpdu};
