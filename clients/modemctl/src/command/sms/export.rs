//! `modemctl sms export`: page by page, so that a long history needs no memory.

use api::v1::{Message, MessageDirection};
use client::json::to_value;
use jiff::tz::TimeZone;

use super::PAGE;
use crate::Session;
use crate::arguments::{ExportFormat, ExportOptions};
use crate::failure::Failure;
use crate::present;
use crate::table::clean_lines;

const COLUMNS: [&str; 9] = [
    "message_id",
    "modem",
    "direction",
    "state",
    "address",
    "create_time",
    "service_centre_time",
    "parts",
    "text",
];

pub(super) async fn export(session: &mut Session<'_>, options: ExportOptions) -> Result<(), Failure> {
    if options.format == ExportFormat::Csv && session.json {
        return Err(Failure::usage(
            "--json and --format csv exclude each other; leave one out",
        ));
    }
    if options.format == ExportFormat::Csv {
        session
            .console
            .octets(format!("{}\r\n", COLUMNS.join(",")).as_bytes())?;
    }
    let mut page_token = String::new();
    loop {
        let request = super::page_of(session, &options.filter, PAGE, page_token);
        let mut service = session.broker.sms();
        let page = session
            .ask("asking for messages", service.list_messages(request))
            .await?;
        for message in &page.messages {
            match options.format {
                ExportFormat::Jsonl => session.console.json(&to_value(message))?,
                ExportFormat::Csv => session.console.octets(row(message).as_bytes())?,
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

/// A line of RFC 4180. Times are in UTC and say so: an export is for other machines.
fn row(message: &Message) -> String {
    let direction = match message.direction() {
        MessageDirection::Incoming => "incoming",
        _ => "outgoing",
    };
    let fields = [
        message.message_id.clone(),
        message.modem.clone(),
        direction.to_owned(),
        client::label(message.state().as_str_name(), "MESSAGE_STATE_"),
        message.address.clone(),
        utc(message.create_time),
        utc(message.service_centre_time),
        message.part_count.to_string(),
        message.text.clone(),
    ];
    let fields: Vec<String> = fields.iter().map(|field| quoted(&clean_lines(field))).collect();
    format!("{}\r\n", fields.join(","))
}

fn utc(time: Option<prost_types::Timestamp>) -> String {
    let time = present::time(time, &TimeZone::UTC);
    if time.is_empty() { time } else { format!("{time}Z") }
}

/// A field, quoted where it has to be. One that a spreadsheet would take for a formula gets an apostrophe in front: anybody
/// can send us a message. Numbers with their plus stay as they are.
fn quoted(field: &str) -> String {
    let is_number = field
        .strip_prefix('+')
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let field = if is_formula {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_are_no_formulas() {
        for (field, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\nthere", "\"say \"\"hi\"\"\nthere\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("-1+1", "'-1+1"),
            ("+447700900123", "+447700900123"),
            ("+cmd|x", "'+cmd|x"),
            ("", ""),
        ] {
            assert_eq!(quoted(field), expected, "{field}");
        }
    }
}
