//! Who owns a call's audio: one client at a time, and never nobody for long.

use std::time::{Duration, Instant};

use api::v1::event::Change;
use api::v1::stream_call_response::Response;
use api::v1::{CallEndCause, CallState, ErrorReason, StreamCallAttach};
use client::call::CallStream;
use end_to_end::{Rig, Setup, reason};
use simulator::CallAudio;
use tonic::{Code, Status};

use crate::alone;
use crate::call::{answered, attach, read, read_to_end};

const GRACE: Duration = Duration::from_millis(1500);

async fn rig() -> anyhow::Result<Rig> {
    Rig::with(Setup {
        voice: format!("reattach_grace_ms = {}", GRACE.as_millis()),
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_owner_is_refused_unless_it_takes_over() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = rig().await?;
    let (call, mut first) = answered(&rig, CallAudio::Counter).await?;
    let refused = CallStream::attach(&rig.broker(), attach(&call, false))
        .await
        .err()
        .expect("it is owned");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Aborted, Some(ErrorReason::AudioTaken))
    );
    read(&mut first, "the owner goes on", |response| {
        matches!(response, Response::Audio(_)).then_some(())
    })
    .await?;

    let takeover = StreamCallAttach {
        takeover: true,
        ..attach(&call, false)
    };
    let mut second = CallStream::attach(&rig.broker(), takeover).await?;
    let ended = read(&mut first, "the first owner is superseded", |_| None::<()>)
        .await
        .expect_err("its stream ends");
    let status = ended.downcast::<Status>()?;
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::Aborted, Some(ErrorReason::Superseded))
    );
    drop(first);
    let beyond_the_grace = Instant::now() + 2 * GRACE;
    let late = |response| (matches!(response, Response::Audio(_)) && Instant::now() > beyond_the_grace).then_some(());
    read(&mut second, "the second owner goes on", late).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_owner_ends_after_the_grace() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = rig().await?;
    let mut news = rig.news().await?;
    let (call, stream) = answered(&rig, CallAudio::Silence).await?;
    let left = Instant::now();
    drop(stream);
    let over = news
        .call("it is over", |changed| {
            changed.call_id == call.call_id && changed.state() == CallState::Disconnected
        })
        .await?;
    assert_eq!(over.end_cause(), CallEndCause::Abandoned);
    assert!(left.elapsed() >= GRACE, "after {:?}", left.elapsed());
    assert!(rig.sim().status().await?.calls.is_empty());
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_comes_back_in_time_keeps_the_call() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = rig().await?;
    let (call, stream) = answered(&rig, CallAudio::Silence).await?;
    drop(stream);
    // The broker learns of the end of a stream a moment later; until then the audio is taken.
    let attached = async || Ok(CallStream::attach(&rig.broker(), attach(&call, false)).await.ok());
    let mut again = end_to_end::until("attached again", GRACE, attached).await?;
    let beyond_the_grace = Instant::now() + 2 * GRACE;
    let late = |response| (matches!(response, Response::Audio(_)) && Instant::now() > beyond_the_grace).then_some(());
    read(&mut again, "the call goes on", late).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_be_kept_without_an_owner() -> anyhow::Result<()> {
    let _alone = alone().await;
    let voice = format!("reattach_grace_ms = {}\non_abandoned = \"keep\"", GRACE.as_millis());
    let rig = Rig::with(Setup {
        voice,
        ..Setup::default()
    })
    .await?;
    let (call, stream) = answered(&rig, CallAudio::Silence).await?;
    drop(stream);
    let mut news = rig.news().await?;
    let left = Instant::now();
    while let Some(event) = news.next((2 * GRACE).saturating_sub(left.elapsed())).await? {
        let over = matches!(&event.change, Some(Change::CallChanged(call)) if call.state() == CallState::Disconnected);
        assert!(!over, "{event:?}");
    }
    let mut again = CallStream::attach(&rig.broker(), attach(&call, false)).await?;
    rig.sim().hang_up().await?;
    assert_eq!(
        read_to_end(&mut again).await?.map(|call| call.end_cause()),
        Some(CallEndCause::Remote)
    );
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_long_ends_although_somebody_owns_it() -> anyhow::Result<()> {
    let _alone = alone().await;
    let rig = Rig::with(Setup {
        voice: "max_call_seconds = 3".to_owned(),
        ..Setup::default()
    })
    .await?;
    let (_, mut stream) = answered(&rig, CallAudio::Silence).await?;
    let ended = |response| match response {
        Response::Call(call) if call.state() == CallState::Disconnected => Some(call),
        _ => None,
    };
    let over = read(&mut stream, "the end of the call", ended).await?;
    assert_eq!(over.end_cause(), CallEndCause::Abandoned);
    rig.stop().await
}
