//! A call under test: the ringing or dialled call, the stream that owns its audio, and the check of a counter signal.

use api::v1::stream_call_attach::Target;
use api::v1::stream_call_response::Response;
use api::v1::{AudioFrame, Call, CallState, DialRequest, StreamCallAttach};
use client::call::CallStream;
use end_to_end::{LIMIT, Rig};
use simulator::core::AudioAccount;
use simulator::{CallAudio, RingOptions};

pub const CALLER: &str = "+447700900123";

/// Somebody rings; returns when the broker told of it.
pub async fn ring(rig: &Rig, options: RingOptions) -> anyhow::Result<Call> {
    let mut news = rig.news().await?;
    rig.sim()
        .ring(RingOptions {
            from: CALLER.to_owned(),
            ..options
        })
        .await?;
    news.call("it rings", |call| {
        call.state() == CallState::Incoming && !call.number.is_empty()
    })
    .await
}

/// Rings, and answers with a stream.
pub async fn answered(rig: &Rig, audio: CallAudio) -> anyhow::Result<(Call, CallStream)> {
    let call = ring(
        rig,
        RingOptions {
            audio,
            ..RingOptions::default()
        },
    )
    .await?;
    let stream = CallStream::attach(&rig.broker(), attach(&call, true)).await?;
    Ok((call, stream))
}

/// Asks to own a call's audio.
pub fn attach(call: &Call, answer: bool) -> StreamCallAttach {
    StreamCallAttach {
        target: Some(Target::CallId(call.call_id.clone())),
        answer,
        ..Default::default()
    }
}

/// Dials.
pub async fn dial(rig: &Rig) -> Result<Call, tonic::Status> {
    let request = DialRequest {
        number: CALLER.to_owned(),
        ..Default::default()
    };
    Ok(rig
        .broker()
        .voice()
        .dial(request)
        .await?
        .into_inner()
        .call
        .unwrap_or_default())
}

/// Reads the stream until `pick` makes something of a message.
pub async fn read<T>(
    stream: &mut CallStream,
    what: &str,
    mut pick: impl FnMut(Response) -> Option<T>,
) -> anyhow::Result<T> {
    let read = async {
        while let Some(response) = stream.next().await? {
            if let Some(found) = pick(response) {
                return Ok(found);
            }
        }
        anyhow::bail!("{what}: the stream ended before")
    };
    match tokio::time::timeout(LIMIT, read).await {
        Ok(found) => found,
        Err(_) => anyhow::bail!("{what}: not within {LIMIT:?}"),
    }
}

/// Reads to the end of the stream; the last change of the call.
pub async fn read_to_end(stream: &mut CallStream) -> anyhow::Result<Option<Call>> {
    let mut last = None;
    let read = async {
        while let Some(response) = stream.next().await? {
            if let Response::Call(call) = response {
                last = Some(call);
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, read).await??;
    Ok(last)
}

/// What crossed the modem's audio port in its last call, once the call is over.
pub async fn account(rig: &Rig) -> anyhow::Result<AudioAccount> {
    let last = |books: &simulator::Books| books.calls.records.back().and_then(|call| call.audio.clone());
    let books = rig.sim().books_when(LIMIT, |books| last(books).is_some()).await?;
    Ok(last(&books).unwrap_or_default())
}

/// Checks that frames carry `s[n] = n mod 65536` without a gap.
#[derive(Debug, Default)]
pub struct Counter {
    next: Option<(u64, i16)>,
    /// Samples that were checked.
    pub samples: u64,
}

impl Counter {
    /// Takes the next frame.
    pub fn take(&mut self, frame: &AudioFrame) -> anyhow::Result<()> {
        let mut samples = client::audio::from_octets(&frame.pcm);
        let Some(first) = samples.next() else {
            anyhow::bail!("a frame without samples")
        };
        if let Some((index, value)) = self.next {
            anyhow::ensure!(
                frame.first_sample == index,
                "a gap: sample {} follows {index}",
                frame.first_sample
            );
            anyhow::ensure!(first == value, "sample {index} is {first} and not {value}");
        }
        let mut last = first;
        for sample in samples {
            anyhow::ensure!(
                sample == last.wrapping_add(1),
                "{sample} follows {last} in the frame at {}",
                frame.first_sample
            );
            last = sample;
        }
        let count = frame.pcm.len() as u64 / 2;
        self.samples += count;
        self.next = Some((frame.first_sample + count, last.wrapping_add(1)));
        Ok(())
    }
}

/// A counter signal for the uplink.
pub fn counter(samples: usize) -> Vec<u8> {
    let signal: Vec<i16> = (1..=samples).map(|n| n as u16 as i16).collect();
    client::audio::to_octets(&signal)
}
