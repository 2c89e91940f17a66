//! `modemctl` at a terminal of its own, as somebody types: what only a controlling terminal can show.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use end_to_end::{LIMIT, Rig, binaries, until};
use nix::sys::termios::{LocalFlags, tcgetattr};
use tokio::process::{Child, Command};

const CTRL_C: &[u8] = b"\x03";
const CTRL_Z: &[u8] = b"\x1a";
const LEAVE: &[u8] = b"\x1d";

/// Somebody at a keyboard.
struct Typist {
    terminal: std::fs::File,
    screen: Arc<Mutex<String>>,
    modemctl: Child,
    reader: std::thread::JoinHandle<()>,
    before: LocalFlags,
}

impl Typist {
    /// Starts `modemctl` with a terminal that controls it: keys such as Ctrl-C become signals.
    fn start(rig: &Rig, line: &[&str]) -> anyhow::Result<Typist> {
        let pty = nix::pty::openpty(None, None)?;
        let slave = || -> anyhow::Result<Stdio> { Ok(Stdio::from(OwnedFd::try_clone(&pty.slave)?)) };
        let modemctl = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(binaries::program("modemctl")?)
            .args(["--broker", &rig.endpoint()])
            .args(line)
            .stdin(slave()?)
            .stdout(slave()?)
            .stderr(slave()?)
            .kill_on_drop(true)
            .spawn()?;
        let before = tcgetattr(&pty.master)?.local_flags;
        let terminal = std::fs::File::from(pty.master);
        let (mut reader, screen) = (terminal.try_clone()?, Arc::new(Mutex::new(String::new())));
        let shown = screen.clone();
        // Ends with the last program that has the terminal open.
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                shown
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Ok(Typist {
            terminal,
            screen,
            modemctl,
            reader,
            before,
        })
    }

    fn press(&mut self, keys: &[u8]) -> anyhow::Result<()> {
        Ok(self.terminal.write_all(keys)?)
    }

    async fn sees(&self, text: &str) -> anyhow::Result<()> {
        let seen = until(text, LIMIT, async || {
            Ok(self.screen.lock().unwrap().contains(text).then_some(()))
        });
        let seen = seen.await;
        seen.map_err(|error| error.context(self.screen.lock().unwrap().clone()))
    }

    /// Types a line and waits for what it brings.
    async fn asks(&mut self, line: &str, answer: &str) -> anyhow::Result<()> {
        self.screen.lock().unwrap().clear();
        self.press(line.as_bytes())?;
        self.press(b"\r")?;
        self.sees(answer).await
    }

    /// How it ended. The terminal is left as it was.
    async fn ended(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = tokio::time::timeout(LIMIT, self.modemctl.wait()).await??;
        until("everything is read", LIMIT, async || {
            Ok(self.reader.is_finished().then_some(()))
        })
        .await?;
        assert_eq!(tcgetattr(&self.terminal)?.local_flags, self.before);
        let screen = self.screen.lock().unwrap().clone();
        Ok((status, screen))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_ends_with_ctrl_z_and_the_terminal_with_its_own_key() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut typist = Typist::start(&rig, &["at"])?;
    typist.sees("The terminal is open").await?;
    typist.asks("AT+CGMM", "SIM7600G-H").await?;
    typist.asks("AT+CMGF=1", "OK").await?;
    typist.asks("AT+CMGS=\"+447700900123\"", "> ").await?;
    typist.press(b"typed by hand")?;
    // It ends the text: neither a stopped program nor a line of its own.
    typist.press(CTRL_Z)?;
    typist.sees("+CMGS: ").await?;
    typist.press(LEAVE)?;
    let (status, screen) = typist.ended().await?;
    assert!(status.success(), "{status}: {screen}");
    let books = rig.sim().books().await?;
    let texts: Vec<_> = books.submits.records.iter().map(|submit| submit.text.clone()).collect();
    assert_eq!(texts, [Some("typed by hand".to_owned())]);

    // Ctrl-C leaves as well, and the port is free again.
    let mut typist = Typist::start(&rig, &["at"])?;
    typist.sees("The terminal is open").await?;
    typist.press(CTRL_C)?;
    let (status, screen) = typist.ended().await?;
    assert!(status.success(), "{status}: {screen}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_a_ussd_session_at_the_network_too() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    // While the network asks something, and while it says nothing.
    for (session, (code, waits)) in [
        ("*123#", "reply (Ctrl-C cancels)> "),
        ("*199#", "waiting for the network"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut typist = Typist::start(&rig, &["ussd", code])?;
        typist.sees(waits).await?;
        typist.press(CTRL_C)?;
        let (status, screen) = typist.ended().await?;
        let told = screen.contains("the session ended: cancelled");
        assert!(!status.success() && told, "{code}: {status}: {screen}");
        let cancelled = |books: &simulator::Books| {
            let lines = books.commands.records.iter();
            lines.filter(|command| command.line == "AT+CUSD=2").count() == session + 1
        };
        rig.sim().books_when(LIMIT, cancelled).await?;
    }
    rig.stop().await
}
