//! `modemctl watch`, `modemctl events`.

use api::v1::{CommitCursorRequest, Event, EventFilter, EventKind, ListEventsRequest};
use client::json::to_value;
use client::{Start, Update, Watch, status};

use crate::Session;
use crate::arguments::{EventsOptions, Kind, WatchOptions};
use crate::failure::Failure;
use crate::present;
use crate::table::{clean, shorten};

/// The largest page that the contract allows.
const PAGE: usize = 1000;

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

    pub(super) fn show_event(&mut self, event: &Event) -> Result<(), Failure> {
        if self.json {
            return self.console.json(&to_value(event));
        }
        let time = present::time(event.event_time, &self.console.zone);
        let (kind, tone, text) = present::event(event);
        let head = format!("{time}  {:<6}  {kind:<7}  ", clean(&event.modem));
        let text = clean(&text);
        let text = match self.console.width {
            Some(width) => shorten(&text, width.saturating_sub(head.chars().count()).max(20)),
            None => text,
        };
        let line = format!("{head}{}", self.console.paint(tone, &text));
        self.console.line(&line)
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

pub(crate) async fn watch(session: &mut Session<'_>, options: WatchOptions) -> Result<(), Failure> {
    let start = match (&options.consumer, options.cursor, options.from_beginning) {
        (Some(consumer), _, _) => Start::Consumer(consumer.clone()),
        (None, Some(cursor), _) => Start::Cursor(cursor),
        (None, None, true) => Start::Beginning,
        (None, None, false) => Start::Now,
    };
    let mut watch = Watch::new(session.broker.clone(), start, session.filter(&options.kinds));
    let mut left = options.count.unwrap_or(usize::MAX);
    while left > 0 {
        let (events, mut cursor) = session.next_events(&mut watch).await?;
        for event in events {
            session.show_event(&event)?;
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
    let mut cursor = options.after;
    let mut left = options.limit;
    while left > 0 {
        let request = ListEventsRequest {
            cursor,
            page_size: left.min(PAGE) as u32,
            filter: Some(session.filter(&options.kinds)),
        };
        let mut service = session.broker.events();
        let page = session.ask("asking for events", service.list_events(request)).await?;
        for event in page.events.iter().take(left) {
            session.show_event(event)?;
        }
        left = left.saturating_sub(page.events.len());
        if page.caught_up || page.cursor <= cursor {
            break;
        }
        cursor = page.cursor;
    }
    Ok(())
}
