//! PINs that were tried by the broker itself: never the same one twice.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{Store, StoreError, stored_time};

/// A PIN has few digits. The rounds make trying all of them from a stolen database slow, though not impossible.
const ROUNDS: u32 = 20_000;

/// Which card a tried PIN belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinMemory {
    card: String,
}

impl PinMemory {
    /// The card by its ICCID, or, where that cannot be read, whatever card is in this modem.
    pub fn new(modem: &str, iccid: &str) -> Self {
        let card = if iccid.is_empty() {
            format!("modem {modem}")
        } else {
            iccid.to_owned()
        };
        PinMemory { card }
    }
}

struct Tried {
    salt: Vec<u8>,
    digest: Vec<u8>,
    attempts_before: u32,
    refused: bool,
}

impl Tried {
    fn is(&self, card: &str, pin: &str) -> bool {
        digest(&self.salt, card, pin) == self.digest
    }
}

impl Store {
    /// Remembers that a PIN is about to be tried. False: it was tried before and not accepted, so it must not be tried.
    ///
    /// An attempt that was begun and never reached the card (the power went in between) left the number of attempts as it
    /// was, and does not count.
    pub async fn begin_pin_attempt(
        &self,
        memory: &PinMemory,
        pin: &str,
        attempts_left: u32,
    ) -> Result<bool, StoreError> {
        let (card, pin) = (memory.card.clone(), pin.to_owned());
        self.write("remember a PIN", move |writing| {
            if let Some(tried) = tried(writing.connection, &card)?
                && tried.is(&card, &pin)
                && (tried.refused || attempts_left < tried.attempts_before)
            {
                // Remembered for good: the number of attempts grows again when somebody enters the right PIN.
                mark_refused(writing.connection, &card)?;
                return Ok(false);
            }
            let salt = uuid::Uuid::new_v4().into_bytes();
            writing
                .connection
                .prepare_cached(
                    "INSERT INTO sim_pin (card, salt, digest, attempts_before, refused, time)
                     VALUES (?1, ?2, ?3, ?4, 0, ?5)
                     ON CONFLICT (card) DO UPDATE SET salt = excluded.salt, digest = excluded.digest,
                         attempts_before = excluded.attempts_before, refused = 0, time = excluded.time",
                )?
                .execute(params![
                    card,
                    &salt[..],
                    digest(&salt, &card, &pin),
                    attempts_left,
                    stored_time(writing.now)
                ])?;
            Ok(true)
        })
        .await
    }

    /// The card refused the PIN that was tried.
    pub async fn refuse_pin(&self, memory: &PinMemory) -> Result<(), StoreError> {
        let card = memory.card.clone();
        self.write("remember a refused PIN", move |writing| {
            mark_refused(writing.connection, &card)
        })
        .await
    }

    /// Forgets what was tried with a card: its PIN was accepted, or it has another one now.
    pub async fn forget_pin(&self, memory: &PinMemory) -> Result<(), StoreError> {
        let card = memory.card.clone();
        self.write("forget a PIN", move |writing| {
            writing
                .connection
                .prepare_cached("DELETE FROM sim_pin WHERE card = ?1")?
                .execute([card])?;
            Ok(())
        })
        .await
    }

    /// Forgets a PIN if it is this one: somebody else has shown that it is right.
    pub async fn forget_this_pin(&self, memory: &PinMemory, pin: &str) -> Result<(), StoreError> {
        let (card, pin) = (memory.card.clone(), pin.to_owned());
        let known = self
            .read("read a remembered PIN", move |reading| {
                let connection = reading.connection;
                Ok(tried(connection, &card)?.is_some_and(|tried| tried.is(&card, &pin)))
            })
            .await?;
        if known { self.forget_pin(memory).await } else { Ok(()) }
    }
}

fn mark_refused(connection: &Connection, card: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE sim_pin SET refused = 1 WHERE card = ?1")?
        .execute([card])?;
    Ok(())
}

fn tried(connection: &Connection, card: &str) -> Result<Option<Tried>, StoreError> {
    let found = connection
        .prepare_cached("SELECT salt, digest, attempts_before, refused FROM sim_pin WHERE card = ?1")?
        .query_row([card], |row| {
            Ok(Tried {
                salt: row.get(0)?,
                digest: row.get(1)?,
                attempts_before: row.get(2)?,
                refused: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn digest(salt: &[u8], card: &str, pin: &str) -> Vec<u8> {
    let first = Sha256::new()
        .chain_update(salt)
        .chain_update(card.as_bytes())
        .chain_update([0])
        .chain_update(pin.as_bytes())
        .finalize();
    (1..ROUNDS).fold(first, |digest, _| Sha256::digest(digest)).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Store::open(&directory.path().join("broker.db")).await.unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn a_refused_pin_is_never_tried_again_and_another_one_is() {
        let (_directory, store) = store().await;
        let memory = PinMemory::new("sim1", "8900101000000000017");
        assert!(store.begin_pin_attempt(&memory, "0815", 3).await.unwrap());
        store.refuse_pin(&memory).await.unwrap();
        // Also after somebody entered the right one, which gives the attempts back.
        for left in [2, 3] {
            assert!(!store.begin_pin_attempt(&memory, "0815", left).await.unwrap(), "{left}");
        }
        let other_card = PinMemory::new("sim1", "8900101000000000025");
        assert!(store.begin_pin_attempt(&other_card, "0815", 3).await.unwrap());
        assert!(store.begin_pin_attempt(&memory, "4711", 2).await.unwrap());
    }

    #[tokio::test]
    async fn an_attempt_that_was_cut_off_counts_only_if_it_reached_the_card() {
        let (_directory, store) = store().await;
        let memory = PinMemory::new("sim1", "");
        assert!(store.begin_pin_attempt(&memory, "0815", 3).await.unwrap());
        assert!(
            store.begin_pin_attempt(&memory, "0815", 3).await.unwrap(),
            "none was spent"
        );
        assert!(
            !store.begin_pin_attempt(&memory, "0815", 2).await.unwrap(),
            "one was spent"
        );
        assert!(
            !store.begin_pin_attempt(&memory, "0815", 3).await.unwrap(),
            "and that is known for good"
        );
    }

    #[tokio::test]
    async fn a_pin_that_somebody_showed_to_be_right_is_forgotten() {
        let (_directory, store) = store().await;
        let memory = PinMemory::new("sim1", "8900101000000000017");
        store.begin_pin_attempt(&memory, "4711", 3).await.unwrap();
        store.refuse_pin(&memory).await.unwrap();
        store.forget_this_pin(&memory, "0000").await.unwrap();
        assert!(!store.begin_pin_attempt(&memory, "4711", 3).await.unwrap());
        store.forget_this_pin(&memory, "4711").await.unwrap();
        assert!(store.begin_pin_attempt(&memory, "4711", 3).await.unwrap());
    }

    #[tokio::test]
    async fn no_pin_is_in_the_file() {
        let (directory, store) = store().await;
        let memory = PinMemory::new("sim1", "8900101000000000017");
        store.begin_pin_attempt(&memory, "93571246", 3).await.unwrap();
        drop(store);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!content.windows(8).any(|window| window == b"93571246"));
        }
    }
}
