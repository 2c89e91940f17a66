//! The GNSS receiver: off unless it is wanted, read from its port, asked for where there is none.

use api::v1::{
    ErrorReason, Fix, GetFixRequest, ModemStage, PortRole, PortState, StreamFixesRequest, StreamNmeaRequest,
};
use client::Broker;
use end_to_end::{LIMIT, Naming, Rig, Setup, reason, until};
use simulator::Books;
use tonic::Code;

fn wanted(naming: Naming) -> Setup {
    Setup {
        modem: "gnss = { enabled = true, rate_hz = 10 }".to_owned(),
        naming,
        ..Setup::default()
    }
}

async fn get_fix(broker: &Broker) -> Result<Option<Fix>, tonic::Status> {
    let response = broker.location().get_fix(GetFixRequest::default()).await?;
    Ok(response.into_inner().fix)
}

fn is_near(fix: &Fix, latitude: f64, longitude: f64) -> bool {
    (fix.latitude_degrees - latitude).abs() < 1e-5 && (fix.longitude_degrees - longitude).abs() < 1e-5
}

fn count(books: &Books, line: &str) -> usize {
    let lines = books.commands.records.iter();
    lines.filter(|command| command.line == line).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_nobody_wants_stays_off_and_its_port_closed() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let location = rig.broker().location();
    let refused = [
        get_fix(&rig.broker()).await.expect_err("off"),
        location
            .clone()
            .stream_fixes(StreamFixesRequest::default())
            .await
            .expect_err("off"),
        location
            .clone()
            .stream_nmea(StreamNmeaRequest::default())
            .await
            .expect_err("off"),
    ];
    for status in refused {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::FailedPrecondition, Some(ErrorReason::NotEnabled))
        );
    }
    assert_eq!(count(&rig.sim().books().await?, "AT+CGPS?"), 0);
    let ports = rig.ready("sim1").await?.ports;
    let nmea = ports.iter().find(|port| port.role() == PortRole::Nmea);
    assert_eq!(nmea.map(|port| port.state()), Some(PortState::Unused));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fixes_and_sentences_stream_across_a_replug_and_damaged_sentences_are_not_believed() -> anyhow::Result<()> {
    let rig = Rig::with(wanted(Naming::Discovered)).await?;
    let sim = rig.sim();
    sim.set_position(Some((52.520_008, 13.404_954))).await?;
    let location = rig.broker().location();
    let mut fixes = location
        .clone()
        .stream_fixes(StreamFixesRequest::default())
        .await?
        .into_inner();
    let mut sentences = location
        .clone()
        .stream_nmea(StreamNmeaRequest::default())
        .await?
        .into_inner();
    let streamed = async {
        while let Some(message) = fixes.message().await? {
            let fix = message.fix.unwrap_or_default();
            if is_near(&fix, 52.520_008, 13.404_954) {
                return anyhow::Ok(fix);
            }
        }
        anyhow::bail!("the stream ended")
    };
    let fix = tokio::time::timeout(LIMIT, streamed).await??;
    assert_eq!(
        (fix.altitude_m, fix.satellites_used, fix.hdop),
        (Some(44.1), Some(10), Some(0.8))
    );
    assert!(fix.fix_time.is_some() && fix.receive_time.is_some());
    let latest = get_fix(&rig.broker()).await?.unwrap_or_default();
    assert!(is_near(&latest, 52.520_008, 13.404_954), "{latest:?}");

    // A position with a wrong checksum is neither a fix nor a sentence.
    sim.nmea("$GPRMC,101500.0,A,0000.000,N,00000.000,E,0.0,0.0,211126,,,A*00")
        .await?;
    sim.nmea("$GPTXT,marker*61").await?;
    let heard = async {
        while let Some(message) = sentences.message().await? {
            assert!(!message.sentence.contains("0000.000"), "{}", message.sentence);
            if message.sentence.starts_with("$GPTXT") {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("the stream ended")
    };
    tokio::time::timeout(LIMIT, heard).await??;

    // Without a fix there is none, and the streams outlive the cable.
    sim.set_position(None).await?;
    until("there is no fix", LIMIT, async || {
        let none = get_fix(&rig.broker()).await?.is_none();
        Ok(none.then_some(()))
    })
    .await?;
    sim.set_position(Some((-33.85, 151.2))).await?;
    let mut news = rig.news().await?;
    sim.unplug().await?;
    news.modem("it is gone", |modem| modem.stage() == ModemStage::Absent)
        .await?;
    sim.replug(true).await?;
    let again = async {
        while let Some(message) = fixes.message().await? {
            if is_near(&message.fix.unwrap_or_default(), -33.85, 151.2) {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("the stream ended")
    };
    tokio::time::timeout(LIMIT, again).await??;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_port_the_position_is_asked_for() -> anyhow::Result<()> {
    let rig = Rig::with(wanted(Naming::Path)).await?;
    let asked = until("a fix", LIMIT, async || Ok(get_fix(&rig.broker()).await?)).await?;
    assert!(is_near(&asked, 31.222_388, 121.353_734), "{asked:?}");
    let refused = rig.broker().location().stream_nmea(StreamNmeaRequest::default()).await;
    let status = refused.expect_err("there is no port");
    assert_eq!(reason(&status), Some(ErrorReason::LocationNotAvailable));
    let mut fixes = rig
        .broker()
        .location()
        .stream_fixes(StreamFixesRequest::default())
        .await?
        .into_inner();
    let streamed = tokio::time::timeout(LIMIT, fixes.message()).await??.unwrap_or_default();
    assert!(is_near(&streamed.fix.unwrap_or_default(), 31.222_388, 121.353_734));
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_runs_is_left_alone_and_one_that_was_stopped_runs_again() -> anyhow::Result<()> {
    let mut rig = Rig::with(wanted(Naming::Discovered)).await?;
    let broker = rig.broker();
    until("a fix", LIMIT, async || Ok(get_fix(&broker).await?)).await?;
    let started = count(&rig.sim().books().await?, "AT+CGPS=1,1");
    assert_eq!(started, 1);
    let off = api::v1::ExecuteAtCommandRequest {
        command: "AT+CGPS=0".to_owned(),
        ..Default::default()
    };
    broker.diagnostics().execute_at_command(off).await?;
    let again = |books: &Books| count(books, "AT+CGPS=1,1") == 2;
    rig.sim().books_when(LIMIT, again).await?;
    until("a fix again", LIMIT, async || Ok(get_fix(&broker).await?)).await?;
    drop(broker);
    // The broker switched it on, so it switches it off.
    rig.stop_broker().await?;
    let off = |books: &Books| count(books, "AT+CGPS=0") == 2;
    rig.sim().books_when(LIMIT, off).await?;
    rig.stop().await
}
