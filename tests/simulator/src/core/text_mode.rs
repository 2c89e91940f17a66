//! Text mode of 27.005 and the character sets of `AT+CSCS`: only as much as a client needs that does not use PDU mode.

use super::Modem;
use super::storage::Stored;
use super::tpdu::{Deliver, Report, Submit, to_hex};

/// A stored message taken apart, whatever it is.
enum Shown {
    Deliver(Deliver),
    Submit(Submit),
    Report(Report),
    Nothing,
}

impl Shown {
    fn of(pdu: &[u8]) -> Self {
        match super::messages::first_octet(pdu) & 0x03 {
            0 => Deliver::parse(pdu).map_or(Self::Nothing, Self::Deliver),
            1 => Submit::parse(pdu, None).map_or(Self::Nothing, Self::Submit),
            2 => Report::parse(pdu).map_or(Self::Nothing, Self::Report),
            _ => Self::Nothing,
        }
    }
}

fn ucs2_hex(text: &str) -> String {
    to_hex(&text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
}

impl Modem {
    /// A text as the host sees it.
    pub(super) fn to_character_set(&self, text: &str) -> String {
        if self.general.character_set == "UCS2" {
            ucs2_hex(text)
        } else {
            text.to_owned()
        }
    }

    /// A text as the host wrote it.
    #[expect(
        clippy::wrong_self_convention,
        reason = "it converts from the character set that is configured in self"
    )]
    pub(super) fn from_character_set(&self, text: &str) -> String {
        if self.general.character_set != "UCS2" {
            return text.to_owned();
        }
        let Ok(octets) = super::tpdu::from_hex(text) else {
            return text.to_owned();
        };
        let units = octets
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }

    /// Text of a UCS2 message is hexadecimal unless the character set can carry it.
    fn body(&self, dcs: u8, text: Option<&str>) -> String {
        let text = text.unwrap_or_default();
        if dcs & 0x0c == 0x08 {
            ucs2_hex(text)
        } else {
            self.to_character_set(text)
        }
    }

    fn deliver_details(&self, deliver: &Deliver) -> String {
        if !self.settings.is_on("+CSDH") {
            return String::new();
        }
        let kind = super::calls::type_of_number(&deliver.from);
        let length = deliver.data.text.as_deref().unwrap_or_default().chars().count();
        format!(
            ",{kind},{},{},{},{length}",
            deliver.first, deliver.protocol, deliver.dcs
        )
    }

    pub(super) fn text_mode_listing(&self, index: usize, stored: &Stored) -> Vec<String> {
        let status = stored.status.name();
        match Shown::of(&stored.pdu) {
            Shown::Deliver(deliver) => {
                let from = self.to_character_set(&deliver.from);
                vec![
                    format!("+CMGL: {index},\"{status}\",\"{from}\",\"\",\"{}\"", deliver.time),
                    self.body(deliver.dcs, deliver.data.text.as_deref()),
                ]
            }
            Shown::Submit(submit) => vec![
                format!(
                    "+CMGL: {index},\"{status}\",\"{}\",\"\",",
                    self.to_character_set(&submit.destination)
                ),
                self.body(submit.dcs, submit.data.text.as_deref()),
            ],
            Shown::Report(report) => vec![format!("+CMGL: {index},\"{status}\",{}", report_fields(&report))],
            Shown::Nothing => vec![format!("+CMGL: {index},\"{status}\",\"\",\"\",\"\""), String::new()],
        }
    }

    pub(super) fn text_mode_reading(&self, name: &str, stored: &Stored) -> Vec<String> {
        let status = stored.status.name();
        match Shown::of(&stored.pdu) {
            Shown::Deliver(deliver) => {
                let from = self.to_character_set(&deliver.from);
                let details = self.deliver_details(&deliver);
                vec![
                    format!("{name}: \"{status}\",\"{from}\",\"\",\"{}\"{details}", deliver.time),
                    self.body(deliver.dcs, deliver.data.text.as_deref()),
                ]
            }
            Shown::Submit(submit) => vec![
                format!(
                    "{name}: \"{status}\",\"{}\",\"\"",
                    self.to_character_set(&submit.destination)
                ),
                self.body(submit.dcs, submit.data.text.as_deref()),
            ],
            Shown::Report(report) => vec![format!("{name}: \"{status}\",{}", report_fields(&report))],
            Shown::Nothing => vec![format!("{name}: \"{status}\",\"\",\"\",\"\""), String::new()],
        }
    }

    /// `+CMT` and `+CDS`.
    pub(super) fn text_mode_direct(&self, code: &str, pdu: &[u8]) -> Vec<String> {
        match Shown::of(pdu) {
            Shown::Deliver(deliver) => {
                let from = self.to_character_set(&deliver.from);
                let details = self.deliver_details(&deliver);
                vec![
                    format!("{code}: \"{from}\",\"\",\"{}\"{details}", deliver.time),
                    self.body(deliver.dcs, deliver.data.text.as_deref()),
                ]
            }
            Shown::Report(report) => vec![format!("{code}: {}", report_fields(&report))],
            _ => vec![format!("{code}: \"\",\"\",\"\""), String::new()],
        }
    }
}

fn report_fields(report: &Report) -> String {
    let Report {
        first,
        reference,
        recipient,
        submitted,
        discharged,
        status,
    } = report;
    let kind = super::calls::type_of_number(recipient);
    format!("{first},{reference},\"{recipient}\",{kind},\"{submitted}\",\"{discharged}\",{status}")
}
