//! A modem that misbehaves in the middle of a burst: every message once, none twice, whatever it was.

use std::collections::BTreeMap;

use api::v1::send_message_request::Content;
use api::v1::{Message, MessageState, SendMessageRequest};
use end_to_end::{LIMIT, Rig, until};
use simulator::{Code, Fate, Fault, FaultAction, Phase};

const MESSAGES: usize = 50;
const TO: &str = "+447700900123";

fn noise() -> FaultAction {
    FaultAction::InjectBytes {
        hex: (0..300).map(|octet| format!("{:02X}", octet * 37 % 256)).collect(),
    }
}

fn unplug() -> FaultAction {
    FaultAction::Unplug {
        replug_after_ms: Some(200),
        renumber: true,
    }
}

/// Delivers a burst with a fault in its middle and returns once the module is empty.
async fn survive(fault: Fault) -> anyhow::Result<()> {
    let what = format!("{fault:?}");
    let rig = Rig::start().await?;
    // Smaller than the burst, so that the network has to keep some as well.
    rig.sim().set_capacity("SM", 20).await?;
    rig.sim().inject(fault).await?;
    for number in 0..MESSAGES {
        rig.sim().deliver_text(TO, &format!("number {number}")).await?;
    }
    let empty = |books: &simulator::Books| {
        let mut fates = books.deliveries.records.iter().map(|delivery| delivery.fate());
        fates.all(|fate| *fate == Fate::Deleted)
    };
    rig.sim().books_when(2 * LIMIT, empty).await?;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in rig.journal().await?.catch_up().await? {
        if let Some(api::v1::event::Change::MessageChanged(message)) = &event.change {
            assert_eq!(message.state(), MessageState::Received, "{what}: {message:?}");
            *times.entry(message.text.clone()).or_default() += 1;
        }
    }
    assert_eq!(times.len(), MESSAGES, "{what}: {times:?}");
    assert!(times.values().all(|times| *times == 1), "{what}: {times:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_survives_a_cable_out_between_the_durable_message_and_its_deletion() -> anyhow::Result<()> {
    survive(Fault::on_command("+CMGD", Phase::Before, unplug()).at_nth(7)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_survives_a_cable_out_before_the_deletion_is_confirmed() -> anyhow::Result<()> {
    survive(Fault::on_command("+CMGD", Phase::After, unplug()).at_nth(7)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_survives_a_reset_while_a_message_is_read() -> anyhow::Result<()> {
    survive(Fault::on_command("+CMGR", Phase::After, FaultAction::Reset).at_nth(7)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_survives_noise_before_and_inside_replies() -> anyhow::Result<()> {
    survive(Fault::on_command("+CMG", Phase::Before, noise()).times(0)).await?;
    survive(Fault::on_command("+CMG", Phase::After, noise()).at_nth(7)).await
}

/// Announced, and then not handed out: nobody announces it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_module_did_not_hand_out_once_is_read_again() -> anyhow::Result<()> {
    let refuse = FaultAction::Refuse { code: Code::Cms(500) };
    survive(Fault::on_command("+CMGR", Phase::Before, refuse).at_nth(7)).await
}

/// What becomes of one message of several when its sending goes wrong; the others are sent, each once.
async fn send_past(fault: FaultAction, phase: Phase, allowed: &[MessageState]) -> anyhow::Result<()> {
    const COUNT: usize = 8;
    let what = format!("{fault:?}");
    let rig = Rig::start().await?;
    rig.sim()
        .inject(Fault::on_command("+CMGS", phase, fault).at_nth(4))
        .await?;
    for number in 0..COUNT {
        let request = SendMessageRequest {
            address: TO.to_owned(),
            content: Some(Content::Text(format!("number {number}"))),
            ..Default::default()
        };
        rig.broker().sms().send_message(request).await?;
    }
    let settled = async || {
        let mut sms = rig.broker().sms();
        let listed = sms.list_messages(api::v1::ListMessagesRequest::default()).await?;
        let messages = listed.into_inner().messages;
        let open = |message: &Message| matches!(message.state(), MessageState::Queued | MessageState::Sending);
        Ok((messages.len() == COUNT && !messages.iter().any(open)).then_some(messages))
    };
    let messages = until("all are settled", 2 * LIMIT, settled).await?;
    let books = rig.sim().books().await?;
    for message in messages {
        let accepted = books
            .submits
            .records
            .iter()
            .filter(|submit| submit.text.as_ref() == Some(&message.text))
            .count();
        let struck = message.text == "number 3";
        let is_true = match message.state() {
            MessageState::Sent => accepted == 1,
            MessageState::Failed => accepted == 0 && !message.failure.is_empty(),
            MessageState::OutcomeUnknown => accepted <= 1 && !message.failure.is_empty(),
            _ => false,
        };
        let is_allowed = if struck {
            allowed.contains(&message.state())
        } else {
            message.state() == MessageState::Sent
        };
        assert!(is_true && is_allowed, "{what}: {accepted} in the network, {message:?}");
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_goes_wrong_is_told_truly_and_holds_up_no_other() -> anyhow::Result<()> {
    use MessageState::{Failed, OutcomeUnknown, Sent};
    let refuse = |number| FaultAction::Refuse {
        code: Code::Cms(number),
    };
    let cases: [(FaultAction, Phase, &[MessageState]); 7] = [
        (unplug(), Phase::After, &[OutcomeUnknown]),
        (unplug(), Phase::Prompted, &[OutcomeUnknown, Sent]),
        (FaultAction::ResetAfterPrompt, Phase::Before, &[OutcomeUnknown, Sent]),
        (FaultAction::Delay { ms: 1500 }, Phase::Before, &[Sent]),
        (noise(), Phase::Before, &[Sent]),
        (refuse(38), Phase::Before, &[Failed]),
        (refuse(304), Phase::Before, &[Failed]),
    ];
    for (fault, phase, allowed) in cases {
        send_past(fault, phase, allowed).await?;
    }
    Ok(())
}
