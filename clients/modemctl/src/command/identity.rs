//! Messages and calls by the beginning of their id, as lists show it.

use api::v1::{ErrorReason, GetCallRequest, GetMessageRequest, ListCallsRequest, ListMessagesRequest};

use crate::Session;
use crate::failure::Failure;

/// The largest page that the contract allows.
const PAGE: u32 = 1000;
/// Among so many of the newest an id is looked for by its beginning.
const NEWEST: usize = 10_000;
/// A beginning has at least so many characters: fewer are more likely a slip than an id.
const SHORTEST: usize = 4;

/// The only id that begins like this.
fn only(what: &str, beginning: &str, mut ids: Vec<String>) -> Result<String, Failure> {
    match ids.len() {
        0 => Err(Failure::new(format!("no {what} begins with {beginning}"))),
        1 => Ok(ids.remove(0)),
        _ => Err(Failure::usage(format!(
            "{beginning} is the beginning of several: {}; write more of it",
            ids.join(", ")
        ))),
    }
}

/// The id of a message that is named by it or by its beginning.
pub(super) async fn message(session: &mut Session<'_>, given: String) -> Result<String, Failure> {
    let mut service = session.broker.sms();
    let request = GetMessageRequest {
        message_id: given.clone(),
    };
    match session
        .ask("asking for the message", service.get_message(request))
        .await
    {
        Ok(_) => return Ok(given),
        Err(refusal) if !refusal.has_reason(ErrorReason::MessageNotFound) || given.len() < SHORTEST => {
            return Err(refusal);
        }
        Err(_) => {}
    }
    let (mut ids, mut page_token, mut seen) = (Vec::new(), String::new(), 0);
    while seen < NEWEST {
        let request = ListMessagesRequest {
            page_size: PAGE,
            page_token,
            show_replaced: true,
            ..ListMessagesRequest::default()
        };
        let page = session
            .ask("looking for the message", service.list_messages(request))
            .await?;
        seen += page.messages.len();
        let found = page.messages.into_iter().map(|message| message.message_id);
        ids.extend(found.filter(|id| id.starts_with(&given)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    only("message", &given, ids)
}

/// The id of a call that is named by it or by its beginning.
pub(super) async fn call(session: &mut Session<'_>, given: String) -> Result<String, Failure> {
    let mut service = session.broker.voice();
    let request = GetCallRequest { call_id: given.clone() };
    match session.ask("asking for the call", service.get_call(request)).await {
        Ok(_) => return Ok(given),
        Err(refusal) if !refusal.has_reason(ErrorReason::CallNotFound) || given.len() < SHORTEST => {
            return Err(refusal);
        }
        Err(_) => {}
    }
    let (mut ids, mut page_token, mut seen) = (Vec::new(), String::new(), 0);
    while seen < NEWEST {
        let request = ListCallsRequest {
            page_size: PAGE,
            page_token,
            ..ListCallsRequest::default()
        };
        let page = session.ask("looking for the call", service.list_calls(request)).await?;
        seen += page.calls.len();
        let found = page.calls.into_iter().map(|call| call.call_id);
        ids.extend(found.filter(|id| id.starts_with(&given)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    only("call", &given, ids)
}
