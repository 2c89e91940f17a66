//! The dynamic composition: data when it is wanted, calls otherwise, and no switch while a call or a message is alive. Packets
//! are not needed for it; `tests/bearer` has the same with a network interface.

use api::v1::send_message_request::Content;
use api::v1::{
    ConnectBearerRequest, DialRequest, DisconnectBearerRequest, ErrorReason, HangUpRequest, MessageState, Modem,
    ModemStage, SendMessageRequest,
};
use end_to_end::{LIMIT, Rig, Setup, reason, until};
use simulator::{Composition, Fault, FaultAction, Phase};

/// How long the network takes for the message: long enough that a switch which does not wait comes before its end.
const SENDING_MS: u64 = 1500;

fn setup() -> Setup {
    let mut modem = Setup::default().modems.remove(0);
    modem.composition = Composition::find(0x9006).unwrap_or(Composition::DEFAULT);
    Setup {
        modems: vec![modem],
        modem: "composition = \"dynamic\"\nvoice_composition = \"9006\"\ndata_composition = \"9001\"".to_owned(),
        ..Setup::default()
    }
}

fn connect(rig: &Rig) -> impl Future<Output = Option<ErrorReason>> + use<> {
    let broker = rig.broker();
    async move {
        let connected = broker.network().connect_bearer(ConnectBearerRequest::default()).await;
        connected.err().as_ref().and_then(reason)
    }
}

fn ready_in(composition: &'static str) -> impl Fn(&Modem) -> bool {
    move |modem| modem.stage() == ModemStage::Ready && end_to_end::composition(modem) == composition
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_the_composition_lacks_is_refused_during_a_call() -> anyhow::Result<()> {
    let rig = Rig::with(setup()).await?;
    let dial = DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    let call = rig.broker().voice().dial(dial).await?.into_inner().call;
    assert_eq!(connect(&rig).await, Some(ErrorReason::CallState));
    let call_id = call.unwrap_or_default().call_id;
    rig.broker().voice().hang_up(HangUpRequest { call_id }).await?;
    // What was refused is not made up for later.
    assert_eq!(rig.sim().books().await?.detachments, 0);
    assert_eq!(end_to_end::composition(&rig.ready("sim1").await?), "9006");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_waits_for_a_message_and_the_way_back_follows_the_disconnect() -> anyhow::Result<()> {
    let rig = Rig::with(setup()).await?;
    let mut news = rig.news().await?;
    rig.sim()
        .inject(Fault::on_command(
            "+CMGS",
            Phase::After,
            FaultAction::Delay { ms: SENDING_MS },
        ))
        .await?;
    let message = SendMessageRequest {
        address: "+447700900123".to_owned(),
        content: Some(Content::Text("first this".to_owned())),
        ..Default::default()
    };
    rig.broker().sms().send_message(message).await?;
    news.message("it is being sent", |message| message.state() == MessageState::Sending)
        .await?;
    let (connected, switched) = tokio::join!(connect(&rig), async {
        let message = news
            .message("it is sent", |message| message.state() == MessageState::Sent)
            .await?;
        let modem = news.modem("it has data", ready_in("9001")).await?;
        anyhow::Ok((message, modem))
    });
    switched?;
    // The virtual interface is not in the kernel here, so that the bearer says so once it is reached.
    assert_eq!(connected, Some(ErrorReason::DataNotReady));
    let books = rig.sim().books().await?;
    assert_eq!((books.submits.records.len(), books.detachments), (1, 1));

    let disconnect = DisconnectBearerRequest::default();
    rig.broker().network().disconnect_bearer(disconnect).await?;
    news.modem("it is back for calls", ready_in("9006")).await?;
    until("nothing moves any more", LIMIT, async || {
        Ok((rig.sim().status().await?.composition == "9006").then_some(()))
    })
    .await?;
    assert_eq!(rig.sim().books().await?.detachments, 2);
    rig.stop().await
}
