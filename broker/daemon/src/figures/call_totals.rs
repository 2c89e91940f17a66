//! What the calls of a modem come to since the broker started.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::{Distribution, Histogram};
use crate::resource::{AudioProblems, AudioStatistics, Call, CallDirection, CallEndCause, CallState};

/// Ends of calls that are remembered: one may be told again when the module has explained it.
const ENDS_REMEMBERED: usize = 32;

const TALKED_BOUNDS_US: &[u64] = &[
    1_000_000,
    5_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
    7_200_000_000,
];

/// The audio of a call, while it is open and at its end.
pub trait AudioSource: Send + Sync {
    /// Its counters so far.
    fn audio(&self) -> AudioFigures;
}

/// What one call's audio counted, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioFigures {
    /// The counters of the contract.
    pub statistics: AudioStatistics,
    /// Times between two reads.
    pub gaps: Distribution,
    /// How late frames went out.
    pub lateness: Distribution,
    /// How long clears took.
    pub clears: Distribution,
    /// Samples that clears dropped.
    pub cleared_samples: u64,
    /// What is wrong now.
    pub problems: AudioProblems,
}

impl AudioFigures {
    /// Adds the counters of another call. What describes a moment is the other's.
    fn add(&mut self, other: &AudioFigures) {
        self.gaps.add(&other.gaps);
        self.lateness.add(&other.lateness);
        self.clears.add(&other.clears);
        self.cleared_samples += other.cleared_samples;
        self.problems = other.problems;
        let (sum, more) = (self.statistics, &other.statistics);
        self.statistics = AudioStatistics {
            downlink_samples: sum.downlink_samples + more.downlink_samples,
            downlink_read_frames: sum.downlink_read_frames + more.downlink_read_frames,
            uplink_samples: sum.uplink_samples + more.uplink_samples,
            downlink_frames: sum.downlink_frames + more.downlink_frames,
            uplink_frames: sum.uplink_frames + more.uplink_frames,
            uplink_silence_frames: sum.uplink_silence_frames + more.uplink_silence_frames,
            uplink_underruns: sum.uplink_underruns + more.uplink_underruns,
            downlink_dropped_samples: sum.downlink_dropped_samples + more.downlink_dropped_samples,
            uplink_dropped_samples: sum.uplink_dropped_samples + more.uplink_dropped_samples,
            downlink_discontinuities: sum.downlink_discontinuities + more.downlink_discontinuities,
            pcm_open_attempts: sum.pcm_open_attempts + more.pcm_open_attempts,
            uplink_write_stalls: sum.uplink_write_stalls + more.uplink_write_stalls,
            uplink_partial_writes: sum.uplink_partial_writes + more.uplink_partial_writes,
            uplink_underrun_ms: sum.uplink_underrun_ms + more.uplink_underrun_ms,
            uplink_drift_dropped_frames: sum.uplink_drift_dropped_frames + more.uplink_drift_dropped_frames,
            uplink_drift_inserted_frames: sum.uplink_drift_inserted_frames + more.uplink_drift_inserted_frames,
            downlink_short_reads: sum.downlink_short_reads + more.downlink_short_reads,
            downlink_byte_slips: sum.downlink_byte_slips + more.downlink_byte_slips,
            listener_dropped_frames: sum.listener_dropped_frames + more.listener_dropped_frames,
            uplink_queued_ms: more.uplink_queued_ms,
            downlink_gap_max_ms: more.downlink_gap_max_ms,
            downlink_rate_ppm: more.downlink_rate_ppm,
            downlink_clipped_ppm: more.downlink_clipped_ppm,
            uplink_clipped_ppm: more.uplink_clipped_ppm,
            downlink_rms_dbov: more.downlink_rms_dbov,
            uplink_rms_dbov: more.uplink_rms_dbov,
            pacing_lateness_max_us: more.pacing_lateness_max_us,
            clear_latency_us: more.clear_latency_us,
            driver_queue_max_bytes: more.driver_queue_max_bytes,
        };
    }
}

/// The totals of one modem.
#[derive(Default)]
pub struct CallTotals(Mutex<Totals>);

#[derive(Default)]
struct Totals {
    alive: BTreeMap<String, CallState>,
    last_ends: VecDeque<String>,
    ends: BTreeMap<(&'static str, &'static str), u64>,
    talked: Option<Box<Histogram>>,
    pcm_open_attempts: u64,
    /// The audio of calls that are over.
    ended: AudioFigures,
    /// The audio that is open.
    open: Vec<Arc<dyn AudioSource>>,
}

/// What a page shows of the calls of a modem.
pub(crate) struct Shown {
    pub(crate) alive: BTreeMap<&'static str, u64>,
    pub(crate) ends: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) talked: Distribution,
    pub(crate) pcm_open_attempts: u64,
    /// Of all calls, the open audio included.
    pub(crate) audio: AudioFigures,
    /// Of the call whose audio is open.
    pub(crate) now: Option<AudioFigures>,
}

impl CallTotals {
    fn lock(&self) -> MutexGuard<'_, Totals> {
        // Counters are whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a call as it is now.
    pub fn record(&self, call: &Call) {
        let totals = &mut *self.lock();
        if call.state != CallState::Disconnected {
            totals.alive.insert(call.id.clone(), call.state);
            return;
        }
        totals.alive.remove(&call.id);
        if totals.last_ends.contains(&call.id) {
            return;
        }
        if totals.last_ends.len() == ENDS_REMEMBERED {
            totals.last_ends.pop_front();
        }
        totals.last_ends.push_back(call.id.clone());
        let cause = call.end_cause.map_or("unknown", cause_name);
        *totals.ends.entry((direction_name(call.direction), cause)).or_default() += 1;
        if let (Some(answered), Some(ended)) = (call.answer_time, call.end_time) {
            // A clock that was set back meanwhile makes it nothing.
            let talked = u64::try_from(ended.duration_since(answered).as_micros());
            let histogram = totals
                .talked
                .get_or_insert_with(|| Box::new(Histogram::new(TALKED_BOUNDS_US)));
            histogram.observe(talked.unwrap_or(0));
        }
        totals.pcm_open_attempts += call
            .audio_statistics
            .map_or(0, |statistics| u64::from(statistics.pcm_open_attempts));
    }

    /// Counts the audio of a call until the guard is dropped, and what it came to from then on.
    pub fn count(self: &Arc<Self>, source: Arc<dyn AudioSource>) -> Counted {
        self.lock().open.push(Arc::clone(&source));
        Counted {
            totals: Arc::clone(self),
            source,
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        let totals = self.lock();
        let mut alive: BTreeMap<&'static str, u64> = STATES.iter().map(|state| (state_name(*state), 0)).collect();
        for state in totals.alive.values() {
            *alive.entry(state_name(*state)).or_default() += 1;
        }
        let mut audio = totals.ended;
        let mut now = None;
        for source in &totals.open {
            let figures = source.audio();
            audio.add(&figures);
            now = Some(figures);
        }
        Shown {
            alive,
            ends: totals.ends.clone(),
            talked: match &totals.talked {
                Some(talked) => talked.distribution(),
                None => Histogram::new(TALKED_BOUNDS_US).distribution(),
            },
            pcm_open_attempts: totals.pcm_open_attempts,
            audio,
            now,
        }
    }
}

/// Counts the audio of a call as long as it lives.
pub struct Counted {
    totals: Arc<CallTotals>,
    source: Arc<dyn AudioSource>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // In one step, so that no page sees the call twice or not at all.
        let totals = &mut *self.totals.lock();
        let figures = self.source.audio();
        totals.ended.add(&figures);
        totals.open.retain(|open| !Arc::ptr_eq(open, &self.source));
    }
}

const STATES: [CallState; 6] = [
    CallState::Active,
    CallState::Held,
    CallState::Dialing,
    CallState::Alerting,
    CallState::Incoming,
    CallState::Waiting,
];

fn state_name(state: CallState) -> &'static str {
    match state {
        CallState::Active => "active",
        CallState::Held => "held",
        CallState::Dialing => "dialing",
        CallState::Alerting => "alerting",
        CallState::Incoming => "incoming",
        CallState::Waiting => "waiting",
        CallState::Disconnected => "disconnected",
    }
}

fn direction_name(direction: CallDirection) -> &'static str {
    match direction {
        CallDirection::Incoming => "incoming",
        CallDirection::Outgoing => "outgoing",
    }
}

fn cause_name(cause: CallEndCause) -> &'static str {
    match cause {
        CallEndCause::Local => "local",
        CallEndCause::Remote => "remote",
        CallEndCause::Busy => "busy",
        CallEndCause::NoAnswer => "no_answer",
        CallEndCause::Missed => "missed",
        CallEndCause::Rejected => "rejected",
        CallEndCause::NotConnected => "not_connected",
        CallEndCause::Lost => "lost",
        CallEndCause::Abandoned => "abandoned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);
    impl AudioSource for Fixed {
        fn audio(&self) -> AudioFigures {
            let statistics = AudioStatistics {
                downlink_samples: self.0,
                ..AudioStatistics::default()
            };
            AudioFigures {
                statistics,
                ..AudioFigures::default()
            }
        }
    }

    #[test]
    fn a_counter_never_falls_when_a_call_ends() {
        let totals = Arc::new(CallTotals::default());
        let samples = || totals.shown().audio.statistics.downlink_samples;
        let first = totals.count(Arc::new(Fixed(100)));
        assert_eq!(samples(), 100);
        let second = totals.count(Arc::new(Fixed(10)));
        assert_eq!(samples(), 110);
        drop(first);
        assert_eq!(samples(), 110);
        assert!(totals.shown().now.is_some());
        drop(second);
        assert_eq!(samples(), 110);
        assert!(totals.shown().now.is_none());
    }

    #[test]
    fn a_call_counts_once_however_often_its_end_is_told() {
        let totals = CallTotals::default();
        let mut call = Call::begin("sim1", CallDirection::Outgoing, CallState::Dialing);
        totals.record(&call);
        assert_eq!(totals.shown().alive["dialing"], 1);
        call.state = CallState::Disconnected;
        call.end_cause = Some(CallEndCause::NotConnected);
        totals.record(&call);
        call.end_detail = "No cause information available".to_owned();
        totals.record(&call);
        let shown = totals.shown();
        assert_eq!(shown.ends, BTreeMap::from([(("outgoing", "not_connected"), 1)]));
        assert_eq!((shown.alive["dialing"], shown.talked.count()), (0, 0));
    }
}
