//! The operator's own program, run at each change of the WAN: for zones of a firewall, tunnels, whatever has to follow.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;

/// Changes that may wait for the hook; it gets every one, in order, unless it is this far behind.
const DEPTH: usize = 16;

/// Text of a failed hook that is worth a line in the log.
const SAID_MAX: usize = 500;

/// What a hook is told, in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `MODEM_BROKER_WAN`: "primary", "backup" or "none".
    pub active: &'static str,
    /// `MODEM_BROKER_WAN_BEFORE`.
    pub before: &'static str,
    /// `MODEM_BROKER_WAN_INTERFACE`.
    pub interface: String,
    /// `MODEM_BROKER_WAN_REASON`.
    pub reason: String,
}

/// Makes the queue to the hook and the task that runs it.
pub fn open(hook: Vec<String>, limit: Duration) -> (mpsc::Sender<Told>, impl Future<Output = ()> + Send) {
    let (sender, mut changes) = mpsc::channel::<Told>(DEPTH);
    let task = async move {
        while let Some(told) = changes.recv().await {
            match run(&hook, &told, limit).await {
                Ok(()) => tracing::debug!(active = told.active, "the hook of the WAN ran"),
                Err(problem) => tracing::error!(active = told.active, problem, "the WAN hook failed"),
            }
        }
    };
    (sender, task)
}

async fn run(hook: &[String], told: &Told, limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = hook.split_first() else {
        return Ok(());
    };
    let child = Command::new(program)
        .args(arguments)
        .env("MODEM_BROKER_WAN", told.active)
        .env("MODEM_BROKER_WAN_BEFORE", told.before)
        .env("MODEM_BROKER_WAN_INTERFACE", &told.interface)
        .env("MODEM_BROKER_WAN_REASON", &told.reason)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("start {program}: {error}"))?;
    let output = match tokio::time::timeout(limit, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("it did not end within {} s", limit.as_secs())),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(SAID_MAX).collect();
    Err(format!("{}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hook_is_told_what_changed_and_its_failure_is_told() {
        let told = Told {
            active: "backup",
            before: "primary",
            interface: "wwan0".to_owned(),
            reason: "the cable is out".to_owned(),
        };
        let shell = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned);
        let script = "test \"$MODEM_BROKER_WAN_BEFORE$MODEM_BROKER_WAN$MODEM_BROKER_WAN_INTERFACE\" = primarybackupwwan0 && \
                      test \"$MODEM_BROKER_WAN_REASON\" = 'the cable is out'";
        let limit = Duration::from_secs(30);
        assert_eq!(run(&shell(script), &told, limit).await, Ok(()));
        let failed = run(&shell("echo broken >&2; exit 3"), &told, limit).await.unwrap_err();
        assert!(failed.contains('3') && failed.contains("broken"), "{failed}");
        let slow = run(&shell("sleep 60"), &told, Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(slow.contains("did not end"), "{slow}");
        assert!(run(&["/nowhere/hook".to_owned()], &told, limit).await.is_err());
    }
}
