//! Compares the ledgers: what the network booked, what the broker says, what the archive was given.

use std::collections::{BTreeMap, BTreeSet};

use api::v1::{Message, MessageDirection, MessageState};
use serde::Serialize;
use simulator::Books;

use super::Acted;
use super::archive::Archive;
use super::plan::{Outgoing, Plan};

/// What was counted in a run, or in many.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// Runs.
    pub runs: u64,
    /// Kills at the very moment of a command.
    pub kills_at_a_command: u64,
    /// Kills at an event, at a request, or by the clock.
    pub other_kills: u64,
    /// How often the ports of the modem vanished.
    pub detachments: u64,
    /// Messages that the network had for the modem.
    pub incoming: u64,
    /// Those that the broker or the archive does not have.
    pub lost: u64,
    /// Those that the broker has more than once, or the archive was given more than once as new.
    pub doubled: u64,
    /// Messages that clients wanted to send.
    pub outgoing: u64,
    /// Of these, accepted by the network in full.
    pub accepted: u64,
    /// Of these, with an outcome that the broker says it does not know.
    pub outcome_unknown: u64,
    /// Of those, the ones that the network has in full all the same.
    pub unknown_but_accepted: u64,
    /// Refused by the network, as the plan wanted.
    pub failed: u64,
    /// Parts that the network got more than once.
    pub sent_twice: u64,
    /// Messages whose state is not true.
    pub untrue: u64,
    /// Request ids that are not exactly one message.
    pub request_ids_astray: u64,
    /// Watches that the archive opened.
    pub watches: u64,
    /// Positions that the broker confirmed to the archive.
    pub commits: u64,
    /// Events that came again before their commit, as they may.
    pub repeated_before_commit: u64,
    /// Events that came again after their commit, or changed, or came out of order.
    pub archive_violations: u64,
}

impl Account {
    /// Adds another one.
    pub fn add(&mut self, other: &Account) {
        for (total, more) in self.counters().into_iter().zip(other.clone().counters()) {
            *total += *more;
        }
    }

    fn counters(&mut self) -> [&mut u64; 19] {
        [
            &mut self.runs,
            &mut self.kills_at_a_command,
            &mut self.other_kills,
            &mut self.detachments,
            &mut self.incoming,
            &mut self.lost,
            &mut self.doubled,
            &mut self.outgoing,
            &mut self.accepted,
            &mut self.outcome_unknown,
            &mut self.unknown_but_accepted,
            &mut self.failed,
            &mut self.sent_twice,
            &mut self.untrue,
            &mut self.request_ids_astray,
            &mut self.watches,
            &mut self.commits,
            &mut self.repeated_before_commit,
            &mut self.archive_violations,
        ]
    }
}

/// The judgement of one run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The figures.
    pub account: Account,
    /// What should not have happened, in words.
    pub violations: Vec<String>,
    /// What the broker said last, if something should not have happened.
    pub log: String,
}

impl Verdict {
    /// Whether everything is as promised.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn judge(&mut self, plan: &Plan, acted: &Acted, archive: &Archive) {
        self.account.runs = 1;
        self.account.kills_at_a_command = acted.kills.at_command.into();
        self.account.other_kills = acted.kills.otherwise.into();
        self.account.detachments = acted.books.detachments;
        self.received(plan, &acted.messages, archive);
        self.sent(plan, acted);
        self.account.watches = archive.openings;
        self.account.commits = archive.commits;
        self.account.repeated_before_commit = archive.repeated;
        self.account.archive_violations = archive.violations.len() as u64;
        self.violations.extend(archive.violations.iter().cloned());
    }

    /// Each message of the network's once at the broker and once, as new, at the archive.
    fn received(&mut self, plan: &Plan, messages: &[Message], archive: &Archive) {
        let mut listed: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
        for message in incoming(messages.iter()) {
            listed.entry(&message.text).or_default().push(message);
        }
        // As new: the first event that says that a message is there in full.
        let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (_, message) in archive.entries() {
            if message.direction() == MessageDirection::Incoming && message.state() == MessageState::Received {
                given.entry(&message.text).or_default().push(&message.message_id);
            }
        }
        for wanted in &plan.incoming {
            self.account.incoming += 1;
            let text = wanted.text.as_str();
            let whole = listed.remove(text).unwrap_or_default();
            let whole: Vec<_> = whole
                .into_iter()
                .filter(|message| message.state() == MessageState::Received && message.address == wanted.from)
                .collect();
            let archived = given.remove(text).unwrap_or_default();
            if whole.is_empty() || archived.is_empty() {
                self.account.lost += 1;
                self.violations.push(format!(
                    "{text:?} was lost: {} in the store, {} in the archive",
                    whole.len(),
                    archived.len()
                ));
            }
            if whole.len() > 1 || archived.len() > 1 {
                self.account.doubled += 1;
                self.violations.push(format!(
                    "{text:?} was doubled: {} in the store, {} in the archive",
                    whole.len(),
                    archived.len()
                ));
            }
        }
        let strangers = listed.into_values().flatten();
        self.violations
            .extend(strangers.map(|message| format!("the network never sent this: {message:?}")));
        self.violations.extend(
            given
                .into_keys()
                .map(|text| format!("the archive was given {text:?}, which nobody sent")),
        );
    }

    fn sent(&mut self, plan: &Plan, acted: &Acted) {
        for part in twice(&acted.books) {
            self.account.sent_twice += 1;
            self.violations.push(format!("{part:?} was sent twice"));
        }
        for wanted in &plan.outgoing {
            self.account.outgoing += 1;
            let mut messages = acted
                .messages
                .iter()
                .filter(|message| message.request_id == wanted.request_id);
            let (Some(message), None) = (messages.next(), messages.next()) else {
                self.account.request_ids_astray += 1;
                self.violations
                    .push(format!("{:?}: its request id is not exactly one message", wanted.text));
                continue;
            };
            let answers = acted
                .sent
                .iter()
                .filter(|answer| answer.request_id == wanted.request_id);
            if answers
                .flat_map(|answer| &answer.message_ids)
                .any(|id| *id != message.message_id)
            {
                self.account.request_ids_astray += 1;
                self.violations.push(format!(
                    "{:?}: its request id was answered with another message",
                    wanted.text
                ));
            }
            self.truth(wanted, message, &acted.books);
        }
        let known: BTreeSet<&str> = plan.outgoing.iter().map(|wanted| wanted.request_id.as_str()).collect();
        let strangers = acted.messages.iter().filter(|message| {
            message.direction() == MessageDirection::Outgoing && !known.contains(message.request_id.as_str())
        });
        self.violations
            .extend(strangers.map(|message| format!("nobody asked for this: {message:?}")));
    }

    /// Whether the state of a message says what the network knows.
    fn truth(&mut self, wanted: &Outgoing, message: &Message, books: &Books) {
        let accepted = books
            .submits
            .records
            .iter()
            .filter(|submit| submit.destination == wanted.to)
            .filter_map(|submit| submit.text.as_deref())
            .filter(|part| wanted.text.contains(part))
            .collect::<BTreeSet<_>>()
            .len();
        let (accepted, done, parts) = (accepted as u32, message.parts_done, message.part_count);
        let whole = accepted == parts;
        self.account.accepted += u64::from(whole);
        let is_true = match message.state() {
            MessageState::Sent => whole && done == parts,
            MessageState::Delivered => whole && done == parts && wanted.report,
            MessageState::Failed => {
                self.account.failed += 1;
                !whole && done == accepted
            }
            // The part whose result was lost may be in the network, and no other.
            MessageState::OutcomeUnknown => {
                self.account.outcome_unknown += 1;
                self.account.unknown_but_accepted += u64::from(whole);
                (done..=done + 1).contains(&accepted)
            }
            _ => false,
        };
        if !is_true {
            self.account.untrue += 1;
            self.violations.push(format!(
                "{:?} is {:?} with {done} of {parts} parts ({}), and the network has {accepted}",
                wanted.text,
                message.state(),
                message.failure
            ));
        }
    }
}

fn incoming<'a>(messages: impl Iterator<Item = &'a Message>) -> impl Iterator<Item = &'a Message> {
    messages.filter(|message| message.direction() == MessageDirection::Incoming)
}

/// The parts that the network got more than once.
fn twice(books: &Books) -> Vec<String> {
    let mut times: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for submit in &books.submits.records {
        let text = submit.text.as_deref().unwrap_or_default();
        *times.entry((&submit.destination, text)).or_default() += 1;
    }
    times
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((_, text), _)| text.to_owned())
        .collect()
}
