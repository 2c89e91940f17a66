//! User identity module: the card in the holder, its power, and what it waits for.

use std::time::Duration;

use super::tlv::{Tlvs, Value};
use super::{DecodeError, Indication, Refusal, Request, Response, Service};

/// The indication *Card Status*.
pub const CARD_STATUS: u16 = 0x0032;

/// The only slot that a module of ours has.
const SLOT: u8 = 1;

/// A card needs a moment to come up, and some firmware answers only then.
const POWER_LIMIT: Duration = Duration::from_secs(15);

/// Asks to be told of every change of the card.
#[must_use]
pub fn register_events() -> Request {
    const CARD_STATUS_EVENTS: u32 = 1;
    let tlvs = Tlvs::default().with_u32(0x01, CARD_STATUS_EVENTS);
    Request::new(Service::UIM, 0x002E, tlvs)
}

/// What the card waits for, as far as it can be used for a network of 3GPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// None is there.
    Absent,
    /// It has no power, because somebody took it away.
    PoweredDown,
    /// It does not work; the number says why.
    Failed(u8),
    /// It is starting.
    Starting,
    /// It waits for its PIN.
    PinRequired,
    /// It waits for its PUK.
    PukRequired,
    /// No PUK helps any more.
    Blocked,
    /// The network refused it as illegal. It can be read all the same.
    Illegal,
    /// It is ready.
    Ready,
}

/// The card with the attempts that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardStatus {
    /// The card.
    pub card: Card,
    /// Attempts left for the PIN; 0 also where it is not told.
    pub pin_attempts: u8,
    /// The same for the PUK.
    pub puk_attempts: u8,
}

impl From<Card> for CardStatus {
    fn from(card: Card) -> Self {
        Self {
            card,
            pin_attempts: 0,
            puk_attempts: 0,
        }
    }
}

/// Asks for the card.
#[must_use]
pub fn get_card_status() -> Request {
    Request::new(Service::UIM, 0x002F, Tlvs::default())
}

/// Reads the answer to [`get_card_status`].
pub fn card_status(response: &Response) -> Result<CardStatus, Refusal> {
    response.result()?;
    Ok(read_card_status(&response.tlvs)?)
}

/// Reads an indication of [`CARD_STATUS`].
pub fn card_status_changed(indication: &Indication) -> Result<CardStatus, DecodeError> {
    read_card_status(&indication.tlvs)
}

/// Takes the card's power away.
#[must_use]
pub fn power_off() -> Request {
    power(0x0030)
}

/// Gives it back.
#[must_use]
pub fn power_on() -> Request {
    power(0x0031)
}

fn power(id: u16) -> Request {
    Request {
        limit: POWER_LIMIT,
        ..Request::new(Service::UIM, id, Tlvs::default().with_u8(0x01, SLOT))
    }
}

fn read_card_status(tlvs: &Tlvs) -> Result<CardStatus, DecodeError> {
    const ABSENT: u8 = 0;
    const PRESENT: u8 = 1;
    const POWER_DOWN: u8 = 1;
    let mut status = tlvs.need(0x10)?;
    // Slot in the upper octet, application in the lower one; all ones while there is none.
    let [primary, _, _, _] = [status.u16()?, status.u16()?, status.u16()?, status.u16()?];
    let (slot, application) = match primary {
        0xFFFF => (0, None),
        primary => (primary >> 8, Some(primary & 0xFF)),
    };
    let mut told = CardStatus::from(Card::Absent);
    for number in 0..u16::from(status.u8()?) {
        let state = status.u8()?;
        let [_, _, _, error] = status.array()?;
        let used = read_applications(&mut status, application)?;
        if number == slot {
            told = match (state, used) {
                (ABSENT, _) => Card::Absent.into(),
                (PRESENT, Some(used)) => used,
                (PRESENT, None) => Card::Starting.into(),
                _ if error == POWER_DOWN => Card::PoweredDown.into(),
                _ => Card::Failed(error).into(),
            };
        }
    }
    Ok(told)
}

/// The one that is used: by its number, otherwise the first one for a network of 3GPP.
fn read_applications(status: &mut Value<'_>, used: Option<u16>) -> Result<Option<CardStatus>, DecodeError> {
    const SIM: u8 = 1;
    const USIM: u8 = 2;
    let mut found = None;
    for number in 0..u16::from(status.u8()?) {
        let [kind, state, _, _, _, _] = status.array()?;
        status.short_octets()?;
        let [upin_instead, _, pin_attempts, puk_attempts, _, _, _] = status.array()?;
        let is_used = match used {
            Some(used) => number == used,
            None => matches!(kind, SIM | USIM) && found.is_none(),
        };
        if is_used {
            let card = match state {
                2 => Card::PinRequired,
                3 => Card::PukRequired,
                5 => Card::Blocked,
                6 => Card::Illegal,
                7 => Card::Ready,
                // Not known, detected, or its personalisation is being looked at.
                _ => Card::Starting,
            };
            // With a universal PIN these are not the attempts that count.
            let told = |attempts| if upin_instead == 0 { attempts } else { 0 };
            found = Some(CardStatus {
                card,
                pin_attempts: told(pin_attempts),
                puk_attempts: told(puk_attempts),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USIM_READY: [u8; 15] = [2, 7, 2, 11, 0, 0, 1, 0xA0, 0, 3, 3, 10, 1, 3, 10];

    fn status(primary: u16, cards: &[&[u8]]) -> Result<Card, DecodeError> {
        let mut value = primary.to_le_bytes().to_vec();
        value.extend([0xFF; 6]);
        value.push(cards.len() as u8);
        value.extend(cards.concat());
        read_card_status(&Tlvs::default().with(0x10, &value)).map(|status| status.card)
    }

    #[test]
    fn the_application_that_is_used_says_how_the_card_is() {
        let with = |state: u8| [&[1, 0, 0, 0, 0, 1, 2, state][..], &USIM_READY[2..]].concat();
        let two = [&[1, 0, 0, 0, 0, 2][..], &[4, 2][..], &USIM_READY[2..], &USIM_READY].concat();
        for (card, primary, octets) in [
            (Card::Absent, 0xFFFF, vec![0, 0, 0, 0, 0, 0]),
            (Card::PoweredDown, 0xFFFF, vec![2, 0, 0, 0, 1, 0]),
            (Card::Failed(3), 0xFFFF, vec![2, 0, 0, 0, 3, 0]),
            (Card::Starting, 0xFFFF, vec![1, 0, 0, 0, 0, 0]),
            (Card::Starting, 0, with(1)),
            (Card::PinRequired, 0, with(2)),
            (Card::PukRequired, 0, with(3)),
            (Card::Starting, 0, with(4)),
            (Card::Blocked, 0, with(5)),
            (Card::Illegal, 0, with(6)),
            (Card::Ready, 0, with(7)),
            // An application of another kind is the first.
            (Card::Ready, 1, two.clone()),
            (Card::Ready, 0xFFFF, two.clone()),
            (Card::PinRequired, 0, two),
        ] {
            assert_eq!(status(primary, &[&octets]), Ok(card), "{octets:?}");
        }
        let ready = with(7);
        assert_eq!(status(0x0100, &[&[0, 0, 0, 0, 0, 0], &ready]), Ok(Card::Ready));
        assert_eq!(status(0, &[]), Ok(Card::Absent));
    }

    #[test]
    fn a_status_that_is_cut_off_is_an_error() {
        let whole = [
            &[0, 0, 255, 255, 255, 255, 255, 255, 1, 1, 0, 0, 0, 0, 1][..],
            &USIM_READY,
        ]
        .concat();
        for length in 0..=whole.len() {
            let read = read_card_status(&Tlvs::default().with(0x10, &whole[..length]));
            assert_eq!(read.is_ok(), length == whole.len(), "{length} octets");
        }
        assert_eq!(
            read_card_status(&Tlvs::default().with(0x10, &whole)),
            Ok(CardStatus {
                card: Card::Ready,
                pin_attempts: 3,
                puk_attempts: 10
            })
        );
    }
}
