//! `modemctl ussd`.

use std::time::Duration;

use api::v1::{
    CancelUssdSessionRequest, ReplyToUssdSessionRequest, StartUssdSessionRequest, UssdEndCause, UssdSession, UssdState,
};
use client::json::to_value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::{Response, Status};

use super::present as required;
use crate::Session;
use crate::arguments::UssdOptions;
use crate::console::{Tone, Typed};
use crate::failure::Failure;
use crate::present::word;
use crate::table::clean_lines;

/// The network may take two minutes by itself; the broker gives up before this.
const LIMIT: Duration = Duration::from_secs(660);

pub(crate) async fn ussd(session: &mut Session<'_>, options: UssdOptions) -> Result<(), Failure> {
    let mut replies = Replies::new(options.replies);
    // From here on, so that no Ctrl-C falls between two waits.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let request = StartUssdSessionRequest {
        modem: session.modem.clone(),
        code: options.code,
        request_id: options.request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
    };
    let mut service = session.broker.ussd();
    let started = service.start_ussd_session(request.clone());
    let mut now = match interruptible(session, &mut interrupt, started).await? {
        Some(answer) => required(answer.session)?,
        None => {
            // The same request is not started twice: it tells which session it made.
            let mut service = session.broker.ussd();
            let answer = session.ask("interrupted", service.start_ussd_session(request)).await?;
            return interrupted(session, &required(answer.session)?.session_id).await;
        }
    };
    loop {
        show(session, &now)?;
        if now.state() != UssdState::UserAction {
            return end(&now);
        }
        let Some(text) = replies.next(session, &mut interrupt).await else {
            return interrupted(session, &now.session_id).await;
        };
        let session_id = now.session_id.clone();
        let request = ReplyToUssdSessionRequest {
            session_id: session_id.clone(),
            text,
        };
        let mut service = session.broker.ussd();
        let replied = service.reply_to_ussd_session(request);
        now = match interruptible(session, &mut interrupt, replied).await? {
            Some(answer) => required(answer.session)?,
            None => return interrupted(session, &session_id).await,
        };
    }
}

/// Waits for the network's next word; `None` after Ctrl-C.
async fn interruptible<T>(
    session: &mut Session<'_>,
    interrupt: &mut Signal,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Option<T>, Failure> {
    let waited = async {
        tokio::select! {
            answer = tokio::time::timeout(LIMIT, request) => Some(answer),
            _ = interrupt.recv() => None,
        }
    };
    match session
        .console
        .wait("waiting for the network (Ctrl-C cancels)", waited)
        .await
    {
        Some(Ok(answer)) => Ok(Some(answer?.into_inner())),
        Some(Err(_)) => Err(Failure::new("the broker did not answer within 11 minutes")),
        None => Ok(None),
    }
}

/// Cancels the session, because nobody wants it any more.
async fn interrupted(session: &mut Session<'_>, session_id: &str) -> Result<(), Failure> {
    let over = cancel(session, session_id).await?;
    if session.json {
        show(session, &over)?;
    }
    end(&over)
}

async fn cancel(session: &mut Session<'_>, session_id: &str) -> Result<UssdSession, Failure> {
    let request = CancelUssdSessionRequest {
        session_id: session_id.to_owned(),
    };
    let mut service = session.broker.ussd();
    let answer = session.ask("cancelling", service.cancel_ussd_session(request)).await?;
    required(answer.session)
}

fn show(session: &mut Session<'_>, now: &UssdSession) -> Result<(), Failure> {
    if session.json {
        return session.console.json(&to_value(now));
    }
    if !now.text.is_empty() {
        session.console.line(&clean_lines(&now.text))?;
    }
    Ok(())
}

/// A session that ended otherwise than by an answer is a failure.
fn end(over: &UssdSession) -> Result<(), Failure> {
    match over.end_cause() {
        UssdEndCause::Answered | UssdEndCause::Notification => Ok(()),
        UssdEndCause::Terminated if !over.text.is_empty() => Ok(()),
        cause => {
            let cause = word!(cause, "USSD_END_CAUSE_");
            let detail = match over.end_detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            Err(Failure::new(format!("the session ended: {cause}{detail}")))
        }
    }
}

/// Replies from the command line, then from whoever sits there or from a pipe.
struct Replies {
    given: std::vec::IntoIter<String>,
    typed: Option<Typed>,
}

impl Replies {
    fn new(given: Vec<String>) -> Replies {
        Replies {
            given: given.into_iter(),
            typed: None,
        }
    }

    async fn next(&mut self, session: &mut Session<'_>, interrupt: &mut Signal) -> Option<String> {
        if let Some(text) = self.given.next() {
            return Some(text);
        }
        if session.console.is_interactive() {
            let question = session.console.paint(Tone::Heading, "reply (Ctrl-C cancels)> ");
            session.console.prompt(&question);
        }
        let typed = self.typed.get_or_insert_with(|| session.console.typed());
        let line = tokio::select! {
            line = typed.line() => line,
            _ = interrupt.recv() => None,
        };
        line.map(|line| line.trim_end().to_owned())
            .filter(|line| !line.is_empty())
    }
}
