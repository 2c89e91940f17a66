//! Two calls at once, and what the network offers around a call.

use api::v1::stream_call_response::Response;
use api::v1::{
    AnswerRequest, Call, CallEndCause, CallForwarding, CallForwardingReason, CallState, DialRequest, ErrorReason,
    GetCallForwardingRequest, HangUpRequest, HoldRequest, RejectRequest, ResumeRequest, SetCallForwardingRequest,
};
use client::call::CallStream;
use end_to_end::{LIMIT, Rig, Setup, invalid_fields, reason};
use simulator::{CallAudio, DtmfWay, Fault, FaultAction, Phase, RingOptions};
use tonic::Code;

use crate::alone;
use crate::call::{CALLER, answered, attach, read};

const SECOND_CALLER: &str = "+447700900456";

/// A second caller while a call is up.
async fn another_waits(rig: &Rig) -> anyhow::Result<Call> {
    let mut news = rig.news().await?;
    rig.sim()
        .ring(RingOptions {
            from: SECOND_CALLER.to_owned(),
            audio: CallAudio::Counter,
            ..RingOptions::default()
        })
        .await?;
    news.call("another call waits", |call| call.state() == CallState::Waiting)
        .await
}

async fn in_state(rig: &Rig, call_id: &str, state: CallState) -> anyhow::Result<Call> {
    let mut journal = rig.journal().await?;
    journal
        .call(&format!("it is {state:?}"), |call| {
            call.call_id == call_id && call.state() == state
        })
        .await
}

fn is_audio(response: Response) -> Option<()> {
    matches!(response, Response::Audio(_)).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_and_taken_back() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (call, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let call_id = call.call_id;
    let resume = ResumeRequest {
        call_id: call_id.clone(),
    };
    let status = rig.broker().voice().resume(resume.clone()).await;
    assert!(status.is_ok(), "an active call is where Resume wants it: {status:?}");
    let hold = HoldRequest {
        call_id: call_id.clone(),
    };
    let held = rig
        .broker()
        .voice()
        .hold(hold.clone())
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(held.state(), CallState::Held);
    assert_eq!(rig.sim().status().await?.calls, [format!("1 {CALLER} held")]);
    let active = rig
        .broker()
        .voice()
        .resume(resume)
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(active.state(), CallState::Active);
    read(&mut stream, "the owner is still there", is_audio).await?;

    let refused = FaultAction::Refuse {
        code: simulator::Code::Cme(3),
    };
    rig.sim()
        .inject(Fault::on_command("+CHLD", Phase::Before, refused))
        .await?;
    let status = rig
        .broker()
        .voice()
        .hold(hold.clone())
        .await
        .expect_err("the module refuses");
    assert_eq!(reason(&status), Some(ErrorReason::Refused), "{status:?}");
    rig.broker().voice().hang_up(HangUpRequest::default()).await?;
    let status = rig.broker().voice().hold(hold).await.expect_err("it is over");
    assert_eq!(reason(&status), Some(ErrorReason::CallState), "{status:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_takes_the_audio_and_leaves_the_first_one_held() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (first, mut first_stream) = answered(&rig, CallAudio::Counter).await?;
    read(&mut first_stream, "audio of the first call", is_audio).await?;
    let second = another_waits(&rig).await?;
    assert_eq!(second.number, SECOND_CALLER);
    let hold = HoldRequest {
        call_id: first.call_id.clone(),
    };
    let status = rig
        .broker()
        .voice()
        .hold(hold)
        .await
        .expect_err("CHLD=2 would answer the other one");
    assert_eq!(reason(&status), Some(ErrorReason::CallState));

    let mut second_stream = CallStream::attach(&rig.broker(), attach(&second, true)).await?;
    in_state(&rig, &first.call_id, CallState::Held).await?;
    read(&mut second_stream, "audio of the second call", is_audio).await?;
    read(&mut first_stream, "the end of the first stream", |_| None::<()>)
        .await
        .expect_err("its audio is gone");
    // Hanging up ends the one that is meant, and no other.
    let over = rig
        .broker()
        .voice()
        .hang_up(HangUpRequest {
            call_id: second.call_id.clone(),
        })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(
        (&over.call_id, over.end_cause()),
        (&second.call_id, CallEndCause::Local)
    );
    assert_eq!(rig.sim().status().await?.calls, [format!("1 {CALLER} held")]);
    rig.broker()
        .voice()
        .resume(ResumeRequest {
            call_id: first.call_id.clone(),
        })
        .await?;
    let mut again = CallStream::attach(&rig.broker(), attach(&first, false)).await?;
    read(&mut again, "audio of the first call again", is_audio).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_is_rejected_and_the_first_one_goes_on() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
    let second = another_waits(&rig).await?;
    let rejected = rig
        .broker()
        .voice()
        .reject(RejectRequest {
            call_id: second.call_id,
        })
        .await?
        .into_inner()
        .call
        .unwrap_or_default();
    assert_eq!(rejected.end_cause(), CallEndCause::Rejected);
    assert_eq!(rig.sim().status().await?.calls, [format!("1 {CALLER} active")]);
    read(&mut stream, "the first call goes on", is_audio).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn call_forwarding_is_what_the_network_confirms() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let get = || async {
        let got = rig
            .broker()
            .voice()
            .get_call_forwarding(GetCallForwardingRequest::default())
            .await?;
        anyhow::Ok(got.into_inner().forwardings)
    };
    let all = get().await?;
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|forwarding| !forwarding.enabled), "{all:?}");
    let wanted = CallForwarding {
        reason: CallForwardingReason::NoReply.into(),
        enabled: true,
        number: SECOND_CALLER.to_owned(),
        no_reply_seconds: 15,
        classes: 1,
    };
    let set = |forwarding: CallForwarding| SetCallForwardingRequest {
        forwarding: Some(forwarding),
        ..Default::default()
    };
    let mut voice = rig.broker().voice();
    let confirmed = voice
        .set_call_forwarding(set(wanted.clone()))
        .await?
        .into_inner()
        .forwarding;
    assert_eq!(confirmed.as_ref(), Some(&wanted));
    assert!(get().await?.contains(&wanted));
    let off = CallForwarding {
        enabled: false,
        ..wanted.clone()
    };
    let confirmed = voice
        .set_call_forwarding(set(off))
        .await?
        .into_inner()
        .forwarding
        .unwrap_or_default();
    assert!(!confirmed.enabled && confirmed.number.is_empty(), "{confirmed:?}");
    let nowhere = CallForwarding {
        number: String::new(),
        ..wanted
    };
    let status = voice.set_call_forwarding(set(nowhere)).await.expect_err("no number");
    assert_eq!(invalid_fields(&status), ["forwarding.number"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_and_withheld_numbers_are_told_from_unknown_ones() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim()
        .ring(RingOptions {
            from: CALLER.to_owned(),
            name: "Reception".to_owned(),
            ..RingOptions::default()
        })
        .await?;
    let call = news.call("its name", |call| !call.caller_name.is_empty()).await?;
    assert_eq!((call.caller_name.as_str(), call.number_withheld), ("Reception", false));
    rig.broker().voice().reject(RejectRequest::default()).await?;
    rig.sim()
        .ring(RingOptions {
            from: CALLER.to_owned(),
            number_withheld: true,
            ..RingOptions::default()
        })
        .await?;
    let call = news.call("it is withheld", |call| call.number_withheld).await?;
    assert_eq!(call.number, "");
    rig.broker().voice().answer(AnswerRequest::default()).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_event_however_it_is_told() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::start().await?;
    let (_, mut stream) = answered(&rig, CallAudio::Noise).await?;
    read(&mut stream, "audio", is_audio).await?;
    let mut expected = String::new();
    for (way, keys) in [
        (DtmfWay::InBand, "15#"),
        (DtmfWay::Both, "7"),
        (DtmfWay::Reported, "D"),
        (DtmfWay::InBand, "0"),
    ] {
        rig.sim().dtmf_by(keys, way).await?;
        for key in keys.chars() {
            expected.push(key);
            let heard = read(&mut stream, "a key", |response| match response {
                Response::Dtmf(key) => Some(key.tone),
                _ => None,
            });
            assert_eq!(heard.await?, key.to_string(), "{way:?} {keys}, after {expected}");
        }
        // What belongs to one press may be told up to this much apart.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_numbers_are_refused_unless_they_are_allowed() -> anyhow::Result<()> {
    let _alone = alone().await;
    let emergency = DialRequest {
        number: "112".to_owned(),
        ..Default::default()
    };
    let rig = Rig::start().await?;
    let status = rig
        .broker()
        .voice()
        .dial(emergency.clone())
        .await
        .expect_err("not allowed");
    assert_eq!(
        (status.code(), invalid_fields(&status)),
        (Code::InvalidArgument, vec!["number".to_owned()])
    );
    assert_eq!(rig.sim().books().await?.calls.total(), 0);
    rig.stop().await?;
    let rig = Rig::with(Setup {
        voice: "emergency_calls = true".to_owned(),
        ..Setup::default()
    })
    .await?;
    // Without a network of one's own, too.
    rig.sim()
        .set_registration(None, simulator::RegistrationState::Denied)
        .await?;
    rig.broker().voice().dial(emergency).await?;
    let dialled = |books: &simulator::Books| books.calls.records.back().is_some_and(|call| call.number == "112");
    rig.sim().books_when(LIMIT, dialled).await?;
    rig.stop().await
}
