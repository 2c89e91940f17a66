//! `modemctl call`.

use std::time::Duration;

use api::v1::event::Change;
use api::v1::{
    AnswerRequest, Call, CallDirection, CallForwarding, CallForwardingReason, CallState, DialRequest,
    GetCallForwardingRequest, GetCallRequest, HangUpRequest, HoldRequest, ListCallsRequest, RejectRequest,
    ResumeRequest, SendDtmfRequest, SetCallForwardingRequest, SetRecordingRequest,
};
use client::json::to_value;
use client::{Start, Update, Watch};
use tokio::time::timeout;

use super::present as required;
use crate::Session;
use crate::arguments::{CallCommand, ForwardingReason, Kind, Switch};
use crate::console::Tone;
use crate::failure::Failure;
use crate::present::{self, word};
use crate::table::{Table, clean};

mod audio;

/// With less room beside it the state stands below its row.
const ROOM: usize = 16;
/// The largest page that the contract allows.
const PAGE: usize = 1000;

pub(crate) async fn run(session: &mut Session<'_>, command: CallCommand) -> Result<(), Failure> {
    let mut service = session.broker.voice();
    match command {
        CallCommand::Dial {
            number,
            wait,
            timeout,
            request_id,
        } => {
            dial(
                session,
                number,
                wait.then_some(Duration::from_secs(timeout)),
                request_id,
            )
            .await
        }
        CallCommand::Answer { id } => {
            let call_id = named(session, id).await?;
            let request = AnswerRequest { call_id };
            let call = session.ask("answering", service.answer(request)).await?.call;
            tell(session, &required(call)?)
        }
        CallCommand::Reject { id } => {
            let call_id = named(session, id).await?;
            let request = RejectRequest { call_id };
            let call = session.ask("rejecting", service.reject(request)).await?.call;
            tell(session, &required(call)?)
        }
        CallCommand::Hangup { id } => {
            let call_id = named(session, id).await?;
            let request = HangUpRequest { call_id };
            let call = session.ask("hanging up", service.hang_up(request)).await?.call;
            tell(session, &required(call)?)
        }
        CallCommand::List { alive, limit } => list(session, alive, limit).await,
        CallCommand::Show { id } => {
            let call_id = only(session, id).await?;
            let call = session
                .ask("asking for the call", service.get_call(GetCallRequest { call_id }))
                .await?
                .call;
            show(session, &required(call)?)
        }
        CallCommand::Hold { id } => {
            let call_id = only(session, id).await?;
            let call = session
                .ask("holding", service.hold(HoldRequest { call_id }))
                .await?
                .call;
            tell(session, &required(call)?)
        }
        CallCommand::Resume { id } => {
            let call_id = only(session, id).await?;
            let call = session
                .ask("taking the call back", service.resume(ResumeRequest { call_id }))
                .await?
                .call;
            tell(session, &required(call)?)
        }
        CallCommand::Recording { state, id } => {
            let request = SetRecordingRequest {
                call_id: only(session, id).await?,
                enabled: state == Switch::On,
            };
            let call = session.ask("recording", service.set_recording(request)).await?.call;
            show(session, &required(call)?)
        }
        CallCommand::Forward { reason, to, after } => forward(session, reason, to, after).await,
        CallCommand::Dtmf { tones, id } => {
            let call_id = named(session, id).await?;
            let request = SendDtmfRequest { call_id, tones };
            session.ask("sending tones", service.send_dtmf(request)).await?;
            Ok(())
        }
        CallCommand::Record {
            id,
            out,
            seconds,
            stereo,
        } => {
            let call_id = only(session, id).await?;
            audio::record(session, call_id, &out, seconds, stereo).await
        }
        CallCommand::Play {
            file,
            id,
            then_hang_up,
            takeover,
        } => {
            let samples = client::audio::read_wav(&file)?;
            let call_id = only(session, id).await?;
            audio::play(session, call_id, samples, then_hang_up, takeover).await
        }
    }
}

/// Sets a forwarding, or shows them all.
async fn forward(
    session: &mut Session<'_>,
    reason: Option<ForwardingReason>,
    to: Option<String>,
    after: Option<u32>,
) -> Result<(), Failure> {
    let mut service = session.broker.voice();
    let modem = session.modem.clone();
    let reason = reason.map(|reason| match reason {
        ForwardingReason::Unconditional => CallForwardingReason::Unconditional,
        ForwardingReason::Busy => CallForwardingReason::Busy,
        ForwardingReason::NoReply => CallForwardingReason::NoReply,
        ForwardingReason::NotReachable => CallForwardingReason::NotReachable,
    });
    let shown = match (reason, to) {
        (Some(reason), Some(to)) => {
            let enabled = to != "off";
            let forwarding = CallForwarding {
                reason: reason.into(),
                enabled,
                number: if enabled { to } else { String::new() },
                no_reply_seconds: after.unwrap_or(0),
                classes: 0,
            };
            let request = SetCallForwardingRequest {
                modem,
                forwarding: Some(forwarding),
            };
            let confirmed = session
                .ask("setting the forwarding", service.set_call_forwarding(request))
                .await?
                .forwarding;
            vec![required(confirmed)?]
        }
        (reason, _) => {
            let request = GetCallForwardingRequest { modem };
            let mut all = session
                .ask("asking for forwardings", service.get_call_forwarding(request))
                .await?
                .forwardings;
            all.retain(|forwarding| reason.is_none_or(|reason| forwarding.reason() == reason));
            all
        }
    };
    if session.json {
        return shown
            .iter()
            .try_for_each(|forwarding| session.console.json(&to_value(forwarding)));
    }
    for forwarding in &shown {
        let when = word!(forwarding.reason(), "CALL_FORWARDING_REASON_");
        let line = if forwarding.enabled {
            let after = match forwarding.no_reply_seconds {
                0 => String::new(),
                seconds => format!(" after {seconds} s"),
            };
            format!("{when}: to {}{after}", clean(&forwarding.number))
        } else {
            format!("{when}: off")
        };
        session.console.line(&line)?;
    }
    Ok(())
}

/// The call that was named; the broker finds the only one there is by itself.
async fn named(session: &mut Session<'_>, id: Option<String>) -> Result<String, Failure> {
    match id {
        Some(id) => super::identity::call(session, id).await,
        None => Ok(String::new()),
    }
}

/// The call that was named, or the only one there is.
async fn only(session: &mut Session<'_>, id: Option<String>) -> Result<String, Failure> {
    if let Some(id) = id {
        return super::identity::call(session, id).await;
    }
    let request = ListCallsRequest {
        modem: session.modem.clone(),
        alive_only: true,
        ..ListCallsRequest::default()
    };
    let mut service = session.broker.voice();
    let calls = session
        .ask("asking for calls", service.list_calls(request))
        .await?
        .calls;
    match &calls[..] {
        [call] => Ok(call.call_id.clone()),
        [] => Err(Failure::new("no call is under way")),
        _ => Err(Failure::usage(
            "several calls are under way; name one of modemctl call list --alive",
        )),
    }
}

async fn dial(
    session: &mut Session<'_>,
    number: String,
    wait: Option<Duration>,
    request_id: Option<String>,
) -> Result<(), Failure> {
    let mut service = session.broker.voice();
    // The cursor is taken before the call exists, so that no change of it can be missed.
    let request = ListCallsRequest {
        page_size: 1,
        ..ListCallsRequest::default()
    };
    let cursor = session
        .ask("asking for the position", service.list_calls(request))
        .await?
        .cursor;
    let request = DialRequest {
        modem: session.modem.clone(),
        number,
        request_id: request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let mut call = required(session.ask("dialling", service.dial(request)).await?.call)?;
    let Some(limit) = wait else { return tell(session, &call) };
    match timeout(limit, answered(session, call.clone(), cursor)).await {
        Ok(answered) => call = answered?,
        Err(_) => {
            let id = clean(&call.call_id);
            let seconds = limit.as_secs();
            return Err(Failure::new(format!(
                "nobody answered within {seconds} s; end it with: modemctl call hangup {id}"
            )));
        }
    }
    match call.state() {
        CallState::Active => tell(session, &call),
        _ => {
            if session.json {
                session.console.json(&to_value(&call))?;
            }
            let why = present::end_cause(&call);
            Err(Failure::new(format!("the call was not answered: {why}")))
        }
    }
}

async fn answered(session: &mut Session<'_>, mut call: Call, cursor: u64) -> Result<Call, Failure> {
    let mut watch = Watch::new(
        session.broker.clone(),
        Start::Cursor(cursor),
        session.filter(&[Kind::Call]),
    );
    while !matches!(call.state(), CallState::Active | CallState::Disconnected) {
        let doing = present::call_state(call.state());
        if let Update::Batch(batch) = session.console.wait(&doing, watch.next()).await? {
            for event in batch.events {
                if let Some(Change::CallChanged(changed)) = event.change
                    && changed.call_id == call.call_id
                {
                    call = changed;
                }
            }
        }
    }
    Ok(call)
}

/// One line about a call.
fn tell(session: &mut Session<'_>, call: &Call) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(call));
    }
    let text = session
        .console
        .paint(present::call_tone(call.state()), &clean(&present::call_line(call)));
    session.console.line(&format!("{}  {text}", clean(&call.call_id)))
}

async fn list(session: &mut Session<'_>, alive_only: bool, limit: usize) -> Result<(), Failure> {
    let mut calls = Vec::new();
    let mut page_token = String::new();
    while calls.len() < limit {
        let page_size = (limit - calls.len()).min(PAGE) as u32;
        let request = ListCallsRequest {
            modem: session.modem.clone(),
            alive_only,
            page_size,
            page_token,
        };
        let mut service = session.broker.voice();
        let page = session.ask("asking for calls", service.list_calls(request)).await?;
        calls.extend(page.calls);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    calls.truncate(limit);
    if session.json {
        return calls.iter().try_for_each(|call| session.console.json(&to_value(call)));
    }
    if calls.is_empty() {
        session.console.note("no calls");
        return Ok(());
    }
    let several = calls.iter().any(|call| call.modem != calls[0].modem);
    let mut table = Table::new(&["id", "began", "modem", "", "number", "talked", "state"])
        .with_numbers(&[5])
        .with_room(ROOM);
    for call in &calls {
        let arrow = if call.direction() == CallDirection::Incoming {
            "←"
        } else {
            "→"
        };
        let talked = present::span(call.answer_time, call.end_time).map(|seconds| format!("{seconds} s"));
        let state = match call.state() {
            CallState::Disconnected => present::end_cause(call),
            state => present::call_state(state),
        };
        table.push(vec![
            (Tone::Quiet, present::table_id(&call.call_id, session.console)),
            (Tone::Plain, present::table_time(call.start_time, session.console)),
            (Tone::Plain, if several { call.modem.clone() } else { String::new() }),
            (Tone::Plain, arrow.to_owned()),
            (Tone::Plain, present::other_side(call)),
            (Tone::Plain, talked.unwrap_or_default()),
            (present::call_tone(call.state()), state),
        ]);
    }
    session.table(&table)?;
    if !page_token.is_empty() {
        session
            .console
            .note(&format!("there are earlier calls: --limit {} shows more", limit * 4));
    }
    Ok(())
}

fn show(session: &mut Session<'_>, call: &Call) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(call));
    }
    let zone = session.console.zone.clone();
    let statistics = call.audio_statistics.as_ref().map(|audio| {
        format!(
            "down {} s, up {} s, dropped {} and {} samples, {} underruns, {} gaps",
            audio.downlink_samples / 8000,
            audio.uplink_samples / 8000,
            audio.downlink_dropped_samples,
            audio.uplink_dropped_samples,
            audio.uplink_underruns,
            audio.downlink_discontinuities
        )
    });
    let rows = [
        ("id", call.call_id.clone()),
        ("modem", call.modem.clone()),
        ("direction", word!(call.direction(), "CALL_DIRECTION_")),
        ("number", present::number(&call.number).to_owned()),
        ("name", call.caller_name.clone()),
        ("state", present::call_state(call.state())),
        (
            "rings",
            if call.rings > 0 {
                call.rings.to_string()
            } else {
                String::new()
            },
        ),
        ("began", present::time(call.start_time, &zone)),
        ("answered", present::time(call.answer_time, &zone)),
        ("ended", present::time(call.end_time, &zone)),
        ("cause", present::end_cause(call)),
        (
            "audio",
            present::list(
                [word!(call.audio(), "CALL_AUDIO_STATE_"), statistics.unwrap_or_default()],
                ", ",
            ),
        ),
        ("request", call.request_id.clone()),
    ];
    session.rows(rows)
}
