//! Which SIM is in which modem, so that what is stored says who paid. The store learns it from the events of the SIMs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cellular::carrier::Country;

use crate::resource::Sim;

/// A SIM, as far as rows are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Card {
    iccid: String,
    country: Option<Country>,
}

/// The SIM in each modem.
#[derive(Debug, Default)]
pub(super) struct Cards(Mutex<HashMap<String, Card>>);

impl Cards {
    /// Another SIM is in a modem, or none.
    pub(super) fn learn(&self, modem: &str, sim: &Sim) {
        let card = Card {
            iccid: sim.iccid.clone(),
            country: Country::of_imsi(&sim.imsi),
        };
        self.cards().insert(modem.to_owned(), card);
    }

    /// The ICCID of the SIM in a modem; empty while none is known.
    pub(super) fn iccid(&self, modem: &str) -> String {
        self.cards()
            .get(modem)
            .map(|card| card.iccid.clone())
            .unwrap_or_default()
    }

    /// Whom an address means: the international number, where the country of the SIM tells it.
    pub(super) fn conversation(&self, modem: &str, address: &str) -> String {
        match self.cards().get(modem).and_then(|card| card.country) {
            Some(country) => country.international(address),
            None => address.to_owned(),
        }
    }

    /// A panic leaves nothing half changed: a card is replaced whole.
    fn cards(&self) -> MutexGuard<'_, HashMap<String, Card>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
