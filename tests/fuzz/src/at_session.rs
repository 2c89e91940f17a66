//! A modem that sends anything, at any time, in any chunking: nothing panics, memory stays bounded, every deadline moves on.
//!
//! The first byte of each record says what happens; see `step`.

use std::time::{Duration, Instant};

use cellular::at::{Command, CommandId, Config, Output, Session, command};

/// Actions of a record that `seeds` writes.
const START: u8 = 0;
const PASS: u8 = 1;
const INPUT: u8 = 4;

fn command(which: u8) -> Command {
    match which % 6 {
        0 => command::signal_quality(),
        1 => command::list_messages(None),
        2 => command::scan_operators(),
        3 => command::answer(),
        4 => command::revision(),
        _ => command::send_message(2, "000001").expect("a valid PDU"),
    }
}

/// One record: an action and its argument, or bytes from the modem.
fn step<'a>(session: &mut Session, now: &mut Instant, running: &mut Option<CommandId>, data: &'a [u8]) -> &'a [u8] {
    let [action, argument, rest @ ..] = data else {
        return &[];
    };
    match action % 8 {
        START => *running = session.start(*now, command(*argument)).ok().or(*running),
        PASS => {
            *now += Duration::from_millis(u64::from(*argument) * 100);
            session.handle_timeout(*now);
            assert!(
                session.poll_timeout().is_none_or(|next| next > *now),
                "a deadline stayed due"
            );
        }
        2 => {
            if let Some(id) = *running {
                session.abort(*now, id);
            }
        }
        3 if *argument == 0 => session.close(),
        3 => session.resynchronise(*now),
        _ => {
            let (bytes, rest) = rest.split_at(usize::from(*argument).min(rest.len()));
            session.handle_input(*now, bytes);
            return rest;
        }
    }
    rest
}

/// Plays one input.
pub fn check(data: &[u8]) {
    let mut session = Session::new(Config {
        max_line_bytes: 128,
        max_reply_bytes: 1024,
        ..Config::default()
    });
    let mut now = Instant::now();
    let mut running = None;
    let mut rest = data;
    while !rest.is_empty() {
        rest = step(&mut session, &mut now, &mut running, rest);
        while let Some(output) = session.poll_output() {
            if let Output::Transmit(bytes) = output {
                assert!(
                    !bytes.contains(&0x1A) || bytes == b"000001\x1A",
                    "Ctrl-Z without a payload"
                );
            }
        }
    }
}

/// Real dialogues: a command, then what a module said in records of one line each, then time that passes.
pub fn seeds() -> Vec<Vec<u8>> {
    const DIALOGUES: &[&str] = &[
        include_str!("../../../broker/cellular/tests/data/at_transcripts/lilygo_542_simcomati.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/modemmanager_simtech_urcs.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/other_modems_cmgr_gammu.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/ovms_status_poll.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/romeo_registration_timeline.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/simcom_manual_v112_call_control.txt"),
        include_str!("../../../broker/cellular/tests/data/at_transcripts/simcom_manual_v112_sms.txt"),
    ];
    let lines: Vec<&str> = DIALOGUES.iter().flat_map(|dialogue| dialogue.lines()).collect();
    let dialogues = lines.chunks(8).zip(0u8..=255).map(|(lines, which)| {
        let mut records = vec![START, which];
        for line in lines.iter().copied().chain(["OK"]) {
            let said = format!("\r\n{line}\r\n");
            // A record holds as much as its length octet can say.
            let said = &said.as_bytes()[..said.len().min(255)];
            records.extend([INPUT, said.len() as u8]);
            records.extend_from_slice(said);
        }
        records.extend([PASS, 100]);
        records
    });
    dialogues.collect()
}
