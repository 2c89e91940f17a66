//! `modemctl sms`.

mod export;
pub(crate) mod pdu;

use std::io::Read;
use std::time::Duration;

use api::v1::event::Change;
use api::v1::{
    ApplicationPorts, CancelMessageRequest, CheckStorageRequest, ComposeMessageRequest, DeleteMessageRequest,
    GetMessageRequest, ListMessagesRequest, ListModemsRequest, Message, MessageCoding, MessageDirection,
    MessagePriority, MessageState, ModemStage, NationalLanguage, SendMessageRequest, send_message_request::Content,
};
use client::json::to_value;
use client::{Start, Watch};
use tokio::time::timeout;

use super::present as required;
use crate::Session;
use crate::arguments::{CodingOptions, Filter, Kind, ListOptions, Moment, SendOptions, SmsCommand, WatchOptions};
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{Table, clean};

/// The largest page that the contract allows.
const PAGE: usize = 1000;
/// With less room beside it a text stands below its row.
const ROOM: usize = 30;
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
            let message_id = super::identity::message(session, id).await?;
            let request = GetMessageRequest { message_id };
            let answer = session
                .ask("asking for the message", service.get_message(request))
                .await?;
            show(session, &required(answer.message)?)
        }
        SmsCommand::Cancel { id } => {
            let message_id = super::identity::message(session, id).await?;
            let request = CancelMessageRequest { message_id };
            let answer = session.ask("cancelling", service.cancel_message(request)).await?;
            show(session, &required(answer.message)?)
        }
        SmsCommand::Delete { id } => {
            let id = super::identity::message(session, id).await?;
            let request = DeleteMessageRequest { message_id: id.clone() };
            session.ask("deleting", service.delete_message(request)).await?;
            if session.json {
                return session.console.json(&serde_json::json!({ "deleted": id }));
            }
            session.console.line(&format!("deleted {}", clean(&id)))
        }
        SmsCommand::Export(options) => export::export(session, options).await,
        SmsCommand::Storage => storage(session).await,
        SmsCommand::Decode(options) => pdu::decode(session.console, session.json, options).await,
        SmsCommand::Encode(options) => pdu::encode(session.console, session.json, options).await,
    }
}

async fn text(console: &mut Console, given: String) -> Result<String, Failure> {
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
    let text = match console.wait("reading the text from the standard input", reading).await {
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

/// The request that the options describe.
async fn composed(
    console: &mut Console,
    to: String,
    text: String,
    options: &CodingOptions,
) -> Result<SendMessageRequest, Failure> {
    let content = match &options.data {
        Some(data) => Content::Data(data.0.clone().into()),
        None => {
            let text = self::text(console, text).await?;
            if text.is_empty() {
                return Err(Failure::usage("the text is empty"));
            }
            Content::Text(text)
        }
    };
    Ok(SendMessageRequest {
        address: to,
        content: Some(content),
        delivery_report: options.report,
        flash: options.flash,
        validity: options.validity.map(|validity| prost_types::Duration {
            seconds: validity.as_secs(),
            nanos: validity.subsec_nanos(),
        }),
        expire_time: ahead(console, "--valid-until", options.valid_until)?,
        single_attempt: options.single_attempt,
        transliterate: options.transliterate,
        coding: options
            .coding
            .map_or(MessageCoding::Unspecified, MessageCoding::from)
            .into(),
        national_languages: options
            .language
            .iter()
            .map(|language| NationalLanguage::from(*language).into())
            .collect(),
        application_ports: options.port.map(|destination| ApplicationPorts {
            destination: destination.into(),
            originator: options.from_port.into(),
        }),
        replace_type: options.replace.unwrap_or_default().into(),
        ..SendMessageRequest::default()
    })
}

/// A time that was typed, which has to lie ahead.
fn ahead(console: &Console, option: &str, moment: Option<Moment>) -> Result<Option<prost_types::Timestamp>, Failure> {
    let Some(moment) = moment else { return Ok(None) };
    let now = console.now();
    let time = moment
        .resolve(now, &console.zone)
        .ok_or_else(|| Failure::usage(format!("{option}: this time is too far away")))?;
    if time < now {
        let told = present::time_in_zone(Some(timestamp(time)), &console.zone);
        return Err(Failure::usage(format!("{option}: {told} is in the past")));
    }
    Ok(Some(timestamp(time)))
}

fn timestamp(time: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// What a message would be.
async fn dry_run(session: &mut Session<'_>, request: SendMessageRequest) -> Result<(), Failure> {
    let mut service = session.broker.sms();
    let request = ComposeMessageRequest { message: Some(request) };
    let composed = session
        .ask("asking what it would be", service.compose_message(request))
        .await?;
    if session.json {
        return session.console.json(&to_value(&composed));
    }
    let coding = word!(composed.coding(), "MESSAGE_CODING_").to_uppercase();
    let sizes: Vec<String> = composed
        .parts
        .iter()
        .map(|part| format!("{}/{}", part.units, part.capacity))
        .collect();
    let parts = parts(composed.part_count);
    session
        .console
        .line(&format!("{parts}, {coding}: {}", sizes.join(" ")))?;
    if composed.text.is_empty() {
        return Ok(());
    }
    session.console.line(&clean(&composed.text))
}

fn parts(count: u32) -> String {
    if count == 1 {
        "1 part".to_owned()
    } else {
        format!("{count} parts")
    }
}

async fn storage(session: &mut Session<'_>) -> Result<(), Failure> {
    let mut service = session.broker.sms();
    let request = CheckStorageRequest {
        modem: session.modem.clone(),
    };
    let answer = session
        .ask("asking for the message storages", service.check_storage(request))
        .await?;
    if session.json {
        return session.console.json(&to_value(&answer));
    }
    answer.storages.iter().try_for_each(|storage| {
        session.console.line(&format!(
            "{:<4}  {} of {}",
            clean(&storage.name),
            storage.used,
            storage.total
        ))
    })
}

async fn send(session: &mut Session<'_>, options: SendOptions) -> Result<(), Failure> {
    let report = options.coding.report;
    let request = composed(session.console, options.to, options.text, &options.coding).await?;
    let request = SendMessageRequest {
        modem: session.modem.clone(),
        request_id: options.request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        priority: options
            .priority
            .map_or(MessagePriority::Unspecified, MessagePriority::from)
            .into(),
        send_time: ahead(session.console, "--at", options.at)?,
        ..request
    };
    if options.dry_run {
        return dry_run(session, request).await;
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
    let answer = session
        .ask("handing the message over", service.send_message(request))
        .await?;
    let mut message = required(answer.message)?;
    if let Some(cursor) = cursor {
        let limit = Duration::from_secs(options.timeout);
        match timeout(limit, settled(session, message.clone(), cursor, report)).await {
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
    outcome(session, &message)?;
    if message.state() == MessageState::Queued && message.send_time.is_none() {
        waits(session, &message).await?;
    }
    Ok(())
}

/// Says why a message that was taken does not go out at once, if the modem cannot send at the moment.
async fn waits(session: &mut Session<'_>, message: &Message) -> Result<(), Failure> {
    let mut service = session.broker.modems();
    let list = session
        .ask("asking for modems", service.list_modems(ListModemsRequest {}))
        .await?;
    let Some(modem) = list.modems.into_iter().find(|modem| modem.name == message.modem) else {
        return Ok(());
    };
    if modem.stage() != ModemStage::Ready {
        let why = match modem.stage_detail.as_str() {
            "" => word!(modem.stage(), "MODEM_STAGE_"),
            detail => detail.to_owned(),
        };
        session.console.note(&format!(
            "It waits until modem {} is ready, which it is not: {why}",
            modem.name
        ));
    }
    Ok(())
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
                if let Some(Change::MessageChanged(changed)) = event.change
                    && changed.message_id == message.message_id
                {
                    message = changed;
                }
            }
        }
    }
}

fn outcome(session: &mut Session<'_>, message: &Message) -> Result<(), Failure> {
    if session.json {
        session.console.json(&to_value(message))?;
    } else {
        let state = word!(message.state(), "MESSAGE_STATE_");
        let coding = word!(message.coding(), "MESSAGE_CODING_").to_uppercase();
        let parts = parts(message.part_count);
        let state = session.console.paint(present::message_tone(message.state()), &state);
        let id = clean(&message.message_id);
        let time = match message.send_time {
            Some(_) => format!(
                ", to be sent at {}",
                present::time_in_zone(message.send_time, &session.console.zone)
            ),
            None => String::new(),
        };
        session
            .console
            .line(&format!("{id}  {state}{time}  {parts}, {coding}"))?;
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

/// The request for a page of what the filter lets through.
fn page_of(session: &Session<'_>, filter: &Filter, page_size: usize, page_token: String) -> ListMessagesRequest {
    let direction = match (filter.incoming, filter.outgoing) {
        (true, _) => MessageDirection::Incoming,
        (_, true) => MessageDirection::Outgoing,
        _ => MessageDirection::Unspecified,
    };
    ListMessagesRequest {
        modem: session.modem.clone(),
        direction: direction.into(),
        states: filter.state.iter().map(|state| i32::from(*state)).collect(),
        page_size: page_size.min(PAGE) as u32,
        page_token,
        query: filter.query.clone(),
        address: filter.address.clone(),
        show_replaced: filter.replaced,
        ..Default::default()
    }
}

async fn list(session: &mut Session<'_>, options: ListOptions) -> Result<(), Failure> {
    let mut messages = Vec::new();
    let mut page_token = String::new();
    while messages.len() < options.limit {
        let request = page_of(session, &options.filter, options.limit - messages.len(), page_token);
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
    let several = messages.iter().any(|message| message.modem != messages[0].modem);
    let mut table = Table::new(&["id", "time", "modem", "", "number", "state", "text"]).with_room(ROOM);
    for message in &messages {
        let state = message.state();
        let arrow = if message.direction() == MessageDirection::Incoming {
            "←"
        } else {
            "→"
        };
        table.push(vec![
            (Tone::Quiet, present::table_id(&message.message_id, session.console)),
            (Tone::Plain, present::table_time(message.create_time, session.console)),
            (Tone::Plain, if several { message.modem.clone() } else { String::new() }),
            (Tone::Plain, arrow.to_owned()),
            (Tone::Plain, present::number(&message.address).to_owned()),
            (present::message_tone(state), state_cell(message, session.console)),
            (Tone::Plain, message.text.clone()),
        ]);
    }
    session.table(&table)?;
    if !page_token.is_empty() {
        session.console.note(&format!(
            "there are earlier messages: --limit {} shows more",
            options.limit * 4
        ));
    }
    Ok(())
}

/// The state with what is not the usual: how far it came, and when it is to be sent.
fn state_cell(message: &Message, console: &Console) -> String {
    let parts = match (message.state(), message.part_count) {
        (_, 0 | 1) => String::new(),
        (MessageState::Incomplete | MessageState::Sending, count) => format!(" {}/{count}", message.parts_done),
        (_, count) => format!(" ({count} parts)"),
    };
    let time = match (message.state(), message.send_time) {
        (MessageState::Queued, time @ Some(_)) => format!(" for {}", present::table_time(time, console).trim_start()),
        _ => String::new(),
    };
    format!("{}{parts}{time}", word!(message.state(), "MESSAGE_STATE_"))
}

fn show(session: &mut Session<'_>, message: &Message) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(message));
    }
    let zone = session.console.zone.clone();
    let numbers = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let priority = match message.priority() {
        MessagePriority::Unspecified | MessagePriority::Normal => String::new(),
        other => word!(other, "MESSAGE_PRIORITY_"),
    };
    let rows = [
        ("id", message.message_id.clone()),
        ("modem", message.modem.clone()),
        ("direction", word!(message.direction(), "MESSAGE_DIRECTION_")),
        ("number", present::number(&message.address).to_owned()),
        ("state", word!(message.state(), "MESSAGE_STATE_")),
        ("failure", message.failure.clone()),
        ("parts", format!("{} of {}", message.parts_done, message.part_count)),
        ("missing", numbers(&message.missing_parts)),
        ("coding", word!(message.coding(), "MESSAGE_CODING_").to_uppercase()),
        ("stored", present::time(message.create_time, &zone)),
        ("changed", present::time(message.update_time, &zone)),
        ("service", present::time(message.service_centre_time, &zone)),
        ("send at", present::time(message.send_time, &zone)),
        ("until", present::time(message.expire_time, &zone)),
        ("priority", priority),
        ("reference", numbers(&message.message_references)),
        ("kind", kind(message)),
        ("replaced", message.replaced_by.clone()),
        ("client", message.client.clone()),
        ("request", message.request_id.clone()),
        ("text", message.text.clone()),
    ];
    session.rows(rows)
}

/// What is unusual about a message.
fn kind(message: &Message) -> String {
    let class = match message.message_class {
        Some(0) => "flash".to_owned(),
        Some(class) => format!("class {class}"),
        None => String::new(),
    };
    let identifier = match message.protocol_identifier {
        0 => String::new(),
        0x40 => "silent".to_owned(),
        replacing @ 0x41..=0x47 => format!("replaces type {}", replacing - 0x40),
        other => format!("protocol {other:#04x}"),
    };
    let waiting = message.message_waiting.map(|waiting| {
        let kind = word!(waiting.kind(), "WAITING_KIND_");
        match (waiting.active, waiting.count) {
            (true, Some(count)) => format!("{kind} waiting: {count}"),
            (true, None) => format!("{kind} waiting"),
            (false, _) => format!("no {kind} waiting"),
        }
    });
    let ports = message
        .application_ports
        .map(|ports| format!("port {} from {}", ports.destination, ports.originator));
    let elements = message.information_elements.iter().map(|element| {
        let octets: String = element.value.iter().map(|octet| format!("{octet:02X}")).collect();
        format!("element {:02X}: {octets}", element.identifier)
    });
    let parts = [class, identifier]
        .into_iter()
        .chain(waiting)
        .chain(ports)
        .chain(elements);
    present::list(parts, ", ")
}
