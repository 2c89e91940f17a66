//! Status reports: what the service centre says about messages that the network accepted (23.040 9.2.2.3).

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::unreadable::{Reading, Source};
use super::writer::Writing;
use super::{Store, StoreError, message, stored_time};
use crate::resource::{Message, MessageDirection, MessageState, Sequence};

/// How long after a lost final result a report is still taken as the answer to it.
const RECONCILIATION_WINDOW: SignedDuration = SignedDuration::from_hours(72);
/// How far the service centre's clock may be behind ours.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(15);
/// Digits that have to agree at least when one number is national and the other international.
const COMMON_DIGITS: usize = 7;

/// How long a report that overtook its final result waits for it. No result is waited for that long.
const EARLY_REPORT_AGE: SignedDuration = SignedDuration::from_mins(15);

/// One SMS-STATUS-REPORT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The modem that received it.
    pub modem: String,
    /// TP-MR of the part it is about.
    pub message_reference: u8,
    /// TP-RA: to whom the part was sent.
    pub recipient: String,
    /// TP-ST.
    pub outcome: ReportOutcome,
    /// TP-DT, or when the report was received.
    pub time: Timestamp,
}

/// What a status report says (23.040 9.2.3.15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// Delivered.
    Delivered,
    /// Not delivered, and the service centre gave up.
    Failed(String),
    /// Not delivered yet; the service centre keeps trying.
    Temporary(String),
}

/// Which message a report is about.
struct Addressee {
    message_id: String,
    part: AddresseePart,
}

enum AddresseePart {
    /// A part whose TP-MR is known, with what was reported of it before.
    Known { number: i64, reported: bool },
    /// A part whose final result, and with it the TP-MR, was lost.
    Lost,
}

impl Store {
    /// Notes a report and returns the message that it is about, if there is one that it says something new of. One that
    /// came before the final result of its part waits for that result.
    pub async fn apply_status_report(&self, report: StatusReport) -> Result<Option<Message>, StoreError> {
        self.write("note a delivery report", move |writing| {
            let noted = writing.apply_status_report(&report)?;
            if noted.is_none() && is_being_sent_to(&writing.reading(), &report)? {
                writing.keep_early_report(&report)?;
            }
            Ok(noted)
        })
        .await
    }
}

impl Writing<'_> {
    fn apply_status_report(&self, report: &StatusReport) -> Result<Option<Message>, StoreError> {
        let known = part_with_reference(self.connection, report)?;
        let addressee = match known {
            Some(addressee) => addressee,
            None => match message_without_result(&self.reading(), report)? {
                Some(message_id) => Addressee {
                    message_id,
                    part: AddresseePart::Lost,
                },
                None => return Ok(None),
            },
        };
        let mut message = message::require(&self.reading(), &addressee.message_id)?;
        let outcome = match &report.outcome {
            // The state stays as it is; a final report follows.
            ReportOutcome::Temporary(_) => return Ok(Some(message)),
            ReportOutcome::Delivered => "delivered",
            ReportOutcome::Failed(_) => "failed",
        };
        let part_number = match addressee.part {
            AddresseePart::Known { reported: true, .. } => return Ok(None),
            AddresseePart::Known { number, .. } => number,
            AddresseePart::Lost => {
                // The report is the proof that the network accepted the part.
                message.message_references.push(report.message_reference);
                message.parts_done = message.message_references.len() as u32;
                self.keep_outgoing_parts(&message)?;
                self.connection.last_insert_rowid()
            }
        };
        self.connection
            .prepare_cached("UPDATE outgoing_part SET outcome = ?2 WHERE number = ?1")?
            .execute(params![part_number, outcome])?;
        if message.state == MessageState::OutcomeUnknown && message.parts_done >= message.part_count {
            message.state = MessageState::Sent;
            message.failure.clear();
        }
        message.update_time = self.now;
        message.service_centre_time = Some(report.time);
        settle(self.connection, &mut message)?;
        if let (MessageState::Failed, ReportOutcome::Failed(why)) = (message.state, &report.outcome) {
            message.failure = format!("not delivered: {why}");
        }
        self.save_message(&message)?;
        Ok(Some(message))
    }

    fn keep_early_report(&self, report: &StatusReport) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO early_report (modem, receive_time, report) VALUES (?1, ?2, ?3)")?
            .execute(params![
                report.modem,
                stored_time(self.now),
                serde_json::to_string(report)?
            ])?;
        Ok(())
    }

    /// Applies the reports that waited for what has just become known of a message, and forgets those that waited too long.
    /// Returns the last event of it.
    pub(super) fn apply_early_reports(&self, modem: &str) -> Result<Option<Sequence>, StoreError> {
        let mut waiting: Vec<(i64, i64, StatusReport)> = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT number, report, receive_time FROM early_report WHERE modem = ?1 ORDER BY number",
            )?;
            let mut rows = statement.query([modem])?;
            while let Some(row) = rows.next()? {
                if let Some((number, _, report)) = self.reading().value(Source::EarlyReport, row)? {
                    waiting.push((number, row.get(2)?, report));
                }
            }
        }
        let oldest = stored_time(self.now.saturating_sub(EARLY_REPORT_AGE).unwrap_or(Timestamp::MIN));
        let mut applied = None;
        for (number, receive_time, report) in waiting {
            let noted = self.apply_status_report(&report)?;
            if noted.is_some() {
                applied = self.last_appended();
            }
            if noted.is_some() || receive_time < oldest {
                self.connection
                    .prepare_cached("DELETE FROM early_report WHERE number = ?1")?
                    .execute([number])?;
            }
        }
        Ok(applied)
    }

    /// Keeps the message references of the parts that the network accepted.
    pub(super) fn keep_outgoing_parts(&self, message: &Message) -> Result<(), StoreError> {
        if message.direction != MessageDirection::Outgoing {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO outgoing_part (message_id, position, modem, message_reference, recipient)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (message_id, position) DO NOTHING",
        )?;
        for (position, reference) in message.message_references.iter().enumerate() {
            statement.execute(params![
                message.id,
                position as i64,
                message.modem,
                reference,
                message.address
            ])?;
        }
        Ok(())
    }
}

/// Turns SENT into what the reports of the parts say: DELIVERED when all were delivered, FAILED when one was not.
pub(super) fn settle(connection: &Connection, message: &mut Message) -> Result<(), StoreError> {
    if message.direction != MessageDirection::Outgoing || message.state != MessageState::Sent {
        return Ok(());
    }
    let (delivered, failed): (u32, u32) = connection
        .prepare_cached(
            "SELECT coalesce(sum(outcome = 'delivered'), 0), coalesce(sum(outcome = 'failed'), 0)
             FROM outgoing_part WHERE message_id = ?1",
        )?
        .query_row([&message.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if failed > 0 {
        message.state = MessageState::Failed;
        message.failure = "not delivered".to_owned();
    } else if delivered >= message.part_count {
        message.state = MessageState::Delivered;
    }
    Ok(())
}

/// The newest part with the report's TP-MR and recipient. Only the newest: TP-MR repeats after 256 parts, and a report
/// that comes twice must not reach an older message.
fn part_with_reference(connection: &Connection, report: &StatusReport) -> Result<Option<Addressee>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, message_id, recipient, outcome IS NOT NULL FROM outgoing_part
         WHERE modem = ?1 AND message_reference = ?2 ORDER BY number DESC",
    )?;
    let mut rows = statement.query(params![report.modem, report.message_reference])?;
    while let Some(row) = rows.next()? {
        if same_subscriber(&row.get::<_, String>(2)?, &report.recipient) {
            let part = AddresseePart::Known {
                number: row.get(0)?,
                reported: row.get(3)?,
            };
            return Ok(Some(Addressee {
                message_id: row.get(1)?,
                part,
            }));
        }
    }
    Ok(None)
}

/// The message whose lost final result this report answers. Only when no other message could be meant.
fn message_without_result(reading: &Reading<'_>, report: &StatusReport) -> Result<Option<String>, StoreError> {
    let candidates = message::of_unknown_outcome(reading, &report.modem, 1000)?;
    let mut candidates = candidates.into_iter().filter(|message| {
        let earliest = message
            .create_time
            .saturating_sub(CLOCK_TOLERANCE)
            .unwrap_or(Timestamp::MIN);
        let latest = message
            .update_time
            .saturating_add(RECONCILIATION_WINDOW)
            .unwrap_or(Timestamp::MAX);
        message.delivery_report_requested
            && message.parts_done < message.part_count
            && same_subscriber(&message.address, &report.recipient)
            && (earliest..=latest).contains(&report.time)
    });
    match (candidates.next(), candidates.next()) {
        (Some(message), None) => Ok(Some(message.id)),
        _ => Ok(None),
    }
}

/// Whether a part is on its way to the report's recipient, so that the report may be about it.
fn is_being_sent_to(reading: &Reading<'_>, report: &StatusReport) -> Result<bool, StoreError> {
    let sending = message::sending(reading, &report.modem)?;
    Ok(sending
        .iter()
        .any(|message| message.delivery_report_requested && same_subscriber(&message.address, &report.recipient)))
}

/// Whether two numbers are the same subscriber's. Networks report a recipient that was dialled nationally in
/// international form and the other way round.
fn same_subscriber(one: &str, other: &str) -> bool {
    let digits = |number: &str| {
        number
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "*#".contains(*c))
            .collect::<String>()
    };
    let (one, other) = (digits(one), digits(other));
    if one == other {
        return true;
    }
    let (longer, shorter) = if one.len() >= other.len() {
        (&one, &other)
    } else {
        (&other, &one)
    };
    let subscriber = shorter.trim_start_matches('0');
    subscriber.len() >= COMMON_DIGITS && longer.ends_with(subscriber)
}

#[cfg(test)]
mod tests {
    use super::same_subscriber;

    #[test]
    fn national_and_international_forms_are_the_same_subscriber() {
        for (one, other, expected) in [
            ("+491700000001", "+491700000001", true),
            ("+491700000001", "01700000001", true),
            ("01700000001", "491700000001", true),
            ("00491700000001", "+491700000001", true),
            ("+491700000001", "+491700000002", false),
            ("4636", "4636", true),
            ("4636", "+49170004636", false),
            ("", "+491700000001", false),
        ] {
            assert_eq!(same_subscriber(one, other), expected, "{one} and {other}");
        }
    }
}
