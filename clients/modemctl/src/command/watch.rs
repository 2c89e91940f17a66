//! `modemctl watch`, `modemctl events`.

use std::collections::HashMap;

use api::v1::{CommitCursorRequest, ErrorReason, Event, EventFilter, EventKind, ListEventsRequest, ListModemsRequest};
use client::json::to_value;
use client::{Start, Update, Watch, status};

use crate::Session;
use crate::arguments::{EventsOptions, Kind, WatchOptions};
use crate::failure::Failure;
use crate::present;
use crate::table::{clean, wrap};

/// The largest page that the contract allows.
const PAGE: usize = 1000;
/// Events that are shown when nothing is said.
const FEW: usize = 100;
/// A text has at least so many columns beside its head, however narrow the terminal is.
const NARROWEST: usize = 20;

impl Session<'_> {
    pub(super) fn filter(&self, kinds: &[Kind]) -> EventFilter {
        let kinds = kinds.iter().map(|kind| EventKind::from(*kind).into()).collect();
        let modems = if self.modem.is_empty() {
            Vec::new()
        } else {
            vec![self.modem.clone()]
        };
        EventFilter { kinds, modems }
    }

    /// A text goes on below itself: what it ends with may be what matters.
    fn show_event(&mut self, event: &Event, text: &str) -> Result<(), Failure> {
        if self.json {
            return self.console.json(&to_value(event));
        }
        let (kind, tone, _) = present::event(event);
        let time = present::event_time(event.event_time, self.console);
        let head = format!("{time}  {:<6}  {kind:<7}  ", clean(&event.modem));
        let indent = head.chars().count();
        let lines = match self.console.width {
            Some(width) => wrap(text, width.saturating_sub(indent).max(NARROWEST)),
            None => vec![text.to_owned()],
        };
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { head.clone() } else { " ".repeat(indent) };
            let line = format!("{head}{}", self.console.paint(tone, line));
            self.console.line(line.trim_end())?;
        }
        Ok(())
    }

    /// The next events of a watch; a lost broker is noted, and waited for.
    pub(super) async fn next_events(&mut self, watch: &mut Watch) -> Result<(Vec<Event>, u64), Failure> {
        loop {
            match watch.next().await? {
                Update::Batch(batch) => return Ok((batch.events, batch.cursor)),
                Update::Interrupted { status, retry_in } => {
                    let problem = status::describe(&status);
                    self.console
                        .note(&format!("{problem} Trying again in {:.1} s.", retry_in.as_secs_f64()));
                }
            }
        }
    }
}

/// What was shown last of everything: an event that looks like the one before it tells people nothing.
#[derive(Default)]
struct Shown(HashMap<(&'static str, String), String>);

impl Shown {
    /// The text of an event, if it is another one than before.
    fn news(&mut self, event: &Event) -> Option<String> {
        let (kind, _, text) = present::event(event);
        let text = clean(&text);
        let before = self.0.insert((kind, present::subject(event)), text.clone());
        let is_the_same = before.is_some_and(|before| before == text) && kind != "dtmf";
        (!text.is_empty() && !is_the_same).then_some(text)
    }
}

pub(crate) async fn watch(session: &mut Session<'_>, options: WatchOptions) -> Result<(), Failure> {
    let start = match (&options.consumer, options.cursor, options.from_beginning) {
        (Some(consumer), _, _) => Start::Consumer(consumer.clone()),
        (None, Some(cursor), _) => Start::Cursor(cursor),
        (None, None, true) => Start::Beginning,
        (None, None, false) => Start::Now,
    };
    let mut watch = Watch::new(session.broker.clone(), start, session.filter(&options.kinds));
    let mut left = options.count.unwrap_or(usize::MAX);
    let mut shown = Shown::default();
    while left > 0 {
        let (events, mut cursor) = session.next_events(&mut watch).await?;
        for event in events {
            let news = shown.news(&event);
            if news.is_none() && !session.json {
                continue;
            }
            session.show_event(&event, &news.unwrap_or_default())?;
            left -= 1;
            if left == 0 {
                cursor = event.sequence;
                break;
            }
        }
        if let Some(consumer) = &options.consumer {
            let request = CommitCursorRequest {
                consumer: consumer.clone(),
                cursor,
                rewind: false,
            };
            let mut service = session.broker.events();
            session
                .ask("keeping the position", service.commit_cursor(request))
                .await?;
        }
    }
    Ok(())
}

pub(crate) async fn list(session: &mut Session<'_>, options: EventsOptions) -> Result<(), Failure> {
    let since = match options.since {
        None => None,
        Some(moment) => Some(
            moment
                .resolve(session.console.now(), &session.console.zone)
                .ok_or_else(|| Failure::usage("--since: no such time"))?,
        ),
    };
    let newest_few = options.after.is_none() && since.is_none();
    let limit = options.limit.unwrap_or(if newest_few { FEW } else { PAGE });
    let (events, left_out) = match options.after {
        Some(after) => forwards(session, &options.kinds, after, limit).await?,
        None => backwards(session, &options.kinds, since, limit).await?,
    };
    let note = match (left_out, options.after) {
        (false, _) => String::new(),
        (true, Some(_)) => {
            let last = events.last().map_or(0, |event| event.sequence);
            format!("there are later events: --after {last} goes on with them")
        }
        (true, None) => "there are earlier events: --limit or --since shows more of them".to_owned(),
    };
    for event in &events {
        let (_, _, text) = present::event(event);
        session.show_event(event, &clean(&text))?;
    }
    if !note.is_empty() {
        session.console.note(&note);
    }
    Ok(())
}

/// The oldest events after a cursor, and whether there are more.
async fn forwards(
    session: &mut Session<'_>,
    kinds: &[Kind],
    mut cursor: u64,
    limit: usize,
) -> Result<(Vec<Event>, bool), Failure> {
    let mut events = Vec::new();
    loop {
        let page = page(session, kinds, cursor).await?;
        events.extend(page.0);
        if events.len() > limit || page.1 <= cursor {
            break;
        }
        cursor = page.1;
    }
    let left_out = events.len() > limit;
    events.truncate(limit);
    Ok((events, left_out))
}

/// The newest events, the newest last, and whether there are earlier ones that were asked for. The journal is read page by
/// page from its end.
async fn backwards(
    session: &mut Session<'_>,
    kinds: &[Kind],
    since: Option<jiff::Timestamp>,
    limit: usize,
) -> Result<(Vec<Event>, bool), Failure> {
    let mut service = session.broker.modems();
    let newest = session
        .ask("asking for the position", service.list_modems(ListModemsRequest {}))
        .await?
        .cursor;
    let is_wanted = |event: &Event| {
        let time = event.event_time.map_or(0, |time| time.seconds);
        since.is_none_or(|since| time >= since.as_second())
    };
    let mut end = newest;
    let mut events: Vec<Event> = Vec::new();
    while end > 0 && events.len() <= limit {
        let start = end.saturating_sub(PAGE as u64);
        let (mut earlier, _) = page(session, kinds, start).await?;
        earlier.retain(|event| event.sequence <= end);
        let all = earlier.len();
        earlier.retain(is_wanted);
        let is_complete = earlier.len() < all;
        earlier.append(&mut events);
        events = earlier;
        end = start;
        if is_complete {
            break;
        }
    }
    let beyond = events.len().saturating_sub(limit);
    events.drain(..beyond);
    Ok((events, beyond > 0))
}

/// A page of events after a cursor, or from the oldest when the cursor's are gone, and the cursor behind them.
async fn page(session: &mut Session<'_>, kinds: &[Kind], cursor: u64) -> Result<(Vec<Event>, u64), Failure> {
    let mut request = ListEventsRequest {
        cursor,
        page_size: PAGE as u32,
        filter: Some(session.filter(kinds)),
    };
    let mut service = session.broker.events();
    let asked = session
        .ask("asking for events", service.list_events(request.clone()))
        .await;
    let page = match asked {
        Err(failure) if failure.has_reason(ErrorReason::CursorExpired) => {
            request.cursor = 0;
            session.ask("asking for events", service.list_events(request)).await?
        }
        asked => asked?,
    };
    Ok((page.events, page.cursor))
}
