//! What the radio sees, as network access tells it: cells, aggregated carriers, receivers.

use super::tlv::{Tlvs, Value};
use super::{DecodeError, Refusal, Request, Response, Service};

/// A radio technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technology {
    /// GSM.
    Gsm,
    /// UMTS.
    Umts,
    /// LTE.
    Lte,
}

/// A cell that serves or is heard. Measures are in tenths of a decibel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its technology.
    pub technology: Technology,
    /// Whether it serves the modem.
    pub serving: bool,
    /// Country and network code, as digits.
    pub plmn: Option<String>,
    /// Location area, or tracking area in LTE.
    pub area: Option<u16>,
    /// The number that the network gave it.
    pub cell: Option<u32>,
    /// Absolute radio-frequency channel number: ARFCN, UARFCN or EARFCN.
    pub channel: u16,
    /// What tells it apart on its channel: base station identity code, primary scrambling code, or physical cell identity.
    pub physical: Option<u16>,
    /// Received power, all of it.
    pub rssi: Option<i16>,
    /// RSRP in LTE, RSCP in UMTS.
    pub reference_power: Option<i16>,
    /// RSRQ in LTE, Ec/Io in UMTS.
    pub reference_quality: Option<i16>,
}

impl Cell {
    const fn on(technology: Technology, channel: u16) -> Self {
        Self {
            technology,
            serving: false,
            plmn: None,
            area: None,
            cell: None,
            channel,
            physical: None,
            rssi: None,
            reference_power: None,
            reference_quality: None,
        }
    }
}

/// Adds the cells that a value tells of.
type Reader = fn(&mut Value<'_>, &mut Vec<Cell>) -> Result<(), DecodeError>;

/// Asks for the cells.
#[must_use]
pub fn get_cell_location_info() -> Request {
    Request::new(Service::NAS, 0x0043, Tlvs::default())
}

/// Reads the answer to [`get_cell_location_info`]: the serving cell first. Empty without service.
pub fn cell_location_info(response: &Response) -> Result<Vec<Cell>, Refusal> {
    response.result()?;
    let mut cells = Vec::new();
    let readers: [(u8, Reader); 6] = [
        (0x13, read_lte),
        (0x11, read_umts),
        (0x10, read_gsm),
        (0x14, read_lte_beside_lte),
        (0x16, read_umts_beside_lte),
        (0x15, read_gsm_beside_lte),
    ];
    for (kind, read) in readers {
        if let Some(mut value) = response.tlvs.find(kind) {
            read(&mut value, &mut cells)?;
        }
    }
    Ok(cells)
}

/// Three octets of swapped digits (24.008 10.5.1.13); a network code of two digits has a filler.
fn plmn(value: &mut Value<'_>) -> Result<Option<String>, DecodeError> {
    let [first, second, third] = value.array()?;
    let digits = [first & 15, first >> 4, second & 15, third & 15, third >> 4, second >> 4];
    let length = if digits[5] == 15 { 5 } else { 6 };
    let digits = digits[..length].iter();
    // All ones while there is none.
    Ok(digits.map(|digit| char::from_digit(u32::from(*digit), 10)).collect())
}

/// In LTE the list of cells on the serving channel has the serving one among them.
fn read_lte(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    let _idle = value.u8()?;
    let plmn = plmn(value)?;
    let (area, cell, channel, serving) = (value.u16()?, value.u32()?, value.u16()?, value.u16()?);
    let _selection: [u8; 4] = value.array()?;
    let mut heard = Vec::new();
    read_lte_cells(value, channel, &mut heard)?;
    let place = heard.iter().position(|heard| heard.physical == Some(serving));
    let measured = place.map(|place| heard.remove(place));
    cells.push(Cell {
        serving: true,
        plmn,
        area: Some(area),
        cell: Some(cell),
        physical: Some(serving),
        ..measured.unwrap_or_else(|| Cell::on(Technology::Lte, channel))
    });
    cells.append(&mut heard);
    Ok(())
}

fn read_lte_cells(value: &mut Value<'_>, channel: u16, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    for _ in 0..value.u8()? {
        let physical = Some(value.u16()?);
        let (quality, power, rssi) = (value.i16()?, value.i16()?, value.i16()?);
        let _selection_level = value.i16()?;
        cells.push(Cell {
            physical,
            rssi: Some(rssi),
            reference_power: Some(power),
            reference_quality: Some(quality),
            ..Cell::on(Technology::Lte, channel)
        });
    }
    Ok(())
}

fn read_lte_beside_lte(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    let _idle = value.u8()?;
    for _ in 0..value.u8()? {
        let channel = value.u16()?;
        let _selection: [u8; 3] = value.array()?;
        read_lte_cells(value, channel, cells)?;
    }
    Ok(())
}

fn read_umts_beside_lte(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    let _idle = value.u8()?;
    for _ in 0..value.u8()? {
        let channel = value.u16()?;
        let _selection: [u8; 5] = value.array()?;
        for _ in 0..value.u8()? {
            let physical = Some(value.u16()?);
            let (power, quality, _selection_level) = (value.i16()?, value.i16()?, value.i16()?);
            cells.push(Cell {
                physical,
                reference_power: Some(power),
                reference_quality: Some(quality),
                ..Cell::on(Technology::Umts, channel)
            });
        }
    }
    Ok(())
}

fn read_gsm_beside_lte(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    let _idle = value.u8()?;
    for _ in 0..value.u8()? {
        let _selection: [u8; 4] = value.array()?;
        for _ in 0..value.u8()? {
            let channel = value.u16()?;
            let [_is_1900, is_identified, identity] = value.array()?;
            let (rssi, _selection_level) = (value.i16()?, value.i16()?);
            cells.push(Cell {
                physical: (is_identified != 0).then_some(u16::from(identity)),
                rssi: Some(rssi),
                ..Cell::on(Technology::Gsm, channel)
            });
        }
    }
    Ok(())
}

/// Here UMTS tells whole decibels.
fn read_umts(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    let tenths = |decibels: i16| Some(decibels.saturating_mul(10));
    let cell = Some(u32::from(value.u16()?));
    let plmn = plmn(value)?;
    let area = Some(value.u16()?);
    let measured = |value: &mut Value<'_>| -> Result<Cell, DecodeError> {
        let (channel, physical) = (value.u16()?, value.u16()?);
        Ok(Cell {
            physical: Some(physical),
            reference_power: tenths(value.i16()?),
            reference_quality: tenths(value.i16()?),
            ..Cell::on(Technology::Umts, channel)
        })
    };
    cells.push(Cell {
        serving: true,
        plmn,
        area,
        cell,
        ..measured(value)?
    });
    for _ in 0..value.u8()? {
        cells.push(measured(value)?);
    }
    for _ in 0..value.u8()? {
        let channel = value.u16()?;
        let [network_colour, base_station_colour] = value.array()?;
        cells.push(Cell {
            physical: Some(u16::from(network_colour & 7) << 3 | u16::from(base_station_colour & 7)),
            rssi: tenths(value.i16()?),
            ..Cell::on(Technology::Gsm, channel)
        });
    }
    Ok(())
}

/// GSM tells levels (45.008 8.1.4): 0 is below -110 dBm.
fn read_gsm(value: &mut Value<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    const NO_CELL: u32 = u32::MAX;
    let identified = |value: &mut Value<'_>| -> Result<(Cell, u8), DecodeError> {
        let (cell, plmn, area) = (value.u32()?, plmn(value)?, value.u16()?);
        let (channel, identity) = (value.u16()?, value.u8()?);
        let found = Cell {
            plmn,
            area: (cell != NO_CELL).then_some(area),
            cell: (cell != NO_CELL).then_some(cell),
            physical: Some(u16::from(identity)),
            ..Cell::on(Technology::Gsm, channel)
        };
        Ok((found, identity))
    };
    let level = |level: u16| {
        i16::try_from(level)
            .ok()
            .map(|level| level.saturating_sub(111).saturating_mul(10))
    };
    let (serving, _) = identified(value)?;
    let _timing_advance = value.u32()?;
    let rssi = level(value.u16()?);
    cells.push(Cell {
        serving: true,
        rssi,
        ..serving
    });
    for _ in 0..value.u8()? {
        let (neighbour, _) = identified(value)?;
        let rssi = level(value.u16()?);
        cells.push(Cell { rssi, ..neighbour });
    }
    Ok(())
}

/// A carrier of LTE that carries data, alone or with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The one that also carries the signalling.
    pub primary: bool,
    /// Physical cell identity.
    pub physical: u16,
    /// EARFCN.
    pub channel: u16,
    /// Downlink bandwidth in kilohertz, where it is one that LTE has.
    pub bandwidth_khz: Option<u32>,
    /// Number of the E-UTRA band, where it is known.
    pub band: Option<u16>,
    /// Whether data goes over it now.
    pub active: bool,
}

/// Asks for the carriers of LTE.
#[must_use]
pub fn get_lte_cphy_ca_info() -> Request {
    Request::new(Service::NAS, 0x00AC, Tlvs::default())
}

/// Reads the answer to [`get_lte_cphy_ca_info`]: the primary carrier first. Empty outside of LTE.
pub fn lte_cphy_ca_info(response: &Response) -> Result<Vec<Carrier>, Refusal> {
    response.result()?;
    let mut carriers = Vec::new();
    if let Some(mut value) = response.tlvs.find(0x13) {
        carriers.push(Carrier {
            primary: true,
            active: true,
            ..read_carrier(&mut value)?
        });
    }
    if let Some(mut value) = response.tlvs.find(0x15) {
        for _ in 0..value.u8()? {
            carriers.push(read_secondary(&mut value)?);
            let _index = value.u8()?;
        }
    } else if let Some(mut value) = response.tlvs.find(0x12) {
        // Older firmware knows one.
        carriers.push(read_secondary(&mut value)?);
    }
    Ok(carriers)
}

fn read_secondary(value: &mut Value<'_>) -> Result<Carrier, DecodeError> {
    const ACTIVATED: u32 = 2;
    let carrier = read_carrier(value)?;
    Ok(Carrier {
        active: value.u32()? == ACTIVATED,
        ..carrier
    })
}

fn read_carrier(value: &mut Value<'_>) -> Result<Carrier, DecodeError> {
    const BANDWIDTHS_KHZ: [u32; 6] = [1_400, 3_000, 5_000, 10_000, 15_000, 20_000];
    let (physical, channel) = (value.u16()?, value.u16()?);
    let bandwidth = usize::try_from(value.u32()?).unwrap_or(usize::MAX);
    Ok(Carrier {
        primary: false,
        physical,
        channel,
        bandwidth_khz: BANDWIDTHS_KHZ.get(bandwidth).copied(),
        band: band(value.u16()?),
        active: false,
    })
}

/// The E-UTRA band behind a number of QMI, which counts the bands of all technologies in the order in which they came up.
fn band(number: u16) -> Option<u16> {
    /// From 143 on.
    const LATER: [u16; 26] = [
        18, 19, 20, 21, 24, 25, 41, 42, 43, 23, 26, 32, 125, 126, 127, 28, 29, 30, 66, 250, 46, 27, 31, 47, 48, 71,
    ];
    match number {
        120..=133 => Some(number - 119),
        134 => Some(17),
        135..=142 => Some(number - 102),
        number => LATER.get(usize::from(number.checked_sub(143)?)).copied(),
    }
}

/// What a receiver measures, in tenths of a decibel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Which one, from 0.
    pub number: u8,
    /// Received power.
    pub power: i32,
    /// RSRP in LTE, RSCP in UMTS.
    pub reference_power: i32,
}

/// What the radio does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxRx {
    /// Those that are tuned.
    pub receivers: Vec<Receiver>,
    /// Transmitted power in tenths of a decibel, while it transmits.
    pub transmitted_power: Option<i32>,
}

/// Asks what the radio does in a technology.
#[must_use]
pub fn get_tx_rx_info(technology: Technology) -> Request {
    let number = match technology {
        Technology::Gsm => 4,
        Technology::Umts => 5,
        Technology::Lte => 8,
    };
    Request::new(Service::NAS, 0x005A, Tlvs::default().with_u8(0x01, number))
}

/// Reads the answer to [`get_tx_rx_info`] about the same technology.
pub fn tx_rx_info(response: &Response, technology: Technology) -> Result<TxRx, Refusal> {
    response.result()?;
    let mut read = TxRx::default();
    for (number, kind) in (0..).zip([0x10, 0x11, 0x15, 0x16]) {
        let Some(mut chain) = response.tlvs.find(kind) else {
            continue;
        };
        let is_tuned = chain.u8()? != 0;
        let (power, _ratio, code_power, reference) = (chain.i32()?, chain.i32()?, chain.i32()?, chain.i32()?);
        if is_tuned {
            read.receivers.push(Receiver {
                number,
                power,
                reference_power: if technology == Technology::Lte {
                    reference
                } else {
                    code_power
                },
            });
        }
    }
    if let Some(mut transmitter) = response.tlvs.find(0x12) {
        let is_in_traffic = transmitter.u8()? != 0;
        let power = transmitter.i32()?;
        read.transmitted_power = is_in_traffic.then_some(power);
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
