//! Events across lost connections, against the scripted broker.

use api::v1::event::Change;
use api::v1::{EventFilter, Sim};
use client::testing::FakeBroker;
use client::{Broker, Start, Update, Watch, WatchError};

async fn sequences(watch: &mut Watch, count: usize) -> (Vec<u64>, usize) {
    let (mut seen, mut interruptions) = (Vec::new(), 0);
    let reading = async {
        while seen.len() < count {
            match watch.next().await.unwrap() {
                Update::Batch(batch) => seen.extend(batch.events.iter().map(|event| event.sequence)),
                Update::Interrupted { .. } => interruptions += 1,
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), reading)
        .await
        .expect("the events should come");
    (seen, interruptions)
}

#[tokio::test]
async fn a_watch_continues_after_a_crash_without_gap_or_duplicate() {
    let mut fake = FakeBroker::start();
    let broker = Broker::connect(&fake.settings()).await.unwrap();
    let mut watch = Watch::new(broker, Start::Beginning, EventFilter::default());
    for _ in 0..3 {
        fake.append(Change::SimChanged(Sim::default()));
    }
    assert_eq!(sequences(&mut watch, 3).await, (vec![1, 2, 3], 0));

    fake.crash().await;
    for _ in 0..300 {
        fake.append(Change::SimChanged(Sim::default()));
    }
    assert!(matches!(watch.next().await.unwrap(), Update::Interrupted { .. }));
    fake.resume();
    let (seen, _) = sequences(&mut watch, 300).await;
    assert_eq!(seen, (4..=303).collect::<Vec<_>>());
    assert_eq!(watch.cursor(), Some(303));
}

#[tokio::test]
async fn a_lazy_connection_waits_for_a_broker_that_starts_later() {
    let mut fake = FakeBroker::start();
    let settings = fake.settings();
    fake.crash().await;
    let mut watch = Watch::new(
        Broker::connect_lazily(&settings).unwrap(),
        Start::Beginning,
        EventFilter::default(),
    );
    assert!(matches!(watch.next().await.unwrap(), Update::Interrupted { .. }));
    fake.append(Change::SimChanged(Sim::default()));
    fake.resume();
    assert_eq!(sequences(&mut watch, 1).await.0, [1]);
}

#[tokio::test]
async fn an_expired_cursor_is_told_and_not_retried() {
    let fake = FakeBroker::start();
    fake.with(|state| state.expired = 100);
    fake.append(Change::SimChanged(Sim::default()));
    let broker = Broker::connect(&fake.settings()).await.unwrap();
    let mut watch = Watch::new(broker.clone(), Start::Cursor(5), EventFilter::default());
    let error = watch.next().await.unwrap_err();
    assert!(
        matches!(error, WatchError::CursorExpired { oldest: Some(101), .. }),
        "{error}"
    );
    let mut watch = Watch::new(broker, Start::Beginning, EventFilter::default());
    assert_eq!(sequences(&mut watch, 1).await.0, [101]);
}
