//! The network's view of short messages (23.040): reads what the modem submits, writes what it delivers.

use jiff::civil::DateTime;

use super::gsm_alphabet::{pack, septets_of, text_of, unpack};

/// Why a PDU cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TpduError {
    /// Not pairs of hexadecimal digits.
    #[error("not hexadecimal")]
    NotHexadecimal,
    /// The PDU ends inside a field.
    #[error("cut off")]
    Truncated,
    /// Not the kind of TPDU that belongs here.
    #[error("not the expected message type")]
    MessageType,
    /// The length given with the command is not the length of the TPDU.
    #[error("length of the TPDU differs from the announced one")]
    Length,
}

/// Octets of hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, TpduError> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(TpduError::NotHexadecimal)
        })
        .collect::<Result<_, _>>()?;
    if digits.is_empty() || digits.len() % 2 == 1 {
        return Err(TpduError::NotHexadecimal);
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Upper-case hexadecimal, as the module writes it.
pub(crate) fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn octet(&mut self) -> Result<u8, TpduError> {
        let (first, rest) = self.0.split_first().ok_or(TpduError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], TpduError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TpduError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// An address with its length in semi-octets: the raw octets and what they mean.
    fn address(&mut self) -> Result<(Vec<u8>, String), TpduError> {
        let semi_octets = usize::from(self.octet()?);
        let kind = self.octet()?;
        let value = self.take(semi_octets.div_ceil(2))?;
        let mut raw = vec![semi_octets.to_le_bytes()[0], kind];
        raw.extend_from_slice(value);
        Ok((raw, address_text(kind, value, semi_octets)))
    }
}

fn address_text(kind: u8, value: &[u8], semi_octets: usize) -> String {
    if kind & 0x70 == 0x50 {
        return text_of(&unpack(value, 0, semi_octets * 4 / 7));
    }
    let digit = |nibble: u8| char::from(*b"0123456789*#abc".get(usize::from(nibble)).unwrap_or(&b'?'));
    let digits = value
        .iter()
        .flat_map(|octet| [octet & 0x0f, octet >> 4])
        .take(semi_octets)
        .filter(|n| *n != 0x0f);
    let plus = if kind & 0x70 == 0x10 { "+" } else { "" };
    format!("{plus}{}", digits.map(digit).collect::<String>())
}

/// Type-of-address octet and swapped semi-octets of a number, or an alphanumeric address if it is none.
fn address_octets(number: &str) -> Vec<u8> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let nibbles: Option<Vec<u8>> = digits
        .chars()
        .map(|c| "0123456789*#abc".find(c).and_then(|n| u8::try_from(n).ok()))
        .collect();
    match nibbles.filter(|nibbles| !nibbles.is_empty() && nibbles.len() <= 20) {
        Some(nibbles) => {
            let kind = if number.starts_with('+') { 0x91 } else { 0x81 };
            let mut octets = vec![nibbles.len().to_le_bytes()[0], kind];
            octets.extend(
                nibbles
                    .chunks(2)
                    .map(|pair| pair.get(1).unwrap_or(&0x0f) << 4 | pair[0]),
            );
            octets
        }
        None => {
            let septets: Vec<u8> = number.chars().filter_map(septets_of).flatten().take(11).collect();
            let packed = pack(&septets, 0);
            let mut octets = vec![(septets.len() * 7).div_ceil(4).to_le_bytes()[0], 0xd0];
            octets.extend(packed);
            octets
        }
    }
}

/// A service-centre address as AT commands put it in front of a TPDU; its length counts octets (27.005 clause 3.1).
fn service_centre_octets(number: &str) -> Vec<u8> {
    let address = address_octets(number);
    let mut octets = vec![(address.len() - 1).to_le_bytes()[0]];
    octets.extend_from_slice(&address[1..]);
    octets
}

/// TP-SCTS: swapped digits of local time and its offset in quarters of an hour.
fn time_stamp(at: DateTime, quarters: i8) -> [u8; 7] {
    let swapped = |value: i16| {
        let value = value.rem_euclid(100).to_le_bytes()[0];
        ((value % 10) << 4) | (value / 10)
    };
    let zone = swapped(i16::from(quarters).abs()) | if quarters < 0 { 0x08 } else { 0 };
    [
        swapped(at.year()),
        swapped(at.month().into()),
        swapped(at.day().into()),
        swapped(at.hour().into()),
        swapped(at.minute().into()),
        swapped(at.second().into()),
        zone,
    ]
}

/// `yy/MM/dd,hh:mm:ss±zz` of a TP-SCTS, as text mode shows it.
fn time_stamp_text(octets: &[u8]) -> String {
    let plain: Vec<u8> = octets.iter().map(|octet| (octet & 0x0f) * 10 + (octet >> 4)).collect();
    let [year, month, day, hour, minute, second, ..] = plain[..] else {
        return String::new();
    };
    let zone = octets.last().copied().unwrap_or(0);
    let quarters = (zone & 0x07) * 10 + (zone >> 4);
    let sign = if zone & 0x08 == 0 { '+' } else { '-' };
    format!("{year:02}/{month:02}/{day:02},{hour:02}:{minute:02}:{second:02}{sign}{quarters:02}")
}

/// User data with its header taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserData {
    pub(crate) text: Option<String>,
    pub(crate) concatenation: Option<(u16, u8, u8)>,
}

fn user_data(cursor: &mut Cursor<'_>, dcs: u8, has_header: bool) -> Result<UserData, TpduError> {
    let length = usize::from(cursor.octet()?);
    let alphabet = alphabet_of(dcs);
    let octet_count = if alphabet == Alphabet::Gsm {
        (length * 7).div_ceil(8)
    } else {
        length
    };
    let octets = cursor.take(octet_count)?;
    let header_length = if has_header {
        usize::from(*octets.first().ok_or(TpduError::Truncated)?) + 1
    } else {
        0
    };
    let header = octets
        .get(usize::from(has_header)..header_length)
        .ok_or(TpduError::Truncated)?;
    let body = octets.get(header_length..).unwrap_or_default();
    let text = match alphabet {
        Alphabet::Gsm => {
            let header_septets = (header_length * 8).div_ceil(7);
            let fill = header_septets * 7 - header_length * 8;
            Some(text_of(&unpack(body, fill, length.saturating_sub(header_septets))))
        }
        Alphabet::Ucs2 => {
            let units = body.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(
                char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        Alphabet::Octets => None,
    };
    Ok(UserData {
        text,
        concatenation: concatenation_of(header),
    })
}

fn concatenation_of(mut header: &[u8]) -> Option<(u16, u8, u8)> {
    while let [identifier, length, rest @ ..] = header {
        let (element, after) = rest.split_at_checked(usize::from(*length))?;
        match (identifier, element) {
            (0x00, [reference, count, part]) => return Some((u16::from(*reference), *count, *part)),
            (0x08, [high, low, count, part]) => return Some((u16::from_be_bytes([*high, *low]), *count, *part)),
            _ => header = after,
        }
    }
    None
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Gsm,
    Octets,
    Ucs2,
}

/// The alphabet of a data coding scheme (23.038 clause 4).
fn alphabet_of(dcs: u8) -> Alphabet {
    match dcs {
        0x00..=0x7f => match dcs & 0x0c {
            0x04 => Alphabet::Octets,
            0x08 => Alphabet::Ucs2,
            _ => Alphabet::Gsm,
        },
        0xe0..=0xef => Alphabet::Ucs2,
        0xf0..=0xff if dcs & 0x04 != 0 => Alphabet::Octets,
        _ => Alphabet::Gsm,
    }
}

/// The message class of a data coding scheme, if it has one.
pub(crate) fn class_of(dcs: u8) -> Option<u8> {
    let has_class = matches!(dcs, 0x10..=0x1f | 0x30..=0x3f | 0x50..=0x5f | 0x70..=0x7f | 0xf0..=0xff);
    has_class.then_some(dcs & 0x03)
}

/// A SUBMIT as the modem hands it to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submit {
    octets: Vec<u8>,
    reference_at: usize,
    destination_raw: Vec<u8>,
    pub(crate) destination: String,
    pub(crate) has_service_centre: bool,
    pub(crate) report_requested: bool,
    pub(crate) dcs: u8,
    pub(crate) data: UserData,
}

impl Submit {
    /// Reads a PDU that begins with a service centre; `length` is that of the TPDU alone.
    pub(crate) fn parse(octets: &[u8], length: Option<usize>) -> Result<Self, TpduError> {
        let mut cursor = Cursor(octets);
        let centre = usize::from(cursor.octet()?);
        cursor.take(centre)?;
        if length.is_some_and(|length| cursor.0.len() != length) {
            return Err(TpduError::Length);
        }
        let first = cursor.octet()?;
        if first & 0x03 != 0x01 {
            return Err(TpduError::MessageType);
        }
        let reference_at = octets.len() - cursor.0.len();
        cursor.octet()?;
        let (destination_raw, destination) = cursor.address()?;
        cursor.octet()?;
        let dcs = cursor.octet()?;
        cursor.take(match first >> 3 & 0x03 {
            0 => 0,
            2 => 1,
            _ => 7,
        })?;
        let data = user_data(&mut cursor, dcs, first & 0x40 != 0)?;
        Ok(Self {
            octets: octets.to_vec(),
            reference_at,
            destination_raw,
            destination,
            has_service_centre: centre > 0,
            report_requested: first & 0x20 != 0,
            dcs,
            data,
        })
    }

    /// Composes one from text mode: `first` as `AT+CSMP` gives it.
    pub(crate) fn compose(first: u8, destination: &str, protocol: u8, dcs: u8, validity: u8, text: &str) -> Vec<u8> {
        let mut octets = vec![0, first, 0];
        octets.extend(address_octets(destination));
        octets.extend([protocol, dcs]);
        if first & 0x18 == 0x10 {
            octets.push(validity);
        }
        let (length, body) = if alphabet_of(dcs) == Alphabet::Ucs2 {
            let body: Vec<u8> = text.encode_utf16().take(70).flat_map(u16::to_be_bytes).collect();
            (body.len(), body)
        } else {
            let septets: Vec<u8> = text.chars().filter_map(septets_of).flatten().take(160).collect();
            (septets.len(), pack(&septets, 0))
        };
        octets.push(length.to_le_bytes()[0]);
        octets.extend(body);
        octets
    }

    /// The PDU with the reference that the module gave it.
    pub(crate) fn with_reference(&self, reference: u8) -> Vec<u8> {
        let mut octets = self.octets.clone();
        if let Some(slot) = octets.get_mut(self.reference_at) {
            *slot = reference;
        }
        octets
    }

    /// The STATUS-REPORT on it, service centre included.
    pub(crate) fn report(&self, centre: &str, reference: u8, at: (DateTime, i8), status: u8) -> Vec<u8> {
        let mut octets = service_centre_octets(centre);
        octets.extend([0x06, reference]);
        octets.extend(&self.destination_raw);
        octets.extend(time_stamp(at.0, at.1));
        octets.extend(time_stamp(at.0, at.1));
        octets.push(status);
        octets
    }
}

/// A message for the modem, as its text mode needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deliver {
    pub(crate) first: u8,
    pub(crate) from: String,
    pub(crate) protocol: u8,
    pub(crate) dcs: u8,
    pub(crate) time: String,
    pub(crate) data: UserData,
}

impl Deliver {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, TpduError> {
        let mut cursor = Cursor(octets);
        let centre = usize::from(cursor.octet()?);
        cursor.take(centre)?;
        let first = cursor.octet()?;
        if first & 0x03 != 0x00 {
            return Err(TpduError::MessageType);
        }
        let (_, from) = cursor.address()?;
        let protocol = cursor.octet()?;
        let dcs = cursor.octet()?;
        let time = time_stamp_text(cursor.take(7)?);
        let data = user_data(&mut cursor, dcs, first & 0x40 != 0)?;
        Ok(Self {
            first,
            from,
            protocol,
            dcs,
            time,
            data,
        })
    }
}

/// A STATUS-REPORT, as text mode shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) first: u8,
    pub(crate) reference: u8,
    pub(crate) recipient: String,
    pub(crate) submitted: String,
    pub(crate) discharged: String,
    pub(crate) status: u8,
}

impl Report {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, TpduError> {
        let mut cursor = Cursor(octets);
        let centre = usize::from(cursor.octet()?);
        cursor.take(centre)?;
        let first = cursor.octet()?;
        if first & 0x03 != 0x02 {
            return Err(TpduError::MessageType);
        }
        let reference = cursor.octet()?;
        let (_, recipient) = cursor.address()?;
        let submitted = time_stamp_text(cursor.take(7)?);
        let discharged = time_stamp_text(cursor.take(7)?);
        Ok(Self {
            first,
            reference,
            recipient,
            submitted,
            discharged,
            status: cursor.octet()?,
        })
    }
}

/// Octets of the TPDU behind the service centre, as `+CMGR` and `+CMT` count them.
pub(crate) fn tpdu_length(octets: &[u8]) -> usize {
    let centre = octets.first().map_or(0, |centre| usize::from(*centre));
    octets.len().saturating_sub(centre + 1)
}

/// What a delivered text carries besides its text.
pub(crate) struct Envelope<'a> {
    pub(crate) centre: &'a str,
    pub(crate) from: &'a str,
    pub(crate) at: (DateTime, i8),
    pub(crate) flash: bool,
    /// Used when the text needs several parts.
    pub(crate) reference: u8,
}

/// The DELIVER PDUs of a text: GSM 7-bit if the alphabet suffices, else UCS2.
pub(crate) fn deliver(envelope: &Envelope<'_>, text: &str) -> Vec<Vec<u8>> {
    let gsm: Option<Vec<Vec<u8>>> = text.chars().map(septets_of).collect();
    let is_gsm = gsm.is_some();
    let units: Vec<Vec<u8>> = gsm.unwrap_or_else(|| {
        let mut buffer = [0u16; 2];
        text.chars()
            .map(|c| {
                c.encode_utf16(&mut buffer)
                    .iter()
                    .flat_map(|u| u.to_be_bytes())
                    .collect()
            })
            .collect()
    });
    let (whole, part) = if is_gsm { (160, 153) } else { (140, 134) };
    let total: usize = units.iter().map(Vec::len).sum();
    let parts = split(&units, if total <= whole { whole } else { part });
    let dcs = if is_gsm { 0x00 } else { 0x08 } | if envelope.flash { 0x10 } else { 0x00 };
    let count = parts.len().to_le_bytes()[0];
    (1u8..)
        .zip(&parts)
        .map(|(number, body)| {
            let header = if count > 1 {
                vec![5, 0, 3, envelope.reference, count, number]
            } else {
                Vec::new()
            };
            deliver_part(envelope, dcs, &header, body, is_gsm)
        })
        .collect()
}

/// Fills parts without cutting a unit (an escaped septet pair, a surrogate pair). There is always one part.
fn split(units: &[Vec<u8>], limit: usize) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for unit in units {
        let full = parts
            .last()
            .is_some_and(|part: &Vec<u8>| part.len() + unit.len() > limit);
        if full && parts.len() < 255 {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut().filter(|part| part.len() + unit.len() <= limit) {
            part.extend(unit);
        }
    }
    parts
}

fn deliver_part(envelope: &Envelope<'_>, dcs: u8, header: &[u8], body: &[u8], is_gsm: bool) -> Vec<u8> {
    let mut octets = service_centre_octets(envelope.centre);
    octets.push(0x04 | if header.is_empty() { 0 } else { 0x40 });
    octets.extend(address_octets(envelope.from));
    octets.extend([0x00, dcs]);
    octets.extend(time_stamp(envelope.at.0, envelope.at.1));
    if is_gsm {
        let header_septets = (header.len() * 8).div_ceil(7);
        octets.push((header_septets + body.len()).to_le_bytes()[0]);
        octets.extend(header);
        octets.extend(pack(body, header_septets * 7 - header.len() * 8));
    } else {
        octets.push((header.len() + body.len()).to_le_bytes()[0]);
        octets.extend(header);
        octets.extend(body);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope<'static> {
        let at = (jiff::civil::datetime(2026, 11, 21, 4, 28, 5, 0), -6);
        Envelope {
            centre: "+447785016005",
            from: "+447700900123",
            at,
            flash: false,
            reference: 7,
        }
    }

    #[test]
    fn what_is_delivered_can_be_read_back() {
        for (text, parts) in [
            ("", 1),
            ("hello {€}", 1),
            (&"x".repeat(160), 1),
            (&"x".repeat(161), 2),
            (&"€".repeat(153), 3),
            ("Привет", 1),
            (&"😀".repeat(36), 2),
        ] {
            let pdus = deliver(&envelope(), text);
            let read: Vec<_> = pdus.iter().map(|pdu| Deliver::parse(pdu).expect("a DELIVER")).collect();
            assert_eq!(pdus.len(), parts, "{text}");
            assert!(pdus.iter().all(|pdu| tpdu_length(pdu) <= 164), "{text}");
            assert_eq!(
                read.iter().filter_map(|r| r.data.text.clone()).collect::<String>(),
                text
            );
            assert_eq!(read[0].from, "+447700900123");
            assert_eq!(read[0].time, "26/11/21,04:28:05-06");
            let expected = (parts > 1).then_some((7, pdus.len() as u8, pdus.len() as u8));
            assert_eq!(read[parts - 1].data.concatenation, expected);
        }
    }

    /// The example of AN_SMS V1.01 (SIMCom, 2006) with its destination replaced by a fictional number.
    #[test]
    fn a_submit_is_read_and_gets_its_reference() {
        let octets = from_hex("0031000C9144770009103200080104 4f60597d").expect("hexadecimal");
        let submit = Submit::parse(&octets, Some(octets.len() - 1)).expect("a SUBMIT");
        assert_eq!(submit.destination, "+447700900123");
        assert_eq!(submit.data.text.as_deref(), Some("你好"));
        assert!(submit.report_requested && !submit.has_service_centre);
        assert_eq!(submit.with_reference(0x79)[2], 0x79);
        let report = submit.report(
            "+447785016005",
            0x79,
            (jiff::civil::datetime(2026, 1, 2, 3, 4, 5, 0), 4),
            0,
        );
        let report = Report::parse(&report).expect("a STATUS-REPORT");
        assert_eq!(
            (report.reference, report.recipient.as_str(), report.status),
            (0x79, "+447700900123", 0)
        );
        assert_eq!(Submit::parse(&octets, Some(3)), Err(TpduError::Length));
    }

    #[test]
    fn an_alphanumeric_sender_keeps_its_seven_characters() {
        let pdu = deliver(
            &Envelope {
                from: "Megafon",
                ..envelope()
            },
            "x",
        );
        assert_eq!(Deliver::parse(&pdu[0]).expect("a DELIVER").from, "Megafon");
    }

    #[test]
    fn composing_from_text_mode_is_a_valid_submit() {
        let octets = Submit::compose(0x31, "+447700900123", 0, 0, 167, "ABCD");
        let submit = Submit::parse(&octets, None).expect("a SUBMIT");
        assert_eq!(
            (submit.data.text.as_deref(), submit.report_requested),
            (Some("ABCD"), true)
        );
    }
}
