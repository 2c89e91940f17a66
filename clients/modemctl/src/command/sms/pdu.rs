//! `modemctl sms decode` and `encode`: every field of a PDU, for whoever debugs. They need no broker; the codec is the
//! broker's own.

mod fields;

use std::io::BufRead;

use cellular::sms::alphabet::NationalLanguage;
use cellular::sms::compose::{
    ComposeError, Composition, Layout, Ports, SubmitOptions, TextCoding, TextOptions, compose_data, compose_text,
};
use cellular::sms::data_coding::MessageClass;
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::{DecodeError, ProtocolIdentifier};
use cellular::sms::reassembly::{Content, Insertion, Part, Reassembly};
use cellular::sms::timestamp;
use cellular::sms::validity::{EnhancedValidity, RelativeValidity, ValidityPeriod};
use cellular::sms::{Direction, Pdu, PhoneNumber, Tpdu};
use serde_json::{Value, json};

use self::fields::Field;
use crate::arguments::{Coding, CodingOptions, DecodeOptions, EncodeOptions};
use crate::console::{Console, Tone};
use crate::failure::Failure;
use crate::table::clean;

/// Lines that are read from the standard input; a message has at most 255 parts.
const LINES_MAX: usize = 1000;
/// No PDU in hexadecimal is longer; a line of anything else may be.
const SHORTEST_PDU: usize = 14;

pub(crate) async fn decode(console: &mut Console, as_json: bool, options: DecodeOptions) -> Result<(), Failure> {
    let pdus = match options.pdus.as_slice() {
        [] => lines(console).await?,
        [dash] if dash == "-" => lines(console).await?,
        given => given.to_vec(),
    };
    if pdus.is_empty() {
        return Err(Failure::usage(
            "no PDU was given, and the standard input has no hexadecimal line",
        ));
    }
    let mut broken = 0;
    let mut decoded = Vec::new();
    for hex in &pdus {
        let outcome = read(hex, &options);
        broken += usize::from(outcome.is_err());
        let (problem, pdu) = match outcome {
            Ok(pdu) => (None, Some(pdu)),
            Err(DecodeError::UserDataTruncated { truncated, partial }) => {
                let problem = DecodeError::UserDataTruncated {
                    truncated,
                    partial: partial.clone(),
                };
                (Some(problem.to_string()), Some(*partial))
            }
            Err(error) => (Some(error.to_string()), None),
        };
        let fields = pdu.as_ref().map(fields::of).unwrap_or_default();
        if as_json {
            console.json(&object(hex, problem.as_deref(), &fields))?;
        } else {
            show(console, problem.as_deref(), &fields)?;
        }
        decoded.extend(pdu);
    }
    if decoded.len() > 1 {
        show_together(console, as_json, &decoded)?;
    }
    match broken {
        0 => Ok(()),
        count => Err(Failure::new(format!(
            "{count} of {} PDUs cannot be decoded as a whole",
            pdus.len()
        ))),
    }
}

/// The lines of the standard input that are PDUs; logs and replies of modems have others beside them.
async fn lines(console: &mut Console) -> Result<Vec<String>, Failure> {
    let reading = tokio::task::spawn_blocking(|| {
        let lines = std::io::stdin().lock().lines().take(LINES_MAX);
        lines.collect::<Result<Vec<_>, _>>()
    });
    let lines = match console.wait("reading PDUs from the standard input", reading).await {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => return Err(Failure::new(format!("failed to read the PDUs: {error}"))),
        Err(error) => return Err(Failure::new(format!("failed to read the PDUs: {error}"))),
    };
    let is_pdu = |line: &String| line.len() >= SHORTEST_PDU && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(lines
        .into_iter()
        .map(|line| line.trim().to_owned())
        .filter(is_pdu)
        .collect())
}

fn read(hex: &str, options: &DecodeOptions) -> Result<Pdu, DecodeError> {
    let hex: String = hex.chars().filter(|character| !character.is_whitespace()).collect();
    let read = |direction| {
        if options.tpdu {
            Pdu::decode_hex_with_length(&hex, hex.len() / 2, direction)
        } else {
            Pdu::decode_hex(&hex, direction)
        }
    };
    match (options.received, options.sent) {
        (true, _) => read(Direction::FromNetwork),
        (_, true) => read(Direction::ToNetwork),
        _ => match read(Direction::FromNetwork) {
            Err(DecodeError::UnsupportedType { .. }) => read(Direction::ToNetwork),
            outcome => outcome,
        },
    }
}

fn object(hex: &str, problem: Option<&str>, fields: &[Field]) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("pdu".to_owned(), hex.into());
    if let Some(problem) = problem {
        object.insert("problem".to_owned(), problem.into());
    }
    for field in fields {
        object.insert(field.key.to_owned(), field.value.clone());
    }
    Value::Object(object)
}

fn show(console: &mut Console, problem: Option<&str>, fields: &[Field]) -> Result<(), Failure> {
    for field in fields {
        let name = console.paint(Tone::Quiet, &format!("{:<19}", field.key.replace('_', " ")));
        console.line(&format!("{name}  {}", clean(&field.text)))?;
    }
    if let Some(problem) = problem {
        let name = console.paint(Tone::Bad, &format!("{:<19}", "problem"));
        console.line(&format!("{name}  {}", clean(problem)))?;
    }
    console.line("")
}

/// Messages of several parts, as the parts that were given make them.
fn show_together(console: &mut Console, as_json: bool, pdus: &[Pdu]) -> Result<(), Failure> {
    let mut reassembly = Reassembly::default();
    let mut messages = Vec::new();
    for pdu in pdus {
        let Tpdu::Deliver(deliver) = &pdu.tpdu else { continue };
        let Some(part) = Part::new(deliver, MessageIdentity::new("", pdu)) else {
            continue;
        };
        if let Insertion::Complete(message) = reassembly.insert(part) {
            messages.push(message);
        }
    }
    messages.extend(reassembly.incomplete().cloned());
    for message in messages {
        let missing: Vec<u8> = message.missing().collect();
        let (count, content) = (message.key().part_count, message.content());
        if as_json {
            let mut together = json!({"message": {"part_count": count, "missing_parts": missing}});
            match content {
                Content::Text(text) => together["message"]["text"] = text.into(),
                Content::Data(data) => together["message"]["data"] = fields::hex(&data).into(),
            }
            console.json(&together)?;
            continue;
        }
        let state = if missing.is_empty() {
            format!("{count} parts, complete")
        } else {
            let missing: Vec<String> = missing.iter().map(u8::to_string).collect();
            format!("{count} parts, without {}", missing.join(", "))
        };
        let content = match content {
            Content::Text(text) => text,
            Content::Data(data) => fields::hex(&data),
        };
        let heading = console.paint(Tone::Heading, "together");
        console.line(&format!("{heading}  {state}: {}", clean(&content)))?;
    }
    Ok(())
}

pub(crate) async fn encode(console: &mut Console, as_json: bool, options: EncodeOptions) -> Result<(), Failure> {
    let to: PhoneNumber = options
        .to
        .parse()
        .map_err(|error| Failure::usage(format!("to: {error}")))?;
    let layout = Layout {
        wide_reference: options.wide_reference,
        ports: options.coding.port.map(|destination| Ports {
            destination,
            originator: options.coding.from_port,
        }),
    };
    let composition = match &options.coding.data {
        Some(data) => compose_data(&data.0, layout),
        None => {
            let text = super::text(console, options.text).await?;
            compose_text(&text, &text_options(&options.coding, layout))
        }
    };
    let composition = composition.map_err(|error: ComposeError| Failure::new(error.to_string()))?;
    let submits = composition.submits(&to, options.reference, &submit_options(console, &options.coding)?);
    let sizes = composition.part_sizes();
    if !as_json {
        summary(console, &composition)?;
    }
    for (submit, size) in submits.into_iter().zip(sizes) {
        let pdu = Pdu {
            service_centre: None,
            tpdu: Tpdu::Submit(submit),
        };
        let encoded = pdu
            .encode()
            .map_err(|error| Failure::new(format!("the message cannot be encoded: {error}")))?;
        let mut fields = vec![
            Field::new(
                "command",
                format!("AT+CMGS={}", encoded.tpdu_length),
                encoded.tpdu_length.into(),
            ),
            Field::new(
                "size",
                format!("{} of {}", size.units, size.capacity),
                json!({"units": size.units, "capacity": size.capacity}),
            ),
        ];
        fields.extend(fields::of(&pdu));
        if as_json {
            console.json(&object(&encoded.hex, None, &fields))?;
        } else {
            console.line(&encoded.hex)?;
            show(console, None, &fields)?;
        }
    }
    Ok(())
}

fn summary(console: &mut Console, composition: &Composition) -> Result<(), Failure> {
    let parts = super::parts(u32::try_from(composition.segment_count()).unwrap_or(u32::MAX));
    let tables = composition.shift_tables();
    let named = |kind: &str, language: Option<NationalLanguage>| {
        language.map_or_else(String::new, |language| format!(", {kind} {language:?}"))
    };
    console.line(&format!(
        "{parts}, {}{}{}",
        fields::alphabet(composition.alphabet()),
        named("locking shift", tables.locking),
        named("single shift", tables.single)
    ))?;
    if let Some(text) = composition.text() {
        console.line(&clean(&text))?;
    }
    console.line("")
}

fn text_options(options: &CodingOptions, layout: Layout) -> TextOptions {
    TextOptions {
        coding: match options.coding {
            None => TextCoding::Cheapest,
            Some(Coding::Gsm7) => TextCoding::Gsm7,
            Some(Coding::Ucs2) => TextCoding::Ucs2,
        },
        national_languages: options
            .language
            .iter()
            .filter_map(|language| NationalLanguage::from_identifier(*language as u8))
            .collect(),
        transliterate: options.transliterate,
        layout,
    }
}

fn submit_options(console: &Console, options: &CodingOptions) -> Result<SubmitOptions, Failure> {
    let seconds = options
        .validity
        .map(|validity| u32::try_from(validity.as_secs()).unwrap_or(u32::MAX));
    let until = super::ahead(console, "--valid-until", options.valid_until)?;
    let validity_period = match (until, seconds, options.single_attempt) {
        (Some(until), ..) => {
            let until = timestamp::Timestamp::from_unix_seconds(until.seconds, 0)
                .map_err(|error| Failure::usage(format!("--valid-until: {error}")))?;
            Some(ValidityPeriod::Absolute(until.into()))
        }
        (_, seconds, true) => Some(ValidityPeriod::Enhanced(EnhancedValidity::new(true, seconds))),
        (_, Some(seconds), _) => Some(ValidityPeriod::Relative(RelativeValidity::at_least(seconds))),
        _ => None,
    };
    Ok(SubmitOptions {
        class: options.flash.then_some(MessageClass::Class0),
        validity_period,
        status_report_request: options.report,
        protocol_identifier: options
            .replace
            .and_then(ProtocolIdentifier::from_replace_type)
            .unwrap_or_default(),
        ..SubmitOptions::default()
    })
}
