//! The front ends: pseudo-terminals in real time, streams in memory on a paused clock, the control socket.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simulator::{
    AudioFault, Books, CallAudio, Config, Control, DataCallEnd, Fault, FaultAction, Function, Options, Phase,
    RingOptions, Running, Timing, Way,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(10);

async fn start() -> (tempfile::TempDir, Running) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        directory: directory.path().to_owned(),
        ..Options::default()
    };
    let running = simulator::start(options).await.expect("a virtual modem");
    (directory, running)
}

fn open(directory: &Path, node: &str) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .write(true)
        .custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
        .open(directory.join("dev").join(node))
        .expect("a node that opens")
}

/// Reads once something is there; an empty result is the end of the port.
fn read_some(port: &mut File, limit: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut descriptors = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        poll(&mut descriptors, timeout).expect("poll works");
        let mut buffer = [0; 4_096];
        match port.read(&mut buffer) {
            Ok(count) => return Some(buffer[..count].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Some(Vec::new()),
        }
    }
}

fn read_until(port: &mut File, end: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    let mut heard = String::new();
    while !heard.contains(end) {
        let left = deadline.saturating_duration_since(Instant::now());
        let bytes = read_some(port, left).unwrap_or_else(|| panic!("no {end:?} after {heard:?}"));
        assert!(!bytes.is_empty(), "the port ended after {heard:?}");
        heard.push_str(&String::from_utf8_lossy(&bytes));
    }
    heard
}

fn command(port: &mut File, line: &str) -> String {
    port.write_all(format!("{line}\r").as_bytes())
        .expect("a port that takes a line");
    read_until(port, "OK\r\n")
}

fn read_attribute(directory: &Path, path: &str) -> String {
    std::fs::read_to_string(directory.join("sys").join(path))
        .expect(path)
        .trim()
        .to_owned()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_looks_as_the_kernel_shows_it() {
    let (directory, running) = start().await;
    let root = directory.path();
    for (path, value) in [
        ("bus/usb/devices/1-1/idVendor", "1e0e"),
        ("bus/usb/devices/1-1/idProduct", "9001"),
        ("bus/usb/devices/1-1/bcdDevice", "0318"),
        ("bus/usb/devices/1-1/serial", "0123456789ABCDEF"),
        ("bus/usb/devices/1-1/bNumInterfaces", "6"),
        ("bus/usb/devices/1-1:1.2/bInterfaceNumber", "02"),
        ("bus/usb/devices/1-1:1.2/ttyUSB2/tty/ttyUSB2/dev", "188:2"),
        ("class/tty/ttyUSB2/device/tty/ttyUSB2/dev", "188:2"),
        ("class/usbmisc/cdc-wdm0/device/bInterfaceNumber", "05"),
        ("class/net/wwan0/qmi/raw_ip", "N"),
    ] {
        assert_eq!(read_attribute(root, path), value, "{path}");
    }
    let parent = std::fs::canonicalize(root.join("sys/class/tty/ttyUSB4/device/..")).expect("a parent");
    assert!(parent.ends_with("1-1/1-1:1.4"), "{parent:?}");
    running.stop().await;
    assert_eq!(
        std::fs::read_dir(root).expect("a directory").count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_call_ends_when_its_host_closes_the_port() {
    let (directory, running) = start().await;
    let control = running.control();
    let mut port = open(directory.path(), "ttyUSB3");
    port.write_all(b"ATD*99#\r").expect("a port that takes a line");
    read_until(&mut port, "\r\nCONNECT 115200\r\n~");
    assert!(control.status().await.expect("a status").data_call.is_some());
    drop(port);
    // The next host, however soon it is there, finds a port that takes commands.
    let mut port = open(directory.path(), "ttyUSB3");
    assert!(command(&mut port, "AT").ends_with("AT\r\r\nOK\r\n"));
    let ended = |books: &Books| books.data_calls.records.back().is_some_and(|call| call.end.is_some());
    let books = control.books_when(LIMIT, ended).await.expect("books");
    assert_eq!(books.data_calls.records[0].end, Some(DataCallEnd::PortClosed));
    // And the end of that call is told once: it is not the end of its own.
    port.write_all(b"ATE0D*99#\r").expect("a port that takes a line");
    read_until(&mut port, "\r\nCONNECT 115200\r\n~");
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(control.status().await.expect("a status").data_call.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_both_ways_over_a_terminal() {
    let (directory, running) = start().await;
    let control = running.control();
    let mut port = open(directory.path(), "ttyUSB2");
    assert_eq!(command(&mut port, "ATE0"), "ATE0\r\r\nOK\r\n");
    control
        .deliver_text("+447700900123", "hello")
        .await
        .expect("a delivery");
    assert_eq!(read_until(&mut port, ",0\r\n"), "\r\n+CMTI: \"ME\",0\r\n");
    assert!(command(&mut port, "AT+CMGR=0").starts_with("\r\n+CMGR: 0,,"));
    port.write_all(b"AT+CMGS=14\r").expect("a command");
    read_until(&mut port, "> ");
    port.write_all(b"0001000C9144770009406500000141\x1a")
        .expect("a payload");
    assert_eq!(read_until(&mut port, "OK\r\n"), "\r\n+CMGS: 0\r\n\r\nOK\r\n");
    let books = control
        .books_when(LIMIT, |books| books.submits.total() == 1)
        .await
        .expect("books");
    assert_eq!(books.submits.records[0].destination, "+447700900456");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_nobody_listened_does_not_meet_the_next_listener() {
    let (directory, running) = start().await;
    let control = running.control();
    let mut port = open(directory.path(), "ttyUSB2");
    command(&mut port, "ATE0");
    drop(port);
    for _ in 0..200 {
        control.unsolicited(&"x".repeat(200)).await.expect("a line");
    }
    let mut port = open(directory.path(), "ttyUSB2");
    assert_eq!(command(&mut port, "AT"), "\r\nOK\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unplug_ends_open_ports_and_a_replug_may_renumber_them() {
    let (directory, running) = start().await;
    let control = running.control();
    let root = directory.path().to_owned();
    for (round, renumber) in [false, true, false].into_iter().enumerate() {
        let node = if round == 2 { "ttyUSB3" } else { "ttyUSB2" };
        let mut port = open(&root, node);
        command(&mut port, "AT");
        control.unplug().await.expect("an unplug");
        // The end may come behind bytes that were on their way.
        while !read_some(&mut port, LIMIT).expect("the end of the port").is_empty() {}
        eventually("the device is gone", || !root.join("sys/bus/usb/devices/1-1").exists()).await;
        assert!(!root.join("dev/ttyUSB2").exists());
        control.replug(renumber).await.expect("a replug");
        eventually("the device is back", || root.join("sys/bus/usb/devices/1-1").exists()).await;
    }
    let names = |number: u8| -> Vec<PathBuf> {
        let interface = root.join(format!("sys/bus/usb/devices/1-1:1.{number}"));
        std::fs::read_dir(interface)
            .expect("an interface")
            .filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())))
            .filter(|name| name.to_string_lossy().starts_with("ttyUSB"))
            .collect()
    };
    assert_eq!(
        names(2),
        [PathBuf::from("ttyUSB3")],
        "the third port moved up and stayed there"
    );
    assert_eq!(names(1), [PathBuf::from("ttyUSB1")]);
    assert_eq!(read_attribute(&root, "bus/usb/devices/1-1/devnum"), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unplug_in_the_middle_of_a_command_ends_the_port() {
    let (directory, running) = start().await;
    let control = running.control();
    let mut port = open(directory.path(), "ttyUSB2");
    command(&mut port, "ATE0");
    let action = FaultAction::Unplug {
        replug_after_ms: Some(20),
        renumber: false,
    };
    control
        .inject(Fault::on_command("+CSQ", Phase::Before, action))
        .await
        .expect("a fault");
    port.write_all(b"AT+CSQ\r").expect("a command");
    assert_eq!(read_some(&mut port, LIMIT), Some(Vec::new()));
    eventually("the port is back", || directory.path().join("dev/ttyUSB2").exists()).await;
    eventually("it has answered", || {
        let mut port = open(directory.path(), "ttyUSB2");
        port.write_all(b"AT\r").is_ok() && read_some(&mut port, Duration::from_millis(500)).is_some()
    })
    .await;
    assert_eq!(control.books().await.expect("books").detachments, 1);
}

async fn answer_a_caller(control: &Control, at: &mut File, options: RingOptions) {
    command(at, "ATE0");
    control.ring(options).await.expect("a call");
    read_until(at, "RING");
    command(at, "ATA");
    command(at, "AT+CPCMREG=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pcm_keeps_the_pace_of_the_network_and_loses_no_sample() {
    let (directory, running) = start().await;
    let control = running.control();
    let recording = directory.path().join("uplink.wav");
    let mut at = open(directory.path(), "ttyUSB2");
    let mut audio = open(directory.path(), "ttyUSB4");
    let options = RingOptions {
        audio: CallAudio::Counter,
        record: Some(recording.clone()),
        ..RingOptions::default()
    };
    answer_a_caller(&control, &mut at, options).await;
    let begin = Instant::now();
    let mut heard = Vec::new();
    let mut said = 0u16;
    // One second: for each frame heard, one frame of a counter is said.
    while heard.len() < 16_000 {
        let bytes = read_some(&mut audio, LIMIT).expect("audio");
        heard.extend_from_slice(&bytes);
        let frame: Vec<u8> = (0..bytes.len() / 2)
            .flat_map(|_| {
                said = said.wrapping_add(1);
                said.to_le_bytes()
            })
            .collect();
        audio.write_all(&frame).expect("a port that takes audio");
    }
    let elapsed = begin.elapsed();
    assert!(
        (900..1_300).contains(&elapsed.as_millis()),
        "one second of audio took {elapsed:?}"
    );
    let samples: Vec<u16> = heard
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert!(samples.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    eventually("the uplink has been read", || {
        // Nothing of what was written is still on its way once the port has seen a later command.
        command(&mut open(directory.path(), "ttyUSB3"), "AT").contains("OK")
    })
    .await;
    command(&mut at, "AT+CHUP");
    let fits = |books: &simulator::Books| books.calls.records[0].audio.is_some();
    let books = control.books_when(LIMIT, fits).await.expect("books");
    let account = books.calls.records[0].audio.clone().expect("an account");
    assert_eq!(
        (account.counter_breaks, account.downlink_dropped_bytes),
        (0, 0),
        "{account:?}"
    );
    assert!(account.counter_steps >= 7_000, "{account:?}");
    let recorded = hound::WavReader::open(recording).expect("a recording").duration();
    assert_eq!(u64::from(recorded) * 2, account.uplink_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_read_its_audio_loses_it_and_nothing_else() {
    let (directory, running) = start().await;
    let control = running.control();
    let mut at = open(directory.path(), "ttyUSB2");
    answer_a_caller(&control, &mut at, RingOptions::default()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    command(&mut at, "AT+CHUP");
    let fits = |books: &simulator::Books| books.calls.records[0].audio.is_some();
    let books = control.books_when(LIMIT, fits).await.expect("books");
    let account = books.calls.records[0].audio.clone().expect("an account");
    assert_eq!(account.downlink_bytes, account.downlink_dropped_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_carries_what_the_library_does() {
    let (directory, running) = start().await;
    let control = Control::connect(directory.path()).await.expect("a control socket");
    let mut at = open(directory.path(), "ttyUSB2");
    command(&mut at, "ATE0");
    let mut transcript = control.transcript(Some(Function::At));
    control
        .deliver_text("+447700900123", "over the socket")
        .await
        .expect("a delivery");
    let mut said = Vec::new();
    while let Some(entry) = transcript.next(Duration::from_millis(200)).await.expect("a transcript") {
        said.push((entry.way, entry.text));
    }
    assert!(said.contains(&(Way::ToModem, "ATE0\\r".to_owned())), "{said:?}");
    assert!(
        said.iter()
            .any(|(way, text)| *way == Way::ToHost && text.contains("+CMTI")),
        "{said:?}"
    );
    assert!(control.hang_up().await.is_err(), "there is no call");
    let fault = Fault::on_command(
        "+CMGS",
        Phase::After,
        FaultAction::Audio(AudioFault::Burst { frames: 5 }),
    );
    control.inject(fault.clone()).await.expect("a fault");
    assert_eq!(control.faults().await.expect("faults"), [fault]);
    assert_eq!(control.books().await.expect("books").deliveries.total(), 1);
    running.stop().await;
    assert!(control.status().await.is_err());
}

#[tokio::test]
async fn a_second_modem_in_the_same_directory_is_refused() {
    let (directory, running) = start().await;
    let options = Options {
        directory: directory.path().to_owned(),
        ..Options::default()
    };
    let error = simulator::start(options).await.expect_err("the directory is taken");
    assert!(error.to_string().starts_with("failed to listen on"), "{error}");
    let mut port = open(directory.path(), "ttyUSB2");
    let answer = tokio::task::spawn_blocking(move || command(&mut port, "AT"))
        .await
        .expect("an answer");
    assert!(answer.ends_with("OK\r\n"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn realistic_times_pass_at_once_on_a_paused_clock() {
    let mut modem = simulator::start_in_process(Timing::Realistic, Config::default());
    let mut attachment = modem.attachment().await.expect("an attachment");
    let mut at = attachment.ports.remove(&Function::At).expect("an AT port");
    let begin = tokio::time::Instant::now();
    at.write_all(b"AT+CREG=1\r").await.expect("a command");
    let mut heard = String::new();
    while !heard.contains("+CREG: 1\r\n") {
        let mut buffer = [0; 256];
        let count = at.read(&mut buffer).await.expect("a port");
        heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!((10..60).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    modem.control().unplug().await.expect("an unplug");
    let mut rest = Vec::new();
    at.read_to_end(&mut rest).await.expect("the end of the port");
    modem.control().replug(false).await.expect("a replug");
    assert!(modem.attachment().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_data_call_in_process_speaks_by_itself_and_ends_with_its_stream() {
    let mut modem = simulator::start_in_process(Timing::Instant, Config::default());
    let mut ports = modem.attachment().await.expect("an attachment").ports;
    let mut port = ports.remove(&Function::Modem).expect("a modem port");
    port.write_all(b"ATE0D*99#\r").await.expect("a command");
    let mut heard = Vec::new();
    // The first request of its link, and the second one, which comes when the host says nothing for three seconds.
    let begin = tokio::time::Instant::now();
    while heard.windows(4).filter(|octets| octets == b"~\xff}#").count() < 2 {
        port.read_buf(&mut heard).await.expect("a port");
    }
    assert!(
        (2_900..10_000).contains(&begin.elapsed().as_millis()),
        "{:?}",
        begin.elapsed()
    );
    drop(port);
    let ended = |books: &Books| books.data_calls.records.back().is_some_and(|call| call.end.is_some());
    let books = modem.control().books_when(LIMIT, ended).await.expect("books");
    assert_eq!(books.data_calls.records[0].end, Some(DataCallEnd::PortClosed));
}

#[tokio::test(start_paused = true)]
async fn pcm_in_process_runs_on_the_clock_of_the_runtime() {
    let mut modem = simulator::start_in_process(Timing::Instant, Config::default());
    let mut ports = modem.attachment().await.expect("an attachment").ports;
    let mut at = ports.remove(&Function::At).expect("an AT port");
    let mut audio = ports.remove(&Function::Audio).expect("an audio port");
    let options = RingOptions {
        audio: CallAudio::Counter,
        ..RingOptions::default()
    };
    modem.control().ring(options).await.expect("a call");
    at.write_all(b"ATA;+CPCMREG=1\r").await.expect("a command");
    let begin = tokio::time::Instant::now();
    let mut heard = vec![0; 160_000];
    audio.read_exact(&mut heard).await.expect("ten seconds of audio");
    assert!(
        (9_900..10_200).contains(&begin.elapsed().as_millis()),
        "{:?}",
        begin.elapsed()
    );
    let samples: Vec<u16> = heard
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert!(samples.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
}
