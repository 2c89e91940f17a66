//! Final result codes (V.250 5.7.1, 27.007 9.2, 27.005 3.2.5).

use super::error_code::ErrorCode;

/// What ends the reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultCode {
    /// `OK`
    Ok,
    /// `CONNECT`, with the text that may follow it.
    Connect(Option<String>),
    /// `NO CARRIER`
    NoCarrier,
    /// `BUSY`
    Busy,
    /// `NO ANSWER`
    NoAnswer,
    /// `NO DIALTONE`
    NoDialtone,
    /// `ERROR` without a reason. Syntax errors end so at every level of error reporting.
    Error,
    /// `+CME ERROR`
    Cme(ErrorCode),
    /// `+CMS ERROR`
    Cms(ErrorCode),
}

impl ResultCode {
    /// Recognises a line that is a final result code in its verbose form (V.250 6.2.6, `ATV1`).
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        match line {
            "OK" => return Some(Self::Ok),
            "ERROR" => return Some(Self::Error),
            "NO CARRIER" => return Some(Self::NoCarrier),
            "BUSY" => return Some(Self::Busy),
            "NO ANSWER" => return Some(Self::NoAnswer),
            "NO DIALTONE" | "NO DIAL TONE" => return Some(Self::NoDialtone),
            "CONNECT" => return Some(Self::Connect(None)),
            _ => {}
        }
        if let Some(reason) = line.strip_prefix("+CME ERROR") {
            return error_reason(reason).map(|reason| Self::Cme(ErrorCode::cme(reason)));
        }
        if let Some(reason) = line.strip_prefix("+CMS ERROR") {
            return error_reason(reason).map(|reason| Self::Cms(ErrorCode::cms(reason)));
        }
        line.strip_prefix("CONNECT ")
            .map(|text| Self::Connect(Some(text.trim().to_owned())))
    }

    /// True for the codes that report a call's progress. Outside a command that establishes a call they are unsolicited.
    #[must_use]
    pub fn is_call_progress(&self) -> bool {
        matches!(
            self,
            Self::NoCarrier | Self::Busy | Self::NoAnswer | Self::NoDialtone | Self::Connect(_)
        )
    }

    /// True for `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

impl std::fmt::Display for ResultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Connect(None) => f.write_str("CONNECT"),
            Self::Connect(Some(text)) => write!(f, "CONNECT {text}"),
            Self::NoCarrier => f.write_str("NO CARRIER"),
            Self::Busy => f.write_str("BUSY"),
            Self::NoAnswer => f.write_str("NO ANSWER"),
            Self::NoDialtone => f.write_str("NO DIALTONE"),
            Self::Error => f.write_str("ERROR"),
            Self::Cme(code) => write!(f, "+CME ERROR: {code}"),
            Self::Cms(code) => write!(f, "+CMS ERROR: {code}"),
        }
    }
}

/// The colon is part of the syntax, the space after it is not always there.
fn error_reason(rest: &str) -> Option<&str> {
    rest.trim_start().strip_prefix(':').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_result_codes_are_recognised_in_every_form() {
        for (line, expected) in [
            ("OK", "OK"),
            ("ERROR", "ERROR"),
            ("+CME ERROR: 14", "+CME ERROR: 14 (SIM busy)"),
            ("+CME ERROR:14", "+CME ERROR: 14 (SIM busy)"),
            ("+CME ERROR: sim BUSY", "+CME ERROR: 14 (SIM busy)"),
            ("+CME ERROR: made up", "+CME ERROR: made up"),
            ("+CME ERROR: 9999", "+CME ERROR: 9999"),
            ("+CMS ERROR: Unknown error", "+CMS ERROR: 500 (Unknown error)"),
            ("+CMS ERROR: 14", "+CMS ERROR: 14"),
            ("CONNECT 115200", "CONNECT 115200"),
            ("NO CARRIER", "NO CARRIER"),
        ] {
            assert_eq!(
                ResultCode::parse(line).map(|code| code.to_string()).as_deref(),
                Some(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn text_that_only_resembles_a_final_result_code_is_none() {
        for line in [
            "OKAY",
            "NO OK",
            "ERRORS",
            "CONNECTED",
            "+CME ERROR",
            "RING",
            "BUSY LINE",
            "",
        ] {
            assert_eq!(ResultCode::parse(line), None, "{line}");
        }
    }
}
