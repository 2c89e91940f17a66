//! Every phase against every event, as one table. A change here is a change of the protocol and wants a reason.

use super::*;

type Event = (&'static str, fn(&mut Bench, CommandId));

const EVENTS: &[Event] = &[
    ("start", |bench, _| {
        if bench.session.start(bench.now, command::probe()).is_err() {
            bench.log.push_str("busy\n");
        }
    }),
    ("OK", |bench, _| bench.receive("\r\nOK\r\n")),
    ("ERROR", |bench, _| bench.receive("\r\nERROR\r\n")),
    ("NO CARRIER", |bench, _| bench.receive("\r\nNO CARRIER\r\n")),
    ("+CMGS: 1", |bench, _| bench.receive("\r\n+CMGS: 1\r\n")),
    ("RING", |bench, _| bench.receive("\r\nRING\r\n")),
    ("prompt", |bench, _| bench.receive("\r\n> ")),
    ("probe answer", |bench, _| bench.receive("\r\n+CMEE: 1\r\n\r\nOK\r\n")),
    ("deadline", |bench, _| {
        if let Some(deadline) = bench.session.poll_timeout() {
            bench.now = deadline;
            bench.session.handle_timeout(deadline);
        }
    }),
    ("abort", |bench, id| {
        bench.session.abort(bench.now, id);
        bench.wait(125);
    }),
    ("resynchronise", |bench, _| bench.session.resynchronise(bench.now)),
    ("close", |bench, _| bench.session.close()),
];

fn in_phase(phase: Phase) -> (Bench, CommandId) {
    let mut bench = Bench::new();
    let id = match phase {
        Phase::Ready | Phase::Closed => CommandId(0),
        Phase::AwaitingPrompt | Phase::AwaitingResult | Phase::Draining | Phase::Probing => bench.start(submission()),
        Phase::Aborting => bench.start(command::scan_operators()),
    };
    match phase {
        Phase::Ready | Phase::AwaitingPrompt => {}
        Phase::AwaitingResult => bench.receive("\r\n> "),
        Phase::Aborting => {
            bench.session.abort(bench.now, id);
            bench.wait(125);
        }
        Phase::Draining => bench.wait(10_000),
        Phase::Probing => bench.wait(10_200),
        Phase::Closed => bench.session.close(),
    }
    bench.note();
    bench.log.clear();
    assert_eq!(bench.session.phase(), phase);
    (bench, id)
}

#[test]
fn every_phase_against_every_event() {
    let phases = [
        Phase::Ready,
        Phase::AwaitingPrompt,
        Phase::AwaitingResult,
        Phase::Aborting,
        Phase::Draining,
        Phase::Probing,
        Phase::Closed,
    ];
    let mut table = String::new();
    for phase in phases {
        for (name, event) in EVENTS {
            let (mut bench, id) = in_phase(phase);
            event(&mut bench, id);
            bench.note();
            let outputs = bench.log.trim_end().replace('\n', "; ");
            let phase_after = bench.session.phase();
            let row = format!(
                "{:<15} {name:<13} {:<15} {outputs}",
                format!("{phase:?}"),
                format!("{phase_after:?}")
            );
            writeln!(table, "{}", row.trim_end()).expect("a string takes everything");
        }
    }
    expect![[r#"
        Ready           start         AwaitingResult  -> AT\r
        Ready           OK            Ready           urc ["OK"] = Unknown
        Ready           ERROR         Ready           urc ["ERROR"] = Unknown
        Ready           NO CARRIER    Ready           urc ["NO CARRIER"] = NoCarrier
        Ready           +CMGS: 1      Ready           urc ["+CMGS: 1"] = Unknown
        Ready           RING          Ready           urc ["RING"] = Ring(Unspecified)
        Ready           prompt        Ready
        Ready           probe answer  Ready           urc ["+CMEE: 1"] = Unknown; urc ["OK"] = Unknown
        Ready           deadline      Ready
        Ready           abort         Ready
        Ready           resynchronise Draining        -> \x1b
        Ready           close         Closed
        AwaitingPrompt  start         AwaitingPrompt  busy
        AwaitingPrompt  OK            Ready           failed PromptRefused(Ok)
        AwaitingPrompt  ERROR         Ready           failed PromptRefused(Error)
        AwaitingPrompt  NO CARRIER    AwaitingPrompt  urc ["NO CARRIER"] = NoCarrier
        AwaitingPrompt  +CMGS: 1      AwaitingPrompt
        AwaitingPrompt  RING          AwaitingPrompt  urc ["RING"] = Ring(Unspecified)
        AwaitingPrompt  prompt        AwaitingResult  -> 0001000B915121551532F40000\x1a
        AwaitingPrompt  probe answer  Ready           urc ["+CMEE: 1"] = Unknown; failed PromptRefused(Ok)
        AwaitingPrompt  deadline      Draining        failed TimedOut { payload_sent: false }; -> \x1b
        AwaitingPrompt  abort         AwaitingPrompt
        AwaitingPrompt  resynchronise AwaitingPrompt
        AwaitingPrompt  close         Closed          failed PortClosed { payload_sent: false }
        AwaitingResult  start         AwaitingResult  busy
        AwaitingResult  OK            Ready           finished [] OK
        AwaitingResult  ERROR         Ready           finished [] ERROR
        AwaitingResult  NO CARRIER    AwaitingResult  urc ["NO CARRIER"] = NoCarrier
        AwaitingResult  +CMGS: 1      AwaitingResult
        AwaitingResult  RING          AwaitingResult  urc ["RING"] = Ring(Unspecified)
        AwaitingResult  prompt        AwaitingResult
        AwaitingResult  probe answer  Ready           urc ["+CMEE: 1"] = Unknown; finished [] OK
        AwaitingResult  deadline      Draining        failed TimedOut { payload_sent: true }; -> \x1b
        AwaitingResult  abort         AwaitingResult
        AwaitingResult  resynchronise AwaitingResult
        AwaitingResult  close         Closed          failed PortClosed { payload_sent: true }
        Aborting        start         Aborting        busy
        Aborting        OK            Ready           failed Aborted { payload_sent: false }
        Aborting        ERROR         Ready           failed Aborted { payload_sent: false }
        Aborting        NO CARRIER    Aborting        urc ["NO CARRIER"] = NoCarrier
        Aborting        +CMGS: 1      Aborting        urc ["+CMGS: 1"] = Unknown
        Aborting        RING          Aborting        urc ["RING"] = Ring(Unspecified)
        Aborting        prompt        Aborting
        Aborting        probe answer  Ready           urc ["+CMEE: 1"] = Unknown; failed Aborted { payload_sent: false }
        Aborting        deadline      Draining        failed TimedOut { payload_sent: false }
        Aborting        abort         Aborting
        Aborting        resynchronise Aborting
        Aborting        close         Closed          failed PortClosed { payload_sent: false }
        Draining        start         Draining        busy
        Draining        OK            Draining
        Draining        ERROR         Draining
        Draining        NO CARRIER    Draining        urc ["NO CARRIER"] = NoCarrier
        Draining        +CMGS: 1      Draining
        Draining        RING          Draining        urc ["RING"] = Ring(Unspecified)
        Draining        prompt        Draining        -> \x1b
        Draining        probe answer  Draining
        Draining        deadline      Probing         -> AT+CMEE?\r
        Draining        abort         Draining
        Draining        resynchronise Draining
        Draining        close         Closed
        Probing         start         Probing         busy
        Probing         OK            Probing
        Probing         ERROR         Probing
        Probing         NO CARRIER    Probing         urc ["NO CARRIER"] = NoCarrier
        Probing         +CMGS: 1      Probing
        Probing         RING          Probing         urc ["RING"] = Ring(Unspecified)
        Probing         prompt        Probing         -> \x1b
        Probing         probe answer  Ready           Resynchronised
        Probing         deadline      Probing         -> \x1b; -> AT+CFUN?\r
        Probing         abort         Probing
        Probing         resynchronise Probing
        Probing         close         Closed
        Closed          start         Closed          busy
        Closed          OK            Closed
        Closed          ERROR         Closed
        Closed          NO CARRIER    Closed
        Closed          +CMGS: 1      Closed
        Closed          RING          Closed
        Closed          prompt        Closed
        Closed          probe answer  Closed
        Closed          deadline      Closed
        Closed          abort         Closed
        Closed          resynchronise Draining        -> \x1b
        Closed          close         Closed
    "#]]
    .assert_eq(&table);
}
