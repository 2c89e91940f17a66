//! The GSM 7-bit default alphabet and its extension (23.038 clause 6.2.1) with packing.
//!
//! The network side keeps its own small codec on purpose: an error in the codec of the program under test then cannot
//! cancel itself in an end-to-end test.

const DEFAULT: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

const EXTENSION: &[(u8, char)] = &[
    (0x0a, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2f, '\\'),
    (0x3c, '['),
    (0x3d, '~'),
    (0x3e, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

const ESCAPE: u8 = 0x1b;

/// Septets of a character: one, or two with the escape. `None` if the alphabet does not have it.
pub(crate) fn septets_of(c: char) -> Option<Vec<u8>> {
    if let Some((code, _)) = EXTENSION.iter().find(|(_, other)| *other == c) {
        return Some(vec![ESCAPE, *code]);
    }
    let position = DEFAULT.chars().position(|other| other == c && c != '\u{1b}')?;
    Some(vec![u8::try_from(position).ok()?])
}

/// The text of septets; an unknown escape shows as a space, as 23.038 wants it.
pub(crate) fn text_of(septets: &[u8]) -> String {
    let mut text = String::new();
    let mut escaped = false;
    for septet in septets {
        if escaped {
            escaped = false;
            text.push(
                EXTENSION
                    .iter()
                    .find(|(code, _)| code == septet)
                    .map_or(' ', |(_, c)| *c),
            );
        } else if *septet == ESCAPE {
            escaped = true;
        } else {
            text.push(DEFAULT.chars().nth(usize::from(*septet & 0x7f)).unwrap_or(' '));
        }
    }
    text
}

/// Packs septets after `fill` bits that belong to a header.
pub(crate) fn pack(septets: &[u8], fill: usize) -> Vec<u8> {
    let mut octets = vec![0u8; (septets.len() * 7 + fill).div_ceil(8)];
    for (index, septet) in septets.iter().enumerate() {
        let bit = fill + index * 7;
        let shifted = u16::from(*septet & 0x7f) << (bit % 8);
        let [low, high] = shifted.to_le_bytes();
        octets[bit / 8] |= low;
        if let Some(next) = octets.get_mut(bit / 8 + 1) {
            *next |= high;
        }
    }
    octets
}

/// Unpacks `count` septets that begin after `fill` bits; stops where the octets end.
pub(crate) fn unpack(octets: &[u8], fill: usize, count: usize) -> Vec<u8> {
    (0..count)
        .map_while(|index| {
            let bit = fill + index * 7;
            let low = *octets.get(bit / 8)?;
            let high = octets.get(bit / 8 + 1).copied().unwrap_or(0);
            if bit % 8 > 1 && bit / 8 + 1 >= octets.len() {
                return None;
            }
            let [septet, _] = (u16::from_le_bytes([low, high]) >> (bit % 8)).to_le_bytes();
            Some(septet & 0x7f)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_128_places() {
        assert_eq!(DEFAULT.chars().count(), 128);
    }

    #[test]
    fn packing_is_reversible_behind_any_fill() {
        let septets: Vec<u8> = (0..160).map(|n| (n * 37 % 128) as u8).collect();
        for fill in 0..7 {
            for count in [0, 1, 7, 8, 9, 153, 160] {
                let octets = pack(&septets[..count], fill);
                assert_eq!(
                    unpack(&octets, fill, count),
                    &septets[..count],
                    "fill {fill}, {count} septets"
                );
            }
        }
    }
}
