//! Scans, the selection of an operator, the technologies that may be used, and the signal that the modem tells by itself.

use api::v1::{
    AccessTechnology, ErrorReason, FoundOperator, GetModemRequest, GetNetworkStatusRequest, GetSignalHistoryRequest,
    ModemStage, NetworkStatus, OperatorAvailability, ScanOperatorsRequest, ScanOperatorsResponse,
    SelectOperatorRequest, SetNetworkModesRequest,
};
use end_to_end::{LIMIT, Naming, Rig, Setup, invalid_fields, reason, until};
use simulator::{Books, Fault, FaultAction, Phase, RingOptions, Signal};
use tonic::{Code, Status, Streaming};

/// Longer than any test.
const FOR_EVER: FaultAction = FaultAction::Delay { ms: 170_000 };

async fn scan(rig: &Rig) -> Result<Streaming<ScanOperatorsResponse>, Status> {
    let request = ScanOperatorsRequest::default();
    Ok(rig.broker().network().scan_operators(request).await?.into_inner())
}

/// The status that a scan ends with, after whatever it told of its progress; `None` if it found something.
async fn why_it_ended(mut stream: Streaming<ScanOperatorsResponse>) -> Option<Status> {
    loop {
        match stream.message().await {
            Ok(Some(message)) if !message.finished => {}
            Ok(_) => return None,
            Err(status) => return Some(status),
        }
    }
}

async fn select(rig: &Rig, plmn: &str, technology: AccessTechnology) -> Result<NetworkStatus, Status> {
    let request = SelectOperatorRequest {
        plmn: plmn.to_owned(),
        technology: technology.into(),
        ..Default::default()
    };
    let answer = rig.broker().network().select_operator(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

async fn allow(rig: &Rig, technologies: &[AccessTechnology]) -> Result<NetworkStatus, Status> {
    let request = SetNetworkModesRequest {
        technologies: technologies.iter().map(|technology| (*technology).into()).collect(),
        ..Default::default()
    };
    let answer = rig.broker().network().set_network_modes(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

async fn network(rig: &Rig) -> anyhow::Result<NetworkStatus> {
    let request = GetNetworkStatusRequest::default();
    let answer = rig.broker().network().get_network_status(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

fn lines(books: &Books, prefix: &str) -> Vec<String> {
    let lines = books.commands.records.iter().map(|command| command.line.clone());
    lines.filter(|line| line.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_tells_that_it_goes_on_and_then_what_it_found() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let slow = FaultAction::Delay { ms: 3_500 };
    rig.sim()
        .inject(Fault::on_command("+COPS=?", Phase::After, slow))
        .await?;
    let mut stream = scan(&rig).await?;
    let mut progress = 0;
    let last = loop {
        let message = stream.message().await?.expect("it ends with what it found");
        assert!(message.elapsed.is_some());
        if message.finished {
            break message;
        }
        assert_eq!(message.operators, []);
        progress += 1;
    };
    assert!(progress >= 1, "{progress}");
    let operator = |name: &str, plmn: &str, availability: OperatorAvailability| FoundOperator {
        name: name.to_owned(),
        plmn: plmn.to_owned(),
        availability: availability.into(),
        technology: AccessTechnology::Lte.into(),
    };
    let found = [
        operator("Test Network", "00101", OperatorAvailability::Current),
        operator("Other Network", "00102", OperatorAvailability::Forbidden),
    ];
    assert_eq!(last.operators, found);
    assert!(stream.message().await?.is_none());
    rig.stop().await
}

/// It would keep the port for three minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_nobody_waits_for_is_aborted_and_the_next_one_works() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let whole = Fault::on_command("+COPS=?", Phase::After, FOR_EVER);
    rig.sim().inject(whole).await?;
    let mut stream = scan(&rig).await?;
    stream.message().await?;
    let asked = |books: &Books| !lines(books, "AT+COPS=?").is_empty();
    rig.sim().books_when(LIMIT, asked).await?;
    // One at a time.
    for refused in [
        why_it_ended(scan(&rig).await?).await,
        select(&rig, "", AccessTechnology::Unspecified).await.err(),
        allow(&rig, &[]).await.err(),
    ] {
        let refused = refused.expect("a scan is under way");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::ResourceExhausted, Some(ErrorReason::NetworkBusy)),
            "{refused:?}"
        );
    }
    drop(stream);
    let again = until("the scan is over", LIMIT, async || {
        let mut stream = scan(&rig).await?;
        loop {
            match stream.message().await {
                Ok(Some(message)) if message.finished => return Ok(Some(message)),
                Ok(Some(_)) => {}
                _ => return Ok(None),
            }
        }
    })
    .await?;
    assert_eq!(again.operators.len(), 2);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_a_scan_and_nothing_of_this_begins_during_one() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    rig.sim()
        .inject(Fault::on_command("+COPS=?", Phase::After, FOR_EVER))
        .await?;
    let mut stream = scan(&rig).await?;
    stream.message().await?;
    rig.sim().ring(RingOptions::default()).await?;
    let ended = why_it_ended(stream).await.expect("a scan ends with a word");
    assert_eq!(reason(&ended), Some(ErrorReason::CallState), "{ended:?}");
    for refused in [
        why_it_ended(scan(&rig).await?).await,
        select(&rig, "00101", AccessTechnology::Unspecified).await.err(),
        allow(&rig, &[AccessTechnology::Lte]).await.err(),
    ] {
        let refused = refused.expect("there is a call");
        assert_eq!(reason(&refused), Some(ErrorReason::CallState), "{refused:?}");
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_selected_and_one_that_is_refused_leaves_the_modem_on_a_network() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let selected = select(&rig, "00101", AccessTechnology::Lte).await?;
    assert_eq!((selected.manual_selection, selected.registered), (Some(true), true));
    for (plmn, technology) in [
        ("00102", AccessTechnology::Unspecified),
        ("00101", AccessTechnology::Gsm),
    ] {
        let refused = select(&rig, plmn, technology).await.expect_err(plmn);
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::FailedPrecondition, Some(ErrorReason::Refused))
        );
        assert!(
            refused.message().contains("no network service"),
            "{}",
            refused.message()
        );
    }
    let request = GetNetworkStatusRequest {
        refresh: true,
        ..Default::default()
    };
    let answer = rig.broker().network().get_network_status(request).await?;
    let after = answer.into_inner().status.unwrap_or_default();
    assert_eq!((after.manual_selection, after.registered), (Some(false), true));
    let books = rig.sim().books().await?;
    let selections: Vec<_> = lines(&books, "AT+COPS=")
        .into_iter()
        .filter(|line| line != "AT+COPS=?")
        .collect();
    let expected = [
        "AT+COPS=1,2,\"00101\",7",
        "AT+COPS=3,0",
        "AT+COPS=1,2,\"00102\"",
        "AT+COPS=3,0",
        "AT+COPS=0",
        "AT+COPS=1,2,\"00101\",0",
        "AT+COPS=3,0",
        "AT+COPS=0",
    ];
    assert_eq!(selections, expected);
    for (plmn, technology, field) in [
        ("1234", AccessTechnology::Unspecified, "plmn"),
        ("12345;", AccessTechnology::Unspecified, "plmn"),
        ("", AccessTechnology::Lte, "technology"),
        ("00101", AccessTechnology::NoService, "technology"),
    ] {
        let refused = select(&rig, plmn, technology).await.expect_err(plmn);
        assert_eq!(invalid_fields(&refused), [field], "{plmn}");
    }
    rig.stop().await
}

/// By QMI where there is a QMI port, by AT+CNMP where there is none.
#[tokio::test(flavor = "multi_thread")]
async fn technologies_are_allowed_in_their_order_and_a_modem_without_a_cell_of_them_says_why() -> anyhow::Result<()> {
    use AccessTechnology::{Gsm, Lte, Umts};
    for (naming, by_at) in [(Naming::default(), false), (Naming::Path, true)] {
        let rig = Rig::with(Setup {
            naming,
            ..Setup::default()
        })
        .await?;
        if !by_at {
            until("the QMI port is open", LIMIT, async || {
                Ok((network(&rig).await?.ims.unwrap_or_default().registration != 0).then_some(()))
            })
            .await?;
        }
        let status = allow(&rig, &[Umts, Lte]).await?;
        let expected = if by_at { [Lte, Umts] } else { [Umts, Lte] };
        assert_eq!(status.allowed_technologies().collect::<Vec<_>>(), expected);
        // The only cell is one of LTE.
        allow(&rig, &[Gsm]).await?;
        until("the modem says why it has no network", LIMIT, async || {
            let request = GetModemRequest::default();
            let answer = rig.broker().modems().get_modem(request).await?;
            let modem = answer.into_inner().modem.unwrap_or_default();
            let says = modem.health_reason.contains("GSM only") && modem.health_reason.contains("modes all");
            Ok((says && modem.stage() == ModemStage::Registering).then_some(()))
        })
        .await?;
        let status = allow(&rig, &[]).await?;
        assert_eq!(status.allowed_technologies().collect::<Vec<_>>(), [Lte, Umts, Gsm]);
        rig.ready("sim1").await?;
        let books = rig.sim().books().await?;
        assert_eq!(!lines(&books, "AT+CNMP=").is_empty(), by_at);
        for odd in [&[Lte, Lte][..], &[AccessTechnology::NoService]] {
            let refused = allow(&rig, odd).await.expect_err("it is odd");
            assert_eq!(invalid_fields(&refused), ["technologies"]);
        }
        rig.stop().await?;
    }
    Ok(())
}

/// Nothing is polled for it: the next reading of the status is a minute and a half away.
#[tokio::test(flavor = "multi_thread")]
async fn the_signal_is_told_by_indications_and_small_changes_stay_with_the_modem() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let signal = |rsrp: i16| Signal {
        rsrp: Some(rsrp),
        ..Signal::default()
    };
    let rsrp = async || -> anyhow::Result<Option<f64>> { Ok(network(&rig).await?.signal.unwrap_or_default().rsrp_dbm) };
    until("the first reading", LIMIT, async || {
        Ok(rsrp().await?.filter(|dbm| *dbm == -95.0))
    })
    .await?;
    until("the QMI port is open", LIMIT, async || {
        Ok((network(&rig).await?.ims.unwrap_or_default().registration != 0).then_some(()))
    })
    .await?;
    let asked = lines(&rig.sim().books().await?, "AT+CPSI").len();
    // Crosses no threshold; then one is crossed by a little, and then two by much.
    rig.sim().set_signal(signal(-94)).await?;
    rig.sim().set_signal(signal(-97)).await?;
    until("a small change that crosses a threshold is shown", LIMIT, async || {
        Ok(rsrp().await?.filter(|dbm| *dbm == -97.0))
    })
    .await?;
    rig.sim().set_signal(signal(-110)).await?;
    until("a large change is shown", LIMIT, async || {
        Ok(rsrp().await?.filter(|dbm| *dbm == -110.0))
    })
    .await?;
    let history = rig
        .broker()
        .network()
        .get_signal_history(GetSignalHistoryRequest::default())
        .await?
        .into_inner();
    let told: Vec<_> = history.signals.iter().filter_map(|signal| signal.rsrp_dbm).collect();
    assert!(told.ends_with(&[-97.0, -110.0]), "{told:?}");
    assert!(!told.contains(&-94.0), "{told:?}");
    assert!(
        history
            .signals
            .iter()
            .all(|signal| signal.sinr_db.is_some() && signal.rsrq_db.is_some())
    );
    assert_eq!(
        lines(&rig.sim().books().await?, "AT+CPSI").len(),
        asked,
        "it was polled"
    );
    rig.stop().await
}

/// `[modem.network]` is tried once; what somebody does by hand afterwards counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_configured_operator_that_refused_is_no_degradation_any_more_once_it_is_selected_by_hand()
-> anyhow::Result<()> {
    const WANTED: &str = "00102";
    let rig = Rig::with(Setup {
        modem: format!("[modem.network]\nplmn = \"{WANTED}\"\n"),
        ..Setup::default()
    })
    .await?;
    let degradations = async || {
        let request = GetModemRequest::default();
        let modem = rig.broker().modems().get_modem(request).await?.into_inner().modem;
        anyhow::Ok(modem.unwrap_or_default().degradations)
    };
    let told = degradations().await?;
    assert!(told.iter().any(|told| told.reason.contains(WANTED)), "{told:?}");
    select(&rig, WANTED, AccessTechnology::Unspecified)
        .await
        .expect_err("it refuses");
    assert_eq!(degradations().await?, told, "nothing changed");
    // It is there now.
    rig.sim().set_operator("Other Network", WANTED).await?;
    select(&rig, WANTED, AccessTechnology::Unspecified).await?;
    until("it is not degraded any more", LIMIT, async || {
        Ok(degradations().await?.is_empty().then_some(()))
    })
    .await?;
    rig.stop().await
}
