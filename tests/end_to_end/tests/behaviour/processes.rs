//! What only a process of its own can show: exit codes, what it says, signals, and a sudden end.

use api::v1::send_message_request::Content;
use api::v1::{ListMessagesRequest, MessageState, PortState, SendMessageRequest};
use end_to_end::{Journal, LIMIT, Process, Rig, Setup, binaries};
use nix::sys::signal::Signal;
use simulator::Fate;

/// `EX_CONFIG` of sysexits(3).
const EX_CONFIG: i32 = 78;

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_configuration_is_named_by_file_line_key_and_expectation() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    for (text, expected) in [
        ("[broker]\nstate_directory = 7\n", ":2:19: broker.state_directory: "),
        (
            "[broker]\n\nsocket_mode = \"rw\"\n",
            ":3:15: broker.socket_mode: expected three or four octal digits",
        ),
        ("[brokr]\n", ":1:2: brokr: "),
        (
            "[voice]\nreattach_grace_ms = 700000\n",
            ":2:21: voice.reattach_grace_ms: ",
        ),
        (
            "[[modem]]\nname = \"sim1\"\nimei = \"12\"\n",
            ":3:8: modem[0].imei: expected 15 digits",
        ),
        ("[broker\n", ":1:"),
        (
            "[broker]\nlisten = [\"tcp:0.0.0.0:7700\"]\n",
            ":2:11: broker.listen[0]: 0.0.0.0:7700 can be reached from the network, which needs TLS",
        ),
    ] {
        let process = Process::broker(directory.path(), text)?;
        let file = process.configuration().display().to_string();
        let (code, said) = process.said().await?;
        assert_eq!(code, Some(EX_CONFIG), "{text}: {said}");
        assert!(
            said.contains(&format!("{file}{expected}")),
            "{text}\nexpected {file}{expected}\nsaid {said}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_says_who_holds_the_store_the_socket_or_the_ports() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let first = Process::broker(rig.path(), rig.configuration())?;
    let broker = first.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let pid = first.id()?.to_string();

    let elsewhere = tempfile::tempdir()?;
    let (code, said) = Process::broker(elsewhere.path(), rig.configuration())?.said().await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("state directory") && said.contains(&pid), "{said}");

    let own = |name: &str| format!("{}/{name}", elsewhere.path().display());
    let same_socket = rig
        .configuration()
        .replace(&format!("{}/state", rig.path().display()), &own("state"));
    let (code, said) = Process::broker(elsewhere.path(), &same_socket)?.said().await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("broker.sock") && said.contains(&pid), "{said}");

    // Its own socket and store, but the same ports: that is a state and no reason to end.
    let same_ports = same_socket.replace(&format!("{}/broker.sock", rig.path().display()), &own("broker.sock"));
    let second = Process::broker(elsewhere.path(), &same_ports)?;
    let other = second.connect(&format!("unix:{}", own("broker.sock"))).await?;
    let held = |modem: &api::v1::Modem| {
        modem
            .ports
            .iter()
            .any(|port| port.state() == PortState::Held && port.detail.contains(&pid))
    };
    let modem = Journal::beginning(&other)
        .await?
        .modem("the ports are held", held)
        .await?;
    assert!(modem.health_reason.contains(&pid), "{modem:?}");
    binaries::ready(&broker, "sim1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_broker_soon_also_with_clients_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let mut process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    binaries::ready(&broker, "sim1").await?;
    let mut watch = Journal::now(&broker).await?;
    watch.catch_up().await?;
    process.signal(Signal::SIGTERM)?;
    let status = process.ended(LIMIT).await?;
    assert_eq!(status.code(), Some(0));
    // What was said on the way down may still be read; then the watch is ended, not left hanging.
    let ended = tokio::time::timeout(LIMIT, async { while watch.next(LIMIT).await.is_ok() {} }).await;
    assert!(ended.is_ok(), "the watch still speaks after the broker has ended");
    assert!(!rig.path().join("broker.sock").exists());
    assert_eq!(
        std::fs::read_dir(rig.path().join("lock"))?.count(),
        0,
        "no lock file stays"
    );
    Ok(())
}

/// A hundred messages in and ten out while the broker is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_and_repeats_nothing() -> anyhow::Result<()> {
    let rig = Rig::prepare(Setup::default()).await?;
    let mut sent = Vec::new();
    for round in 0..5 {
        let mut process = Process::broker(rig.path(), rig.configuration())?;
        let broker = process.connect(&rig.endpoint()).await?;
        binaries::ready(&broker, "sim1").await?;
        let mut watch = Journal::now(&broker).await?;
        for number in 0..20 {
            rig.sim()
                .deliver_text("+447700900123", &format!("in {round}.{number}"))
                .await?;
        }
        for number in 0..2 {
            let content = Some(Content::Text(format!("out {round}.{number}")));
            let request = SendMessageRequest {
                address: "+447700900456".to_owned(),
                content,
                ..Default::default()
            };
            sent.extend(broker.sms().send_message(request).await?.into_inner().message);
        }
        // Somewhere in the middle of it, further on in each round.
        for _ in 0..=4 * round {
            watch.message("a change of a message", |_| true).await?;
        }
        process.signal(Signal::SIGKILL)?;
        process.ended(LIMIT).await?;
    }
    let process = Process::broker(rig.path(), rig.configuration())?;
    let broker = process.connect(&rig.endpoint()).await?;
    let empty = |books: &simulator::Books| {
        books
            .deliveries
            .records
            .iter()
            .all(|delivery| *delivery.fate() == Fate::Deleted)
    };
    rig.sim().books_when(LIMIT, empty).await?;
    let settled = async || {
        let request = ListMessagesRequest {
            page_size: 1000,
            ..Default::default()
        };
        let messages = broker.sms().list_messages(request).await?.into_inner().messages;
        let open = messages
            .iter()
            .any(|message| matches!(message.state(), MessageState::Queued | MessageState::Sending));
        Ok((!open).then_some(messages))
    };
    let messages = end_to_end::until("all messages are settled", LIMIT, settled).await?;
    let mut received: Vec<&str> = messages
        .iter()
        .filter(|message| message.state() == MessageState::Received)
        .map(|message| message.text.as_str())
        .collect();
    received.sort_unstable();
    let mut expected: Vec<String> = (0..5)
        .flat_map(|round| (0..20).map(move |number| format!("in {round}.{number}")))
        .collect();
    expected.sort_unstable();
    assert_eq!(received, expected);

    let submits = rig.sim().books().await?.submits.records;
    for message in sent {
        let state = messages
            .iter()
            .find(|known| known.message_id == message.message_id)
            .map(|known| known.state());
        let times = submits
            .iter()
            .filter(|submit| submit.text.as_deref() == Some(&message.text))
            .count();
        let fits = match state {
            Some(MessageState::Sent) => times == 1,
            Some(MessageState::OutcomeUnknown) => times <= 1,
            _ => false,
        };
        assert!(fits, "{}: {state:?}, {times} times in the network", message.text);
    }
    Ok(())
}
