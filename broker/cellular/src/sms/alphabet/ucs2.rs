//! UCS2 as the networks really carry it: UTF-16, big endian, with surrogate pairs.
//!
//! 23.038 names UCS2, which ends at U+FFFF. Every handset sends the characters beyond as surrogate pairs, and so do we.

/// The most significant octet first, two octets for each UTF-16 code unit.
pub fn encode(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Decodes UTF-16. A lone surrogate or a lone octet at the end reads as U+FFFD, so that the rest of the text survives.
pub fn decode(octets: &[u8]) -> String {
    let (units, rest) = octets.as_chunks::<2>();
    let mut text: String = char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit)))
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_beyond_the_basic_plane_are_surrogate_pairs() {
        assert_eq!(encode("a😁"), [0x00, 0x61, 0xD8, 0x3D, 0xDE, 0x01]);
        assert_eq!(decode(&encode("a😁")), "a😁");
    }

    #[test]
    fn damage_costs_one_character_not_the_text() {
        assert_eq!(decode(&[0x00, 0x61, 0xD8, 0x3D, 0x00, 0x62]), "a\u{fffd}b");
        assert_eq!(decode(&[0x00, 0x61, 0x00]), "a\u{fffd}");
    }
}
