//! How soon all is in order after the modem is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::v1::MessageState;
use client::Broker;
use end_to_end::{Journal, LIMIT, Rig, until};
use simulator::{Fate, FaultAction};

use crate::report::Row;

/// Messages of a burst.
const MESSAGES: usize = 50;
/// Octets of noise before each message.
const GARBAGE: usize = 300;

/// What goes wrong in the middle of the burst.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// The AT ports swallow everything for so long.
    Silence(Duration),
    /// The cable is out for so long.
    Unplugged(Duration),
    /// Noise before each message.
    Garbage,
}

impl Trouble {
    fn names(self) -> [&'static str; 3] {
        match self {
            Trouble::Silence(_) => ["silence, back", "silence, lost", "silence, doubled"],
            Trouble::Unplugged(_) => ["unplug, back", "unplug, lost", "unplug, doubled"],
            Trouble::Garbage => ["garbage, back", "garbage, lost", "garbage, doubled"],
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Trouble::Silence(_) => {
                "modem silent in mid-burst -> it answers again -> the last of 50 messages is an event"
            }
            Trouble::Unplugged(_) => "cable out in mid-burst -> it is back -> the last of 50 messages is an event",
            Trouble::Garbage => "300 octets of noise before each of 50 messages: from the last to its event",
        }
    }
}

/// Delivers a burst with trouble in its middle.
pub async fn burst(rig: &Rig, broker: &Broker, trouble: Trouble) -> anyhow::Result<Vec<Row>> {
    let sim = rig.sim();
    let mut news = Journal::now(broker).await?;
    let mut back = None;
    for number in 0..MESSAGES {
        match trouble {
            Trouble::Garbage => {
                let hex = (0..GARBAGE).map(|octet| format!("{:02X}", octet * 37 % 256)).collect();
                sim.inject_now(FaultAction::InjectBytes { hex }).await?;
            }
            Trouble::Silence(time) if number == MESSAGES / 2 => {
                let ms = time.as_millis() as u64;
                sim.inject_now(FaultAction::Silence { ms }).await?;
                back = Some(Instant::now() + time);
            }
            Trouble::Unplugged(time) if number == MESSAGES / 2 => {
                let replug_after_ms = Some(time.as_millis() as u64);
                sim.inject_now(FaultAction::Unplug {
                    replug_after_ms,
                    renumber: true,
                })
                .await?;
                back = Some(Instant::now() + time);
            }
            _ => {}
        }
        sim.deliver_text("+447700900123", &text(number)).await?;
    }
    let back = back.unwrap_or_else(Instant::now);
    tokio::time::sleep_until(back.into()).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    while times.len() < MESSAGES {
        let message = news.message("the next message", |message| {
            message.state() == MessageState::Received && message.text.starts_with("trouble ")
        });
        let Ok(message) = message.await else { break };
        *times.entry(message.text).or_default() += 1;
    }
    let took = back.elapsed().as_secs_f64();
    // What comes twice comes until the module is empty.
    until("the module is empty", 3 * LIMIT, async || {
        let books = sim.books().await?;
        let mut fates = books.deliveries.records.iter().map(|delivery| delivery.fate());
        Ok(fates.all(|fate| *fate == Fate::Deleted).then_some(()))
    })
    .await?;
    while let Some(event) = news.next(Duration::from_millis(200)).await? {
        if let Some(api::v1::event::Change::MessageChanged(message)) = event.change
            && message.state() == MessageState::Received
        {
            *times.entry(message.text).or_default() += 1;
        }
    }
    let lost = MESSAGES - times.len();
    let doubled = times.values().filter(|times| **times > 1).count();
    let [name, name_lost, name_doubled] = trouble.names();
    Ok(vec![
        Row::new(name, trouble.meaning(), "s", vec![took]).at_most(2.0, None),
        Row::new(
            name_lost,
            "messages of these 50 that did not arrive",
            "",
            vec![lost as f64],
        )
        .at_most(0.0, None),
        Row::new(
            name_doubled,
            "messages of these 50 that arrived twice",
            "",
            vec![doubled as f64],
        )
        .at_most(0.0, None),
    ])
}

fn text(number: usize) -> String {
    format!("trouble {number}")
}
