//! The device and its SIM (10.5.1 to 10.5.4).

use super::{DEVICE_CAPS, PIN, RADIO_STATE, SUBSCRIBER_READY_STATUS, query, set};
use crate::mbim::information::{Reader, Writer};
use crate::mbim::{DecodeError, Refusal, Request, Response};

/// Asks what the device is.
#[must_use]
pub fn device_caps() -> Request {
    query(DEVICE_CAPS)
}

/// What the device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCaps {
    /// Bits of the technologies.
    pub data_class: u32,
    /// How many sessions can be up at the same time.
    pub max_sessions: u32,
    /// IMEI.
    pub device_id: String,
    /// Firmware.
    pub firmware: String,
    /// Hardware.
    pub hardware: String,
}

/// Reads the answer to [`device_caps`].
pub fn read_device_caps(response: &Response) -> Result<DeviceCaps, Refusal> {
    response.result()?;
    let mut reader = Reader::new(&response.information);
    // Type of the device, cellular, voice and SIM class.
    reader.array::<16>()?;
    let data_class = reader.u32()?;
    // Short messages, control.
    reader.array::<8>()?;
    let max_sessions = reader.u32()?;
    let _custom_data_class = reader.text()?;
    Ok(DeviceCaps {
        data_class,
        max_sessions,
        device_id: reader.text()?,
        firmware: reader.text()?,
        hardware: reader.text()?,
    })
}

/// Asks for the SIM.
#[must_use]
pub fn subscriber_ready() -> Request {
    query(SUBSCRIBER_READY_STATUS)
}

/// Whether the SIM can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// Not yet.
    NotInitialized,
    /// It can.
    Initialized,
    /// There is none.
    NotInserted,
    /// It is invalid.
    Bad,
    /// It failed.
    Failure,
    /// The subscription is not in service.
    NotActivated,
    /// It wants a PIN or a PUK.
    Locked,
    /// Another number.
    Other(u32),
}

impl From<u32> for ReadyState {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::NotInitialized,
            1 => Self::Initialized,
            2 => Self::NotInserted,
            3 => Self::Bad,
            4 => Self::Failure,
            5 => Self::NotActivated,
            6 => Self::Locked,
            other => Self::Other(other),
        }
    }
}

/// A SIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Whether it can be used.
    pub state: ReadyState,
    /// IMSI.
    pub imsi: String,
    /// ICCID.
    pub iccid: String,
}

/// Reads the answer to [`subscriber_ready`], or what an indication tells.
pub fn read_subscriber_ready(information: &[u8]) -> Result<Subscriber, Refusal> {
    let mut reader = Reader::new(information);
    Ok(Subscriber {
        state: reader.u32()?.into(),
        imsi: reader.text()?,
        iccid: reader.text()?,
    })
}

/// Asks whether the radio is on.
#[must_use]
pub fn radio_state() -> Request {
    query(RADIO_STATE)
}

/// Switches the radio.
#[must_use]
pub fn set_radio_state(on: bool) -> Request {
    set(RADIO_STATE, Writer::default().with_u32(u32::from(on)))
}

/// Whether the radio is on: both have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RadioState {
    /// By its switch.
    pub hardware: bool,
    /// By command.
    pub software: bool,
}

/// Reads the answer to [`radio_state`] and [`set_radio_state`].
pub fn read_radio_state(response: &Response) -> Result<RadioState, Refusal> {
    response.result()?;
    let mut reader = Reader::new(&response.information);
    Ok(RadioState {
        hardware: reader.u32()? == 1,
        software: reader.u32()? == 1,
    })
}

/// Which PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinType {
    /// Of the SIM.
    Pin1,
    /// Unblocks it.
    Puk1,
    /// Another number.
    Other(u32),
}

impl PinType {
    const fn number(self) -> u32 {
        match self {
            Self::Pin1 => 2,
            Self::Puk1 => 11,
            Self::Other(number) => number,
        }
    }
}

impl From<u32> for PinType {
    fn from(number: u32) -> Self {
        match number {
            2 => Self::Pin1,
            11 => Self::Puk1,
            other => Self::Other(other),
        }
    }
}

/// Asks which PIN is wanted.
#[must_use]
pub fn pin() -> Request {
    query(PIN)
}

/// Enters a PIN; with a PUK, `new` is the PIN from now on.
#[must_use]
pub fn enter_pin(kind: PinType, pin: &str, new: &str) -> Request {
    const ENTER: u32 = 0;
    let information = Writer::default().with_u32(kind.number()).with_u32(ENTER);
    set(PIN, information.with_text(pin).with_text(new))
}

/// Whether a PIN is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// None is wanted.
    Unlocked,
    /// One is.
    Locked,
}

/// Which PIN is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Which one.
    pub kind: PinType,
    /// Whether it is wanted.
    pub lock: Lock,
    /// How often it may still be wrong, where that is known.
    pub attempts_left: Option<u32>,
}

/// Reads the answer to [`pin`] and [`enter_pin`]: with a wrong PIN it has a failure, and is there all the same.
pub fn read_pin(response: &Response) -> Result<Pin, Refusal> {
    let mut reader = Reader::new(&response.information);
    let mut read = || -> Result<Pin, DecodeError> {
        Ok(Pin {
            kind: reader.u32()?.into(),
            lock: if reader.u32()? == 0 {
                Lock::Unlocked
            } else {
                Lock::Locked
            },
            attempts_left: Some(reader.u32()?).filter(|left| *left != u32::MAX),
        })
    };
    match (read(), response.result()) {
        (Ok(pin), _) => Ok(pin),
        (Err(_), Err(refusal)) => Err(refusal),
        (Err(unreadable), Ok(())) => Err(unreadable.into()),
    }
}
