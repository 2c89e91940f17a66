//! The crash proof in short; `cargo run --release -p end_to_end --bin crash -- --runs 500` is the long one.

use end_to_end::crash::{self, Account, Plan};

/// Kills for the even seeds, a modem that misbehaves as well for the odd ones.
const SEEDS: std::ops::Range<u64> = 100..106;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_sent_twice_however_the_broker_ends() -> anyhow::Result<()> {
    let mut account = Account::default();
    for seed in SEEDS {
        let plan = if seed % 2 == 0 {
            Plan::of_kills(seed)
        } else {
            Plan::of_mishaps(seed)
        };
        let verdict = crash::run(&plan).await?;
        assert!(
            verdict.is_clean(),
            "seed {seed}: {:#?}\n{}",
            verdict.violations,
            verdict.log
        );
        account.add(&verdict.account);
    }
    let promised = (
        account.lost,
        account.doubled,
        account.sent_twice,
        account.untrue,
        account.archive_violations,
    );
    assert_eq!(promised, (0, 0, 0, 0, 0), "{account:?}");
    assert!(account.kills_at_a_command > 0 && account.other_kills > 0, "{account:?}");
    Ok(())
}
