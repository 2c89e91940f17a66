//! Values out of information text, one parser per command.
//!
//! Each parser takes the lines of a [`super::Response`]. Lines that are not of its command are passed over, so that an
//! unsolicited line that slipped in does no harm; fields that a firmware leaves out read as `None`.

mod call;
mod gnss;
mod message;
mod network;
mod operator;
mod packet;
mod status;
mod system_information;
pub(crate) mod text;
mod ussd;

pub use call::*;
pub use gnss::*;
pub use message::*;
pub use network::*;
pub use operator::*;
pub use packet::*;
pub use status::*;
pub use system_information::*;
pub use ussd::*;

use super::line::{Arguments, arguments_after};

/// A reply without the information that its command has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unexpected reply to {command}")]
pub struct UnexpectedReply {
    /// The command as the standard writes it: `+CREG`.
    pub command: &'static str,
}

/// The arguments of every line that carries `prefix`.
fn rows<'a>(lines: &'a [impl AsRef<str>], prefix: &str) -> impl Iterator<Item = Arguments<'a>> {
    lines
        .iter()
        .filter_map(move |line| arguments_after(line.as_ref(), prefix))
}

/// The last usable line that carries `prefix`. The last one, because an unsolicited line of the same form may come first.
fn last<T>(
    lines: &[impl AsRef<str>],
    prefix: &'static str,
    parse: impl Fn(&Arguments<'_>) -> Option<T>,
) -> Result<T, UnexpectedReply> {
    rows(lines, prefix)
        .filter_map(|arguments| parse(&arguments))
        .last()
        .ok_or(UnexpectedReply { command: prefix })
}

#[cfg(test)]
mod tests;
