//! Two modems on one host, one of them dead: what the other one notices of it.

use std::time::{Duration, Instant};

use api::v1::{ExecuteAtCommandRequest, GetNetworkStatusRequest};
use client::Broker;
use end_to_end::{Process, Rig, Setup, binaries};
use simulator::{Cure, FaultAction};

use crate::report::Row;

/// How long a hung modem is recovered at most, in which the other one is measured: question, ladder, reset, alarm.
const DEAD: Duration = Duration::from_secs(30);

/// Commands to the healthy modem, while both are well and then while the other one hangs for good.
pub async fn dead(rounds: usize) -> anyhow::Result<[Row; 2]> {
    let modem = |imei: &str| simulator::Config {
        imei: imei.to_owned(),
        ..Setup::default().modems.remove(0)
    };
    let setup = Setup {
        modems: vec![modem("867584030000025"), modem("867584030000017")],
        ..Setup::default()
    };
    let rig = Rig::prepare(setup).await?;
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    for name in ["sim1", "sim2"] {
        binaries::ready(&broker, name).await?;
    }
    let pause = DEAD / u32::try_from(rounds.max(1))?;
    let well = commands(&broker, rounds, Duration::ZERO).await?;
    let hang = FaultAction::Hang {
        port: None,
        until: Cure::Never,
    };
    rig.sim_at(0).inject_now(hang).await?;
    let refresh = GetNetworkStatusRequest {
        modem: "sim1".to_owned(),
        refresh: true,
    };
    let dead = broker.clone();
    let unanswered = async move { dead.network().get_network_status(refresh).await.is_err() };
    let (unanswered, hung) = tokio::join!(unanswered, commands(&broker, rounds, pause));
    anyhow::ensure!(unanswered, "the dead modem answered");
    rig.stop().await?;
    let target = Row::new("", "", "", well.clone()).p99.mul_add(2.0, 1.0);
    Ok([
        Row::new(
            "neighbour well",
            "AT command through gRPC, two modems, both well",
            "ms",
            well,
        ),
        Row::new(
            "neighbour dead",
            "the same during 30 s in which the other modem hangs, is reset and given up",
            "ms",
            hung?,
        )
        .at_most(target, None),
    ])
}

async fn commands(broker: &Broker, rounds: usize, pause: Duration) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        tokio::time::sleep(pause).await;
        let request = ExecuteAtCommandRequest {
            modem: "sim2".to_owned(),
            command: "AT+CGMM".to_owned(),
            ..Default::default()
        };
        let begin = Instant::now();
        broker.diagnostics().execute_at_command(request).await?;
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}
