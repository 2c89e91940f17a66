//! The operator's own way to switch a modem's power.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;

/// Why a hook did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    #[error("the power hook {} cannot be run", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the power hook did not end within {} s", limit.as_secs())]
    TimedOut { limit: Duration },
    #[error("the power hook failed: {status}{said}")]
    Failed { status: ExitStatus, said: String },
}

/// Text of a failed hook that is worth a line in the log.
const SAID_MAX: usize = 500;

/// Runs the hook with the modem's name and USB path in its environment. One that takes too long is killed.
pub(super) async fn run(hook: &[String], modem: &str, usb_path: &str, limit: Duration) -> Result<(), HookError> {
    let Some((program, arguments)) = hook.split_first() else {
        return Ok(());
    };
    let child = Command::new(program)
        .args(arguments)
        .env("MODEM_BROKER_MODEM", modem)
        .env("MODEM_BROKER_USB_PATH", usb_path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| HookError::Start {
            program: program.into(),
            source,
        })?;
    let output = match tokio::time::timeout(limit, child.wait_with_output()).await {
        Ok(output) => output.map_err(|source| HookError::Start {
            program: program.into(),
            source,
        })?,
        Err(_) => return Err(HookError::TimedOut { limit }),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(SAID_MAX).collect();
    Err(HookError::Failed {
        status: output.status,
        said: if said.is_empty() { said } else { format!(": {said}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<(), String> {
        let hook = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&hook, "sim1", "1-1", limit)
            .await
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_hook_is_told_which_modem_and_its_failure_is_told() {
        let long = Duration::from_secs(30);
        let right = "test \"$MODEM_BROKER_MODEM $MODEM_BROKER_USB_PATH\" = \"sim1 1-1\"";
        assert_eq!(shell(right, long).await, Ok(()));
        let told = shell("echo no such pin >&2; exit 3", long).await.unwrap_err();
        assert!(told.contains("exit status: 3: no such pin"), "{told}");
        let told = shell("exec sleep 60", Duration::from_millis(50)).await.unwrap_err();
        assert!(told.contains("did not end"), "{told}");
        let missing = run(&["/nonexistent".to_owned()], "sim1", "", long).await;
        assert!(matches!(missing, Err(HookError::Start { .. })));
    }
}
