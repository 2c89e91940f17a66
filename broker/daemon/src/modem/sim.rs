//! The SIM: what it is asked, and the attempts that its PIN and PUK cost.
//!
//! The configured PIN is tried once for each card: the attempt is in the store, hashed with a salt and the ICCID, before
//! it is sent. One that was refused, or that reached the card and was never answered, is not tried again by any later
//! life. The last attempt is spent only by a request that names it (`spend_last_attempt`).

use cellular::at::reply::{self, SimStatus};
use cellular::at::{Command, ResultCode, command};

use crate::port::at::{AtError, AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Sim, SimCode, SimState};
use crate::secret::Secret;

/// What a person wants of the SIM. Each costs an attempt when the code is wrong.
#[derive(Clone, Debug)]
pub enum SimOperation {
    /// Enters the PIN.
    EnterPin {
        /// The PIN.
        pin: Secret,
    },
    /// Sets another PIN.
    ChangePin {
        /// The PIN so far.
        pin: Secret,
        /// The PIN from now on.
        new_pin: Secret,
    },
    /// Turns the PIN check at power-on on or off.
    SetPinLock {
        /// Whether it is asked for.
        enabled: bool,
        /// The PIN.
        pin: Secret,
    },
    /// Unblocks the SIM.
    UnblockPin {
        /// The PUK.
        puk: Secret,
        /// The PIN from now on.
        new_pin: Secret,
    },
}

impl SimOperation {
    fn code(&self) -> SimCode {
        match self {
            SimOperation::UnblockPin { .. } => SimCode::Puk,
            _ => SimCode::Pin,
        }
    }

    /// The PIN that it shows to be right; the others set a new one.
    pub(super) fn proven_pin(&self) -> Option<&Secret> {
        match self {
            SimOperation::EnterPin { pin } | SimOperation::SetPinLock { pin, .. } => Some(pin),
            SimOperation::ChangePin { .. } | SimOperation::UnblockPin { .. } => None,
        }
    }

    fn command(&self) -> Result<Command, Refusal> {
        let built = match self {
            SimOperation::EnterPin { pin } => command::enter_pin(pin.expose()),
            SimOperation::ChangePin { pin, new_pin } => command::change_pin(pin.expose(), new_pin.expose()),
            SimOperation::SetPinLock { enabled, pin } => command::set_pin_lock(*enabled, pin.expose()),
            SimOperation::UnblockPin { puk, new_pin } => command::enter_puk(puk.expose(), new_pin.expose()),
        };
        built.map_err(|error| Refusal::FieldInvalid {
            field: "pin",
            problem: error.to_string(),
        })
    }

    /// What the SIM's state has to be for it.
    fn check(&self, modem: &str, sim: &Sim) -> Result<(), Refusal> {
        let puk_required = || Refusal::SimPukRequired {
            attempts_left: sim.puk_attempts_left,
        };
        match (self, sim.state) {
            (_, SimState::Absent) => Err(Refusal::SimAbsent {
                modem: modem.to_owned(),
            }),
            (SimOperation::UnblockPin { .. }, SimState::PukRequired) => Ok(()),
            (SimOperation::UnblockPin { .. }, state) => Err(not_in(state, "the SIM does not wait for its PUK")),
            (_, SimState::PukRequired) => Err(puk_required()),
            (SimOperation::EnterPin { .. }, SimState::PinRequired) => Ok(()),
            (SimOperation::EnterPin { .. }, state) => Err(not_in(state, "the SIM does not wait for its PIN")),
            (_, SimState::PinRequired) => Err(Refusal::SimPinRequired {
                modem: modem.to_owned(),
                attempts_left: sim.pin_attempts_left,
            }),
            (_, SimState::Ready) => Ok(()),
            (_, state) => Err(not_in(state, "the SIM is not ready")),
        }
    }
}

fn not_in(state: SimState, what: &str) -> Refusal {
    Refusal::SimState {
        state,
        problem: what.to_owned(),
    }
}

/// Carries an operation out. The last attempt is spent only when that is asked for; the same goes for an unknown number of
/// attempts, because it may be the last.
pub(super) async fn operate(
    at: &AtHandle,
    modem: &str,
    operation: &SimOperation,
    spend_last_attempt: bool,
) -> Result<Sim, Refusal> {
    let before = read_state(at).await?;
    operation.check(modem, &before)?;
    let code = operation.code();
    let left = attempts_left(&before, code);
    if !spend_last_attempt && left.is_none_or(|left| left <= 1) {
        return Err(Refusal::SimLastAttempt {
            code,
            attempts_left: left,
        });
    }
    let result = at.execute(Lane::Normal, operation.command()?).await?.result;
    if result.is_ok() {
        return Ok(read_state(at).await?);
    }
    let after = read_state(at).await?;
    let left_now = attempts_left(&after, code);
    // 27.007 9.2.1: 16 incorrect password, 12 SIM PUK required, 13 SIM failure: the attempt before was the last.
    let wrong = matches!(&result, ResultCode::Cme(error) if matches!(error.number, Some(16 | 12 | 13)));
    if wrong || left_now < left {
        return Err(Refusal::SimCodeWrong {
            code,
            attempts_left: left_now,
        });
    }
    Err(Refusal::refused("the SIM operation", &result))
}

fn attempts_left(sim: &Sim, code: SimCode) -> Option<u32> {
    match code {
        SimCode::Pin => sim.pin_attempts_left,
        SimCode::Puk => sim.puk_attempts_left,
    }
}

/// State and attempts.
pub(super) async fn read_state(at: &AtHandle) -> Result<Sim, AtError> {
    let response = at.execute(Lane::Normal, command::pin_status()).await?;
    let state = match &response.result {
        ResultCode::Ok => reply::sim_status(&response.lines).map_or(SimState::Unknown, |status| state_of(&status)),
        refused => state_of_error(refused),
    };
    let response = at.execute(Lane::Normal, command::pin_attempts()).await?;
    let attempts = reply::pin_attempts(&response.lines).ok();
    Ok(Sim {
        state,
        pin_attempts_left: attempts.map(|attempts| u32::from(attempts.pin)),
        puk_attempts_left: attempts.map(|attempts| u32::from(attempts.puk)),
        ..Sim::default()
    })
}

/// The SIM's state as `+CPIN` tells it.
pub(super) fn state_of(status: &SimStatus) -> SimState {
    match status {
        SimStatus::Ready => SimState::Ready,
        // PIN2 and PUK2 guard fixed dialling and the like; everything the broker does works without.
        SimStatus::Pin2 | SimStatus::Puk2 => SimState::Ready,
        SimStatus::Pin => SimState::PinRequired,
        SimStatus::Puk => SimState::PukRequired,
        SimStatus::Absent => SimState::Absent,
        SimStatus::PhoneToSimPin | SimStatus::NetworkPersonalizationPin => SimState::Failed,
        SimStatus::Other(_) => SimState::Unknown,
    }
}

/// The SIM's state as a refusal tells it (27.007 9.2.1).
pub(super) fn state_of_error(result: &ResultCode) -> SimState {
    match result {
        ResultCode::Cme(code) => match code.number {
            Some(10) => SimState::Absent,
            Some(11) => SimState::PinRequired,
            Some(12) => SimState::PukRequired,
            Some(13 | 15) => SimState::Failed,
            Some(14) => SimState::Busy,
            _ => SimState::Unknown,
        },
        _ => SimState::Unknown,
    }
}

/// Which card it is and whether it can be used, with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// It answers with its number.
    Present(String),
    /// It does not.
    Obstacle(SimState),
}

/// `AT+CICCID` costs no attempt and is answered by every card that is there.
pub(super) async fn read_card(at: &AtHandle, lane: Lane) -> Result<Option<Card>, AtError> {
    let response = at.execute(lane, command::iccid()).await?;
    if response.result.is_ok() {
        return Ok(reply::iccid(&response.lines).ok().map(Card::Present));
    }
    Ok(match state_of_error(&response.result) {
        SimState::Unknown | SimState::Busy => None,
        state => Some(Card::Obstacle(state)),
    })
}
