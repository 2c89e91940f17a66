//! The trace: what crossed the ports, for a bug report that may be sent to a stranger.

use api::v1::send_message_request::Content;
use api::v1::{
    ErrorReason, ExecuteAtCommandRequest, GetTraceRequest, PortRole, SendMessageRequest, StreamTraceRequest,
    TraceDirection, TraceEntry,
};
use client::Broker;
use end_to_end::{LIMIT, Rig, Setup, reason};
use simulator::RingOptions;

async fn get_trace(broker: &Broker) -> anyhow::Result<Vec<TraceEntry>> {
    let response = broker.diagnostics().get_trace(GetTraceRequest::default()).await?;
    Ok(response.into_inner().entries)
}

fn text(entries: &[TraceEntry]) -> String {
    let octets: Vec<u8> = entries.iter().flat_map(|entry| entry.octets.to_vec()).collect();
    String::from_utf8_lossy(&octets).into_owned()
}

async fn execute(broker: &Broker, command: &str) -> anyhow::Result<()> {
    let request = ExecuteAtCommandRequest {
        command: command.to_owned(),
        ..Default::default()
    };
    broker.diagnostics().execute_at_command(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_shows_the_dialogue_and_nothing_personal() -> anyhow::Result<()> {
    let locked = simulator::Config {
        pin: Some("7319".to_owned()),
        ..Setup::default().modems.remove(0)
    };
    let rig = Rig::with(Setup {
        modems: vec![locked],
        modem: "pin = \"7319\"".to_owned(),
        ..Setup::default()
    })
    .await?;
    let broker = rig.broker();
    let mut news = rig.news().await?;
    let message = SendMessageRequest {
        address: "+447700900123".to_owned(),
        content: Some(Content::Text("a secret word".to_owned())),
        ..Default::default()
    };
    broker.sms().send_message(message).await?;
    news.message("it is sent", |message| message.state() == api::v1::MessageState::Sent)
        .await?;
    rig.sim().deliver_text("+447700900456", "another secret").await?;
    news.message("it is received", |message| message.text == "another secret")
        .await?;
    rig.sim()
        .ring(RingOptions {
            from: "+447700900789".to_owned(),
            ..RingOptions::default()
        })
        .await?;
    news.call("it rings with its number", |call| call.number.ends_with("900789"))
        .await?;
    rig.sim().hang_up().await?;
    news.call("it is over", |call| call.state() == api::v1::CallState::Disconnected)
        .await?;

    let books = rig.sim().books().await?;
    let submitted = books.submits.records[0].pdu.clone();
    let entries = get_trace(&broker).await?;
    let shown = text(&entries);
    for personal in [
        "7319",
        "900123",
        "900456",
        "900789",
        "secret",
        "001010000000001",
        "8900101000000000017",
        "867584030000017",
        &submitted[4..],
    ] {
        assert!(!shown.contains(personal), "{personal} in {shown}");
    }
    for expected in [
        "AT+CPIN=\"xxxx\"",
        "AT+CMGS=",
        "+CMGS: ",
        "+CLIP: \"+xxxxxxxxxxxx\"",
        "OK",
    ] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    for port in [PortRole::At, PortRole::AtCalls, PortRole::Qmi] {
        for direction in [TraceDirection::FromModem, TraceDirection::ToModem] {
            let both = |entry: &&TraceEntry| entry.port() == port && entry.direction() == direction;
            assert!(entries.iter().any(|entry| both(&entry)), "{port:?} {direction:?}");
        }
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_with_what_is_kept_and_goes_on() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    execute(&broker, "AT+CGMM").await?;
    let mut stream = broker
        .diagnostics()
        .stream_trace(StreamTraceRequest::default())
        .await?
        .into_inner();
    let mut seen = String::new();
    let mut heard = async |needle: &str| {
        let wait = async {
            while !seen.contains(needle) {
                let message = stream
                    .message()
                    .await?
                    .ok_or_else(|| anyhow::anyhow!("the stream ended"))?;
                assert_eq!(message.lost_chunks, 0);
                seen.push_str(&text(&message.entries));
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, wait).await?
    };
    heard("AT+CGMM").await?;
    execute(&broker, "AT+CSUB").await?;
    heard("AT+CSUB").await?;
    heard("+CSUB: B04V03").await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ring_forgets_the_oldest_and_one_of_no_size_says_so() -> anyhow::Result<()> {
    let mut rig = Rig::prepare(Setup::default()).await?;
    let sized = |configuration: &str, kib: u32| {
        configuration.replace("[diagnostics]\n", &format!("[diagnostics]\ntrace_kib = {kib}\n"))
    };
    let configuration = rig.configuration().to_owned();
    rig.set_configuration(sized(&configuration, 1));
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    for _ in 0..40 {
        execute(&rig.broker(), "AT+CGMM").await?;
    }
    execute(&rig.broker(), "AT+CSUB").await?;
    let entries = get_trace(&rig.broker()).await?;
    let kept: usize = entries.iter().map(|entry| entry.octets.len()).sum();
    assert!(
        kept <= 1024 && text(&entries).contains("AT+CSUB"),
        "{kept}: {}",
        text(&entries)
    );
    rig.stop_broker().await?;
    rig.set_configuration(sized(&configuration, 0));
    rig.start_broker().await?;
    rig.ready("sim1").await?;
    let status = rig.broker().diagnostics().get_trace(GetTraceRequest::default()).await;
    let status = status.expect_err("nothing is kept");
    assert_eq!(reason(&status), Some(ErrorReason::NotEnabled));
    rig.stop().await
}
