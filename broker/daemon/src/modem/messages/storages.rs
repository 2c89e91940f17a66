//! The module's message storages (27.005 3.1): which there are, how full they are, and what is told about new messages.

use std::collections::HashSet;

use cellular::at::command::{self, Storage};
use cellular::at::reply;
use cellular::at::{Response, ResultCode};

use super::Place;
use crate::modem::StorageUse;
use crate::modem::reliance::message_indication;
use crate::port::at::{AtError, AtHandle, Lane};

/// Where the module puts what it receives, and the storage that is selected between two passes. The SIM keeps messages also
/// when the module is exchanged.
pub(super) const RECEIVING: Storage = Storage::Sim;

/// The storages that are emptied: something may lie in any of them from before. The last is the one that stays selected.
pub(super) const SWEPT: [Storage; 3] = [Storage::Module, Storage::StatusReports, RECEIVING];

/// A storage that is fuller than this, in percent, is told as a degradation: a full one keeps messages out.
const ALARM_PERCENT: u32 = 70;

/// Indices that are tried when the module does not tell which are in use, whatever capacity it claims.
const CAPACITY_MAX: u32 = 1000;

/// What came of selecting a storage.
pub(super) enum Selection {
    /// It is selected, and this full.
    Selected(StorageUse),
    /// The module does not have it.
    Absent,
    /// Nobody knows what it holds: the module is busy, or did not say.
    Unknown,
}

/// Selects the storage to read and delete in, and reads how full it is.
pub(super) async fn select(at: &AtHandle, storage: Storage) -> Selection {
    let command = command::message_storage(storage, RECEIVING, RECEIVING);
    let Ok(response) = at.execute(Lane::Normal, command).await else {
        return Selection::Unknown;
    };
    if !response.result.is_ok() {
        return if is_unsupported(&response.result) {
            Selection::Absent
        } else {
            Selection::Unknown
        };
    }
    let state = reply::storage_states(&response.lines)
        .ok()
        .and_then(|states| states.into_iter().next());
    match state {
        Some(state) => Selection::Selected(StorageUse {
            name: storage.as_str().to_owned(),
            used: u32::from(state.used),
            total: u32::from(state.capacity),
        }),
        None => Selection::Unknown,
    }
}

/// Whether a result says that the module cannot do this at all: operation not allowed or not supported, invalid parameter
/// (27.005 3.2.5).
fn is_unsupported(result: &ResultCode) -> bool {
    match result {
        ResultCode::Cms(code) => matches!(code.number, Some(302..=305)),
        ResultCode::Error => true,
        _ => false,
    }
}

/// The indices of the selected storage that hold something, or may hold something. None if the module does not tell. There
/// may be more by now than when the storage was selected, and never less.
pub(super) async fn occupied(at: &AtHandle, state: &StorageUse) -> Option<Vec<u16>> {
    if state.used == 0 {
        return Some(Vec::new());
    }
    let response = at.execute(Lane::Normal, command::stored_indices()).await.ok()?;
    let listed = reply::stored_indices(&response.lines).ok()?;
    u32::try_from(listed.len())
        .is_ok_and(|count| count >= state.used)
        .then_some(listed)
}

/// All indices that may hold something, counted from 0 or from 1 as the module likes.
pub(super) fn all_indices(state: &StorageUse) -> Vec<u16> {
    let last = u16::try_from(state.total.min(CAPACITY_MAX)).unwrap_or(u16::MAX);
    (0..=last).collect()
}

/// Asks for announcements: of messages by their place, so that they are stored in the module until they are stored here; of
/// status reports the same way where the firmware can, otherwise as they come, otherwise none.
pub(in crate::modem) async fn indicate(at: &AtHandle) -> Result<ResultCode, AtError> {
    let mut result = ResultCode::Error;
    for status_report in [2, 1, 0] {
        let Some(command) = message_indication(status_report) else {
            continue;
        };
        let Response { result: answered, .. } = at.execute(Lane::Normal, command).await?;
        result = answered;
        if result.is_ok() {
            break;
        }
    }
    Ok(result)
}

/// Why a person should look at the storages, if one is filling up.
pub(super) fn alarm(storages: &[StorageUse]) -> Option<String> {
    let filling: Vec<String> = storages
        .iter()
        .filter(|storage| storage.total > 0 && storage.used * 100 >= storage.total * ALARM_PERCENT)
        .map(|storage| format!("{} holds {} of {} messages", storage.name, storage.used, storage.total))
        .collect();
    (!filling.is_empty()).then(|| {
        format!(
            "{}; a full one keeps new messages out: see the log for why they stay, or delete what another program left there",
            filling.join(", ")
        )
    })
}

/// What is wrong with the messages at these places, for people.
pub(super) fn places_alarm(places: &HashSet<Place>, what: &str) -> Option<String> {
    let mut named: Vec<_> = places
        .iter()
        .map(|place| (place.storage.as_str(), place.index))
        .collect();
    named.sort_unstable();
    let named: Vec<String> = named
        .iter()
        .map(|(storage, index)| format!("{storage} {index}"))
        .collect();
    (!named.is_empty()).then(|| format!("the message at {} {what}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_is_at_seventy_percent_of_any_storage() {
        let storage = |name: &str, used, total| StorageUse {
            name: name.to_owned(),
            used,
            total,
        };
        for (storages, named) in [
            (vec![storage("SM", 34, 50), storage("ME", 16, 23)], None),
            (
                vec![storage("SM", 35, 50), storage("ME", 0, 23)],
                Some("SM holds 35 of 50"),
            ),
            (
                vec![storage("SM", 0, 50), storage("ME", 17, 23)],
                Some("ME holds 17 of 23"),
            ),
            (vec![storage("SR", 0, 0)], None),
            (vec![], None),
        ] {
            let alarm = alarm(&storages);
            assert_eq!(alarm.is_some(), named.is_some(), "{storages:?}");
            assert!(
                alarm.unwrap_or_default().contains(named.unwrap_or_default()),
                "{storages:?}"
            );
        }
    }
}
