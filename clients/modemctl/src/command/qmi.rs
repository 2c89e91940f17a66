//! `modemctl qmi`: the services of the firmware, or one request.

use std::fmt::Write as _;
use std::time::Duration;

use api::v1::{ExecuteQmiRequestRequest, ListQmiServicesRequest, QmiTlv};
use cellular::qmi::{Service, names};
use client::json::to_value;

use super::REQUEST_TIMEOUT;
use crate::Session;
use crate::arguments::QmiOptions;
use crate::console::Tone;
use crate::failure::Failure;
use crate::table::{Table, clean};

pub(crate) async fn qmi(session: &mut Session<'_>, options: QmiOptions) -> Result<(), Failure> {
    if !(1..=180).contains(&options.timeout) {
        return Err(Failure::usage("--timeout must be 1 to 180 seconds"));
    }
    match (&options.service, &options.message) {
        (Some(service), Some(message)) => {
            let service = service_of(service)?;
            let request = ExecuteQmiRequestRequest {
                modem: session.modem.clone(),
                service: u32::from(service.0),
                message: u32::from(message_of(service, message)?),
                tlvs: options.tlvs.iter().map(|tlv| tlv_of(tlv)).collect::<Result<_, _>>()?,
                timeout: Some(prost_types::Duration {
                    seconds: options.timeout.cast_signed(),
                    nanos: 0,
                }),
            };
            execute(session, request, Duration::from_secs(options.timeout)).await
        }
        _ => services(session).await,
    }
}

fn service_of(written: &str) -> Result<Service, Failure> {
    let number = || {
        number(written)
            .and_then(|number| u8::try_from(number).ok())
            .map(Service)
    };
    names::service_named(written).or_else(number).ok_or_else(|| {
        Failure::usage(format!(
            "no such service: {written}; expected a name such as nas, or 0x00 to 0xff"
        ))
    })
}

fn message_of(service: Service, written: &str) -> Result<u16, Failure> {
    names::message_named(service, written)
        .or_else(|| number(written))
        .ok_or_else(|| {
            Failure::usage(format!(
                "no such message of this service: {written}; expected libqmi's name such as get-signal-info, or 0x0000 to \
                 0xffff"
            ))
        })
}

/// Decimal, or hexadecimal with `0x`.
fn number(written: &str) -> Option<u16> {
    match written.strip_prefix("0x").or_else(|| written.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => written.parse().ok(),
    }
}

fn tlv_of(written: &str) -> Result<QmiTlv, Failure> {
    let wrong = || Failure::usage(format!("no TLV: {written}; expected TYPE=HEX such as 01=0100"));
    let (kind, value) = written.split_once('=').ok_or_else(wrong)?;
    let kind = kind.strip_prefix("0x").unwrap_or(kind);
    let kind = u8::from_str_radix(kind, 16).map_err(|_| wrong())?;
    let digits = value.as_bytes();
    let octet = |pair: &[u8]| {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        }
    };
    let value: Option<Vec<u8>> = digits.chunks(2).map(octet).collect();
    Ok(QmiTlv {
        r#type: u32::from(kind),
        value: value.ok_or_else(wrong)?.into(),
    })
}

async fn execute(
    session: &mut Session<'_>,
    request: ExecuteQmiRequestRequest,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut diagnostics = session.broker.diagnostics();
    let asking = diagnostics.execute_qmi_request(request);
    // The request may have to wait for others before its own time begins.
    let limit = timeout + REQUEST_TIMEOUT;
    let answer = session.ask_within(limit, "waiting for the modem", asking).await?;
    if session.json {
        session.console.json(&to_value(&answer))?;
    } else {
        for tlv in &answer.tlvs {
            session.console.line(&shown(tlv))?;
        }
    }
    match answer.error {
        None => Ok(()),
        Some(error) => Err(Failure::new(format!(
            "the modem answered with error {error} {}",
            clean(&answer.error_name)
        ))),
    }
}

/// Type and octets; beside them what is text in them.
fn shown(tlv: &QmiTlv) -> String {
    let mut line = format!("{:02x}=", tlv.r#type);
    for octet in &tlv.value {
        // Writing to a string cannot fail.
        let _ = write!(line, "{octet:02x}");
    }
    let is_text = tlv.value.len() > 1 && tlv.value.iter().all(|octet| matches!(octet, 0x20..=0x7e));
    if is_text {
        let _ = write!(line, "  {}", String::from_utf8_lossy(&tlv.value));
    }
    line
}

async fn services(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = ListQmiServicesRequest {
        modem: session.modem.clone(),
    };
    let mut diagnostics = session.broker.diagnostics();
    let asking = diagnostics.list_qmi_services(request);
    let answer = session.ask("asking for the services", asking).await?;
    if session.json {
        return session.console.json(&to_value(&answer));
    }
    let mut table = Table::new(&["service", "name", "version"]);
    for service in &answer.services {
        table.push(vec![
            (Tone::Plain, format!("0x{:02x}", service.service)),
            (Tone::Plain, service.name.clone()),
            (Tone::Plain, format!("{}.{}", service.major, service.minor)),
        ]);
    }
    for line in table.lines(session.console) {
        session.console.line(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tlvs_are_written_as_they_are_shown() {
        for (written, expected) in [
            ("01=0100", Some("01=0100")),
            ("0x10=414243", Some("10=414243  ABC")),
            ("ff=", Some("ff=")),
            ("01", None),
            ("100=00", None),
            ("01=0", None),
            ("01=0g", None),
            ("01=é0", None),
        ] {
            assert_eq!(
                tlv_of(written).ok().map(|tlv| shown(&tlv)).as_deref(),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn services_and_messages_have_numbers_and_names() {
        for (service, message, expected) in [
            ("nas", "get-signal-info", Some((0x03, 0x4F))),
            ("0x0B", "0x002f", Some((0x0B, 0x2F))),
            ("224", "21845", Some((0xE0, 0x5555))),
            ("zebra", "1", None),
            ("256", "1", None),
            ("nas", "get-zebra", None),
            ("nas", "0x10000", None),
        ] {
            let read = service_of(service).and_then(|service| Ok((service.0, message_of(service, message)?)));
            assert_eq!(read.ok(), expected, "{service} {message}");
        }
    }
}
