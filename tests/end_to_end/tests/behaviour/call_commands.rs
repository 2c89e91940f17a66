//! `modemctl call` in front of a call that is there.

use end_to_end::{LIMIT, Rig, Setup, binaries, until};
use serde_json::Value;
use simulator::RingOptions;
use tokio::process::Command;

/// Runs modemctl; the one object that it printed as JSON.
async fn modemctl(rig: &Rig, line: &str) -> anyhow::Result<Value> {
    let mut printed = listed(rig, line).await?;
    anyhow::ensure!(printed.len() == 1, "modemctl {line}: {printed:?}");
    Ok(printed.remove(0))
}

/// Runs modemctl; the objects that it printed as JSON, one a line.
async fn listed(rig: &Rig, line: &str) -> anyhow::Result<Vec<Value>> {
    let output = Command::new(binaries::program("modemctl")?)
        .args(["--broker", &rig.endpoint(), "--json"])
        .args(line.split(' '))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "modemctl {line}: {said}");
    let objects = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    Ok(objects.collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_resumed_and_recorded_and_calls_are_forwarded_by_hand() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        sections: "[voice.recording]\ncalls = \"on_request\"\n".to_owned(),
        ..Setup::default()
    })
    .await?;
    let ring = RingOptions {
        from: "+447700900123".to_owned(),
        ..RingOptions::default()
    };
    rig.sim().ring(ring).await?;
    let is_there = async || Ok(modemctl(&rig, "call answer").await.ok());
    until("the call is answered", LIMIT, is_there).await?;
    for (line, key, expected) in [
        ("call hold", "state", Value::from("CALL_STATE_HELD")),
        ("call resume", "state", Value::from("CALL_STATE_ACTIVE")),
    ] {
        assert_eq!(modemctl(&rig, line).await?[key], expected, "{line}");
    }
    modemctl(&rig, "call recording on").await?;
    let recorded = async || {
        let call = modemctl(&rig, "call show").await?;
        Ok((call["recording"] == true).then(|| call["recording_file"].clone()))
    };
    let file = until("it is recorded", LIMIT, recorded).await?;
    let path = rig
        .path()
        .join("state/recordings")
        .join(file.as_str().unwrap_or_default());
    assert!(path.is_file(), "{}", path.display());
    let off = modemctl(&rig, "call recording off").await?;
    assert_ne!(off["recording"], true, "{off}");
    let over = modemctl(&rig, "call hangup").await?;
    assert_eq!(over["end_cause"], "CALL_END_CAUSE_LOCAL", "{over}");

    for (line, enabled, number) in [
        ("call forward busy +4930123456", true, "+4930123456"),
        ("call forward busy", true, "+4930123456"),
        ("call forward busy off", false, ""),
        ("call forward no-reply +4930123456 --after 15", true, "+4930123456"),
    ] {
        let forwarding = modemctl(&rig, line).await?;
        assert_eq!(forwarding["enabled"] == true, enabled, "{line}: {forwarding}");
        assert_eq!(
            forwarding["number"].as_str().unwrap_or_default(),
            number,
            "{line}: {forwarding}"
        );
    }
    let all = listed(&rig, "call forward").await?;
    assert_eq!(all.len(), 4, "{all:?}");
    rig.stop().await
}
