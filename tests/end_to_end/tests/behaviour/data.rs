//! The QMI port as far as it needs no network interface: the IMS, and a bearer that says why it is not ready.

use api::v1::{
    BearerState, ConnectBearerRequest, ErrorReason, GetBearerRequest, GetNetworkStatusRequest, Ims, ImsRegistration,
    ImsService, ModemStage, PortRole, PortState,
};
use end_to_end::{LIMIT, Naming, Process, Rig, Setup, binaries, reason, until};
use simulator::PacketNetwork;

async fn ims(rig: &Rig, what: &str, fits: impl Fn(&Ims) -> bool) -> anyhow::Result<Ims> {
    until(what, LIMIT, async || {
        let request = GetNetworkStatusRequest::default();
        let status = rig
            .broker()
            .network()
            .get_network_status(request)
            .await?
            .into_inner()
            .status;
        Ok(status.and_then(|status| status.ims).filter(|ims| fits(ims)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ims_is_read_at_the_start_and_followed_by_indications() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let registered = |ims: &Ims| ims.registration() == ImsRegistration::Registered;
    let first = ims(&rig, "it is registered", registered).await?;
    assert_eq!(
        (first.voice(), first.sms()),
        (ImsService::Available, ImsService::Available)
    );
    rig.sim().set_ims(Some(simulator::ImsRegistration::Limited)).await?;
    let limited = |ims: &Ims| ims.registration() == ImsRegistration::Limited && ims.voice() == ImsService::Unavailable;
    ims(&rig, "voice is gone", limited).await?;
    rig.sim()
        .set_registration(None, simulator::RegistrationState::Denied)
        .await?;
    let gone = |ims: &Ims| ims.registration() == ImsRegistration::NotRegistered;
    ims(&rig, "nothing is registered", gone).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_qmi_port_everything_else_works_and_the_bearer_says_why_not() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        naming: Naming::Path,
        ..Setup::default()
    })
    .await?;
    let bearer = rig.broker().network().get_bearer(GetBearerRequest::default()).await?;
    let bearer = bearer.into_inner().bearer.unwrap_or_default();
    assert_eq!(bearer.state(), BearerState::NotReady);
    assert!(bearer.detail.contains("[modem.ports]"), "{}", bearer.detail);
    let refused = rig
        .broker()
        .network()
        .connect_bearer(ConnectBearerRequest::default())
        .await;
    let refused = refused.expect_err("there is no port");
    assert_eq!(reason(&refused), Some(ErrorReason::DataNotReady));
    assert!(refused.message().contains("[modem.ports]"), "{}", refused.message());
    let unknown = ims(&rig, "the IMS is not known", |ims| !ims.detail.is_empty()).await?;
    assert_eq!(unknown.registration(), ImsRegistration::Unspecified);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qmi_port_that_does_not_answer_is_silent_and_the_modem_is_ready_all_the_same() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup {
        unplugged: true,
        ..Setup::default()
    })
    .await?;
    let silent = PacketNetwork {
        silent: true,
        ..PacketNetwork::default()
    };
    rig.sim().set_packet_network(silent).await?;
    let mut rig = rig;
    rig.start_broker().await?;
    let mut journal = rig.journal().await?;
    rig.sim().replug(false).await?;
    journal
        .modem("the modem is ready", |modem| modem.stage() == ModemStage::Ready)
        .await?;
    let state = |modem: &api::v1::Modem| {
        let qmi = modem.ports.iter().find(|port| port.role() == PortRole::Qmi);
        qmi.map(|port| port.state())
    };
    journal
        .modem("the QMI port is silent", |modem| {
            state(modem) == Some(PortState::Silent)
        })
        .await?;
    // It is opened again by itself.
    rig.sim().set_packet_network(PacketNetwork::default()).await?;
    ims(&rig, "it answers", |ims| {
        ims.registration() == ImsRegistration::Registered
    })
    .await?;
    rig.stop().await
}

/// A process that may not configure network interfaces says so before anybody connects, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_configure_interfaces_the_bearer_names_it() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let process = Process::broker_without_network_rights(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    until("the bearer says what it lacks", LIMIT, async || {
        let bearer = broker.network().get_bearer(GetBearerRequest::default()).await?;
        let bearer = bearer.into_inner().bearer.unwrap_or_default();
        Ok(bearer
            .detail
            .contains("AmbientCapabilities=CAP_NET_ADMIN")
            .then_some(()))
    })
    .await?;
    let refused = broker.network().connect_bearer(ConnectBearerRequest::default()).await;
    let refused = refused.expect_err("it may not");
    assert_eq!(reason(&refused), Some(ErrorReason::DataNotReady));
    assert!(refused.message().contains("CAP_NET_ADMIN"), "{}", refused.message());
    rig.stop().await
}

/// A network without a circuit-switched domain, and an IMS that does not take the modem: then nobody can call.
#[tokio::test(flavor = "multi_thread")]
async fn a_modem_that_can_be_called_in_no_domain_says_so() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let health = async |what: &str, fits: fn(&str) -> bool| {
        until(what, LIMIT, async || {
            let modem = rig.ready("sim1").await?;
            Ok(fits(&modem.health_reason).then_some(()))
        })
        .await
    };
    let registered = |ims: &Ims| ims.registration() == ImsRegistration::Registered;
    ims(&rig, "the IMS is registered", registered).await?;
    let denied = simulator::RegistrationState::Denied;
    rig.sim().set_registration(Some(simulator::Domain::Cs), denied).await?;
    // Voice over LTE is enough.
    health("it is well", |reason| reason.is_empty()).await?;
    rig.sim()
        .set_ims(Some(simulator::ImsRegistration::NotRegistered))
        .await?;
    health("nobody can call", |reason| reason.contains("VoLTE")).await?;
    rig.sim().set_ims(None).await?;
    health("it is well again", |reason| reason.is_empty()).await?;
    rig.stop().await
}
