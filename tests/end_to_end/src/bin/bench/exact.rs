//! Four calls at once while something else wants the processors: is every sample there, once and in its place?
//!
//! | modem | its clock | what crosses it |
//! |---|---|---|
//! | 1 | right | a counter signal in both directions |
//! | 2 | 100 ppm fast | the same |
//! | 3 | 100 ppm fast | a live speaker with a clock of its own, and pauses |
//! | 4 | 100 ppm slow | the same |
//!
//! The speakers and the virtual modems share the machine with the hogs, so a [`Watch`] notes when the machine or a speaker
//! itself stood still. What is left of underruns and of depth outside of these moments is the broker's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{AudioFrame, AudioStatistics};
use client::Broker;
use client::call::CallStream;
use end_to_end::{Process, Rig, Setup, binaries};
use simulator::{AudioFault, CallAudio, FaultAction};

use crate::autogroup::KernelFirst;
use crate::calls::{account, answered, hang_up};
use crate::idle::processor_time;
use crate::report::Row;
use crate::standstill::Watch;

/// Audio that an exact sender is ahead: what keeps a busy machine from running dry.
const LEAD_SAMPLES: u64 = 8 * 400;

/// The prebuffer of the live speakers.
const PREBUFFER_MS: u32 = 60;

/// How far the queue of a live speaker may be from its prebuffer: a frame for each of jitter, chunk and drift, and one that
/// waits for a pause.
const BAND_MS: u32 = 80;

/// Frames of speech and of pause of a live speaker: one second and 1.58, as ITU-T P.59 has them for conversations.
const SPEECH: (u64, u64) = (50, 79);

const OFFSET_PPM: i32 = 100;

/// How far behind its clock a speaker may be without losing it.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A standstill shows in statistics that come up to a second later.
const SHOWS: Duration = Duration::from_secs(2);

/// The queue of a live speaker is in order again so long after it: a delay of a second is caught up in two pauses, and a
/// second passes before it is noticed.
const CAUGHT_UP: Duration = Duration::from_secs(6);

/// Frames that the module sends before a client hangs up: in their time it takes what is in the terminal.
const LAST_FRAMES: u32 = 10;

/// The fade behind the last sample of a signal breaks the order of its numbers.
const FADE_SAMPLES: u64 = 40;

/// A signal with `s[n] = n mod 65536`, without the zero: a modem plays zeros by itself.
fn counter(first: u64, samples: u64) -> Request {
    let signal: Vec<i16> = (first..first + samples).map(|n| n as u16 as i16).collect();
    client::call::audio(client::audio::to_octets(&signal))
}

/// What the client saw of the downlink.
#[derive(Default)]
struct Downlink {
    next: Option<(u64, i16)>,
    samples: u64,
    /// Samples that the index says are missing: counted by the broker.
    missing: u64,
    /// Samples that are not what the index says: lost, repeated or swapped without a word.
    wrong: u64,
}

impl Downlink {
    fn take(&mut self, frame: &AudioFrame) {
        for (index, sample) in (frame.first_sample..).zip(client::audio::from_octets(&frame.pcm)) {
            if let Some((next, value)) = self.next {
                let jumped = index.wrapping_sub(next);
                self.missing += jumped;
                self.wrong += u64::from(sample != value.wrapping_add(jumped as u16 as i16));
            }
            self.next = Some((index + 1, sample.wrapping_add(1)));
            self.samples += 1;
        }
    }
}

struct Outcome {
    statistics: AudioStatistics,
    downlink: Downlink,
    sent: u64,
    progress: Progress,
}

/// What the statistics of every second show.
#[derive(Default)]
struct Progress {
    /// How deep the queue was.
    depths_ms: Vec<u32>,
    /// The deepest while neither machine nor speaker had stood still lately.
    depth_ms: u32,
    underruns: u64,
    /// Underruns that no standstill explains.
    unexplained: u64,
    /// Seconds without a standstill, of all.
    seconds: (u64, u64),
}

impl Progress {
    fn note(&mut self, statistics: &AudioStatistics, watch: &Watch) {
        let depth = statistics.uplink_queued_ms;
        self.depths_ms.push(depth);
        if !watch.stood_still(CAUGHT_UP) {
            self.depth_ms = self.depth_ms.max(depth);
        }
        let more = statistics.uplink_underruns.saturating_sub(self.underruns);
        self.underruns += more;
        self.seconds.1 += 1;
        if !watch.stood_still(SHOWS) {
            self.unexplained += more;
            self.seconds.0 += 1;
        }
    }
}

/// Sends a counter with a lead, as much as is heard, and checks what is heard.
async fn exact(mut stream: CallStream, until: Instant, watch: Watch) -> anyhow::Result<Outcome> {
    let mut downlink = Downlink::default();
    let mut sent = 0;
    let mut progress = Progress::default();
    // A module that takes less than it gives, because its terminal stood still, leaves more in the queue each time.
    let mut stopped = false;
    stream.send(counter(1, LEAD_SAMPLES))?;
    sent += LEAD_SAMPLES;
    while Instant::now() < until {
        match stream.next().await? {
            Some(Response::Audio(frame)) => {
                downlink.take(&frame);
                if !stopped {
                    let samples = frame.pcm.len() as u64 / 2;
                    stream.send(counter(sent + 1, samples))?;
                    sent += samples;
                }
            }
            Some(Response::Flow(flow)) => stopped = flow.stop,
            Some(Response::Statistics(statistics)) => progress.note(&statistics, &watch),
            Some(_) => {}
            None => anyhow::bail!("the stream ended"),
        }
    }
    // Until all of it was written, and then until the module has had the time to take it: it counts by its own clock.
    stream.send(client::call::mark("end"))?;
    let (mut written, mut frames_left) = (false, LAST_FRAMES);
    while frames_left > 0 {
        match stream.next().await? {
            Some(Response::Audio(frame)) => {
                downlink.take(&frame);
                frames_left -= u32::from(written);
            }
            Some(Response::Mark(_)) => written = true,
            Some(_) => {}
            None => anyhow::bail!("the stream ended"),
        }
    }
    let statistics = hang_up(&mut stream).await?.audio_statistics.unwrap_or_default();
    Ok(Outcome {
        statistics,
        downlink,
        sent,
        progress,
    })
}

/// Speaks with pauses, by the machine's clock.
async fn live(mut stream: CallStream, until: Instant, watch: Watch) -> anyhow::Result<Outcome> {
    let mut downlink = Downlink::default();
    let mut due = tokio::time::Instant::now();
    let (mut frames, mut progress) = (0_u64, Progress::default());
    while Instant::now() < until {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {
                let late = due.elapsed();
                watch.late(late);
                // Like the virtual modem's, its clock stands still with the machine beyond what comes at once otherwise.
                due += late.saturating_sub(CATCH_UP) + Duration::from_millis(20);
                let speaks = frames % (SPEECH.0 + SPEECH.1) < SPEECH.0;
                let value = |n: i16| if speaks { 4000 - 50 * n } else { n % 8 };
                let signal: Vec<i16> = (0..160).map(value).collect();
                stream.send(client::call::audio(client::audio::to_octets(&signal)))?;
                frames += 1;
            }
            response = stream.next() => match response? {
                Some(Response::Audio(frame)) => downlink.take(&frame),
                // The first seconds fill the queue.
                Some(Response::Statistics(statistics)) if frames > 150 => progress.note(&statistics, &watch),
                Some(_) => {}
                None => anyhow::bail!("the stream ended"),
            },
        }
    }
    let statistics = hang_up(&mut stream).await?.audio_statistics.unwrap_or_default();
    Ok(Outcome {
        statistics,
        downlink,
        sent: frames * 160,
        progress,
    })
}

/// Threads that never wait, one for each processor. They end with the value.
struct Hogs {
    stop: Arc<AtomicBool>,
    _kernel_first: KernelFirst,
}

impl Hogs {
    fn start() -> Hogs {
        let kernel_first = KernelFirst::begin();
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut sum = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    for n in 0..100_000_u64 {
                        sum = std::hint::black_box(sum.wrapping_add(n));
                    }
                }
            });
        }
        Hogs {
            stop,
            _kernel_first: kernel_first,
        }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn four_modems() -> Setup {
    let modems = (0..4)
        .map(|index| simulator::Config {
            imei: format!("86758403000{:04}", [17, 25, 33, 41][index]),
            imsi: format!("00101000000000{}", index + 1),
            epoch: jiff::Timestamp::now(),
            ..simulator::Config::default()
        })
        .collect();
    Setup {
        modems,
        ..Setup::default()
    }
}

pub async fn calls(duration: Duration) -> anyhow::Result<Vec<Row>> {
    let rig = Rig::prepare(four_modems()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    for index in 0..4 {
        binaries::ready(&broker, &format!("sim{}", index + 1)).await?;
    }
    for (index, ppm) in [0, OFFSET_PPM, OFFSET_PPM, -OFFSET_PPM].into_iter().enumerate() {
        let fault = FaultAction::Audio(AudioFault::Clock { ppm });
        rig.sim_at(index).inject_now(fault).await?;
    }
    let outcomes = hold(&rig, &broker, &process, duration).await?;
    rows(&rig, outcomes, duration).await
}

struct Outcomes {
    calls: [Outcome; 4],
    processor: Duration,
    watch: Watch,
}

async fn hold(rig: &Rig, broker: &Broker, process: &Process, duration: Duration) -> anyhow::Result<Outcomes> {
    let mut streams = Vec::new();
    for index in 0..4 {
        let prebuffer_ms = if index < 2 { 0 } else { PREBUFFER_MS };
        streams.push(answered(rig, broker, index, CallAudio::Counter, prebuffer_ms).await?);
    }
    let [first, second, third, fourth]: [CallStream; 4] =
        streams.try_into().map_err(|_| anyhow::anyhow!("four streams"))?;
    let hogs = Hogs::start();
    let watch = Watch::start()?;
    let before = processor_time(process.id()?)?;
    let until = Instant::now() + duration;
    let calls = tokio::try_join!(
        exact(first, until, watch.clone()),
        exact(second, until, watch.clone()),
        live(third, until, watch.clone()),
        live(fourth, until, watch.clone())
    )?;
    let processor = processor_time(process.id()?)?.saturating_sub(before);
    drop(hogs);
    Ok(Outcomes {
        calls: calls.into(),
        processor,
        watch,
    })
}

async fn rows(rig: &Rig, outcomes: Outcomes, duration: Duration) -> anyhow::Result<Vec<Row>> {
    let (mut wrong, mut uplink_wrong, mut underruns, mut unexplained) = (0, 0, 0, 0);
    let (mut not_read, mut not_taken, mut refused) = (0, 0, 0);
    let (mut samples, mut judged) = (0, (0, 0));
    let mut module_stood_still_ms = Vec::new();
    for (index, outcome) in outcomes.calls.iter().enumerate() {
        let account = account(rig, index).await?;
        // Where the virtual modem could not hand over its samples, nobody can tell.
        wrong += outcome.downlink.wrong.saturating_sub(account.downlink_gaps);
        not_read += outcome.downlink.missing;
        refused += outcome.statistics.uplink_dropped_samples;
        samples += outcome.downlink.samples;
        underruns += outcome.statistics.uplink_underruns;
        unexplained += outcome.progress.unexplained;
        judged.0 += outcome.progress.seconds.0;
        judged.1 += outcome.progress.seconds.1;
        if index < 2 {
            samples += outcome.sent;
            // The step from silence to the first sample counts in some places; a sample that is lost or repeated changes the
            // number of steps, one that is in another's place as well.
            uplink_wrong += account.counter_steps.abs_diff(outcome.sent).saturating_sub(1);
            uplink_wrong += account.counter_breaks.saturating_sub(FADE_SAMPLES);
        }
        // What the virtual modem could not hand over is not the broker's loss, but it must not be silent either.
        not_taken += account.downlink_dropped_bytes / 2;
        module_stood_still_ms.push(account.standstill_us as f64 / 1000.0);
    }
    let (standstills, longest) = outcomes.watch.so_far();
    let live = &outcomes.calls[2..];
    let depth = live.iter().map(|call| call.progress.depth_ms).max().unwrap_or(0);
    let depths = live.iter().flat_map(|call| &call.progress.depths_ms);
    let depths: Vec<f64> = depths.copied().map(f64::from).collect();
    let deepest = depths.iter().copied().fold(0.0, f64::max);
    let corrections =
        |call: &Outcome| call.statistics.uplink_drift_dropped_frames + call.statistics.uplink_drift_inserted_frames;
    let share = outcomes.processor.as_secs_f64() / duration.as_secs_f64() / 4.0 * 100.0;
    let ppm = outcomes
        .calls
        .each_ref()
        .map(|call| f64::from(call.statistics.downlink_rate_ppm));
    let lateness = outcomes
        .calls
        .iter()
        .map(|call| f64::from(call.statistics.pacing_lateness_max_us) / 1000.0);
    Ok(vec![
        Row::new(
            "exact, samples",
            "samples that were checked, four calls with two CPU hogs",
            "",
            vec![samples as f64],
        ),
        Row::new(
            "exact, downlink",
            "samples lost, repeated or swapped that neither the index nor the module's books tell of",
            "",
            vec![wrong as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "exact, uplink",
            "the same to the modem, two calls",
            "",
            vec![uplink_wrong as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "exact, counted",
            "samples that were left out and counted, because the client did not read in time",
            "",
            vec![not_read as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "exact, refused",
            "samples of the clients for which the broker's queue had no room",
            "",
            vec![refused as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "exact, not taken",
            "samples that nobody took of the virtual modem",
            "",
            vec![not_taken as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "underruns",
            "times that uplink audio ran dry while machine and speaker kept time, four calls",
            "",
            vec![unexplained as f64],
        )
        .at_most(0.0, None),
        Row::new(
            "judged",
            "seconds in which machine and speaker kept time, of all",
            "%",
            vec![judged.0 as f64 * 100.0 / judged.1.max(1) as f64],
        ),
        Row::new("underruns, all", "the same with those", "", vec![underruns as f64]),
        Row::new(
            "depth",
            "the deepest queue of the two live speakers, whose clocks are 100 ppm off, prebuffer 60 ms, beside standstills",
            "ms",
            vec![f64::from(depth)],
        )
        .at_most(f64::from(PREBUFFER_MS + BAND_MS), None),
        Row::new("depth, all", "how deep they were in every second of the run", "ms", depths),
        Row::new("depth, deepest", "the deepest of those", "ms", vec![deepest]),
        Row::new(
            "standstills",
            "times that the machine, a terminal of its kernel or a speaker stood still for 20 ms and more",
            "",
            vec![standstills as f64],
        ),
        Row::new(
            "standstill, module",
            "how long the clock of a virtual modem stood still with the machine, four calls",
            "ms",
            module_stood_still_ms,
        ),
        Row::new("standstill", "the longest of them", "ms", vec![longest.as_secs_f64() * 1000.0]),
        Row::new(
            "drift corrections",
            "frames left out or put in for them, in their pauses",
            "",
            live.iter().map(|call| corrections(call) as f64).collect(),
        ),
        Row::new(
            "clock",
            "the modems' clocks as measured: 0, 100, 100, -100",
            "ppm",
            ppm.to_vec(),
        ),
        Row::new(
            "lateness",
            "how late the latest frame of each call was written",
            "ms",
            lateness.collect(),
        ),
        Row::new(
            "processor, call",
            "processor time of the broker for each call, in percent of one core",
            "%",
            vec![share],
        )
        .at_most(2.0, None),
    ])
}
