//! What calls there are, as far as the module tells.
//!
//! The module reports calls in four voices that overlap, arrive late or not at all: `RING`, `+CLIP`, `VOICE CALL: …` and the
//! rows of `+CLCC`, unasked for after `AT+CLCC=1` or as a reply. [`CallTable`] folds them into one list. The list of current
//! calls (27.007 7.18) is the truth; the rest is only faster.

use std::fmt;

/// Index of a call in the list of current calls (27.007 7.18, `<idx>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallIndex(pub u8);

/// Identifies a call in a [`CallTable`]; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(u64);

/// Which side made the call (27.007 7.18, `<dir>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Mobile originated.
    Outgoing,
    /// Mobile terminated.
    Incoming,
}

/// State of a call (27.007 7.18, `<stat>`), and the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 0
    Active,
    /// 1
    Held,
    /// 2, mobile originated
    Dialing,
    /// 3, mobile originated
    Alerting,
    /// 4, mobile terminated
    Incoming,
    /// 5, mobile terminated
    Waiting,
    /// 6 in the module's own reports, or gone from the list.
    Disconnected,
}

/// Why a call ended, as far as the module tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Disconnected after it was active. Which side did it is not told.
    Released,
    /// An incoming call that stopped before it was answered.
    Unanswered,
    /// `BUSY`
    Busy,
    /// `NO ANSWER`
    NoAnswer,
    /// `NO CARRIER` or an error before it was active.
    NotConnected,
    /// The module went away.
    Lost,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its key in the table.
    pub key: CallKey,
    /// Its index, once the module listed it.
    pub index: Option<CallIndex>,
    /// Which side made it.
    pub direction: Direction,
    /// Its state.
    pub state: State,
    /// The other side; empty when withheld or not told yet.
    pub number: String,
    /// The other side's name, as the network knows it (27.007 7.30).
    pub name: String,
    /// The caller keeps the number back.
    pub withheld: bool,
    /// Rings so far.
    pub rings: u32,
    /// Why it ended.
    pub end: Option<End>,
    /// Full lists in which it was missing. One is not enough while it is set up: right after `ATD` and right after an answer
    /// the list lags.
    missing: u32,
    /// A full list showed it connected. From then on a list without it is its end.
    settled: bool,
}

/// One row of the list of current calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `<idx>`
    pub index: CallIndex,
    /// `<dir>`
    pub direction: Direction,
    /// `<stat>`; SIMCom reports 6 for a call that just ended.
    pub state: State,
    /// `<number>`
    pub number: Option<String>,
}

/// What the module said, or what was done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `RING` or `+CRING`.
    Ring,
    /// `+CLIP`, possibly with an empty number.
    CallerId(String),
    /// `+CLIP` of a caller who keeps the number back.
    CallerWithheld,
    /// `+CNAP`.
    CallerName(String),
    /// `+CCWA`: another call waits, possibly with an empty number.
    Waiting(String),
    /// A row that came unasked for. It speaks of its own call only.
    Reported(Row),
    /// The reply to `AT+CLCC`: every call there is.
    Listed(Vec<Row>),
    /// `VOICE CALL: BEGIN`.
    Begin,
    /// `VOICE CALL: END`, with or without a duration.
    Ended,
    /// `MISSED_CALL: …`.
    Missed,
    /// `ATD…;` was accepted for this number.
    DialAccepted(String),
    /// `NO CARRIER`.
    NoCarrier,
    /// `BUSY`.
    Busy,
    /// `NO ANSWER`.
    NoAnswer,
    /// The port or the module went away.
    Lost,
}

/// A full list must miss a call this often before the call counts as over.
const MISSING_LIMIT: u32 = 2;

/// The calls of one module.
#[derive(Clone, Debug, Default)]
pub struct CallTable {
    calls: Vec<Call>,
    next_key: u64,
    /// A report or the list told of an end, whose `VOICE CALL: END` may still come. It must not end another call.
    end_told: bool,
}

impl CallTable {
    /// The calls that are not over.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Folds in one input and returns every call that changed, in its new state. A call that is over is returned once, with
    /// its end, and forgotten.
    pub fn apply(&mut self, input: Input) -> Vec<Call> {
        let before = self.calls.clone();
        match input {
            Input::Ring => self.ring(),
            Input::CallerId(number) => self.caller_id(number),
            Input::CallerWithheld => self.caller_withheld(),
            Input::CallerName(name) => self.caller_name(name),
            Input::Waiting(number) => self.waiting(number),
            Input::Reported(row) => self.row(row),
            Input::Listed(rows) => self.listed(rows),
            Input::Begin => self.begin(),
            Input::Ended if std::mem::take(&mut self.end_told) => {}
            Input::Ended => self.end_one(|call| call.state != State::Held, End::Released),
            Input::Missed => self.end_one(Call::is_ringing, End::Unanswered),
            Input::DialAccepted(number) => self.dialled(number),
            Input::NoCarrier => self.end_one(|call| call.state != State::Held, End::NotConnected),
            Input::Busy => self.end_one(Call::is_outgoing_setup, End::Busy),
            Input::NoAnswer => self.end_one(Call::is_outgoing_setup, End::NoAnswer),
            Input::Lost => self.calls.iter_mut().for_each(|call| call.finish(End::Lost)),
        }
        let changed = self
            .calls
            .iter()
            .filter(|call| !before.iter().any(|old| old.says_the_same(call)))
            .cloned()
            .collect();
        self.calls.retain(|call| call.state != State::Disconnected);
        changed
    }

    /// Forgets a call without its end: it is somebody else's from now on.
    pub fn forget(&mut self, key: CallKey) {
        self.calls.retain(|call| call.key != key);
    }

    fn add(&mut self, direction: Direction, state: State, number: String) -> &mut Call {
        let key = CallKey(self.next_key);
        self.next_key += 1;
        self.end_told = false;
        self.calls.push(Call {
            key,
            index: None,
            direction,
            state,
            number,
            name: String::new(),
            withheld: false,
            rings: 0,
            end: None,
            missing: 0,
            settled: false,
        });
        self.calls.last_mut().expect("a call was just pushed")
    }

    fn ring(&mut self) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.is_ringing()) {
            call.rings += 1;
        } else if self.calls.is_empty() {
            // An answered call can be followed by one more RING that was already on its way; only a module without any
            // live call can be called afresh. A second call is announced by +CCWA and listed as waiting, it does not ring.
            self.add(Direction::Incoming, State::Incoming, String::new()).rings = 1;
        }
    }

    fn caller_id(&mut self, number: String) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.is_ringing()) {
            if call.number.is_empty() {
                call.number = number;
            }
        } else if self.calls.is_empty() {
            self.add(Direction::Incoming, State::Incoming, number);
        }
    }

    fn caller_withheld(&mut self) {
        self.caller_id(String::new());
        if let Some(call) = self.calls.iter_mut().find(|call| call.is_ringing()) {
            call.withheld = call.number.is_empty();
        }
    }

    fn caller_name(&mut self, name: String) {
        // It comes after RING and +CLIP, and says nothing about which call it means: the one that rings.
        if let Some(call) = self.calls.iter_mut().find(|call| call.is_ringing()) {
            call.name = name;
        }
    }

    fn waiting(&mut self, number: String) {
        match self.calls.iter_mut().find(|call| call.is_ringing()) {
            Some(call) if call.number.is_empty() => call.number = number,
            Some(_) => {}
            None => {
                self.add(Direction::Incoming, State::Waiting, number);
            }
        }
    }

    fn row(&mut self, row: Row) {
        let known = self
            .calls
            .iter()
            .position(|call| call.index == Some(row.index) && call.direction == row.direction)
            .or_else(|| {
                self.calls
                    .iter()
                    .position(|call| call.index.is_none() && call.direction == row.direction)
            });
        let call = match known {
            Some(position) => &mut self.calls[position],
            None if row.state == State::Disconnected => return,
            None => self.add(row.direction, row.state, String::new()),
        };
        call.index = Some(row.index);
        call.missing = 0;
        if let Some(number) = row.number.filter(|number| !number.is_empty() && call.number.is_empty()) {
            call.number = number;
        }
        if row.state == State::Disconnected && call.is_outgoing_setup() {
            // Why it failed follows as a result code of its own (BUSY, NO ANSWER); if none comes, the next list ends the call.
            call.missing = MISSING_LIMIT - 1;
        } else if row.state == State::Disconnected {
            call.finish(call.natural_end());
            self.end_told = true;
        } else if !call.is_behind(row.state) {
            call.state = row.state;
        }
    }

    fn listed(&mut self, rows: Vec<Row>) {
        for call in &mut self.calls {
            if !rows
                .iter()
                .any(|row| row.direction == call.direction && call.index.is_none_or(|index| index == row.index))
            {
                call.missing += 1;
                if call.settled || call.missing >= MISSING_LIMIT {
                    call.finish(call.natural_end());
                }
            }
        }
        for row in rows {
            let (index, connected) = (row.index, matches!(row.state, State::Active | State::Held));
            self.row(row);
            let listed = self.calls.iter_mut().find(|call| call.index == Some(index));
            if let Some(call) = listed.filter(|_| connected) {
                call.settled = true;
            }
        }
    }

    fn begin(&mut self) {
        let starting = |call: &&mut Call| call.is_ringing() || call.is_outgoing_setup();
        if let Some(call) = self.calls.iter_mut().find(starting) {
            call.state = State::Active;
        }
    }

    fn dialled(&mut self, number: String) {
        // The report of the new call can come before the OK of the command that made it.
        match self.calls.iter_mut().find(|call| call.is_outgoing_setup()) {
            Some(call) => call.number = number,
            None => {
                self.add(Direction::Outgoing, State::Dialing, number);
            }
        }
    }

    /// Ends the only call that can be meant. With several, only the next list can tell which.
    fn end_one(&mut self, may_be_meant: impl Fn(&Call) -> bool, end: End) {
        let mut meant = self.calls.iter_mut().filter(|call| may_be_meant(call));
        if let (Some(call), None) = (meant.next(), meant.next()) {
            let end = match (end, call.natural_end()) {
                (End::Released | End::NotConnected, natural) => natural,
                (told, _) => told,
            };
            call.finish(end);
        }
    }
}

impl Call {
    fn is_ringing(&self) -> bool {
        matches!(self.state, State::Incoming | State::Waiting)
    }

    fn is_outgoing_setup(&self) -> bool {
        matches!(self.state, State::Dialing | State::Alerting)
    }

    /// A report that was overtaken by a faster voice: an active call does not ring again.
    fn is_behind(&self, reported: State) -> bool {
        matches!(self.state, State::Active | State::Held)
            && matches!(
                reported,
                State::Incoming | State::Waiting | State::Dialing | State::Alerting
            )
    }

    fn natural_end(&self) -> End {
        match self.state {
            State::Incoming | State::Waiting => End::Unanswered,
            State::Dialing | State::Alerting => End::NotConnected,
            State::Active | State::Held | State::Disconnected => End::Released,
        }
    }

    fn finish(&mut self, end: End) {
        self.state = State::Disconnected;
        self.end = Some(end);
    }

    fn says_the_same(&self, other: &Call) -> bool {
        self.key == other.key
            && self.state == other.state
            && self.number == other.number
            && self.name == other.name
            && self.withheld == other.withheld
            && self.rings == other.rings
            && self.end == other.end
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Active => "active",
            State::Held => "held",
            State::Dialing => "dialing",
            State::Alerting => "alerting",
            State::Incoming => "incoming",
            State::Waiting => "waiting",
            State::Disconnected => "disconnected",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn row(index: u8, direction: Direction, state: State, number: &str) -> Row {
        Row {
            index: CallIndex(index),
            direction,
            state,
            number: Some(number.to_owned()).filter(|n| !n.is_empty()),
        }
    }

    fn reported(direction: Direction, state: State) -> Input {
        Input::Reported(row(1, direction, state, "+491520000000"))
    }

    fn told(changes: &[Call]) -> String {
        let one = |call: &Call| {
            let end = call.end.map(|end| format!(" ({end:?})")).unwrap_or_default();
            format!(
                "{} {:?}{end} rings {} {}",
                call.state, call.direction, call.rings, call.number
            )
        };
        changes.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    fn check(inputs: impl IntoIterator<Item = Input>, expected: Expect) {
        let mut table = CallTable::default();
        let lines: Vec<String> = inputs
            .into_iter()
            .map(|input| format!("{input:?} -> {}\n", told(&table.apply(input.clone()))))
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn incoming_call_as_a_sim7600_tells_it() {
        use Direction::Incoming as In;
        check(
            [
                Input::Ring,
                Input::CallerId("+491520000000".into()),
                reported(In, State::Incoming),
                Input::Ring,
                Input::Begin,
                reported(In, State::Active),
                Input::Ring,
                reported(In, State::Disconnected),
                Input::Ended,
            ],
            expect![[r#"
                Ring -> incoming Incoming rings 1 
                CallerId("+491520000000") -> incoming Incoming rings 1 +491520000000
                Reported(Row { index: CallIndex(1), direction: Incoming, state: Incoming, number: Some("+491520000000") }) -> 
                Ring -> incoming Incoming rings 2 +491520000000
                Begin -> active Incoming rings 2 +491520000000
                Reported(Row { index: CallIndex(1), direction: Incoming, state: Active, number: Some("+491520000000") }) -> 
                Ring -> 
                Reported(Row { index: CallIndex(1), direction: Incoming, state: Disconnected, number: Some("+491520000000") }) -> disconnected Incoming (Released) rings 2 +491520000000
                Ended -> 
            "#]],
        );
    }

    #[test]
    fn the_cause_of_a_failed_attempt_comes_after_the_report_of_its_end() {
        use Direction::Outgoing as Out;
        check(
            [
                Input::DialAccepted("+491520000000".into()),
                reported(Out, State::Dialing),
                reported(Out, State::Disconnected),
                Input::Busy,
            ],
            expect![[r#"
                DialAccepted("+491520000000") -> dialing Outgoing rings 0 +491520000000
                Reported(Row { index: CallIndex(1), direction: Outgoing, state: Dialing, number: Some("+491520000000") }) -> 
                Reported(Row { index: CallIndex(1), direction: Outgoing, state: Disconnected, number: Some("+491520000000") }) -> 
                Busy -> disconnected Outgoing (Busy) rings 0 +491520000000
            "#]],
        );
        check(
            [
                Input::DialAccepted("+491520000000".into()),
                reported(Out, State::Disconnected),
                Input::Listed(Vec::new()),
            ],
            expect![[r#"
                DialAccepted("+491520000000") -> dialing Outgoing rings 0 +491520000000
                Reported(Row { index: CallIndex(1), direction: Outgoing, state: Disconnected, number: Some("+491520000000") }) -> 
                Listed([]) -> disconnected Outgoing (NotConnected) rings 0 +491520000000
            "#]],
        );
    }

    #[test]
    fn outgoing_call_whose_report_overtakes_the_ok() {
        use Direction::Outgoing as Out;
        check(
            [
                Input::Reported(row(1, Out, State::Dialing, "")),
                Input::DialAccepted("+491520000000".into()),
                reported(Out, State::Alerting),
                Input::Begin,
                Input::Ended,
            ],
            expect![[r#"
                Reported(Row { index: CallIndex(1), direction: Outgoing, state: Dialing, number: None }) -> dialing Outgoing rings 0 
                DialAccepted("+491520000000") -> dialing Outgoing rings 0 +491520000000
                Reported(Row { index: CallIndex(1), direction: Outgoing, state: Alerting, number: Some("+491520000000") }) -> alerting Outgoing rings 0 +491520000000
                Begin -> active Outgoing rings 0 +491520000000
                Ended -> disconnected Outgoing (Released) rings 0 +491520000000
            "#]],
        );
    }

    #[test]
    fn call_that_the_list_misses_once_is_still_alive() {
        check(
            [
                Input::DialAccepted("123".into()),
                Input::Listed(vec![]),
                Input::Listed(vec![row(1, Direction::Outgoing, State::Active, "123")]),
                Input::Listed(vec![]),
                Input::Listed(vec![]),
            ],
            expect![[r#"
                DialAccepted("123") -> dialing Outgoing rings 0 123
                Listed([]) -> 
                Listed([Row { index: CallIndex(1), direction: Outgoing, state: Active, number: Some("123") }]) -> active Outgoing rings 0 123
                Listed([]) -> disconnected Outgoing (Released) rings 0 123
                Listed([]) -> 
            "#]],
        );
    }

    #[test]
    fn waiting_call_is_told_by_its_report_or_by_the_list() {
        use Direction::Incoming as In;
        check(
            [
                reported(In, State::Active),
                Input::Waiting("+4930".into()),
                Input::Reported(row(2, In, State::Waiting, "+4930")),
                Input::CallerName("Hotel".into()),
                Input::Listed(vec![
                    row(1, In, State::Held, "+491520000000"),
                    row(2, In, State::Active, "+4930"),
                ]),
                Input::Listed(vec![row(2, In, State::Active, "+4930")]),
            ],
            expect![[r#"
                Reported(Row { index: CallIndex(1), direction: Incoming, state: Active, number: Some("+491520000000") }) -> active Incoming rings 0 +491520000000
                Waiting("+4930") -> waiting Incoming rings 0 +4930
                Reported(Row { index: CallIndex(2), direction: Incoming, state: Waiting, number: Some("+4930") }) -> 
                CallerName("Hotel") -> waiting Incoming rings 0 +4930
                Listed([Row { index: CallIndex(1), direction: Incoming, state: Held, number: Some("+491520000000") }, Row { index: CallIndex(2), direction: Incoming, state: Active, number: Some("+4930") }]) -> held Incoming rings 0 +491520000000; active Incoming rings 0 +4930
                Listed([Row { index: CallIndex(2), direction: Incoming, state: Active, number: Some("+4930") }]) -> disconnected Incoming (Released) rings 0 +491520000000
            "#]],
        );
    }

    #[test]
    fn end_that_was_reported_does_not_end_the_other_call_as_well() {
        use Direction::Incoming as In;
        let mut table = CallTable::default();
        table.apply(reported(In, State::Active));
        table.apply(Input::Waiting("+4930".into()));
        table.apply(Input::Reported(row(2, In, State::Waiting, "+4930")));
        let changed = table.apply(Input::Reported(row(2, In, State::Disconnected, "+4930")));
        assert_eq!(told(&changed), "disconnected Incoming (Unanswered) rings 0 +4930");
        assert_eq!(table.apply(Input::Ended), [], "it speaks of the call that is over");
        assert_eq!(table.calls().len(), 1);
        assert_eq!(table.apply(Input::Ended).len(), 1, "and this one of the other");
    }

    #[test]
    fn number_that_is_kept_back_is_not_one_that_is_not_known_yet() {
        let mut table = CallTable::default();
        table.apply(Input::Ring);
        assert!(!table.calls()[0].withheld);
        let changed = table.apply(Input::CallerWithheld);
        assert!(changed.len() == 1 && changed[0].withheld && changed[0].number.is_empty());
    }

    #[test]
    fn end_of_one_of_two_calls_waits_for_the_list() {
        let mut table = CallTable::default();
        table.apply(reported(Direction::Incoming, State::Active));
        table.apply(Input::Reported(row(2, Direction::Incoming, State::Waiting, "+49301")));
        assert_eq!(table.apply(Input::Ended), []);
        table.apply(Input::Listed(vec![row(1, Direction::Incoming, State::Active, "")]));
        let changed = table.apply(Input::Listed(vec![row(1, Direction::Incoming, State::Active, "")]));
        assert_eq!(told(&changed), "disconnected Incoming (Unanswered) rings 0 +49301");
        assert_eq!(table.calls().len(), 1);
    }

    /// Every state against every input: a changed transition shows as a changed line.
    #[test]
    fn transitions() {
        use Direction::{Incoming as In, Outgoing as Out};
        let starts = [
            ("none", None),
            ("dialing", Some((Out, State::Dialing))),
            ("alerting", Some((Out, State::Alerting))),
            ("incoming", Some((In, State::Incoming))),
            ("active", Some((In, State::Active))),
            ("held", Some((In, State::Held))),
        ];
        let inputs = [
            ("ring", Input::Ring),
            ("caller id", Input::CallerId("1".into())),
            ("begin", Input::Begin),
            ("ended", Input::Ended),
            ("missed", Input::Missed),
            ("dialled", Input::DialAccepted("2".into())),
            ("no carrier", Input::NoCarrier),
            ("busy", Input::Busy),
            ("no answer", Input::NoAnswer),
            ("lost", Input::Lost),
        ];
        let mut lines = String::new();
        for (name, start) in starts {
            for (what, input) in &inputs {
                let mut table = CallTable::default();
                if let Some((direction, state)) = start {
                    table.apply(Input::Reported(row(1, direction, state, "9")));
                }
                let changed = table.apply(input.clone());
                let result = changed.first().map_or("-".to_owned(), |call| {
                    format!("{} {:?}", call.state, call.end).replace(" None", "")
                });
                lines += &format!("{name} + {what} = {result}\n");
            }
        }
        expect![[r#"
            none + ring = incoming
            none + caller id = incoming
            none + begin = -
            none + ended = -
            none + missed = -
            none + dialled = dialing
            none + no carrier = -
            none + busy = -
            none + no answer = -
            none + lost = -
            dialing + ring = -
            dialing + caller id = -
            dialing + begin = active
            dialing + ended = disconnected Some(NotConnected)
            dialing + missed = -
            dialing + dialled = dialing
            dialing + no carrier = disconnected Some(NotConnected)
            dialing + busy = disconnected Some(Busy)
            dialing + no answer = disconnected Some(NoAnswer)
            dialing + lost = disconnected Some(Lost)
            alerting + ring = -
            alerting + caller id = -
            alerting + begin = active
            alerting + ended = disconnected Some(NotConnected)
            alerting + missed = -
            alerting + dialled = alerting
            alerting + no carrier = disconnected Some(NotConnected)
            alerting + busy = disconnected Some(Busy)
            alerting + no answer = disconnected Some(NoAnswer)
            alerting + lost = disconnected Some(Lost)
            incoming + ring = incoming
            incoming + caller id = -
            incoming + begin = active
            incoming + ended = disconnected Some(Unanswered)
            incoming + missed = disconnected Some(Unanswered)
            incoming + dialled = dialing
            incoming + no carrier = disconnected Some(Unanswered)
            incoming + busy = -
            incoming + no answer = -
            incoming + lost = disconnected Some(Lost)
            active + ring = -
            active + caller id = -
            active + begin = -
            active + ended = disconnected Some(Released)
            active + missed = -
            active + dialled = dialing
            active + no carrier = disconnected Some(Released)
            active + busy = -
            active + no answer = -
            active + lost = disconnected Some(Lost)
            held + ring = -
            held + caller id = -
            held + begin = -
            held + ended = -
            held + missed = -
            held + dialled = dialing
            held + no carrier = -
            held + busy = -
            held + no answer = -
            held + lost = disconnected Some(Lost)
        "#]]
        .assert_eq(&lines);
    }
}
