use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn word(cell: Cell) -> &'static str {
    match cell {
        Cell::Beside => "-",
        Cell::Displaces => "ends it",
        Cell::Waits => "waits",
        Cell::Refused => "refused",
    }
}

/// Everything that can be wanted beside everything that can be under way: the whole table.
#[test]
fn table() {
    let mut table = String::from("Wanted, and what it does beside what is under way (-: both go on)\n\n");
    write!(table, "{:<18}", "").unwrap();
    for activity in Activity::ALL {
        write!(table, " {:<13}", format!("{activity:?}")).unwrap();
    }
    table.truncate(table.trim_end().len());
    table.push('\n');
    for wanted in Wanted::ALL {
        write!(table, "{:<18}", format!("{wanted:?}")).unwrap();
        for activity in Activity::ALL {
            write!(table, " {:<13}", word(cell(wanted, activity))).unwrap();
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    expect_test::expect_file!["table.txt"].assert_eq(&table);
}

fn some(activities: impl IntoIterator<Item = Activity>) -> Activities {
    let none = Activities::default();
    activities
        .into_iter()
        .fold(none, |all, activity| all.with(activity, true))
}

#[test]
fn a_call_ends_what_is_in_its_way_and_names_all_of_it() {
    let under_way = some([Activity::Scan, Activity::Terminal, Activity::Data]);
    let displaced = some([Activity::Terminal, Activity::Scan]);
    assert_eq!(decide(Wanted::IncomingCall, under_way), Verdict::Displace(displaced));
    assert_eq!(decide(Wanted::Dial, under_way), Verdict::Displace(displaced));
    let restarting = under_way.with(Activity::SimRestart, true);
    assert_eq!(decide(Wanted::Dial, restarting), Verdict::Refuse(Activity::SimRestart));
    assert_eq!(decide(Wanted::EmergencyCall, restarting), Verdict::Displace(displaced));
}

#[test]
fn a_refusal_counts_more_than_a_wait() {
    let under_way = some([Activity::Message, Activity::Ussd]);
    assert_eq!(decide(Wanted::Reset, under_way), Verdict::Refuse(Activity::Ussd));
    let message = under_way.without(Activity::Ussd);
    assert_eq!(decide(Wanted::Reset, message), Verdict::Wait(Activity::Message));
    assert_eq!(decide(Wanted::ForcedReset, under_way), Verdict::Begin);
}

proptest! {
    /// More under way never lets begin what was refused or had to wait.
    #[test]
    fn more_under_way_is_never_more_permissive(
        wanted in proptest::sample::select(&Wanted::ALL[..]),
        known in 0_u16..1 << 13,
        more in 0_u16..1 << 13,
    ) {
        let rank = |verdict| match verdict {
            Verdict::Begin => 0,
            Verdict::Displace(_) => 1,
            Verdict::Wait(_) => 2,
            Verdict::Refuse(_) => 3,
        };
        prop_assert!(rank(decide(wanted, Activities(known))) <= rank(decide(wanted, Activities(known | more))));
    }

    /// Whoever is told to wait or is refused is told of something that is under way.
    #[test]
    fn who_is_named_is_there(wanted in proptest::sample::select(&Wanted::ALL[..]), known in 0_u16..1 << 13) {
        let under_way = Activities(known);
        match decide(wanted, under_way) {
            Verdict::Begin => {}
            Verdict::Displace(displaced) => prop_assert!(displaced.iter().all(|activity| under_way.contains(activity))),
            Verdict::Wait(activity) | Verdict::Refuse(activity) => prop_assert!(under_way.contains(activity)),
        }
    }
}
