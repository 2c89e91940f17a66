use futures_util::StreamExt as _;
use tempfile::TempDir;
use tonic::Code;

use super::*;
use crate::resource::{Change, Dtmf};

struct Fixture {
    events: Events,
    stop: watch::Sender<bool>,
    _directory: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("broker.db");
        // Counted from one, so that a test can name its events.
        let store = Store::open_beginning_at(&path, Sequence(0)).await.unwrap();
        let (stop, shutdown) = watch::channel(false);
        Self {
            events: Events::new(store, Arc::default(), shutdown),
            stop,
            _directory: directory,
        }
    }

    async fn append(&self, count: usize) {
        for _ in 0..count {
            let change = Change::Dtmf(Dtmf {
                call_id: "c".into(),
                tone: '1',
            });
            self.events.store.append("sim1", change).await.unwrap();
        }
    }

    async fn watch(&self, start: Start) -> Result<ResponseStream<WatchEventsResponse>, Status> {
        let request = WatchEventsRequest {
            start: Some(start),
            filter: None,
            ..Default::default()
        };
        self.events
            .watch_events(Request::new(request))
            .await
            .map(Response::into_inner)
    }
}

fn sequences(response: &WatchEventsResponse) -> Vec<u64> {
    response.events.iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn a_watch_replays_and_follows_on_one_path() {
    let fixture = Fixture::new().await;
    fixture.append(300).await;
    let mut watch = fixture.watch(Start::Cursor(0)).await.unwrap();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.events.len(), first.cursor, first.caught_up), (256, 256, false));
    let second = watch.next().await.unwrap().unwrap();
    assert_eq!((second.events.len(), second.cursor, second.caught_up), (44, 300, true));
    let (live, ()) = tokio::join!(watch.next(), fixture.append(1));
    assert_eq!(sequences(&live.unwrap().unwrap()), [301]);
}

#[tokio::test]
async fn a_watch_from_now_says_at_once_where_now_is() {
    let fixture = Fixture::new().await;
    fixture.append(3).await;
    let mut watch = fixture.watch(Start::Now(Default::default())).await.unwrap();
    let checkpoint = watch.next().await.unwrap().unwrap();
    assert_eq!(
        (sequences(&checkpoint), checkpoint.cursor, checkpoint.caught_up),
        (vec![], 3, true)
    );
    fixture.append(1).await;
    assert_eq!(sequences(&watch.next().await.unwrap().unwrap()), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_gets_checkpoints_that_pass_over_what_it_does_not_want() {
    let fixture = Fixture::new().await;
    let filter = EventFilter {
        kinds: vec![EventKind::Wan.into()],
        modems: vec![],
    };
    let request = WatchEventsRequest {
        start: Some(Start::Cursor(0)),
        filter: Some(filter),
        ..Default::default()
    };
    let mut watch = fixture
        .events
        .watch_events(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(watch.next().await.unwrap().unwrap().caught_up);
    fixture.append(5).await;
    let before = tokio::time::Instant::now();
    let checkpoint = watch.next().await.unwrap().unwrap();
    assert_eq!(
        (checkpoint.events.len(), checkpoint.cursor, checkpoint.caught_up),
        (0, 5, true)
    );
    assert!(before.elapsed() <= Duration::from_secs(30), "the contract's promise");
}

#[tokio::test]
async fn a_consumer_starts_where_it_committed() {
    let fixture = Fixture::new().await;
    fixture.append(4).await;
    let mut watch = fixture.watch(Start::Consumer("vps".into())).await.unwrap();
    assert_eq!(sequences(&watch.next().await.unwrap().unwrap()), [1, 2, 3, 4]);
    let commit = |consumer: &str, cursor| {
        let request = CommitCursorRequest {
            consumer: consumer.into(),
            cursor,
            rewind: false,
        };
        fixture.events.commit_cursor(Request::new(request))
    };
    assert_eq!(commit("vps", 3).await.unwrap().into_inner().cursor, 3);
    assert_eq!(commit("vps", 2).await.unwrap().into_inner().cursor, 3);
    let mut watch = fixture.watch(Start::Consumer("vps".into())).await.unwrap();
    assert_eq!(sequences(&watch.next().await.unwrap().unwrap()), [4]);
    assert_eq!(
        commit("No such name", 1).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(commit("vps", 99).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_cursor_of_another_journal_is_refused_before_the_stream_begins() {
    let fixture = Fixture::new().await;
    let Err(status) = fixture.watch(Start::Cursor(7)).await else {
        panic!("accepted")
    };
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_shutdown_ends_a_waiting_watch_with_its_reason() {
    let fixture = Fixture::new().await;
    let mut watch = fixture.watch(Start::Now(Default::default())).await.unwrap();
    watch.next().await.unwrap().unwrap();
    let (ended, _) = tokio::join!(watch.next(), async { fixture.stop.send_replace(true) });
    assert_eq!(ended.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_list_is_bounded_and_begins_at_the_oldest_for_zero() {
    let fixture = Fixture::new().await;
    fixture.append(10).await;
    let list = |cursor, page_size| {
        let request = ListEventsRequest {
            cursor,
            page_size,
            filter: None,
        };
        fixture.events.list_events(Request::new(request))
    };
    let page = list(0, 4).await.unwrap().into_inner();
    assert_eq!((page.events.len(), page.cursor, page.caught_up), (4, 4, false));
    let page = list(4, 0).await.unwrap().into_inner();
    assert_eq!((page.events.len(), page.cursor, page.caught_up), (6, 10, true));
    assert_eq!(list(0, 1001).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn watches_that_are_never_read_take_a_bounded_memory_together() {
    let fixture = Fixture::new().await;
    let message = crate::resource::Message {
        text: "x".repeat(30_000),
        ..Default::default()
    };
    for _ in 0..100 {
        let change = Change::Message(message.clone());
        fixture.events.store.append("sim1", change).await.unwrap();
    }
    let (mut octets, mut watches) = (0, Vec::new());
    for _ in 0..100 {
        let mut watch = fixture.watch(Start::Cursor(0)).await.unwrap();
        // What the transport asks for before the client has read anything.
        let first = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
        if let Ok(Some(Ok(response))) = first {
            octets += prost::Message::encoded_len(&response);
            watches.push(watch);
        } else {
            break;
        }
    }
    assert!(
        (20..100).contains(&watches.len()),
        "{} watches got something",
        watches.len()
    );
    assert!(octets <= 3 * 1024 * 1024, "{octets}");
    // One of them is read: there is room for another one.
    drop(watches.pop());
    let mut watch = fixture.watch(Start::Cursor(0)).await.unwrap();
    assert!(!watch.next().await.unwrap().unwrap().events.is_empty());
}

#[test]
fn a_caller_sees_the_kinds_that_its_scopes_show_and_is_told_of_one_that_they_do_not() {
    let voice = Scopes::of(&[Scope::CallRead]);
    let of = |kinds: &[EventKind], scopes| {
        let kinds = kinds.iter().copied().map(i32::from).collect();
        permitted(
            EventFilter {
                kinds,
                modems: Vec::new(),
            },
            scopes,
        )
    };
    assert_eq!(of(&[], voice).unwrap().kinds, [i32::from(EventKind::Call)]);
    assert_eq!(of(&[], Scopes::ALL).unwrap().kinds, [] as [i32; 0]);
    assert!(of(&[EventKind::Call], voice).is_ok());
    let refused = of(&[EventKind::Call, EventKind::Message], voice).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("sms.read"), "{}", refused.message());
}
