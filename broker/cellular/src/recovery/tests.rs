use std::fmt::Write as _;

use expect_test::expect;
use proptest::prelude::*;

use super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to begin with; all others are sums"
)]
fn start() -> Instant {
    // Far enough from the beginning of the clock that an hour before it exists.
    Instant::now() + Duration::from_secs(100_000)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Without jitter, so that instants can be written down.
fn shown(decision: Decision, since: Instant) -> String {
    let after = |until: Instant| format!("{} s", (until - since).as_secs() / 60 * 60);
    match decision {
        Decision::Nothing => "-".to_owned(),
        Decision::Take(step) => format!("take {step:?}"),
        Decision::Wait(until) => format!("wait about {}", after(until)),
        Decision::GiveUp(until) => format!("give up for about {}", after(until)),
    }
}

fn name(state: State) -> String {
    match state {
        State::Well => "Well".to_owned(),
        State::Trying { step, .. } => format!("Trying {step:?}"),
        State::Waiting { step, .. } => format!("Waiting {step:?}"),
        State::Held { step, .. } => format!("Held {step:?}"),
        State::GaveUp { .. } => "GaveUp".to_owned(),
    }
}

fn in_state(state: State, now: Instant) -> Ladder {
    let mut ladder = Ladder::new(Policy::default(), 1);
    if let State::Trying { step, evidence } | State::Waiting { step, evidence, .. } = state {
        ladder.begin(now, step, evidence);
    }
    ladder.state = state;
    ladder
}

/// Every state with every event: the whole table.
#[test]
fn transitions() {
    let now = start();
    let evidence = Evidence::ProbeUnanswered;
    let mut states = vec![State::Well];
    for step in Step::ALL {
        states.push(State::Trying { step, evidence });
        states.push(State::Held { step, since: now });
    }
    let until = now + seconds(30);
    states.push(State::Waiting {
        step: Step::ResetModule,
        until,
        evidence,
    });
    states.push(State::GaveUp { until, evidence });

    type Event<'a> = Box<dyn Fn(&mut Ladder) -> Decision + 'a>;
    let mut events: Vec<(String, Event<'_>)> = Evidence::ALL
        .into_iter()
        .map(|evidence| {
            let event: Event<'_> = Box::new(move |ladder| ladder.trouble(now + seconds(5), evidence));
            (format!("{evidence:?}"), event)
        })
        .collect();
    events.push(("failed".into(), Box::new(|ladder| ladder.failed(now + seconds(5)))));
    events.push((
        "impossible".into(),
        Box::new(|ladder| ladder.impossible(now + seconds(5))),
    ));
    events.push((
        "answered".into(),
        Box::new(|ladder| {
            ladder.answered(now + seconds(5));
            Decision::Nothing
        }),
    ));
    events.push(("due early".into(), Box::new(|ladder| ladder.due(now + seconds(5)))));
    events.push(("due".into(), Box::new(|ladder| ladder.due(now + seconds(60)))));
    events.push((
        "replugged".into(),
        Box::new(|ladder| {
            ladder.replugged();
            Decision::Nothing
        }),
    ));

    let mut table = String::new();
    for state in states {
        writeln!(table, "{}", name(state)).unwrap();
        for (event, happen) in &events {
            let mut ladder = in_state(state, now);
            let decision = happen(&mut ladder);
            if decision == Decision::Nothing && ladder.state == state {
                continue;
            }
            writeln!(
                table,
                "  {event:<18} {:<26} {}",
                shown(decision, now),
                name(ladder.state)
            )
            .unwrap();
        }
    }
    expect_test::expect_file!["transitions.txt"].assert_eq(&table);
}

#[test]
fn a_module_that_nothing_helps_is_climbed_once_and_given_up() {
    let mut ladder = Ladder::new(Policy::default(), 1);
    let mut now = start();
    let began = now;
    let mut story = String::new();
    let mut decision = ladder.trouble(now, Evidence::CommandUnanswered);
    for _ in 0..9 {
        writeln!(story, "{}", shown(decision, began)).unwrap();
        now += seconds(5);
        decision = match decision {
            Decision::Take(Step::SwitchPort | Step::CycleRadio) => ladder.impossible(now),
            Decision::Take(_) => ladder.trouble(now, Evidence::ProbeUnanswered),
            Decision::Wait(until) => {
                now = until;
                ladder.due(now)
            }
            Decision::Nothing | Decision::GiveUp(_) => break,
        };
    }
    expect![[r#"
        take Resynchronise
        take ReopenPort
        take SwitchPort
        take CycleRadio
        take ResetModule
        take CycleUsb
        take PowerHook
        give up for about 960 s
    "#]]
    .assert_eq(&story);
    assert_eq!(
        ladder.counter(Step::SwitchPort).attempts,
        0,
        "what cannot be done does not count"
    );
}

#[test]
fn a_relapse_goes_on_upwards_and_a_minute_of_service_begins_anew() {
    let now = start();
    let mut ladder = Ladder::new(Policy::default(), 1);
    let evidence = Evidence::CommandUnanswered;
    assert_eq!(ladder.trouble(now, evidence), Decision::Take(Step::Resynchronise));
    ladder.answered(now + seconds(1));
    assert_eq!(
        ladder.trouble(now + seconds(20), evidence),
        Decision::Take(Step::ReopenPort)
    );
    ladder.answered(now + seconds(21));
    assert_eq!(
        ladder.trouble(now + seconds(82), evidence),
        Decision::Take(Step::Resynchronise)
    );
    assert_eq!(ladder.counter(Step::ReopenPort).successes, 1);
    assert_eq!(ladder.counter(Step::Resynchronise).successes, 0);
}

#[test]
fn a_module_that_answers_never_loses_its_power() {
    for evidence in [Evidence::Refused, Evidence::CommandUnanswered] {
        let mut now = start();
        let mut ladder = Ladder::new(Policy::default(), 7);
        for _ in 0..2000 {
            now += seconds(7);
            ladder.trouble(now, evidence);
            ladder.due(now);
        }
        for step in [Step::CycleUsb, Step::PowerHook] {
            assert_eq!(ladder.counter(step).attempts, 0, "{evidence:?} {step:?}");
        }
    }
}

/// What an earlier process did counts: a broker that is restarted in a loop does not reset the module in a loop.
#[test]
fn uses_of_an_earlier_process_count() {
    let now = start();
    let mut ladder = Ladder::new(Policy::default(), 1);
    for minutes in [50, 40, 30, 20] {
        ladder.remember(Step::ResetModule, now - seconds(minutes * 60));
    }
    ladder.remember(Step::ResetModule, now - seconds(70 * 60));
    assert_eq!(ladder.budget_left(Step::ResetModule, now), 0);
    assert_eq!(ladder.budget_left(Step::ResetModule, now + seconds(11 * 60)), 1);
    assert_eq!(ladder.counter(Step::ResetModule).attempts, 0);
}

#[test]
fn giving_up_rests_longer_each_time_and_a_new_plug_in_begins_anew() {
    let mut now = start();
    let mut ladder = Ladder::new(Policy::default(), 1);
    let mut rests = Vec::new();
    for _ in 0..4 {
        let decision = loop {
            match ladder.trouble(now, Evidence::Vanished) {
                Decision::GiveUp(until) => break until,
                Decision::Wait(until) => now = until,
                Decision::Take(_) | Decision::Nothing => now += seconds(1),
            }
        };
        rests.push(decision - now);
        now = decision;
    }
    assert!(rests.is_sorted(), "{rests:?}");
    ladder.replugged();
    assert_eq!(ladder.state(), State::Well);
}

proptest! {
    /// Whatever happens, no step is used beyond its budget within any window.
    #[test]
    fn budgets_hold(seed: u64, events in proptest::collection::vec((0_u8..10, 0_u64..120), 1..400)) {
        let mut now = start();
        let policy = Policy::default();
        let mut ladder = Ladder::new(policy.clone(), seed);
        let mut taken: Vec<(Instant, Step)> = Vec::new();
        for (event, pause) in events {
            now += seconds(pause);
            let decision = match event {
                0..6 => ladder.trouble(now, Evidence::ALL[usize::from(event)]),
                6 => ladder.failed(now),
                7 => {
                    ladder.answered(now);
                    Decision::Nothing
                }
                8 => ladder.due(now),
                _ => {
                    ladder.replugged();
                    Decision::Nothing
                }
            };
            if let Decision::Take(step) = decision {
                taken.push((now, step));
                let recent = taken.iter().filter(|(at, used)| *used == step && now - *at < policy.window);
                prop_assert!(recent.count() <= policy.budgets[step as usize] as usize);
            }
        }
    }
}
