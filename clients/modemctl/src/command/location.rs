//! `modemctl location`.

use api::v1::{Fix, GetFixRequest, StreamFixesRequest, StreamNmeaRequest};
use client::json::to_value;

use crate::Session;
use crate::arguments::LocationOptions;
use crate::failure::Failure;
use crate::present;
use crate::table::clean;

pub(crate) async fn location(session: &mut Session<'_>, options: LocationOptions) -> Result<(), Failure> {
    if options.nmea {
        return nmea(session).await;
    }
    if options.watch {
        return watch(session).await;
    }
    let request = GetFixRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.location();
    let answer = session.ask("asking for the position", service.get_fix(request)).await?;
    match answer.fix {
        Some(fix) => show(session, &fix),
        None => Err(Failure::new(
            "the receiver has no fix yet: it needs a view of the sky, and a minute or more after it was switched on",
        )),
    }
}

async fn watch(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = StreamFixesRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.location();
    let mut stream = session.ask("waiting for a fix", service.stream_fixes(request)).await?;
    while let Some(message) = stream.message().await? {
        if let Some(fix) = message.fix {
            show(session, &fix)?;
        }
    }
    Ok(())
}

async fn nmea(session: &mut Session<'_>) -> Result<(), Failure> {
    let request = StreamNmeaRequest {
        modem: session.modem.clone(),
    };
    let mut service = session.broker.location();
    let mut stream = session
        .ask("waiting for a sentence", service.stream_nmea(request))
        .await?;
    while let Some(message) = stream.message().await? {
        if session.json {
            session.console.json(&to_value(&message))?;
        } else {
            session.console.line(&clean(&message.sentence))?;
        }
    }
    Ok(())
}

fn show(session: &mut Session<'_>, fix: &Fix) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(fix));
    }
    let measure = |name: &str, value: Option<f64>, unit: &str| {
        value.map(|value| format!("{name}{value:.1}{unit}")).unwrap_or_default()
    };
    let parts = [
        present::time(fix.fix_time, &session.console.zone),
        format!("{:.6} {:.6}", fix.latitude_degrees, fix.longitude_degrees),
        measure("", fix.altitude_m, " m"),
        measure("", fix.speed_mps, " m/s"),
        measure("course ", fix.course_degrees, "°"),
        fix.satellites_used
            .map(|count| format!("{count} satellites"))
            .unwrap_or_default(),
        measure("HDOP ", fix.hdop, ""),
        measure("±", fix.horizontal_accuracy_m, " m"),
    ];
    session.console.line(&present::list(parts, ", "))
}
