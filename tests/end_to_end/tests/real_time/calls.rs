//! How calls begin and end.

use api::v1::stream_call_response::Response;
use api::v1::{
    AnswerRequest, CallAudioState, CallDirection, CallEndCause, CallState, DialRequest, ErrorReason, GetCallRequest,
    HangUpRequest, ListCallsRequest, RejectRequest, SendDtmfRequest,
};
use client::call::CallStream;
use end_to_end::{Journal, LIMIT, Naming, Process, Rig, Setup, binaries, reason};
use nix::sys::signal::Signal;
use simulator::{CallAudio, Fault, FaultAction, OutgoingPolicy, Phase, Refusal, RingOptions};
use tonic::Code;

use crate::alone;
use crate::call::{CALLER, answered, attach, dial, read, read_to_end, ring};

#[tokio::test(flavor = "multi_thread")]
async fn an_incoming_call_is_answered_and_hung_up() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let call = ring(&rig, RingOptions::default()).await?;
    assert_eq!(
        (call.direction(), call.number.as_str()),
        (CallDirection::Incoming, CALLER)
    );
    assert!(call.rings >= 1);
    let active = rig
        .broker()
        .voice()
        .answer(AnswerRequest::default())
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!((active.state(), &active.call_id), (CallState::Active, &call.call_id));
    news.call("its audio is on", |call| call.audio() == CallAudioState::On)
        .await?;
    let alive = ListCallsRequest {
        alive_only: true,
        ..Default::default()
    };
    assert_eq!(
        rig.broker()
            .voice()
            .list_calls(alive.clone())
            .await?
            .into_inner()
            .calls
            .len(),
        1
    );
    let over = rig
        .broker()
        .voice()
        .hang_up(HangUpRequest {
            call_id: call.call_id.clone(),
        })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(
        (over.state(), over.end_cause()),
        (CallState::Disconnected, CallEndCause::Local)
    );
    assert!(
        over.start_time.is_some() && over.answer_time.is_some() && over.end_time.is_some(),
        "{over:?}"
    );
    assert!(
        rig.broker()
            .voice()
            .list_calls(alive)
            .await?
            .into_inner()
            .calls
            .is_empty()
    );
    let got = rig
        .broker()
        .voice()
        .get_call(GetCallRequest {
            call_id: call.call_id.clone(),
        })
        .await?
        .into_inner()
        .call;
    assert_eq!(got, Some(over.clone()));
    let again = rig
        .broker()
        .voice()
        .hang_up(HangUpRequest { call_id: call.call_id })
        .await?
        .into_inner()
        .call;
    assert_eq!(again, Some(over), "who repeats the request is told the same");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_answered_is_rejected_or_missed() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let call = ring(&rig, RingOptions::default()).await?;
    let over = rig
        .broker()
        .voice()
        .reject(RejectRequest { call_id: call.call_id })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(
        (over.state(), over.end_cause()),
        (CallState::Disconnected, CallEndCause::Rejected)
    );
    news.call("it is over", |call| call.state() == CallState::Disconnected)
        .await?;

    let call = ring(
        &rig,
        RingOptions {
            hang_up_after_ms: Some(1300),
            ..RingOptions::default()
        },
    )
    .await?;
    let over = news
        .call("it is missed", |changed| {
            changed.call_id == call.call_id && changed.state() == CallState::Disconnected
        })
        .await?;
    assert_eq!((over.end_cause(), over.rings), (CallEndCause::Missed, 2));
    assert!(over.answer_time.is_none());

    let withheld = RingOptions {
        from: CALLER.to_owned(),
        number_withheld: true,
        hang_up_after_ms: Some(300),
        ..RingOptions::default()
    };
    rig.sim().ring(withheld).await?;
    let over = news
        .call("a withheld number", |changed| {
            changed.call_id != call.call_id && changed.state() == CallState::Disconnected
        })
        .await?;
    assert_eq!((over.number.as_str(), over.end_cause()), ("", CallEndCause::Missed));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outgoing_call_ends_as_the_other_side_wants() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    for (cause, end) in [
        (Refusal::Busy, CallEndCause::Busy),
        (Refusal::NoAnswer, CallEndCause::NoAnswer),
        (Refusal::Rejected, CallEndCause::NotConnected),
    ] {
        rig.sim()
            .set_outgoing(None, OutgoingPolicy::Refuse { cause, after_ms: 300 })
            .await?;
        let call = dial(&rig).await?;
        assert_eq!(
            (call.direction(), call.number.as_str()),
            (CallDirection::Outgoing, CALLER)
        );
        let over = news
            .call("it is over", |changed| {
                changed.call_id == call.call_id && changed.state() == CallState::Disconnected
            })
            .await?;
        assert_eq!(over.end_cause(), end, "{cause:?}");
        if end == CallEndCause::NotConnected {
            let told = |changed: &api::v1::Call| changed.call_id == call.call_id && !changed.end_detail.is_empty();
            news.call("the module's own words", told).await?;
        }
    }
    rig.sim().set_outgoing(None, OutgoingPolicy::Manual).await?;
    let call = dial(&rig).await?;
    let status = dial(&rig).await.expect_err("one call at a time");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, Some(ErrorReason::CallLimit))
    );
    rig.sim().alert().await?;
    news.call("it rings there", |changed| {
        changed.call_id == call.call_id && changed.state() == CallState::Alerting
    })
    .await?;
    rig.sim().answer().await?;
    news.call("it is answered", |changed| {
        changed.call_id == call.call_id && changed.state() == CallState::Active
    })
    .await?;
    rig.sim().hang_up().await?;
    let over = news
        .call("it is over", |changed| changed.state() == CallState::Disconnected)
        .await?;
    assert_eq!(over.end_cause(), CallEndCause::Remote);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_dials_once() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let request = DialRequest {
        number: CALLER.to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let first = rig
        .broker()
        .voice()
        .dial(request.clone())
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    let again = rig
        .broker()
        .voice()
        .dial(request.clone())
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(first.call_id, again.call_id);
    let other = DialRequest {
        number: "+447700900456".to_owned(),
        ..request.clone()
    };
    let status = rig.broker().voice().dial(other).await.expect_err("another number");
    assert_eq!(reason(&status), Some(ErrorReason::RequestIdReused));
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let late = rig
        .broker()
        .voice()
        .dial(request)
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!((&late.call_id, late.state()), (&first.call_id, CallState::Disconnected));
    assert_eq!(rig.sim().books().await?.calls.total(), 1);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tones_go_both_ways() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let (call, mut stream) = answered(&rig, CallAudio::Silence).await?;
    rig.sim().dtmf("1#").await?;
    for expected in ["1", "#"] {
        let tone = read(&mut stream, "a tone in the stream", |response| match response {
            Response::Dtmf(tone) => Some(tone.tone),
            _ => None,
        });
        assert_eq!(tone.await?, expected);
        let heard = news.find("a tone as an event", |event| match &event.change {
            Some(api::v1::event::Change::DtmfReceived(tone)) => Some(tone.clone()),
            _ => None,
        });
        let heard = heard.await?;
        assert_eq!((heard.tone.as_str(), &heard.call_id), (expected, &call.call_id));
    }
    let tones = SendDtmfRequest {
        tones: "12d*".to_owned(),
        ..Default::default()
    };
    rig.broker().voice().send_dtmf(tones).await?;
    stream.send(client::call::dtmf("9"))?;
    let all = |books: &simulator::Books| books.calls.records.back().is_some_and(|call| call.dtmf == "12D*9");
    rig.sim().books_when(LIMIT, all).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_lost_with_the_modem_and_the_next_one_works() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    rig.sim().unplug().await?;
    let over = news
        .call("it is lost", |changed| {
            changed.call_id == call.call_id && changed.state() == CallState::Disconnected
        })
        .await?;
    assert_eq!(over.end_cause(), CallEndCause::Lost);
    assert_eq!(
        read_to_end(&mut stream).await?.map(|call| call.end_cause()),
        Some(CallEndCause::Lost)
    );
    rig.sim().replug(true).await?;
    rig.ready("sim1").await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut stream, "audio of the next call", |response| {
        matches!(response, Response::Audio(_)).then_some(())
    })
    .await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_the_module_refuses_at_first_is_degraded_and_flows() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().inject_now(FaultAction::RefusePcm { times: 3 }).await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let told = news
        .call("its audio", |changed| {
            changed.call_id == call.call_id && changed.audio() != CallAudioState::Off
        })
        .await?;
    assert_eq!(told.audio(), CallAudioState::Degraded);
    read(&mut stream, "audio", |response| {
        matches!(response, Response::Audio(_)).then_some(())
    })
    .await?;
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let over = read_to_end(&mut stream).await?.unwrap_or_default();
    assert_eq!(over.audio_statistics.unwrap_or_default().pcm_open_attempts, 4);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_over_tcp_flows_call_after_call() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::with(Setup {
        naming: Naming::Tcp,
        ..Setup::default()
    })
    .await?;
    for _ in 0..2 {
        let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
        read(&mut stream, "audio", |response| {
            matches!(response, Response::Audio(_)).then_some(())
        })
        .await?;
        rig.broker().voice().hang_up(HangUpRequest::default()).await?;
        read_to_end(&mut stream).await?;
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outgoing_call_can_be_attached_before_it_is_answered() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    rig.sim().set_outgoing(None, OutgoingPolicy::Manual).await?;
    let call = dial(&rig).await?;
    let broker = rig.broker();
    let attaching = CallStream::attach(&broker, attach(&call, false));
    let answering = async {
        rig.sim().alert().await?;
        rig.sim().answer().await
    };
    let (stream, answering) = tokio::join!(attaching, answering);
    answering?;
    let mut stream = stream?;
    assert_eq!(
        stream.attached().call.as_ref().map(|call| call.state()),
        Some(CallState::Active)
    );
    read(&mut stream, "audio", |response| {
        matches!(response, Response::Audio(_)).then_some(())
    })
    .await?;
    rig.stop().await
}

/// A line that stays open costs money and is heard by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_outlives_a_broker_that_stops() -> anyhow::Result<()> {
    let _alone = alone().await;
    let mut rig = Rig::start().await?;
    let (call, stream) = answered(&rig, CallAudio::Silence).await?;
    rig.stop_broker().await?;
    drop(stream);
    let over = |books: &simulator::Books| books.calls.records.iter().all(|call| call.ended_ms.is_some());
    rig.sim().books_when(LIMIT, over).await?;
    rig.start_broker().await?;
    let got = rig
        .broker()
        .voice()
        .get_call(GetCallRequest { call_id: call.call_id })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(got.state(), CallState::Disconnected);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlived_a_killed_broker_is_ended_by_the_next() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::prepare(Setup::default()).await?;
    let mut process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    rig.sim()
        .ring(RingOptions {
            from: CALLER.to_owned(),
            ..RingOptions::default()
        })
        .await?;
    let mut journal = Journal::beginning(&broker).await?;
    let call = journal
        .call("it rings", |call| call.state() == CallState::Incoming)
        .await?;
    let _stream = CallStream::attach(&broker, attach(&call, true)).await?;
    process.signal(Signal::SIGKILL)?;
    process.ended(LIMIT).await?;
    assert_eq!(
        rig.sim().status().await?.calls.len(),
        1,
        "the modem does not know that nobody listens"
    );

    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let got = broker
        .voice()
        .get_call(GetCallRequest { call_id: call.call_id })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(
        (got.state(), got.end_cause()),
        (CallState::Disconnected, CallEndCause::Lost)
    );
    let over = |books: &simulator::Books| books.calls.records.iter().all(|call| call.ended_ms.is_some());
    rig.sim().books_when(LIMIT, over).await?;
    Ok(())
}

/// The dial command reached the module, and then the module was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_dial_that_was_cut_off_has_an_unknown_outcome() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let gone = FaultAction::Unplug {
        replug_after_ms: Some(300),
        renumber: false,
    };
    rig.sim().inject(Fault::on_command("D", Phase::After, gone)).await?;
    let status = dial(&rig).await.expect_err("nobody knows");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Unknown, Some(ErrorReason::OutcomeUnknown)),
        "{status:?}"
    );
    // The call is recorded as lost after whoever dialled has been told.
    let over = async || {
        let alive = ListCallsRequest {
            alive_only: true,
            ..Default::default()
        };
        let calls = rig.broker().voice().list_calls(alive).await?.into_inner().calls;
        Ok(calls.is_empty().then_some(()))
    };
    end_to_end::until("no call is alive", end_to_end::LIMIT, over).await?;
    rig.ready("sim1").await?;
    assert_eq!(rig.sim().books().await?.calls.total(), 1, "it is not dialled again");
    rig.stop().await
}
