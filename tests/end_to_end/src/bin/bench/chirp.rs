//! Latency as a caller has it: a chirp goes through the call to the other side, which sends it back, and is found by
//! correlation. Nothing but the client's clock takes part: no count, no mark and no books.

use std::f64::consts::TAU;
use std::time::Instant;

use anyhow::Context as _;
use api::v1::stream_call_response::Response;
use client::Broker;
use end_to_end::Rig;
use simulator::CallAudio;
use tokio::time::MissedTickBehavior;

use crate::calls::{FRAME, answered, hang_up, millis};
use crate::report::Row;

const FRAME_SAMPLES: usize = 160;

/// A tenth of a second.
const CHIRP_SAMPLES: usize = 5 * FRAME_SAMPLES;

/// What a telephone passes.
const BAND_HZ: (f64, f64) = (300.0, 3400.0);

/// From one chirp to the next: a second.
const PERIOD_FRAMES: usize = 50;

const PREBUFFER_MS: u32 = 40;

fn chirp() -> Vec<i16> {
    let length = CHIRP_SAMPLES as f64 / 8000.0;
    let value = |n: usize| {
        let t = n as f64 / 8000.0;
        let cycles = BAND_HZ.0 * t + (BAND_HZ.1 - BAND_HZ.0) / (2.0 * length) * t * t;
        (8000.0 * (TAU * cycles).sin()) as i16
    };
    (0..CHIRP_SAMPLES).map(value).collect()
}

/// Where the chirp begins in what was heard, and how like it that is, at most 1.
fn find(chirp: &[i16], heard: &[i16]) -> Option<(usize, f64)> {
    let product = |one: &[i16], other: &[i16]| -> f64 {
        let pairs = one.iter().zip(other);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let own = product(chirp, chirp);
    let likeness = |window: &[i16]| {
        let energy = own * product(window, window);
        if energy > 0.0 {
            product(chirp, window) / energy.sqrt()
        } else {
            0.0
        }
    };
    let all = heard.windows(chirp.len()).map(likeness).enumerate();
    all.max_by(|one, other| one.1.total_cmp(&other.1))
}

/// From a chirp that is sent to the frame in which it is heard again.
pub async fn round_trip(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let chirp = chirp();
    let mut stream = answered(rig, broker, 0, CallAudio::Echo, PREBUFFER_MS).await?;
    let mut clock = tokio::time::interval(FRAME);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sent, mut heard) = (Vec::new(), Vec::<(Instant, Vec<i16>)>::new());
    let mut count = 0;
    // The last period is for the last chirp to come back.
    while count < (rounds + 1) * PERIOD_FRAMES {
        tokio::select! {
            _ = clock.tick() => {
                let place = count % PERIOD_FRAMES;
                let signal = match chirp.chunks(FRAME_SAMPLES).nth(place) {
                    Some(part) if count < rounds * PERIOD_FRAMES => part,
                    _ => &[0; FRAME_SAMPLES],
                };
                if place == 0 && count < rounds * PERIOD_FRAMES {
                    sent.push(Instant::now());
                }
                stream.send(client::call::audio(client::audio::to_octets(signal)))?;
                count += 1;
            }
            response = stream.next() => match response? {
                Some(Response::Audio(frame)) => {
                    heard.push((Instant::now(), client::audio::from_octets(&frame.pcm).collect()));
                }
                Some(_) => {}
                None => anyhow::bail!("the stream ended"),
            },
        }
    }
    hang_up(&mut stream).await?;
    let (mut latencies, mut likenesses) = (Vec::new(), Vec::new());
    for began in sent {
        let first = heard.partition_point(|(at, _)| *at < began);
        let within: Vec<&(Instant, Vec<i16>)> = heard.iter().skip(first).take(PERIOD_FRAMES).collect();
        let samples: Vec<i16> = within.iter().flat_map(|(_, samples)| samples).copied().collect();
        let (place, likeness) = find(&chirp, &samples).context("nothing was heard")?;
        // That it is a chirp at all is no matter of degree: anything else is far below a half.
        anyhow::ensure!(
            likeness > 0.5,
            "a chirp did not come back within a second: {likeness:.2}"
        );
        let (at, _) = within.get(place / FRAME_SAMPLES).context("frames of 20 ms")?;
        latencies.push(millis(at.saturating_duration_since(began)));
        likenesses.push(likeness);
    }
    let least = likenesses.into_iter().fold(1.0, f64::min);
    Ok(vec![
        Row::new(
            "chirp, round trip",
            "chirp sent by the gRPC client -> there again, sent back by the other side, by correlation; prebuffer 40 ms",
            "ms",
            latencies,
        )
        // What is promised of the two directions, together.
        .within(83.0, 120.0),
        Row::new(
            "chirp, likeness",
            "the least correlation of what came back with the chirp; 1 is the same",
            "",
            vec![least],
        )
        .at_least(0.99),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chirp_is_found_to_the_sample_and_noise_is_not_one() {
        let chirp = chirp();
        let mut heard: Vec<i16> = (0..3000_i32).map(|n| (n * 7919 % 401 - 200) as i16).collect();
        let (_, noise) = find(&chirp, &heard).unwrap();
        assert!(noise < 0.5, "{noise}");
        for (heard, sample) in heard[1234..].iter_mut().zip(&chirp) {
            *heard += sample;
        }
        let (place, likeness) = find(&chirp, &heard).unwrap();
        assert_eq!(place, 1234);
        assert!(likeness > 0.99, "{likeness}");
    }
}
