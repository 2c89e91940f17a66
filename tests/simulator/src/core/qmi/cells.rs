//! What the radio sees: the cell that serves, its neighbours, carriers that are aggregated, and the receivers.

use super::frame::Tlv;
use crate::core::Modem;

/// The serving cell is the one that `AT+CPSI?` shows.
const TRACKING_AREA: u16 = 0xb0f5;
const CELL: u32 = 0x00c9_19e4;
const CHANNEL: u16 = 100;
const PHYSICAL_CELL: u16 = 448;
/// E-UTRAN band 1 and band 3 among the numbers of all bands; 10 and 20 MHz among those of bandwidths.
const BAND_1: u16 = 120;
const BAND_3: u16 = 122;
const MHZ_10: u32 = 3;
const MHZ_20: u32 = 5;

/// Neighbours: physical cell, and how much weaker in decibels.
const NEIGHBOURS: [(u16, i16); 2] = [(PHYSICAL_CELL, 0), (449, 9)];
/// On another channel.
const OTHER_CHANNEL: u16 = 1_300;
const OTHERS: [(u16, i16); 1] = [(77, 14)];

/// Country and network as three octets of swapped digits (24.008 clause 10.5.1.13).
fn swapped_plmn(plmn: &str) -> [u8; 3] {
    let digit = |at: usize| plmn.as_bytes().get(at).map_or(0xf, |digit| digit - b'0');
    [
        digit(1) << 4 | digit(0),
        digit(5) << 4 | digit(2),
        digit(4) << 4 | digit(3),
    ]
}

impl Modem {
    fn seen(&self, cells: &[(u16, i16)]) -> Vec<u8> {
        let (rssi, rsrq, rsrp, _) = self.radio_conditions();
        let mut list = vec![cells.len().to_le_bytes()[0]];
        for (cell, weaker) in cells {
            list.extend(cell.to_le_bytes());
            // Tenths of a decibel, and the selection level in whole ones.
            for measure in [
                rsrq * 10,
                (rsrp - weaker) * 10,
                (rssi - weaker) * 10,
                rsrp - weaker + 128,
            ] {
                list.extend(measure.to_le_bytes());
            }
        }
        list
    }

    /// Get Cell Location Info; without service nothing is seen.
    pub(super) fn cell_location(&self) -> Vec<Tlv> {
        if !self.is_served() {
            return Vec::new();
        }
        let mut intra = vec![0];
        intra.extend(swapped_plmn(&self.network.plmn));
        intra.extend(TRACKING_AREA.to_le_bytes());
        intra.extend(CELL.to_le_bytes());
        intra.extend(CHANNEL.to_le_bytes());
        intra.extend(PHYSICAL_CELL.to_le_bytes());
        // Priority and thresholds of the selection.
        intra.extend([6, 62, 12, 62]);
        intra.extend(self.seen(&NEIGHBOURS));
        let mut inter = vec![0, 1];
        inter.extend(OTHER_CHANNEL.to_le_bytes());
        inter.extend([0, 16, 5]);
        inter.extend(self.seen(&OTHERS));
        // GSM: one frequency group with one cell; its colour codes are 3 and 4.
        let mut gsm = vec![0, 1, 2, 8, 4, 0xff, 1];
        gsm.extend(62_u16.to_le_bytes());
        gsm.extend([0, 1, 3 << 3 | 4]);
        gsm.extend([-780_i16, 22].map(i16::to_le_bytes).concat());
        // UMTS: one frequency with one cell.
        let mut umts = vec![0, 1];
        umts.extend(10_638_u16.to_le_bytes());
        umts.extend([3, 8, 0, 4, 0, 1]);
        umts.extend(312_u16.to_le_bytes());
        umts.extend([-940_i16, -75, 20].map(i16::to_le_bytes).concat());
        vec![
            (0x13, intra),
            (0x14, inter),
            (0x15, gsm),
            (0x16, umts),
            (0x1e, 7_u32.to_le_bytes().to_vec()),
        ]
    }

    /// Get LTE Cphy CA Info: one carrier beside the primary one.
    pub(super) fn aggregated_carriers(&self) -> Vec<Tlv> {
        if !self.is_served() {
            return Vec::new();
        }
        let carrier = |cell: u16, channel: u16, bandwidth: u32, band: u16| {
            let mut carrier = [cell.to_le_bytes(), channel.to_le_bytes()].concat();
            carrier.extend(bandwidth.to_le_bytes());
            carrier.extend(band.to_le_bytes());
            carrier
        };
        const ACTIVATED: u32 = 2;
        let mut second = vec![1];
        second.extend(carrier(77, OTHER_CHANNEL, MHZ_20, BAND_3));
        second.extend(ACTIVATED.to_le_bytes());
        second.push(1);
        vec![(0x13, carrier(PHYSICAL_CELL, CHANNEL, MHZ_10, BAND_1)), (0x15, second)]
    }

    /// Get Tx Rx Info: two receivers and the transmitter, in tenths of a decibel.
    pub(super) fn receivers(&self) -> Vec<Tlv> {
        let (rssi, _, rsrp, _) = self.radio_conditions();
        let chain = |weaker: i16| {
            let mut chain = vec![1];
            let measures = [(rssi - weaker) * 10, -25, -1_250, (rsrp - weaker) * 10];
            measures
                .iter()
                .for_each(|measure| chain.extend(i32::from(*measure).to_le_bytes()));
            chain.extend(0_u32.to_le_bytes());
            chain
        };
        let mut transmitter = vec![1];
        transmitter.extend(135_i32.to_le_bytes());
        vec![(0x10, chain(0)), (0x11, chain(3)), (0x12, transmitter)]
    }

    /// Get Profile List: the contexts of `AT+CGDCONT`.
    pub(super) fn profile_list(&self) -> Vec<Tlv> {
        let mut list = vec![self.network.contexts.len().to_le_bytes()[0]];
        for cid in self.network.contexts.keys() {
            let name = format!("profile{cid}");
            list.extend([0, cid.to_le_bytes()[0], name.len().to_le_bytes()[0]]);
            list.extend(name.as_bytes());
        }
        vec![(0x01, list)]
    }

    /// Get Profile Settings: type and access point.
    pub(super) fn profile_settings(&self, cid: u8) -> Option<Vec<Tlv>> {
        let (kind, apn) = self.network.contexts.get(&u32::from(cid))?;
        let kind = match kind.as_str() {
            "IPV6" => 2,
            "IPV4V6" => 3,
            _ => 0,
        };
        let name = format!("profile{cid}").into_bytes();
        Some(vec![(0x10, name), (0x11, vec![kind]), (0x14, apn.clone().into_bytes())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_two_digits_is_padded() {
        assert_eq!(swapped_plmn("26201"), [0x62, 0xf2, 0x10]);
        assert_eq!(swapped_plmn("310410"), [0x13, 0x00, 0x14]);
    }
}
