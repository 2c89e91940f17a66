//! Frames on the line (RFC 1662): flags, octets that are escaped, the check sequence of 16 bits.

const FLAG: u8 = 0x7E;
const ESCAPE: u8 = 0x7D;
const ESCAPED_BIT: u8 = 0x20;

/// The all-stations address and the control field of unnumbered information.
const ADDRESS_AND_CONTROL: [u8; 2] = [0xFF, 0x03];

/// The remainder of whatever ends with its own check sequence (RFC 1662 C.1).
const GOOD: u16 = 0xF0B8;

/// The longest frame between two flags: a packet of 1500 octets, and room for hosts that take the limit lightly. What is
/// longer is lost.
const FRAME_MAX: usize = 2_048;

/// Every control character, as it is before anything else was agreed on.
pub(super) const ALL_CONTROL_CHARACTERS: u32 = u32::MAX;

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) protocol: u16,
    pub(super) information: Vec<u8>,
}

/// The host's octets on their way to frames.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    octets: Vec<u8>,
    escaped: bool,
    overlong: bool,
    /// Control characters that the host escapes, so that others put in a bare one; it does not belong to the frame.
    pub(super) control_characters: u32,
    /// Frames that were lost to noise.
    pub(super) damaged: u64,
}

impl Incoming {
    pub(super) fn new(control_characters: u32) -> Self {
        Self {
            octets: Vec::new(),
            escaped: false,
            overlong: false,
            control_characters,
            damaged: 0,
        }
    }

    /// Takes one octet; the flag behind a frame completes it.
    pub(super) fn push(&mut self, octet: u8) -> Option<Frame> {
        match octet {
            FLAG => return self.complete(),
            ESCAPE => self.escaped = true,
            octet if is_flagged(octet, self.control_characters) => {}
            octet => {
                let octet = if std::mem::take(&mut self.escaped) {
                    octet ^ ESCAPED_BIT
                } else {
                    octet
                };
                if self.octets.len() < FRAME_MAX {
                    self.octets.push(octet);
                } else {
                    self.overlong = true;
                }
            }
        }
        None
    }

    fn complete(&mut self) -> Option<Frame> {
        let octets = std::mem::take(&mut self.octets);
        let aborted = std::mem::take(&mut self.escaped);
        let overlong = std::mem::take(&mut self.overlong);
        if octets.is_empty() {
            // One flag may end a frame and begin the next one, or two may do so.
            return None;
        }
        let frame = (!aborted && !overlong).then(|| parse(&octets)).flatten();
        self.damaged += u64::from(frame.is_none());
        frame
    }
}

fn parse(octets: &[u8]) -> Option<Frame> {
    let (body, _) = octets.split_last_chunk::<2>().filter(|_| remainder(octets) == GOOD)?;
    // Either field may be compressed, whether that was agreed on or not (RFC 1661 6.5 and 6.6 want receivers to take both).
    let body = body.strip_prefix(&ADDRESS_AND_CONTROL).unwrap_or(body);
    let (protocol, information) = match body {
        [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
        [high, low, rest @ ..] if low & 1 == 1 => (u16::from_be_bytes([*high, *low]), rest),
        _ => return None,
    };
    Some(Frame {
        protocol,
        information: information.to_vec(),
    })
}

/// How the host wants its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Control characters to escape, by their bits.
    pub(super) control_characters: u32,
    pub(super) short_protocol: bool,
    pub(super) short_address: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            control_characters: ALL_CONTROL_CHARACTERS,
            short_protocol: false,
            short_address: false,
        }
    }
}

/// A frame with the flags around it.
pub(super) fn lay_out(protocol: u16, information: &[u8], manner: Manner) -> Vec<u8> {
    let mut body = Vec::with_capacity(information.len() + 6);
    if !manner.short_address {
        body.extend(ADDRESS_AND_CONTROL);
    }
    match protocol.to_be_bytes() {
        [0, low] if manner.short_protocol => body.push(low),
        octets => body.extend(octets),
    }
    body.extend_from_slice(information);
    let sequence = !remainder(&body);
    body.extend(sequence.to_le_bytes());
    let mut line = vec![FLAG];
    for octet in body {
        if octet == FLAG || octet == ESCAPE || is_flagged(octet, manner.control_characters) {
            line.extend([ESCAPE, octet ^ ESCAPED_BIT]);
        } else {
            line.push(octet);
        }
    }
    line.push(FLAG);
    line
}

fn is_flagged(octet: u8, control_characters: u32) -> bool {
    octet < 32 && control_characters & (1 << octet) != 0
}

/// The check sequence of RFC 1662 C.2, before its complement is taken.
fn remainder(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |sequence, octet| {
        (0..8).fold(sequence ^ u16::from(*octet), |sequence, _| {
            let shifted = sequence >> 1;
            if sequence & 1 == 1 { shifted ^ 0x8408 } else { shifted }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A Configure-Request with which a BG96, of the same maker of chips, began: asyncmap 0, CHAP with MD5, a magic number,
    /// both compressions (github.com/espressif/esp-idf issue 6005).
    const BEGUN: &str =
        "7eff7d23c0217d217d207d207d397d227d267d207d207d207d207d237d25c2237d257d257d26d084697d2a7d277d227d287d22a0fc7e";
    /// A Configure-Ack to what a SIM7600 asked for (github.com/espressif/esp-protocols issue 789).
    const ACKNOWLEDGED: &str =
        "7eff7d23c0217d227d217d207d347d227d267d207d207d207d207d257d267d32d6e3d17d277d227d287d22d1fe7e";

    fn octets(text: &str) -> Vec<u8> {
        crate::core::tpdu::from_hex(text).expect("hexadecimal")
    }

    fn frames(incoming: &mut Incoming, octets: &[u8]) -> Vec<Frame> {
        octets.iter().filter_map(|octet| incoming.push(*octet)).collect()
    }

    #[test]
    fn frames_of_real_modules_are_read_and_written_alike() {
        let cases = [
            (BEGUN, "010000190206000000000305c223050506d084690a07020802"),
            (ACKNOWLEDGED, "02010014020600000000050612d6e3d107020802"),
        ];
        for (line, packet) in cases {
            let read = frames(&mut Incoming::new(ALL_CONTROL_CHARACTERS), &octets(line));
            assert_eq!(read.len(), 1, "{line}");
            assert_eq!(read[0].protocol, 0xC021);
            let shown: String = read[0].information.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(shown, packet);
            assert_eq!(lay_out(0xC021, &read[0].information, Manner::default()), octets(line));
        }
    }

    #[test]
    fn what_noise_touched_is_lost_and_the_next_frame_is_not() {
        let whole = octets(ACKNOWLEDGED);
        let mut aborted = whole[..20].to_vec();
        aborted.extend([ESCAPE, FLAG]);
        let mut flipped = whole.clone();
        flipped[12] ^= 1;
        let overlong = vec![0x55; FRAME_MAX + 100];
        for broken in [whole[..30].to_vec(), aborted, flipped, overlong, vec![0xFF, 0x03]] {
            let mut incoming = Incoming::new(ALL_CONTROL_CHARACTERS);
            let line = [&broken[..], &whole, &whole[1..]].concat();
            assert_eq!(frames(&mut incoming, &line).len(), 2, "{broken:02x?}");
            assert_eq!(incoming.damaged, 1);
            assert!(incoming.octets.capacity() <= 2 * FRAME_MAX);
        }
    }

    #[test]
    fn a_bare_control_character_belongs_to_the_frame_only_where_it_need_not_be_escaped() {
        let mut whole = octets(ACKNOWLEDGED);
        whole.insert(9, 0x11);
        assert_eq!(frames(&mut Incoming::new(ALL_CONTROL_CHARACTERS), &whole).len(), 1);
        let mut incoming = Incoming::new(0);
        assert_eq!(frames(&mut incoming, &whole).len(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_frame_survives_every_manner_and_every_chunking(
            information in prop::collection::vec(any::<u8>(), 0..1_500),
            protocol in prop::sample::select(vec![0x0021_u16, 0x0057, 0x8021, 0x8057, 0xC021, 0xC023, 0xC223, 0x80FD]),
            control_characters in any::<u32>(),
            short in any::<(bool, bool)>(),
            chunks in prop::collection::vec(1_usize..200, 1..20),
        ) {
            let manner = Manner { control_characters, short_protocol: short.0, short_address: short.1 };
            let line = lay_out(protocol, &information, manner);
            let mut incoming = Incoming::new(control_characters);
            let mut read = Vec::new();
            let mut rest = &line[..];
            for length in chunks.iter().cycle() {
                let (chunk, after) = rest.split_at((*length).min(rest.len()));
                read.extend(frames(&mut incoming, chunk));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, vec![Frame { protocol, information }]);
        }

        #[test]
        fn whatever_comes_is_taken_within_bounds(line in prop::collection::vec(any::<u8>(), 0..6_000)) {
            let mut incoming = Incoming::new(ALL_CONTROL_CHARACTERS);
            for frame in frames(&mut incoming, &line) {
                prop_assert!(frame.information.len() <= FRAME_MAX);
            }
            prop_assert!(incoming.octets.len() <= FRAME_MAX);
        }
    }
}
