//! What is on the page.

use super::Sources;
use cellular::recovery::Step;

use super::exposition::{Exposition, Kind};
use crate::figures::{AudioFigures, Distribution, Shown};
use crate::modem::{ModemHandle, RecoveryStatus, Snapshot};
use crate::resource::{AudioProblem, AudioStatistics, Health, Stage};
use crate::store::StoreState;

/// Microseconds of the units in which histograms are told.
const SECOND: f64 = 1_000_000.0;
const MILLISECOND: f64 = 1000.0;

/// A modem and what is known of it, read once for the whole page.
struct Row {
    name: String,
    snapshot: Snapshot,
    recovery: RecoveryStatus,
    requests: usize,
    queued: Option<u64>,
    calls: Option<Shown>,
}

impl Row {
    async fn read(modem: &ModemHandle, sources: &Sources) -> Row {
        let name = modem.name().to_owned();
        // A store that does not answer takes one figure off the page and not the page.
        let queued = sources.store.queued_messages(&name).await.ok();
        Row {
            snapshot: modem.snapshot(),
            recovery: modem.recovery(),
            requests: modem.requests_waiting(),
            queued,
            calls: sources.totals.get(&name).map(|totals| totals.shown()),
            name,
        }
    }
}

pub(super) async fn make(sources: &Sources) -> String {
    let mut rows = Vec::new();
    for modem in sources.modems.iter() {
        rows.push(Row::read(modem, sources).await);
    }
    let mut page = Exposition::default();
    page.family(
        "modem_broker_build_info",
        Kind::Gauge,
        "The version of the broker; always 1.",
    )
    .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family(
        "modem_broker_events_total",
        Kind::Counter,
        "Events in the journal since it was begun.",
    )
    .count(&[], sources.store.event_count());
    store(&mut page, sources).await;
    states(&mut page, &rows);
    queues(&mut page, &rows);
    recovery(&mut page, &rows);
    network(&mut page, &rows);
    calls(&mut page, &rows);
    audio_counters(&mut page, &rows);
    audio_times(&mut page, &rows);
    audio_now(&mut page, &rows);
    page.finish()
}

async fn store(page: &mut Exposition, sources: &Sources) {
    let health = sources.store.health();
    let mut family = page.family(
        "modem_broker_store_state",
        Kind::Gauge,
        "1 for the state that the store is in; failed: nothing can be stored.",
    );
    for (name, state) in [
        ("ok", StoreState::Ok),
        ("degraded", StoreState::Degraded),
        ("failed", StoreState::Failed),
    ] {
        family.count(&[("state", name)], u64::from(health.state == state));
    }
    page.family(
        "modem_broker_store_free_bytes",
        Kind::Gauge,
        "Octets that are free on the file system of the store.",
    )
    .count(&[], health.free_octets);
    // A store that does not answer takes one figure off the page and not the page.
    if let Ok(rows) = sources.store.unreadable_rows().await {
        page.family(
            "modem_broker_store_unreadable_rows",
            Kind::Gauge,
            "Rows that were set aside because they cannot be read.",
        )
        .count(&[], rows);
    }
}

fn states(page: &mut Exposition, rows: &[Row]) {
    let mut family = page.family(
        "modem_stage",
        Kind::Gauge,
        "1 for the stage of service that the modem is at.",
    );
    for row in rows {
        for stage in Stage::ALL {
            let here = u64::from(row.snapshot.status.stage == stage);
            family.count(&[("modem", &row.name), ("stage", stage.name())], here);
        }
    }
    let mut family = page.family("modem_health", Kind::Gauge, "1 for the health of the modem.");
    for row in rows {
        for (health, name) in [
            (Health::Ok, "ok"),
            (Health::Degraded, "degraded"),
            (Health::Failed, "failed"),
        ] {
            let here = u64::from(row.snapshot.status.health == health);
            family.count(&[("modem", &row.name), ("health", name)], here);
        }
    }
}

fn queues(page: &mut Exposition, rows: &[Row]) {
    let mut family = page.family("modem_messages_queued", Kind::Gauge, "Messages that wait to be sent.");
    for row in rows {
        if let Some(queued) = row.queued {
            family.count(&[("modem", &row.name)], queued);
        }
    }
    let mut family = page.family(
        "modem_requests_waiting",
        Kind::Gauge,
        "Requests of clients that the modem's actor has not looked at yet.",
    );
    for row in rows {
        family.count(&[("modem", &row.name)], row.requests as u64);
    }
}

fn step_label(step: Step) -> &'static str {
    match step {
        Step::Resynchronise => "resynchronise",
        Step::ReopenPort => "reopen_port",
        Step::SwitchPort => "switch_port",
        Step::CycleRadio => "cycle_radio",
        Step::ResetModule => "reset_module",
        Step::CycleUsb => "cycle_usb",
        Step::PowerHook => "power_hook",
    }
}

fn recovery(page: &mut Exposition, rows: &[Row]) {
    let steps = |row: &Row| -> Vec<(&'static str, u64, u64, u32)> {
        row.recovery
            .counters
            .iter()
            .map(|counter| {
                (
                    step_label(counter.step),
                    counter.attempts,
                    counter.successes,
                    counter.budget_left,
                )
            })
            .collect()
    };
    let mut family = page.family(
        "modem_recovery_attempts_total",
        Kind::Counter,
        "Uses of each step of the recovery.",
    );
    for row in rows {
        for (step, attempts, _, _) in steps(row) {
            family.count(&[("modem", &row.name), ("step", step)], attempts);
        }
    }
    let mut family = page.family(
        "modem_recovery_successes_total",
        Kind::Counter,
        "Uses of each step after which service held.",
    );
    for row in rows {
        for (step, _, successes, _) in steps(row) {
            family.count(&[("modem", &row.name), ("step", step)], successes);
        }
    }
    let mut family = page.family(
        "modem_recovery_budget_left",
        Kind::Gauge,
        "Uses of each step that are left within its window.",
    );
    for row in rows {
        for (step, _, _, left) in steps(row) {
            family.count(&[("modem", &row.name), ("step", step)], left.into());
        }
    }
    let hanging = rows.iter().map(|row| row.recovery.hanging_calls).max().unwrap_or(0);
    page.family(
        "modem_broker_hanging_system_calls",
        Kind::Gauge,
        "System calls on ports that hang in the kernel.",
    )
    .count(&[], hanging as u64);
}

fn network(page: &mut Exposition, rows: &[Row]) {
    let mut family = page.family(
        "modem_registered",
        Kind::Gauge,
        "1 while the modem is registered in a network.",
    );
    for row in rows {
        family.count(&[("modem", &row.name)], row.snapshot.network.is_registered().into());
    }
    type Measure = fn(&Row) -> Option<f64>;
    let measures: [(&'static str, &str, Measure); 4] = [
        ("modem_signal_rssi_dbm", "Received signal strength.", |row| {
            row.snapshot.network.signal.rssi_dbm
        }),
        ("modem_signal_rsrp_dbm", "Power of the LTE reference signal.", |row| {
            row.snapshot.network.signal.rsrp_dbm
        }),
        ("modem_signal_rsrq_db", "Quality of the LTE reference signal.", |row| {
            row.snapshot.network.signal.rsrq_db
        }),
        ("modem_signal_sinr_db", "Signal to interference and noise.", |row| {
            row.snapshot.network.signal.sinr_db
        }),
    ];
    for (name, help, measure) in measures {
        let mut family = page.family(name, Kind::Gauge, help);
        for row in rows {
            if let Some(value) = measure(row) {
                family.value(&[("modem", &row.name)], value);
            }
        }
    }
}

fn shown(rows: &[Row]) -> impl Iterator<Item = (&str, &Shown)> {
    rows.iter()
        .filter_map(|row| Some((row.name.as_str(), row.calls.as_ref()?)))
}

fn calls(page: &mut Exposition, rows: &[Row]) {
    let mut family = page.family("modem_calls", Kind::Gauge, "Calls that are not over, by state.");
    for (modem, calls) in shown(rows) {
        for (state, count) in &calls.alive {
            family.count(&[("modem", modem), ("state", state)], *count);
        }
    }
    let mut family = page.family(
        "modem_calls_total",
        Kind::Counter,
        "Calls that are over, by cause of their end.",
    );
    for (modem, calls) in shown(rows) {
        for ((direction, cause), count) in &calls.ends {
            family.count(&[("modem", modem), ("direction", direction), ("cause", cause)], *count);
        }
    }
    let mut family = page.histogram("modem_call_talked_seconds", "From the answer of a call to its end.");
    for (modem, calls) in shown(rows) {
        family.distribution(&[("modem", modem)], &calls.talked, SECOND);
    }
    let mut family = page.family(
        "modem_cpcmreg_attempts_total",
        Kind::Counter,
        "AT+CPCMREG=1 until it was accepted, in calls that are over. More than one a call is a module that wears out.",
    );
    for (modem, calls) in shown(rows) {
        family.count(&[("modem", modem)], calls.pcm_open_attempts);
    }
}

type Counter = fn(&AudioStatistics) -> u64;

/// The counters of a call's audio: name, meaning, where it is.
const AUDIO_COUNTERS: [(&str, &str, Counter); 18] = [
    ("modem_pcm_rx_bytes_total", "Octets read from the modem.", |of| {
        of.downlink_samples * 2
    }),
    (
        "modem_pcm_rx_frames_total",
        "Frames of 20 ms read from the modem.",
        |of| of.downlink_read_frames,
    ),
    (
        "modem_pcm_rx_delivered_frames_total",
        "Frames that owners were given.",
        |of| of.downlink_frames,
    ),
    (
        "modem_pcm_rx_dropped_samples_total",
        "Samples dropped because an owner did not read.",
        |of| of.downlink_dropped_samples,
    ),
    ("modem_pcm_rx_short_reads_total", "Reads shorter than a frame.", |of| {
        of.downlink_short_reads
    }),
    (
        "modem_pcm_rx_discontinuities_total",
        "Jumps in the sample index that owners saw.",
        |of| of.downlink_discontinuities,
    ),
    (
        "modem_pcm_rx_byte_slips_total",
        "Lost octets that were noticed and healed.",
        |of| of.downlink_byte_slips,
    ),
    (
        "modem_pcm_tx_frames_total",
        "Frames written to the modem, silence included.",
        |of| of.uplink_frames,
    ),
    (
        "modem_pcm_tx_bytes_total",
        "Octets written to the modem, silence included.",
        |of| of.uplink_samples * 2,
    ),
    (
        "modem_pcm_tx_silence_frames_total",
        "Frames of silence, because nothing was queued.",
        |of| of.uplink_silence_frames,
    ),
    (
        "modem_pcm_tx_underruns_total",
        "Times audio ran dry in its middle.",
        |of| of.uplink_underruns,
    ),
    (
        "modem_pcm_tx_underrun_ms_total",
        "Silence within interrupted audio.",
        |of| of.uplink_underrun_ms,
    ),
    (
        "modem_pcm_tx_overflow_ms_total",
        "Audio refused because the queue was full.",
        |of| of.uplink_dropped_samples / 8,
    ),
    (
        "modem_pcm_tx_write_stalls_total",
        "Frames that were due while the modem took nothing.",
        |of| of.uplink_write_stalls,
    ),
    (
        "modem_pcm_tx_partial_writes_total",
        "Writes of which the modem took a part.",
        |of| of.uplink_partial_writes,
    ),
    (
        "modem_drift_frames_dropped_total",
        "Frames of live senders left out, because their clock is faster or they came late.",
        |of| of.uplink_drift_dropped_frames,
    ),
    (
        "modem_drift_frames_inserted_total",
        "Frames of silence put in, because the clock of a live sender is slower.",
        |of| of.uplink_drift_inserted_frames,
    ),
    (
        "modem_grpc_listener_dropped_frames_total",
        "Frames that slow listeners lost.",
        |of| of.listener_dropped_frames,
    ),
];

fn audio_counters(page: &mut Exposition, rows: &[Row]) {
    for (name, help, counter) in AUDIO_COUNTERS {
        let mut family = page.family(name, Kind::Counter, help);
        for (modem, calls) in shown(rows) {
            family.count(&[("modem", modem)], counter(&calls.audio.statistics));
        }
    }
    let mut family = page.family(
        "modem_pcm_tx_cleared_samples_total",
        Kind::Counter,
        "Samples that were queued and dropped by a clear.",
    );
    for (modem, calls) in shown(rows) {
        family.count(&[("modem", modem)], calls.audio.cleared_samples);
    }
}

fn audio_times(page: &mut Exposition, rows: &[Row]) {
    type Times = fn(&AudioFigures) -> &Distribution;
    let histograms: [(&'static str, &str, f64, Times); 3] = [
        (
            "modem_pcm_rx_gap_seconds",
            "Time between two reads from the modem.",
            SECOND,
            |of| &of.gaps,
        ),
        (
            "modem_pacing_lateness_ms",
            "How late frames were written, against their due time.",
            MILLISECOND,
            |of| &of.lateness,
        ),
        (
            "modem_clear_latency_ms",
            "From a clear to the drop of what it meant.",
            MILLISECOND,
            |of| &of.clears,
        ),
    ];
    for (name, help, unit, times) in histograms {
        let mut family = page.histogram(name, help);
        for (modem, calls) in shown(rows) {
            family.distribution(&[("modem", modem)], times(&calls.audio), unit);
        }
    }
}

/// What describes a moment is there while a call's audio is open, and absent otherwise.
fn audio_now(page: &mut Exposition, rows: &[Row]) {
    type Moment = fn(&AudioStatistics) -> f64;
    let moments: [(&'static str, &str, Moment); 3] = [
        ("modem_play_queue_ms", "Audio that waits to be played.", |of| {
            of.uplink_queued_ms.into()
        }),
        ("modem_rx_rate_ppm", "The modem's clock against the broker's.", |of| {
            of.downlink_rate_ppm.into()
        }),
        (
            "modem_pcm_tx_outq_max_bytes",
            "Octets that the driver held at most in this call.",
            |of| of.driver_queue_max_bytes.into(),
        ),
    ];
    let now = || shown(rows).filter_map(|(modem, calls)| Some((modem, calls.now.as_ref()?)));
    for (name, help, moment) in moments {
        let mut family = page.family(name, Kind::Gauge, help);
        for (modem, figures) in now() {
            family.value(&[("modem", modem)], moment(&figures.statistics));
        }
    }
    let mut family = page.family(
        "modem_rms_dbov",
        Kind::Gauge,
        "Level against full scale, -Inf for digital silence.",
    );
    for (modem, figures) in now() {
        let statistics = &figures.statistics;
        for (dir, level) in [("rx", statistics.downlink_rms_dbov), ("tx", statistics.uplink_rms_dbov)] {
            let level = level.map_or(f64::NEG_INFINITY, f64::from);
            family.value(&[("modem", modem), ("dir", dir)], level);
        }
    }
    let mut family = page.family(
        "modem_clipped_ratio",
        Kind::Gauge,
        "Share of the samples at either end of the scale.",
    );
    for (modem, figures) in now() {
        let statistics = &figures.statistics;
        for (dir, ppm) in [
            ("rx", statistics.downlink_clipped_ppm),
            ("tx", statistics.uplink_clipped_ppm),
        ] {
            family.value(&[("modem", modem), ("dir", dir)], f64::from(ppm) / 1e6);
        }
    }
    let mut family = page.family(
        "modem_audio_oneway_suspected",
        Kind::Gauge,
        "1 while something is wrong with this direction of a call's audio.",
    );
    for (modem, figures) in now() {
        for (dir, problem) in [("rx", figures.problems.downlink), ("tx", figures.problems.uplink)] {
            let suspected = u64::from(problem != AudioProblem::None);
            family.count(&[("modem", modem), ("dir", dir)], suspected);
        }
    }
}
