//! The journal as clients see it: every event once, in order, from any point on, also across a restart.

use api::v1::event::Change;
use api::v1::watch_events_request::Start;
use api::v1::{
    CommitCursorRequest, ErrorReason, Event, EventFilter, EventKind, ListEventsRequest, ListMessagesRequest,
};
use end_to_end::{Journal, Rig, reason};
use tonic::Code;

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.change {
        Some(Change::MessageChanged(message)) => Some(message.text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

async fn receive(rig: &Rig, texts: &[&str]) -> anyhow::Result<()> {
    for text in texts {
        let mut news = rig.news().await?;
        rig.sim().deliver_text("+447700900123", text).await?;
        news.message("a message", |message| message.text == *text).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_from_any_cursor_is_the_rest_of_the_whole() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    receive(&rig, &["one", "two", "three"]).await?;
    let mut whole = rig.journal().await?;
    let events = whole.catch_up().await?.to_vec();
    let all = sequences(&events);
    assert!(
        all.is_sorted() && all.len() > 5 && all.windows(2).all(|pair| pair[0] != pair[1]),
        "{all:?}"
    );
    for cut in 1..events.len() {
        let mut rest = Journal::after(&rig.broker(), all[cut - 1]).await?;
        assert_eq!(rest.catch_up().await?, &events[cut..], "after {}", all[cut - 1]);
    }
    let mut paged = Vec::new();
    let mut cursor = 0;
    loop {
        let request = ListEventsRequest {
            cursor,
            page_size: 2,
            filter: None,
        };
        let page = rig.broker().events().list_events(request).await?.into_inner();
        paged.extend(page.events);
        cursor = page.cursor;
        if page.caught_up {
            break;
        }
    }
    assert_eq!(sequences(&paged), all);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_a_watch_from_its_cursor_have_no_gap() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    receive(&rig, &["before"]).await?;
    let listed = rig
        .broker()
        .sms()
        .list_messages(ListMessagesRequest::default())
        .await?
        .into_inner();
    assert_eq!(listed.messages.len(), 1);
    receive(&rig, &["after"]).await?;
    let mut watch = Journal::after(&rig.broker(), listed.cursor).await?;
    assert_eq!(texts(watch.catch_up().await?), ["after"]);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_continues_where_it_committed_also_after_a_restart() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let consumer = || Start::Consumer("archive".to_owned());
    let filter = || EventFilter {
        kinds: vec![EventKind::Message.into()],
        modems: Vec::new(),
    };
    receive(&rig, &["one"]).await?;
    let mut first = Journal::open(&rig.broker(), consumer(), filter()).await?;
    assert_eq!(
        texts(first.catch_up().await?),
        ["one"],
        "a new consumer starts at the oldest event"
    );
    let commit = CommitCursorRequest {
        consumer: "archive".to_owned(),
        cursor: first.cursor(),
        rewind: false,
    };
    let committed = rig
        .broker()
        .events()
        .commit_cursor(commit.clone())
        .await?
        .into_inner()
        .cursor;
    assert_eq!(committed, first.cursor());
    drop(first);
    receive(&rig, &["two"]).await?;
    rig.stop_broker().await?;
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    receive(&rig, &["three"]).await?;
    let mut second = Journal::open(&rig.broker(), consumer(), filter()).await?;
    assert_eq!(texts(second.catch_up().await?), ["two", "three"]);

    let back = CommitCursorRequest {
        cursor: committed - 1,
        ..commit
    };
    let kept = rig
        .broker()
        .events()
        .commit_cursor(back.clone())
        .await?
        .into_inner()
        .cursor;
    assert_eq!(kept, committed, "a position does not move back by accident");
    let rewound = rig
        .broker()
        .events()
        .commit_cursor(CommitCursorRequest { rewind: true, ..back })
        .await?
        .into_inner()
        .cursor;
    assert_eq!(rewound, committed - 1);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_lets_only_its_kinds_and_modems_pass() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    receive(&rig, &["one"]).await?;
    let beginning = || Start::Beginning(api::v1::WatchFromBeginning {});
    for (kinds, modems, passes) in [
        (vec![EventKind::Message], vec![], true),
        (vec![EventKind::Message, EventKind::Call], vec!["sim1"], true),
        (vec![EventKind::Message], vec!["another"], false),
        (vec![EventKind::Call], vec![], false),
        (vec![EventKind::Ussd], vec![], false),
    ] {
        let filter = EventFilter {
            kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
            modems: modems.iter().map(ToString::to_string).collect(),
        };
        let mut journal = Journal::open(&rig.broker(), beginning(), filter).await?;
        let events = journal.catch_up().await?.to_vec();
        let expected: &[&str] = if passes { &["one"] } else { &[] };
        assert_eq!(texts(&events), expected, "{kinds:?} {modems:?}");
        assert_eq!(events.len(), expected.len(), "and nothing else");
        assert!(journal.cursor() > 0, "also what did not pass was considered");
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_cursor_is_refused_with_the_oldest_one() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let refused = Journal::after(&rig.broker(), 1_000_000)
        .await
        .err()
        .expect("a cursor of the future");
    let status = refused.downcast::<tonic::Status>()?;
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::OutOfRange, Some(ErrorReason::CursorExpired))
    );
    assert!(client::status::metadata(&status).contains_key("oldest_cursor"));
    rig.stop().await
}
