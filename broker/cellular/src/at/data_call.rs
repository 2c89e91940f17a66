//! A data call on an AT port (27.007 10.2): what ends the dialling, and what says that the call is over.

use super::ResultCode;

/// No line that matters is longer.
const LINE_MAX: usize = 256;

/// The flag between the frames of PPP (RFC 1662 3.1).
const FLAG: u8 = 0x7E;

/// What the module writes when it has hung up (V.250 6.2.6).
const OVER: &[u8] = b"\r\nNO CARRIER\r\n";

/// Reads the answer to a dialled number.
#[derive(Debug, Default)]
pub struct Dialling {
    line: Vec<u8>,
}

impl Dialling {
    /// Takes octets in any pieces. Returns the final result code, and what follows it: behind `CONNECT` that is the call's.
    pub fn push(&mut self, octets: &[u8]) -> Option<(ResultCode, Vec<u8>)> {
        for (at, octet) in octets.iter().enumerate() {
            if !matches!(octet, b'\r' | b'\n') {
                if self.line.len() < LINE_MAX {
                    self.line.push(*octet);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(code) = ResultCode::parse(&String::from_utf8_lossy(&line)) {
                let rest = &octets[at + 1..];
                return Some((code, rest.strip_prefix(b"\n").unwrap_or(rest).to_vec()));
            }
        }
        None
    }
}

/// Hears the module hang up in the midst of a call.
///
/// The words count only where a frame would begin. In a frame they are somebody's data, and whoever sends such data from the
/// internet must not be able to end a call: no frame begins with CR, which is no protocol's number.
#[derive(Debug)]
pub struct Carrier {
    /// How much of [`OVER`] came since the last flag; `None` in a frame.
    heard: Option<usize>,
}

impl Default for Carrier {
    fn default() -> Self {
        Self { heard: Some(0) }
    }
}

impl Carrier {
    /// Takes octets in any pieces. Returns whether the call is over.
    pub fn is_lost(&mut self, octets: &[u8]) -> bool {
        octets.iter().any(|octet| {
            self.heard = match self.heard {
                _ if *octet == FLAG => Some(0),
                Some(heard) if OVER.get(heard) == Some(octet) => Some(heard + 1),
                _ => None,
            };
            self.heard == Some(OVER.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_number_is_found_in_any_pieces_and_leaves_the_first_frame_whole() {
        let said = b"ATD*99***1#\r\r\n+CMTI: \"SM\",3\r\n\r\nCONNECT 115200\r\n\x7E\xFF\x7D\x23";
        for size in 1..=said.len() {
            let (mut dialling, mut behind, mut code) = (Dialling::default(), Vec::new(), None);
            for piece in said.chunks(size) {
                match &code {
                    Some(_) => behind.extend_from_slice(piece),
                    None => {
                        if let Some((found, rest)) = dialling.push(piece) {
                            (code, behind) = (Some(found), rest);
                        }
                    }
                }
            }
            assert_eq!(code, Some(ResultCode::Connect(Some("115200".to_owned()))), "{size}");
            // A LF of its own piece is noise before the first flag.
            assert!(
                behind.ends_with(b"\x7E\xFF\x7D\x23") && behind.len() <= 5,
                "{size}: {behind:?}"
            );
        }
    }

    #[test]
    fn a_refusal_ends_the_dialling_and_an_endless_line_does_not_grow() {
        for (said, expected) in [
            (&b"\r\nNO CARRIER\r\n"[..], ResultCode::NoCarrier),
            (b"\r\nERROR\r\n", ResultCode::Error),
        ] {
            assert_eq!(Dialling::default().push(said).map(|(code, _)| code), Some(expected));
        }
        let mut dialling = Dialling::default();
        assert_eq!(dialling.push(&[b'A'; 10_000]), None);
        assert_eq!(dialling.line.len(), LINE_MAX);
    }

    #[test]
    fn a_hang_up_is_heard_between_frames_only_and_in_any_pieces() {
        let over = b"\x7E\xFF\x03\xC0\x21\x7E\r\nNO CARRIER\r\n";
        for size in 1..=over.len() {
            let mut carrier = Carrier::default();
            assert!(over.chunks(size).any(|piece| carrier.is_lost(piece)), "{size}");
        }
        assert!(Carrier::default().is_lost(OVER), "before any frame");
        let mut carrier = Carrier::default();
        assert!(
            !carrier.is_lost(b"\x7E\xFF\x03\x00\x21GET /\r\nNO CARRIER\r\n\x7E"),
            "what somebody sends does not end the call"
        );
        assert!(!carrier.is_lost(b"\r\nNO CARRIE"));
        assert!(!carrier.is_lost(b"\x7E"));
    }
}
