//! How much of the modem's own rate is left when it needs a second for each message.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::v1::send_message_request::Content;
use api::v1::{MessageState, SendMessageRequest};
use client::Broker;
use end_to_end::{Journal, Rig};
use simulator::core::Function;
use simulator::{Fault, FaultAction, Phase};

use crate::report::Row;

/// What the modem takes for each message.
const PER_MESSAGE: Duration = Duration::from_secs(1);

/// Queues messages at once and measures from the first `AT+CMGS` to the last result.
pub async fn queue(rig: &Rig, broker: &Broker, count: usize) -> anyhow::Result<Vec<Row>> {
    let slow = FaultAction::Delay {
        ms: PER_MESSAGE.as_millis() as u64,
    };
    let fault = Fault::on_command("+CMGS", Phase::Before, slow).times(0);
    rig.sim().inject(fault).await?;
    let before = rig.sim().books().await?.submits.total();
    let mut transcript = rig.sim().transcript(Some(Function::At));
    while transcript.next(Duration::ZERO).await?.is_some() {}
    let mut news = Journal::now(broker).await?;
    for number in 0..count {
        let request = SendMessageRequest {
            address: "+447700900123".to_owned(),
            content: Some(Content::Text(format!("queued {number}"))),
            ..Default::default()
        };
        broker.sms().send_message(request).await?;
    }
    let limit = PER_MESSAGE * 2;
    let mut first = None;
    let mut settled = 0;
    while settled < count {
        if first.is_none() {
            let entry = transcript.next(limit).await?.context("the modem was asked nothing")?;
            first = entry.text.starts_with("AT+CMGS").then(Instant::now);
            continue;
        }
        let sent = news.message("the next message is sent", |message| {
            message.state() == MessageState::Sent && message.text.starts_with("queued ")
        });
        tokio::time::timeout(limit * 10, sent).await??;
        settled += 1;
    }
    let took = first.context("nothing was sent")?.elapsed();
    rig.sim().clear_faults().await?;
    let sent = rig.sim().books().await?.submits.total() - before;
    let share = PER_MESSAGE.as_secs_f64() * count as f64 / took.as_secs_f64();
    Ok(vec![
        Row::new(
            "sending, share",
            "messages queued at once, 1 s for each at the modem: its own rate and what the broker makes of it",
            "",
            vec![share],
        )
        .at_least(0.98),
        Row::new(
            "sending, surplus",
            "messages in the network's books beyond those that were asked for",
            "",
            vec![sent as f64 - count as f64],
        )
        .at_most(0.0, None),
    ])
}
