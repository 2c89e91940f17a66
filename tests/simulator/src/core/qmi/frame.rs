//! QMUX frames, read and written in this simulator's own way.

/// First octet of every QMUX frame.
const MARKER: u8 = 0x01;

/// Octets that wait for the rest of their frame; a frame's length has 16 bits.
const BUFFER_LIMIT: usize = 66_000;

const TLV_RESULT: u8 = 0x02;

/// A TLV under construction or received.
pub(super) type Tlv = (u8, Vec<u8>);

/// Whole frames out of what comes in.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = BUFFER_LIMIT.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(room));
    }

    /// Takes the next whole frame, skipping what is none.
    pub(super) fn next_frame(&mut self) -> Option<Vec<u8>> {
        let start = self.0.iter().position(|octet| *octet == MARKER).unwrap_or(self.0.len());
        self.0.drain(..start);
        let length = usize::from(u16_at(&self.0, 1)?) + 1;
        (self.0.len() >= length).then(|| self.0.drain(..length).collect())
    }
}

/// A request taken out of its frame.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(super) service: u8,
    pub(super) client: u8,
    transaction: u16,
    pub(super) message: u16,
    tlvs: Vec<Tlv>,
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

/// Digits as a number; 0 for what is none.
pub(super) fn u16_of(digits: &str) -> u16 {
    digits.parse().unwrap_or(0)
}

fn parse_tlvs(mut octets: &[u8]) -> Vec<Tlv> {
    let mut tlvs = Vec::new();
    while let [kind, low, high, rest @ ..] = octets {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((value, after)) = rest.split_at_checked(length) else {
            break;
        };
        tlvs.push((*kind, value.to_vec()));
        octets = after;
    }
    tlvs
}

fn put_tlv(body: &mut Vec<u8>, kind: u8, value: &[u8]) {
    body.push(kind);
    body.extend(length_octets(value.len()));
    body.extend_from_slice(value);
}

fn length_octets(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

/// A frame of the modem around a body of TLVs; `head` are the flags and the transaction.
fn frame(service: u8, client: u8, head: &[u8], message: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![MARKER, 0, 0, 0x80, service, client];
    frame.extend_from_slice(head);
    frame.extend(message.to_le_bytes());
    frame.extend(length_octets(body.len()));
    frame.extend_from_slice(body);
    let length = length_octets(frame.len() - 1);
    frame[1..3].copy_from_slice(&length);
    frame
}

/// What the modem tells by itself.
pub(super) fn indication(service: u8, client: u8, message: u16, tlvs: &[Tlv]) -> Vec<u8> {
    let mut body = Vec::new();
    tlvs.iter().for_each(|(kind, value)| put_tlv(&mut body, *kind, value));
    frame(service, client, &[0x04, 0, 0], message, &body)
}

impl Request {
    /// Reads a frame: marker, length, flags, service, client; then flags, transaction, message and length of the TLVs.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let (service, client) = (*frame.get(4)?, *frame.get(5)?);
        let (transaction, rest) = match service {
            super::CTL => (u16::from(*frame.get(7)?), frame.get(8..)?),
            _ => (u16_at(frame, 7)?, frame.get(9..)?),
        };
        Some(Self {
            service,
            client,
            transaction,
            message: u16_at(rest, 0)?,
            tlvs: parse_tlvs(rest.get(4..)?),
        })
    }

    pub(super) fn value(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs
            .iter()
            .find(|(tlv, _)| *tlv == kind)
            .map(|(_, value)| value.as_slice())
    }

    pub(super) fn text(&self, kind: u8) -> Option<String> {
        self.value(kind).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    pub(super) fn octet(&self, kind: u8) -> Option<u8> {
        self.value(kind)?.first().copied()
    }

    pub(super) fn number(&self, kind: u8) -> Option<u32> {
        Some(u32::from_le_bytes(self.value(kind)?.try_into().ok()?))
    }

    pub(super) fn response(&self, outcome: Result<Vec<Tlv>, super::Refused>) -> Vec<u8> {
        let (error, tlvs) = match outcome {
            Ok(tlvs) => (0, tlvs),
            Err(refused) => refused,
        };
        let mut result = u16::from(error != 0).to_le_bytes().to_vec();
        result.extend(error.to_le_bytes());
        let mut body = Vec::new();
        put_tlv(&mut body, TLV_RESULT, &result);
        tlvs.iter().for_each(|(kind, value)| put_tlv(&mut body, *kind, value));
        let [low, high] = self.transaction.to_le_bytes();
        // The response flag is another bit in the control service, and its transaction has one octet.
        let head: &[u8] = if self.service == super::CTL {
            &[0x01, low]
        } else {
            &[0x02, low, high]
        };
        frame(self.service, self.client, head, self.message, &body)
    }
}
