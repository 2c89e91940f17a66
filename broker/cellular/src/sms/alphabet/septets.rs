//! Packing of septets into octets (23.038 clause 6.1.2.1), with the fill bits that follow a user data header
//! (23.040 clause 9.2.3.24).

/// How many octets hold `septet_count` septets behind `fill_bits` bits of padding.
pub const fn packed_length(septet_count: usize, fill_bits: usize) -> usize {
    (septet_count * 7 + fill_bits).div_ceil(8)
}

/// Packs septets, least significant bit first, behind `fill_bits` zero bits.
pub fn pack(septets: &[u8], fill_bits: usize) -> Vec<u8> {
    let mut octets = vec![0; packed_length(septets.len(), fill_bits)];
    for (position, septet) in septets.iter().enumerate() {
        let bit = position * 7 + fill_bits;
        let shifted = u16::from(septet & 0x7F) << (bit % 8);
        let [low, high] = shifted.to_le_bytes();
        octets[bit / 8] |= low;
        if high != 0 {
            octets[bit / 8 + 1] |= high;
        }
    }
    octets
}

/// Unpacks up to `septet_count` septets; fewer when the octets end before.
pub fn unpack(octets: &[u8], fill_bits: usize, septet_count: usize) -> Vec<u8> {
    let available = (octets.len() * 8).saturating_sub(fill_bits) / 7;
    (0..septet_count.min(available))
        .map(|position| {
            let bit = position * 7 + fill_bits;
            let low = octets[bit / 8];
            let high = octets.get(bit / 8 + 1).copied().unwrap_or(0);
            let [septet, _] = (u16::from_le_bytes([low, high]) >> (bit % 8)).to_le_bytes();
            septet & 0x7F
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packs_the_example_that_everybody_knows() {
        assert_eq!(
            pack(b"hellohello", 0),
            [0xE8, 0x32, 0x9B, 0xFD, 0x46, 0x97, 0xD9, 0xEC, 0x37]
        );
    }

    #[test]
    fn eight_septets_fill_seven_octets() {
        assert_eq!(packed_length(8, 0), 7);
        assert_eq!(packed_length(160, 0), 140);
        assert_eq!(packed_length(153, 1), 134);
    }

    proptest! {
        #[test]
        fn unpacking_undoes_packing(septets in proptest::collection::vec(0u8..128, 0..200), fill_bits in 0usize..7) {
            prop_assert_eq!(unpack(&pack(&septets, fill_bits), fill_bits, septets.len()), septets);
        }

        #[test]
        fn unpacking_stops_at_the_end_of_the_octets(octets: Vec<u8>, fill_bits in 0usize..7, count in 0usize..300) {
            let septets = unpack(&octets, fill_bits, count);
            prop_assert!(septets.len() * 7 + fill_bits <= octets.len() * 8 || septets.is_empty());
        }
    }
}
