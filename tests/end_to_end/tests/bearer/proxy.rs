//! The broker by way of libqmi's own qmi-proxy, beside the real qmicli. Everything is in a network namespace of its own, and
//! so is the proxy's abstract name.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use api::v1::{BearerState, GetNetworkStatusRequest, ImsRegistration};
use end_to_end::{LIMIT, Rig, Setup, until};

use crate::namespace::{HOST_V4, INTERFACE, connect, disconnect, inside, ping, ready};

const PROXIES: [&str; 2] = ["/usr/libexec/qmi-proxy", "/usr/lib/libqmi/qmi-proxy"];

/// Killed with the test, however that ends.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Proxy {
    fn start() -> anyhow::Result<Self> {
        let program = PROXIES.into_iter().find(|path| Path::new(path).exists());
        let program = program.ok_or_else(|| anyhow::anyhow!("qmi-proxy is not installed (libqmi-proxy)"))?;
        let proxy = Command::new(program)
            .arg("--no-exit")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(proxy))
    }
}

/// What qmicli says, as another client of the proxy. It runs in the test's namespace, as the thread that starts it does.
fn qmicli(rig: &Rig, question: &str) -> anyhow::Result<String> {
    let port = std::fs::canonicalize(rig.path().join("sim1/dev/cdc-wdm0"))?;
    let done = Command::new("qmicli")
        .args(["--device-open-qmi", "--device-open-proxy", question, "-d"])
        .arg(port)
        .output()?;
    anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

#[test]
#[ignore = "needs root, /dev/net/tun, qmi-proxy and qmicli"]
fn the_real_proxy_carries_the_broker_and_qmicli_at_the_same_time() -> anyhow::Result<()> {
    inside(async || {
        let proxy = Proxy::start()?;
        let rig = Rig::with(Setup {
            tun: Some(INTERFACE.to_owned()),
            modem: "[modem.data]\nqmi_proxy = true".to_owned(),
            ..Setup::default()
        })
        .await?;
        // A proxy that starts later than the broker is found at the next try.
        ready(&rig).await?;
        until("the IMS is told", LIMIT, async || {
            let request = GetNetworkStatusRequest::default();
            let status = rig
                .broker()
                .network()
                .get_network_status(request)
                .await?
                .into_inner()
                .status;
            let ims = status.unwrap_or_default().ims.unwrap_or_default();
            Ok((ims.registration() == ImsRegistration::Registered).then_some(()))
        })
        .await?;
        assert!(qmicli(&rig, "--nas-get-signal-info")?.contains("RSRP: '-95 dBm'"));
        let connected = connect(&rig, "internet").await?;
        assert_eq!(connected.state(), BearerState::Connected);
        assert!(ping(HOST_V4).await?, "packets go");
        // Another program comes and goes, and takes nothing with it.
        assert!(qmicli(&rig, "--uim-get-card-status")?.contains("Application state: 'ready'"));
        assert!(qmicli(&rig, "--nas-get-serving-system")?.contains("Registration state: 'registered'"));
        assert!(ping(HOST_V4).await?, "packets still go");
        let mut news = rig.news().await?;
        rig.sim()
            .inject_now(simulator::FaultAction::LoseUnsolicited {
                prefix: "+CMTI".to_owned(),
                times: 1,
            })
            .await?;
        rig.sim().deliver_text("+447700900123", "by way of the proxy").await?;
        news.message("indications pass the proxy", |message| {
            message.text == "by way of the proxy"
        })
        .await?;
        let disconnected = disconnect(&rig).await?;
        assert_eq!(disconnected.state(), BearerState::Disconnected);
        assert!(!ping(HOST_V4).await?);
        rig.stop().await?;
        drop(proxy);
        Ok(())
    })
}
