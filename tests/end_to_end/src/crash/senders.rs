//! Clients that send, and ask again with the same request id when the answer was lost.

use api::v1::send_message_request::Content;
use api::v1::{Message, SendMessageRequest};
use client::{Broker, status};

use super::plan::{Outgoing, Plan};
use super::{LIMIT, Pulse, RETRY};

/// How many send at the same time.
const SENDERS: usize = 4;

/// What the clients were told of one message.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its request id.
    pub request_id: String,
    /// The broker's identifier, of every answer.
    pub message_ids: Vec<String>,
}

/// Sends what the plan says; returns when every request was answered.
pub(super) async fn send(broker: &Broker, plan: &Plan, pulse: &Pulse) -> anyhow::Result<Vec<Answered>> {
    let share = |sender: usize| plan.outgoing.iter().skip(sender).step_by(SENDERS);
    let senders = (0..SENDERS).map(|sender| async move {
        let mut answered = Vec::new();
        for message in share(sender) {
            pulse.reached(message.life).await?;
            tokio::time::sleep(message.pause).await;
            let mut answer = Answered {
                request_id: message.request_id.clone(),
                message_ids: Vec::new(),
            };
            for _ in 0..=u8::from(message.asked_again) {
                answer.message_ids.push(ask(broker, message, pulse).await?.message_id);
            }
            answered.push(answer);
        }
        anyhow::Ok(answered)
    });
    let answered = futures_util::future::try_join_all(senders).await?;
    Ok(answered.into_iter().flatten().collect())
}

async fn ask(broker: &Broker, message: &Outgoing, pulse: &Pulse) -> anyhow::Result<Message> {
    let request = SendMessageRequest {
        address: message.to.clone(),
        content: Some(Content::Text(message.text.clone())),
        request_id: message.request_id.clone(),
        delivery_report: message.report,
        ..Default::default()
    };
    let asked = async {
        loop {
            pulse.requests.send_modify(|count| *count += 1);
            match broker.sms().send_message(request.clone()).await {
                Ok(response) => return Ok(response.into_inner().message.unwrap_or_default()),
                Err(refusal) if status::is_temporary(&refusal) => tokio::time::sleep(RETRY).await,
                Err(refusal) => anyhow::bail!("{:?} was refused: {refusal}", message.text),
            }
        }
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(message) => message,
        Err(_) => anyhow::bail!("{:?} was not answered within {LIMIT:?}", message.text),
    }
}
