//! QMUX frames: how messages of all services share one channel.

use super::tlv::Tlvs;
use super::{DecodeError, Service};

/// First octet of every frame.
const MARKER: u8 = 0x01;

/// The direction in a frame's header: from the control point (us) or from the service (the modem).
const FROM_SERVICE: u8 = 0x80;

/// Marker, length, direction, service, client.
const FRAME_HEADER: usize = 6;

/// Message number and length of the TLVs.
const MESSAGE_HEADER: usize = 4;

/// The longest frame that is believed. The channel of `qmi_wwan` carries 4 KiB at a time; a length beyond this is noise.
pub const FRAME_MAX: usize = 16 * 1024;

/// What a message is in its dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// We ask.
    Request,
    /// The modem answers.
    Response,
    /// The modem tells by itself.
    Indication,
}

impl Kind {
    /// The control service counts its flags otherwise than all others.
    const fn flag(self, service: Service) -> u8 {
        match (self, service) {
            (Self::Request, _) => 0x00,
            (Self::Response, Service::CTL) => 0x01,
            (Self::Indication, Service::CTL) => 0x02,
            (Self::Response, _) => 0x02,
            (Self::Indication, _) => 0x04,
        }
    }

    fn of(flags: u8, service: Service) -> Self {
        [Self::Response, Self::Indication]
            .into_iter()
            .find(|kind| flags & kind.flag(service) != 0)
            .unwrap_or(Self::Request)
    }
}

/// A message of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of which service.
    pub service: Service,
    /// The client within the service; 0 in the control service, 255 for every client of a service.
    pub client: u8,
    /// Connects a response with its request; 8 bits in the control service.
    pub transaction: u16,
    /// What it is in its dialogue.
    pub kind: Kind,
    /// Which message of the service.
    pub id: u16,
    /// Its contents.
    pub tlvs: Tlvs,
}

impl Message {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let direction = if self.kind == Kind::Request { 0 } else { FROM_SERVICE };
        let tlvs = self.tlvs.octets();
        let mut frame = vec![
            MARKER,
            0,
            0,
            direction,
            self.service.0,
            self.client,
            self.kind.flag(self.service),
        ];
        let [low, high] = self.transaction.to_le_bytes();
        frame.push(low);
        if self.service != Service::CTL {
            frame.push(high);
        }
        frame.extend(self.id.to_le_bytes());
        frame.extend((tlvs.len() as u16).to_le_bytes());
        frame.extend_from_slice(tlvs);
        let length = (frame.len() - 1) as u16;
        frame[1..3].copy_from_slice(&length.to_le_bytes());
        frame
    }

    /// Reads a whole frame.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::Truncated { octets: frame.len() };
        let (&[marker, low, high, _, service, client], rest) =
            frame.split_first_chunk::<FRAME_HEADER>().ok_or(truncated)?;
        if marker != MARKER || usize::from(u16::from_le_bytes([low, high])) + 1 != frame.len() {
            return Err(DecodeError::NoFrame);
        }
        let service = Service(service);
        let (flags, transaction, rest) = match (service, rest) {
            (Service::CTL, [flags, transaction, rest @ ..]) => (*flags, u16::from(*transaction), rest),
            (_, [flags, low, high, rest @ ..]) if service != Service::CTL => {
                (*flags, u16::from_le_bytes([*low, *high]), rest)
            }
            _ => return Err(truncated),
        };
        let (&[id_low, id_high, low, high], tlvs) = rest.split_first_chunk::<MESSAGE_HEADER>().ok_or(truncated)?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        Ok(Self {
            service,
            client,
            transaction,
            kind: Kind::of(flags, service),
            id: u16::from_le_bytes([id_low, id_high]),
            tlvs: Tlvs::from_octets(tlvs[..length.min(tlvs.len())].to_vec()),
        })
    }
}

/// Cuts frames out of what a port delivers: one frame at a time from `cdc-wdm`, any chunks from a terminal or a socket.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    discarded: usize,
}

impl Framer {
    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole frame. What cannot be the beginning of one is skipped.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let noise = self.buffer.iter().position(|octet| *octet == MARKER);
            self.discard(noise.unwrap_or(self.buffer.len()));
            let (&[_, low, high], _) = self.buffer.split_first_chunk()?;
            let length = usize::from(u16::from_le_bytes([low, high])) + 1;
            // The shortest message has a header of the control service and no TLV.
            if !(FRAME_HEADER + 2 + MESSAGE_HEADER..=FRAME_MAX).contains(&length)
                || self
                    .buffer
                    .get(3)
                    .is_some_and(|direction| !matches!(*direction, 0 | FROM_SERVICE))
            {
                self.discard(1);
                continue;
            }
            return (self.buffer.len() >= length).then(|| self.buffer.drain(..length).collect());
        }
    }

    fn discard(&mut self, octets: usize) {
        self.buffer.drain(..octets);
        self.discarded += octets;
    }

    /// Forgets the beginning of a frame whose rest did not come.
    pub fn clear(&mut self) {
        self.discard(self.buffer.len());
    }

    /// How many octets were skipped since this was asked last.
    pub fn take_discarded(&mut self) -> usize {
        std::mem::take(&mut self.discarded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(service: Service, kind: Kind) -> Message {
        Message {
            service,
            client: if service == Service::CTL { 0 } else { 7 },
            transaction: 0x21,
            kind,
            id: 0x0022,
            tlvs: Tlvs::default().with_u8(0x01, 1),
        }
    }

    #[test]
    fn every_kind_of_message_of_every_service_is_read_as_it_was_written() {
        for service in [Service::CTL, Service::WDS, Service(0xE0)] {
            for kind in [Kind::Request, Kind::Response, Kind::Indication] {
                let message = message(service, kind);
                assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        }
    }

    #[test]
    fn frames_come_out_of_any_chunks_and_noise() {
        let frame = message(Service::WDS, Kind::Response).encode();
        // A marker with an impossible length or direction is noise as well.
        let noise = [0x00, 0x01, 0xFF, 0xFF, 0x01, 0x0D, 0x00, 0x55, 0x7E];
        let octets = [&noise[..], &frame, &frame].concat();
        for chunk in 1..octets.len() {
            let mut framer = Framer::default();
            let mut frames = Vec::new();
            for part in octets.chunks(chunk) {
                framer.push(part);
                frames.extend(std::iter::from_fn(|| framer.next_frame()));
            }
            assert_eq!(frames, [frame.clone(), frame.clone()], "chunks of {chunk}");
            assert_eq!(framer.take_discarded(), noise.len());
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error() {
        let frame = message(Service::WDS, Kind::Request).encode();
        for length in 0..frame.len() {
            assert!(Message::decode(&frame[..length]).is_err(), "{length} octets");
        }
    }
}
