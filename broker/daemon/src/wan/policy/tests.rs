use std::fmt::Write as _;

use super::*;

fn start() -> Instant {
    Instant::now() + Duration::from_secs(100_000)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A policy that is driven by the second, with a primary and a modem that are as they are told.
struct Rig {
    policy: Policy,
    begin: Instant,
    now: Instant,
    finding: Finding,
    attach: Option<Duration>,
    connecting: Option<Instant>,
    log: Vec<String>,
}

impl Rig {
    fn new(timing: Timing, mode: WanMode) -> Self {
        let begin = start();
        let mut rig = Self {
            policy: Policy::new(timing, begin, 7),
            begin,
            now: begin,
            finding: Finding::Good,
            attach: Some(seconds(1)),
            connecting: None,
            log: Vec::new(),
        };
        rig.take(Input::Link(Link::Up));
        rig.take(Input::Ready(true));
        rig.take(Input::Mode(mode));
        rig.pass(seconds(5));
        rig
    }

    fn take(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in self.policy.take(self.now, input) {
                match action {
                    Action::Probe(round, _) => inputs.push(Input::Probed(round, self.finding)),
                    Action::ProbeBackup(round) => inputs.push(Input::BackupProbed(round, true)),
                    Action::Connect => self.connecting = self.attach.map(|attach| self.now + attach),
                    Action::Disconnect => self.connecting = None,
                    Action::Use(role) => self.log.push(format!("{} {role:?}", (self.now - self.begin).as_secs())),
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(500);
            if self.connecting.is_some_and(|at| at <= self.now) {
                self.connecting = None;
                self.take(Input::Connected);
            }
            if self.policy.deadline().is_some_and(|at| at <= self.now) {
                self.take(Input::Due);
            }
        }
    }
}

fn name(policy: &Policy) -> String {
    let backup = match policy.backup {
        Backup::Down(_) => "Down".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{:?}, {backup}, uses {:?}", policy.primary, policy.role)
}

/// Every state of the primary and of the modem with every input: the whole table.
#[test]
fn transitions() {
    let now = start();
    let primaries = [
        Primary::Good,
        Primary::Suspect,
        Primary::Failed(Cause::Link(Link::Down)),
        Primary::Failed(Cause::Probes(Finding::NoAnswer)),
    ];
    let backups = [
        Backup::NotReady,
        Backup::Down(now + seconds(30)),
        Backup::Connecting,
        Backup::Up,
    ];
    let inputs = [
        Input::Mode(WanMode::Off),
        Input::Mode(WanMode::Standby),
        Input::Mode(WanMode::AlwaysOn),
        Input::Force(Some(WanRole::Primary)),
        Input::Force(Some(WanRole::Backup)),
        Input::Capped(true),
        Input::Link(Link::Up),
        Input::Link(Link::Down),
        Input::Link(Link::NoRoute),
        Input::Triggered,
        Input::Probed(7, Finding::Good),
        Input::Probed(7, Finding::NoAnswer),
        Input::Probed(7, Finding::NoNames),
        Input::Probed(7, Finding::Portal),
        Input::Probed(6, Finding::NoAnswer),
        Input::Ready(true),
        Input::Ready(false),
        Input::Connected,
        Input::NotConnected(false),
        Input::Lost(true),
        Input::BackupProbed(3, false),
        Input::Due,
    ];
    let mut table = String::new();
    for primary in primaries {
        for backup in backups {
            let mut policy = Policy::new(Timing::ADAPTIVE, now, 7);
            policy.mode = WanMode::Backup;
            policy.link = if primary == Primary::Failed(Cause::Link(Link::Down)) {
                Link::Down
            } else {
                Link::Up
            };
            policy.primary = primary;
            policy.backup = backup;
            policy.round = 7;
            policy.announced = 7;
            policy.probing = match primary {
                Primary::Good => Probing::Next(now + seconds(30)),
                Primary::Failed(Cause::Link(_)) => Probing::Idle,
                Primary::Suspect => Probing::UnderWay(7, Round::Burst),
                _ => Probing::UnderWay(7, Round::Single),
            };
            let failed = matches!(primary, Primary::Failed(_));
            if failed {
                policy.role = if backup == Backup::Up {
                    WanRole::Backup
                } else {
                    WanRole::None
                };
                policy.flaps = 1;
            } else if backup == Backup::Up {
                // The modem was just left, and is being disconnected.
                continue;
            }
            writeln!(table, "{}", name(&policy)).unwrap();
            for input in inputs {
                let mut after = policy.clone();
                let actions = after.take(now + seconds(1), input);
                let same = name(&after) == name(&policy) && after.probing == policy.probing;
                if same && actions.is_empty() {
                    continue;
                }
                let input = format!("{input:?}");
                writeln!(table, "  {input:<26} {:<58} {actions:?}", name(&after)).unwrap();
            }
        }
    }
    expect_test::expect_file!["transitions.txt"].assert_eq(&table);
}

/// Seconds from the fault to the failover, and from the healing to the return.
#[test]
fn each_profile_fails_over_and_returns_in_its_time() {
    for (name, timing, failover, back) in [
        // The hold counts from the last probe that failed, which is up to an interval before the healing.
        ("adaptive", Timing::ADAPTIVE, 1..=32, 50..=75),
        ("fast", Timing::FAST, 1..=3, 18..=25),
        ("guide", Timing::GUIDE, 61..=95, 1..=31),
    ] {
        let mut rig = Rig::new(timing, WanMode::Backup);
        assert_eq!(rig.log, [] as [&str; 0], "{name}: the primary works");
        rig.finding = Finding::NoAnswer;
        let fault = rig.now;
        while rig.policy.role() != WanRole::Backup && rig.now < fault + seconds(200) {
            rig.pass(seconds(1));
        }
        let took = (rig.now - fault).as_secs();
        assert!(failover.contains(&took), "{name}: {took} s");
        rig.pass(seconds(30));
        rig.finding = Finding::Good;
        let healed = rig.now;
        while rig.policy.role() != WanRole::Primary && rig.now < healed + seconds(200) {
            rig.pass(seconds(1));
        }
        let took = (rig.now - healed).as_secs();
        assert!(back.contains(&took), "{name}: back after {took} s");
    }
}

#[test]
fn what_the_kernel_says_needs_no_proof_and_a_trigger_needs_no_waiting() {
    let mut rig = Rig::new(Timing::GUIDE, WanMode::Standby);
    rig.take(Input::Link(Link::Down));
    assert_eq!(rig.policy.role(), WanRole::Backup, "warm: in the same turn");
    let mut rig = Rig::new(Timing::GUIDE, WanMode::Standby);
    rig.finding = Finding::NoNames;
    rig.take(Input::Triggered);
    assert_eq!(rig.policy.role(), WanRole::Backup);
}

#[test]
fn the_hold_doubles_while_the_primary_flaps_and_is_short_again_after_a_quiet_time() {
    let mut rig = Rig::new(Timing::ADAPTIVE, WanMode::Standby);
    let mut holds = Vec::new();
    for _ in 0..20 {
        rig.take(Input::Link(Link::Down));
        assert_eq!(rig.policy.role(), WanRole::Backup);
        holds.push(rig.policy.hold().as_secs());
        rig.take(Input::Link(Link::Up));
        rig.pass(rig.policy.hold() + seconds(40));
        assert_eq!(rig.policy.role(), WanRole::Primary);
    }
    assert_eq!(holds[..7], [60, 60, 120, 240, 480, 600, 600]);
    assert!(holds.iter().all(|hold| *hold <= 600));
    rig.pass(seconds(700));
    rig.take(Input::Link(Link::Down));
    assert_eq!(rig.policy.hold(), seconds(60));
}

#[test]
fn a_primary_that_fails_again_during_the_hold_begins_it_anew() {
    let mut rig = Rig::new(Timing::ADAPTIVE, WanMode::Standby);
    rig.take(Input::Link(Link::Down));
    rig.take(Input::Link(Link::Up));
    rig.pass(seconds(50));
    rig.finding = Finding::NoAnswer;
    rig.pass(seconds(20));
    rig.finding = Finding::Good;
    rig.pass(seconds(45));
    assert_eq!(rig.policy.role(), WanRole::Backup);
    rig.pass(seconds(40));
    assert_eq!(rig.policy.role(), WanRole::Primary);
}

#[test]
fn where_the_modem_never_took_over_a_primary_that_answers_is_used_at_once() {
    let mut rig = Rig::new(Timing::ADAPTIVE, WanMode::Backup);
    rig.attach = None;
    rig.take(Input::Link(Link::Down));
    assert_eq!(rig.policy.role(), WanRole::None);
    rig.take(Input::Link(Link::Up));
    assert_eq!(rig.policy.role(), WanRole::Primary);
    assert_eq!(rig.policy.backup(), Backup::Down(rig.now), "it was given up");
}

/// The reopening of a link that is kept up for ever: pauses double, and a permanent cause is tried every ten minutes.
#[test]
fn a_modem_that_is_always_on_is_connected_again_whatever_happens() {
    let mut rig = Rig::new(Timing::ADAPTIVE, WanMode::AlwaysOn);
    assert_eq!(rig.policy.role(), WanRole::Backup);
    rig.take(Input::Lost(false));
    assert_eq!(rig.policy.role(), WanRole::None);
    rig.pass(seconds(4));
    assert_eq!(rig.policy.role(), WanRole::Backup, "again");
    rig.take(Input::Lost(false));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let Backup::Down(at) = rig.policy.backup() else {
            panic!("{:?}", rig.policy.backup())
        };
        pauses.push((at - rig.now).as_millis() as u64);
        rig.now = at;
        rig.take(Input::Due);
        rig.take(Input::NotConnected(false));
    }
    for (pause, nominal) in pauses.iter().zip([1_u64, 2, 4, 8, 16, 32, 60, 60, 60]) {
        assert!((nominal * 740..nominal * 1260).contains(pause), "{pauses:?}");
    }
    let Backup::Down(at) = rig.policy.backup() else {
        panic!()
    };
    rig.now = at;
    rig.take(Input::Due);
    rig.take(Input::NotConnected(true));
    let Backup::Down(at) = rig.policy.backup() else {
        panic!()
    };
    assert!((at - rig.now).as_secs() > 400, "a permanent cause is slow");
    // As soon as the network changes its mind it is tried at once.
    rig.take(Input::Ready(false));
    rig.take(Input::Ready(true));
    assert_eq!(rig.policy.backup(), Backup::Connecting);
}

#[test]
fn a_cap_ends_the_use_of_the_modem_unless_it_is_forced() {
    let mut rig = Rig::new(Timing::ADAPTIVE, WanMode::Standby);
    rig.take(Input::Link(Link::Down));
    assert_eq!(rig.policy.role(), WanRole::Backup);
    rig.take(Input::Capped(true));
    assert_eq!((rig.policy.role(), rig.policy.wants_bearer()), (WanRole::None, false));
    rig.take(Input::Force(Some(WanRole::Backup)));
    rig.pass(seconds(3));
    assert_eq!(rig.policy.role(), WanRole::Backup);
    rig.take(Input::Force(None));
    assert_eq!(rig.policy.role(), WanRole::None);
    rig.take(Input::Capped(false));
    rig.pass(seconds(3));
    assert_eq!(rig.policy.role(), WanRole::Backup);
}

/// Whatever happens in whatever order: what is used is connected, and nothing is wanted while it is off.
#[test]
fn nothing_is_used_that_is_not_there() {
    let mut random = 1_u32;
    let mut draw = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let findings = [Finding::Good, Finding::NoAnswer, Finding::NoNames, Finding::Portal];
    let modes = [WanMode::Off, WanMode::Backup, WanMode::Standby, WanMode::AlwaysOn];
    let links = [Link::Absent, Link::Down, Link::NoRoute, Link::Up];
    let mut now = start();
    let mut policy = Policy::new(Timing::FAST, now, 3);
    let (mut round, mut backup_round) = (0, 0);
    for step in 0..50_000 {
        now += Duration::from_millis(u64::from(draw(3000)));
        let persistent = draw(2) == 0;
        let input = match draw(12) {
            0 => Input::Mode(modes[draw(4) as usize]),
            1 => Input::Link(links[draw(4) as usize]),
            2 => Input::Triggered,
            3 | 4 => Input::Probed(round, findings[draw(4) as usize]),
            5 => Input::Ready(draw(4) != 0),
            6 => Input::Connected,
            7 => Input::NotConnected(persistent),
            8 => Input::Lost(persistent),
            9 => Input::BackupProbed(backup_round, draw(3) != 0),
            10 => Input::Capped(draw(5) == 0),
            _ => Input::Force([None, None, Some(WanRole::Primary), Some(WanRole::Backup)][draw(4) as usize]),
        };
        let actions = policy.take(now, input);
        for action in &actions {
            match action {
                Action::Probe(number, _) => round = *number,
                Action::ProbeBackup(number) => backup_round = *number,
                _ => {}
            }
        }
        let state = name(&policy);
        if policy.role() == WanRole::Backup {
            assert_eq!(policy.backup(), Backup::Up, "{step} {input:?} {state}");
        }
        if policy.mode() == WanMode::Off {
            assert_eq!(
                (policy.role(), policy.wants_bearer()),
                (WanRole::Primary, false),
                "{step} {input:?}"
            );
        }
        if policy.primary() == Primary::Good && policy.forced().is_none() && policy.mode() != WanMode::AlwaysOn {
            assert_eq!(policy.role(), WanRole::Primary, "{step} {input:?} {state}");
        }
        // A deadline that has passed would make the actor spin.
        policy.take(now, Input::Due);
        assert!(
            policy.deadline().is_none_or(|at| at > now),
            "{step} {input:?} {}",
            name(&policy)
        );
    }
}
