//! AT commands and their replies (V.250, 27.005, 27.007).
//!
//! - [`Session`] is the dialogue on one port: which line belongs to the command in flight, which is unsolicited, and how the
//!   two ends agree again after a command went unanswered.
//! - [`command`] builds command lines, one constructor per function, with everything that comes from outside checked.
//! - [`reply`] and [`urc`] turn lines into values; [`mod@line`] is the argument syntax that both share.
//! - [`data_call`] is what is heard of a data call before and behind its packets.
//! - [`result_code`] and [`error_code`] hold the final result codes and the error tables.

pub mod command;
pub mod data_call;
pub mod error_code;
pub mod line;
pub mod reply;
pub mod result_code;
pub mod session;
pub mod urc;

pub use command::{Command, Expects, InvalidArgument};
pub use error_code::ErrorCode;
pub use result_code::ResultCode;
pub use session::{Busy, CommandId, Config, Failure, Output, Phase, Probe, Response, Session, Unsolicited};
pub use urc::Urc;
