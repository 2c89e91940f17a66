//! In real time, over a socket pair that stands for the port. What is asserted are counts and contents, never milliseconds.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cellular::pcm::SampleRate;

use super::{AttachOptions, AudioConfig, AudioPath, Downlink};

const CONFIG: AudioConfig = AudioConfig {
    rate: SampleRate::Hz8000,
    uplink_queue_max: Duration::from_secs(10),
    detect_dtmf: true,
};

/// Bounds every wait of these tests: long enough for a loaded machine.
const LIMIT: Duration = Duration::from_secs(20);

fn counter(first: u64, samples: usize) -> Vec<u8> {
    (first..first + samples as u64)
        .flat_map(|n| (n as u16).to_le_bytes())
        .collect()
}

fn carry(path: &AudioPath) {
    #[expect(clippy::disallowed_methods, reason = "the runtime of one test, which ends with it")]
    tokio::spawn(path.task());
}

fn start() -> (AudioPath, UnixStream) {
    let (port, module) = UnixStream::pair().unwrap();
    let path = AudioPath::start(port.into(), CONFIG).unwrap();
    carry(&path);
    module.set_read_timeout(Some(LIMIT)).unwrap();
    (path, module)
}

async fn next(owner: &super::Owner) -> Downlink {
    tokio::time::timeout(LIMIT, owner.next())
        .await
        .expect("the owner hears something in time")
        .expect("the path is open")
}

/// A module that sends a counter in 20 ms frames and returns what it got in the same time.
fn module(mut stream: UnixStream, frames: usize) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        let began = std::time::Instant::now();
        for frame in 0..frames {
            stream.write_all(&counter(frame as u64 * 160, 160)).unwrap();
            let due = began + (frame as u32 + 1) * Duration::from_millis(20);
            stream.set_nonblocking(false).unwrap();
            while let Some(left) = due
                .checked_duration_since(std::time::Instant::now())
                .filter(|left| !left.is_zero())
            {
                stream.set_read_timeout(Some(left)).unwrap();
                if let Ok(count) = stream.read(&mut buffer) {
                    got.extend_from_slice(&buffer[..count]);
                }
            }
        }
        got
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_arrives_once_in_both_directions() {
    let (path, stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    let frames = 100;
    let spoken = counter(1, 120 * 160);
    assert_eq!(owner.push_audio(&spoken), 0);
    let module = module(stream, frames);
    let mut heard = Vec::new();
    let mut expected_sample = 0;
    while heard.len() < frames * 320 {
        if let Downlink::Frame { first_sample, pcm } = next(&owner).await {
            assert_eq!(first_sample, expected_sample);
            expected_sample += 160;
            heard.extend_from_slice(&pcm);
        }
    }
    assert_eq!(heard, counter(0, frames * 160));
    let got = module.join().unwrap();
    let begin = got.iter().position(|byte| *byte != 0).expect("the module got audio") & !1;
    assert!(
        got.len() - begin >= 80 * 320,
        "the module got {} octets of audio",
        got.len() - begin
    );
    assert_eq!(got[begin..], spoken[..got.len() - begin]);
    let statistics = path.close().await;
    assert_eq!(statistics.downlink_samples, (frames * 160) as u64);
    assert_eq!(
        (statistics.downlink_discontinuities, statistics.uplink_underruns),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_come_back_in_order_after_the_audio_before_them() {
    let (path, stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    owner.push_audio(&[1; 320 * 5]);
    owner.mark("first".to_owned());
    owner.push_audio(&[2; 320 * 5]);
    owner.mark("second".to_owned());
    let module = module(stream, 30);
    let mut names = Vec::new();
    while names.len() < 2 {
        if let Downlink::Mark {
            name,
            cleared,
            uplink_samples,
        } = next(&owner).await
        {
            assert!(!cleared);
            assert!(uplink_samples >= 800 * (names.len() as u64 + 1));
            names.push(name);
        }
    }
    assert_eq!(names, ["first", "second"]);
    module.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_octets_wait_for_their_other_half() {
    let (path, stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    for chunk in counter(1, 1600).chunks(7) {
        assert_eq!(owner.push_audio(chunk), 0);
    }
    let got = module(stream, 30).join().unwrap();
    let begin = got.iter().position(|byte| *byte != 0).unwrap() & !1;
    assert_eq!(got[begin..begin + 3200], counter(1, 1600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn port_that_goes_away_ends_the_owner_and_the_listeners() {
    let (path, stream) = start();
    let owner = path.attach(AttachOptions::default()).unwrap();
    let mut listener = path.listen(SampleRate::Hz8000).unwrap();
    drop(stream);
    loop {
        if matches!(next(&owner).await, Downlink::Ended(_)) {
            break;
        }
    }
    assert_eq!(owner.next().await, None);
    while tokio::time::timeout(LIMIT, listener.next())
        .await
        .expect("the listener ends in time")
        .is_some()
    {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listener_hears_both_directions() {
    let (path, stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    let mut listener = path.listen(SampleRate::Hz8000).unwrap();
    owner.push_audio(&[9; 3200]);
    let module = module(stream, 20);
    let (mut up, mut down) = (false, false);
    while !(up && down) {
        let heard = tokio::time::timeout(LIMIT, listener.next()).await.unwrap().unwrap();
        if heard.uplink {
            up |= heard.pcm[0] == 9
        } else {
            down |= heard.first_sample > 0
        }
    }
    module.join().unwrap();
}

/// Exchanges frames in lockstep, so that what comes after an event can be counted instead of timed. The downlink is silence.
fn exchange(stream: &mut UnixStream, frames: usize) -> Vec<u8> {
    let mut got = vec![0; frames * 320];
    for frame in got.chunks_exact_mut(320) {
        stream.write_all(&[0; 320]).unwrap();
        stream.read_exact(frame).unwrap();
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_listener_loses_its_own_frames_only() {
    let (path, mut stream) = start();
    let owner = path.attach(AttachOptions::default()).unwrap();
    let _never_reads = path.listen(SampleRate::Hz8000).unwrap();
    for frame in 0..120 {
        exchange(&mut stream, 1);
        loop {
            if let Downlink::Frame { first_sample, .. } = next(&owner).await {
                assert_eq!(first_sample, frame * 160, "the owner loses nothing");
                break;
            }
        }
    }
    let statistics = path.close().await;
    // Both directions, of which a hundred frames wait.
    assert!(
        (120..=140).contains(&statistics.listener_dropped_frames),
        "{} frames",
        statistics.listener_dropped_frames
    );
    assert_eq!(
        (statistics.downlink_dropped_samples, statistics.downlink_discontinuities),
        (0, 0)
    );
}

/// The next mark.
async fn next_mark(owner: &super::Owner) -> (String, bool) {
    loop {
        if let Downlink::Mark { name, cleared, .. } = next(owner).await {
            return (name, cleared);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_silences_within_two_frames_and_returns_the_marks() {
    let (path, mut stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    owner.push_audio(&[1; 5 * 320]);
    assert!(owner.mark("played".to_owned()));
    owner.push_audio(&[1; 5 * 16_000]);
    assert!(owner.mark("dropped".to_owned()));
    assert!(exchange(&mut stream, 20).ends_with(&[1; 320]));
    owner.clear();
    assert_eq!(path.statistics().uplink_queued_ms, 0);
    assert_eq!(owner.push_audio(&[2; 5 * 320]), 0, "there is room again at once");
    assert!(owner.mark("new".to_owned()));
    let after = exchange(&mut stream, 20);
    let old = after.iter().filter(|byte| **byte == 1).count();
    assert!(old <= 2 * 320, "{old} octets of what was cleared were still written");
    assert_eq!(after.iter().filter(|byte| **byte == 2).count(), 5 * 320);
    let marks = [
        next_mark(&owner).await,
        next_mark(&owner).await,
        next_mark(&owner).await,
    ];
    let expected = [("played", false), ("dropped", true), ("new", false)];
    assert_eq!(marks, expected.map(|(name, cleared)| (name.to_owned(), cleared)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeover_is_explicit_and_ends_the_first_owner() {
    let (path, _stream) = start();
    let first = path.attach(AttachOptions::default()).unwrap();
    assert!(path.attach(AttachOptions::default()).is_err());
    let second = path
        .attach(AttachOptions {
            takeover: true,
            ..AttachOptions::default()
        })
        .unwrap();
    assert_eq!(next(&first).await, Downlink::Superseded);
    assert_eq!(first.next().await, None);
    drop(first);
    assert!(
        *path.owner_present().borrow(),
        "the late drop of the first owner does not orphan the call"
    );
    drop(second);
    assert!(!*path.owner_present().borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_of_an_owner_that_went_away_is_not_played_on() {
    let (path, mut stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    owner.push_audio(&[1; 5 * 16_000]);
    exchange(&mut stream, 10);
    drop(owner);
    let old = exchange(&mut stream, 10).iter().filter(|byte| **byte == 1).count();
    assert!(old <= 2 * 320, "{old} octets after the owner was gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_owner_loses_the_oldest_frames_and_sees_the_gap() {
    let (path, stream) = start();
    let owner = path.attach(AttachOptions::default()).unwrap();
    module(stream, 60).join().unwrap();
    let mut frames: Vec<u64> = Vec::new();
    loop {
        match next(&owner).await {
            Downlink::Frame { first_sample, .. } => frames.push(first_sample),
            Downlink::Ended(_) => break,
            _ => {}
        }
    }
    assert!(frames.len() <= 25, "{} frames waited", frames.len());
    assert_eq!(frames.last(), Some(&(59 * 160)));
    assert!(
        frames.windows(2).all(|pair| pair[1] == pair[0] + 160),
        "one gap, before what is left: {frames:?}"
    );
    let statistics = path.statistics();
    assert_eq!(statistics.downlink_frames, frames.len() as u64);
    let delivered = statistics.downlink_frames * 160;
    assert_eq!(
        statistics.downlink_samples,
        delivered + statistics.downlink_dropped_samples
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gap_in_what_an_owner_fetches_is_counted_once() {
    let (path, mut stream) = start();
    let owner = path.attach(AttachOptions::default()).unwrap();
    exchange(&mut stream, 1);
    while !matches!(next(&owner).await, Downlink::Frame { .. }) {}
    exchange(&mut stream, 40);
    drop(stream);
    while !matches!(next(&owner).await, Downlink::Ended(_)) {}
    assert_eq!(path.statistics().downlink_discontinuities, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_are_bounded_for_an_owner_that_never_reads() {
    let (path, mut stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    let mut accepted = 0;
    for _ in 0..20 {
        accepted += (0..100).filter(|_| owner.mark("again".to_owned())).count();
        exchange(&mut stream, 1);
    }
    assert_eq!(accepted, 256);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_queue_refuses_and_says_stop_and_go() {
    let (path, mut stream) = start();
    let mut owner = path.attach(AttachOptions::default()).unwrap();
    let seconds = 12;
    let refused = owner.push_audio(&vec![1; seconds * 16_000]);
    assert_eq!(refused, 2 * 16_000, "ten seconds fit");
    exchange(&mut stream, 2);
    let flow = async |owner: &super::Owner| loop {
        if let Downlink::Flow { stop, .. } = next(owner).await {
            return stop;
        }
    };
    assert!(flow(&owner).await);
    owner.clear();
    exchange(&mut stream, 2);
    assert!(!flow(&owner).await);
    assert_eq!(path.statistics().uplink_dropped_samples, 16_000);
}

/// A tty as the audio port, and its other end.
fn start_tty(minimum: u8) -> (AudioPath, std::fs::File) {
    use nix::sys::termios::{SetArg, SpecialCharacterIndices, cfmakeraw, tcgetattr, tcsetattr};
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut settings = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut settings);
    settings.control_chars[SpecialCharacterIndices::VMIN as usize] = minimum;
    settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let path = AudioPath::start(pty.slave, CONFIG).unwrap();
    carry(&path);
    (path, pty.master.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tty_that_returns_at_once_without_octets_is_not_at_its_end() {
    for minimum in [0, 1] {
        let (path, mut module) = start_tty(minimum);
        let owner = path.attach(AttachOptions::default()).unwrap();
        // The pump writes on its own schedule while nothing arrives: several turns have found nothing to read by then.
        module.read_exact(&mut [0; 5 * 320]).unwrap();
        module.write_all(&counter(0, 160)).unwrap();
        let heard = loop {
            match next(&owner).await {
                Downlink::Frame { pcm, .. } => break pcm,
                Downlink::Ended(reason) => panic!("VMIN {minimum}: {reason}"),
                _ => {}
            }
        };
        assert_eq!(heard, counter(0, 160));
        drop(module);
        while !matches!(next(&owner).await, Downlink::Ended(_)) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_frees_the_port() {
    let (path, mut stream) = start();
    path.close().await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the other end sees the end");
}
