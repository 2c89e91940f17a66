//! How fast the broker sees that a modem is gone, back, or hung, and how fast it serves again.

use std::time::{Duration, Instant};

use api::v1::{GetNetworkStatusRequest, Modem, ModemStage, PortRole, PortState};
use client::Broker;
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries, until};
use simulator::{Cure, FaultAction, Function};

use crate::report::Row;

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn is(stage: ModemStage) -> impl Fn(&Modem) -> bool {
    move |modem: &Modem| modem.stage() == stage
}

/// The cable is pulled and put back under other numbers.
pub async fn replug(rig: &Rig, broker: &Broker, rounds: usize) -> anyhow::Result<[Row; 2]> {
    let mut news = Journal::now(broker).await?;
    let (mut noticed, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let pulled = Instant::now();
        rig.sim().unplug().await?;
        news.modem("it is gone", is(ModemStage::Absent)).await?;
        noticed.push(millis(pulled.elapsed()));
        let plugged = Instant::now();
        rig.sim().replug(true).await?;
        news.modem("it is ready", is(ModemStage::Ready)).await?;
        ready.push(millis(plugged.elapsed()));
    }
    let gone = "cable pulled -> event that the modem is absent";
    let back = "device enumerated under other numbers -> event that the modem is ready";
    Ok([
        Row::new("unplug", gone, "ms", noticed).at_most(1000.0, Some(1000.0)),
        Row::new("replug", back, "ms", ready).at_most(5000.0, Some(5000.0)),
    ])
}

/// Asks until there is an answer. A question that somebody waits for is how a hang of an idle modem is met first.
async fn served(broker: &Broker) -> anyhow::Result<()> {
    let ask = async || {
        let request = GetNetworkStatusRequest {
            refresh: true,
            ..Default::default()
        };
        Ok(broker.network().get_network_status(request).await.is_ok().then_some(()))
    };
    until("the modem answers", LIMIT * 2, ask).await
}

/// One port hangs for ever, the other takes over; and the whole module hangs until it is reset. Each time with a broker and a
/// modem of its own, since what a ladder did before decides how soon it does it again. The clock starts with the first
/// question, which stays without an answer for its whole limit of 5 s.
pub async fn hung(rounds: usize) -> anyhow::Result<[Row; 3]> {
    let (mut noticed, mut taken_over, mut reset) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds * 2 {
        let port = (round % 2 == 0).then_some(Function::At);
        let (seen, back) = hang(port).await?;
        noticed.push(millis(seen));
        if port.is_some() {
            taken_over.push(millis(back));
        } else {
            reset.push(millis(back));
        }
    }
    let seen = "question to a hung port -> event that the port is silent; the question's own limit is 5 s of it";
    let over = "question to a port that hangs for good -> the other port answers instead";
    let back = "question to a module whose every port hangs -> it was reset and answers";
    Ok([
        Row::new("hung: noticed", seen, "ms", noticed).at_most(10_000.0, Some(10_000.0)),
        Row::new("hung port: back", over, "ms", taken_over).at_most(30_000.0, Some(30_000.0)),
        Row::new("hung module: back", back, "ms", reset).at_most(30_000.0, Some(30_000.0)),
    ])
}

/// When the hang of a port, or of all of them, is noticed, and when there is an answer again.
async fn hang(port: Option<Function>) -> anyhow::Result<(Duration, Duration)> {
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    served(&broker).await?;
    let mut news = Journal::now(&broker).await?;
    let hang = FaultAction::Hang {
        port,
        until: Cure::Reset,
    };
    rig.sim().inject_now(hang).await?;
    let asked = Instant::now();
    let answered = async {
        served(&broker).await?;
        anyhow::Ok(asked.elapsed())
    };
    let seen = async {
        let silent = |modem: &Modem| {
            let silent = |port: &api::v1::Port| port.role() == PortRole::At && port.state() == PortState::Silent;
            modem.ports.iter().any(silent)
        };
        news.modem("the hang is noticed", silent).await?;
        anyhow::Ok(asked.elapsed())
    };
    let outcome = tokio::try_join!(seen, answered)?;
    rig.stop().await?;
    Ok(outcome)
}
