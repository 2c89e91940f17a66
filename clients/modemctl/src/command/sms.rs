//! `modemctl sms`.

use std::io::Read;
use std::time::Duration;

use api::v1::event::Resource;
use api::v1::{
    CancelMessageRequest, DeleteMessageRequest, GetMessageRequest, ListMessagesRequest, Message, MessageDirection,
    MessageState, SendMessageRequest, send_message_request::Content,
};
use client::json::to_value;
use client::{Start, Watch};
use tokio::time::timeout;

use super::present as required;
use crate::Session;
use crate::arguments::{Kind, ListOptions, SendOptions, SmsCommand, WatchOptions};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{Table, clean};

/// The largest page that the contract allows.
const PAGE: usize = 1000;
/// A message has at most 255 parts of 153 characters; what is longer is no message.
const LONGEST_TEXT: u64 = 64 * 1024;

pub(crate) async fn run(session: &mut Session<'_>, command: SmsCommand) -> Result<(), Failure> {
    let mut service = session.broker.sms();
    match command {
        SmsCommand::Send(options) => send(session, options).await,
        SmsCommand::List(options) => list(session, options).await,
        SmsCommand::Watch => {
            let options = WatchOptions {
                kinds: vec![Kind::Message],
                ..WatchOptions::default()
            };
            super::watch::watch(session, options).await
        }
        SmsCommand::Show { id } => {
            let request = GetMessageRequest { message_id: id };
            let answer = session
                .ask("asking for the message", service.get_message(request))
                .await?;
            show(session, &required(answer.message)?)
        }
        SmsCommand::Cancel { id } => {
            let request = CancelMessageRequest { message_id: id };
            let answer = session.ask("cancelling", service.cancel_message(request)).await?;
            show(session, &required(answer.message)?)
        }
        SmsCommand::Delete { id } => {
            let request = DeleteMessageRequest { message_id: id.clone() };
            session.ask("deleting", service.delete_message(request)).await?;
            if session.json {
                return session.console.json(&serde_json::json!({ "deleted": id }));
            }
            session.console.line(&format!("deleted {}", clean(&id)))
        }
    }
}

async fn text(session: &mut Session<'_>, given: String) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given);
    }
    let reading = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(LONGEST_TEXT)
            .read_to_string(&mut text)
            .map(|_| text)
    });
    let text = match session
        .console
        .wait("reading the text from the standard input", reading)
        .await
    {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(Failure::new(format!("failed to read the text: {error}"))),
        Err(error) => return Err(Failure::new(format!("failed to read the text: {error}"))),
    };
    // The line end of `echo` is not meant.
    Ok(text
        .strip_suffix('\n')
        .map(|text| text.strip_suffix('\r').unwrap_or(text))
        .unwrap_or(&text)
        .to_owned())
}

async fn send(session: &mut Session<'_>, options: SendOptions) -> Result<(), Failure> {
    let text = text(session, options.text).await?;
    if text.is_empty() {
        return Err(Failure::usage("the text is empty"));
    }
    let mut service = session.broker.sms();
    // The cursor is taken before the message exists, so that no change of it can be missed.
    let cursor = match options.wait {
        true => {
            let request = ListMessagesRequest {
                page_size: 1,
                ..ListMessagesRequest::default()
            };
            Some(
                session
                    .ask("asking for the position", service.list_messages(request))
                    .await?
                    .cursor,
            )
        }
        false => None,
    };
    let request = SendMessageRequest {
        modem: session.modem.clone(),
        to: options.to,
        content: Some(Content::Text(text)),
        request_id: options.request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        delivery_report: options.report,
        flash: options.flash,
        validity: None,
    };
    let answer = session
        .ask("handing the message over", service.send_message(request))
        .await?;
    let mut message = required(answer.message)?;
    if let Some(cursor) = cursor {
        let limit = Duration::from_secs(options.timeout);
        match timeout(limit, settled(session, message.clone(), cursor, options.report)).await {
            Ok(settled) => message = settled?,
            Err(_) => {
                let state = word!(message.state(), "MESSAGE_STATE_");
                let id = clean(&message.message_id);
                return Err(Failure::new(format!(
                    "the message is still {state} after {} s; look at it later with: modemctl sms show {id}",
                    limit.as_secs()
                )));
            }
        }
    }
    report(session, &message)
}

/// The message when nothing more will happen to it that was asked for.
async fn settled(
    session: &mut Session<'_>,
    mut message: Message,
    cursor: u64,
    until_delivered: bool,
) -> Result<Message, Failure> {
    let filter = session.filter(&[Kind::Message]);
    let mut watch = Watch::new(session.broker.clone(), Start::Cursor(cursor), filter);
    loop {
        match message.state() {
            MessageState::Queued | MessageState::Sending | MessageState::Unspecified => {}
            MessageState::Sent if until_delivered => {}
            _ => return Ok(message),
        }
        let doing = if message.state() == MessageState::Sent {
            "waiting for the delivery report"
        } else {
            "sending"
        };
        let update = session.console.wait(doing, watch.next()).await?;
        if let client::Update::Batch(batch) = update {
            for event in batch.events {
                if let Some(Resource::MessageChanged(changed)) = event.resource
                    && changed.message_id == message.message_id
                {
                    message = changed;
                }
            }
        }
    }
}

fn report(session: &mut Session<'_>, message: &Message) -> Result<(), Failure> {
    if session.json {
        session.console.json(&to_value(message))?;
    } else {
        let state = word!(message.state(), "MESSAGE_STATE_").replace('-', " ");
        let coding = word!(message.encoding(), "MESSAGE_ENCODING_").to_uppercase();
        let parts = if message.part_count == 1 {
            "1 part".to_owned()
        } else {
            format!("{} parts", message.part_count)
        };
        let state = session.console.paint(present::message_tone(message.state()), &state);
        session
            .console
            .line(&format!("{}  {state}  {parts}, {coding}", clean(&message.message_id)))?;
    }
    let failure = clean(&message.failure);
    match message.state() {
        MessageState::Failed => Err(Failure::new(format!("the message was not sent: {failure}"))),
        MessageState::OutcomeUnknown => Err(Failure::new(format!(
            "nobody knows whether the message was sent: {failure}; ask the receiver before sending it again"
        ))),
        MessageState::Cancelled => Err(Failure::new("the message was cancelled")),
        _ => Ok(()),
    }
}

async fn list(session: &mut Session<'_>, options: ListOptions) -> Result<(), Failure> {
    let direction = match (options.incoming, options.outgoing) {
        (true, _) => MessageDirection::Incoming,
        (_, true) => MessageDirection::Outgoing,
        _ => MessageDirection::Unspecified,
    };
    let mut messages = Vec::new();
    let mut page_token = String::new();
    while messages.len() < options.limit {
        let request = ListMessagesRequest {
            modem: session.modem.clone(),
            direction: direction.into(),
            states: options.state.iter().map(|state| i32::from(*state)).collect(),
            page_size: (options.limit - messages.len()).min(PAGE) as u32,
            page_token,
            query: options.query.clone(),
        };
        let mut service = session.broker.sms();
        let page = session
            .ask("asking for messages", service.list_messages(request))
            .await?;
        messages.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    messages.truncate(options.limit);
    if session.json {
        return messages
            .iter()
            .try_for_each(|message| session.console.json(&to_value(message)));
    }
    if messages.is_empty() {
        session.console.note("no messages");
        return Ok(());
    }
    let mut table = Table::new(&["id", "time", "", "number", "state", "parts", "text"]);
    for message in &messages {
        let state = message.state();
        let parts = match state {
            MessageState::Incomplete | MessageState::Sending => {
                format!("{}/{}", message.parts_done, message.part_count)
            }
            _ => message.part_count.to_string(),
        };
        let arrow = if message.direction() == MessageDirection::Incoming {
            "←"
        } else {
            "→"
        };
        table.push(vec![
            (Tone::Quiet, message.message_id.clone()),
            (Tone::Plain, present::time(message.create_time, &session.console.zone)),
            (Tone::Plain, arrow.to_owned()),
            (Tone::Plain, present::number(&message.address).to_owned()),
            (present::message_tone(state), word!(state, "MESSAGE_STATE_")),
            (Tone::Plain, parts),
            (Tone::Plain, message.text.clone()),
        ]);
    }
    let lines = table.lines(session.console);
    lines.iter().try_for_each(|line| session.console.line(line))
}

fn show(session: &mut Session<'_>, message: &Message) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(message));
    }
    let zone = session.console.zone.clone();
    let references: Vec<_> = message.message_references.iter().map(u32::to_string).collect();
    let rows = [
        ("id", message.message_id.clone()),
        ("modem", message.modem.clone()),
        ("direction", word!(message.direction(), "MESSAGE_DIRECTION_")),
        ("number", present::number(&message.address).to_owned()),
        ("state", word!(message.state(), "MESSAGE_STATE_")),
        ("failure", message.failure.clone()),
        ("parts", format!("{} of {}", message.parts_done, message.part_count)),
        ("coding", word!(message.encoding(), "MESSAGE_ENCODING_").to_uppercase()),
        ("stored", present::time(message.create_time, &zone)),
        ("changed", present::time(message.update_time, &zone)),
        ("service", present::time(message.service_centre_time, &zone)),
        ("reference", references.join(" ")),
        ("request", message.request_id.clone()),
        ("text", message.text.clone()),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let name = session.console.paint(Tone::Quiet, &format!("{name:<9}"));
        session.console.line(&format!("{name}  {}", clean(&value)))?;
    }
    Ok(())
}
