//! Data on a modem whose composition for calls has no network interface.

use api::v1::{BearerState, Modem, ModemStage};
use end_to_end::{Rig, Setup};
use simulator::Composition;

use crate::namespace::{HOST_V4, INTERFACE, connect, disconnect, inside, ping, traces};

#[test]
#[ignore = "needs root and /dev/net/tun"]
fn the_composition_follows_the_bearer_there_and_back() -> anyhow::Result<()> {
    inside(async || {
        let mut modem = Setup::default().modems.remove(0);
        modem.composition = Composition::find(0x9006).unwrap_or(Composition::DEFAULT);
        let rig = Rig::with(Setup {
            modems: vec![modem],
            tun: Some(INTERFACE.to_owned()),
            modem: "composition = \"dynamic\"\nvoice_composition = \"9006\"\ndata_composition = \"9001\"".to_owned(),
            ..Setup::default()
        })
        .await?;
        let mut news = rig.news().await?;
        for round in 1..=2 {
            // One request switches, waits for the modem and connects.
            let bearer = connect(&rig, "").await?;
            assert_eq!(bearer.state(), BearerState::Connected);
            assert_eq!(end_to_end::composition(&rig.ready("sim1").await?), "9001");
            assert!(ping(HOST_V4).await?, "packets go");
            disconnect(&rig).await?;
            let back = |modem: &Modem| modem.stage() == ModemStage::Ready && end_to_end::composition(modem) == "9006";
            news.modem("it is back for calls", back).await?;
            assert_eq!(traces()?, [] as [&str; 0], "nothing is left behind");
            assert_eq!(rig.sim().books().await?.detachments, 2 * round);
        }
        rig.stop().await
    })
}
