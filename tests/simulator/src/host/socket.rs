//! The control socket: one JSON request per line, one JSON response per line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::driver::StartError;
use crate::client::Control;
use crate::control::Response;

/// Connections served at the same time; more wait.
const CONNECTIONS: usize = 32;

/// The longest request line.
const LINE_LIMIT: u64 = 1024 * 1024;

pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

pub(super) fn listen(directory: &Path) -> Result<UnixListener, StartError> {
    let path = path(directory);
    // A socket that an earlier run left behind refuses connections; one that answers belongs to somebody.
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        let taken = io::Error::from(io::ErrorKind::AddrInUse);
        return Err(StartError::new("listen on", path, taken));
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StartError::new("remove", path, error));
        }
        _ => {}
    }
    UnixListener::bind(&path).map_err(|error| StartError::new("listen on", path, error))
}

pub(super) async fn serve(listener: UnixListener, control: Control) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, control).await {
                        tracing::debug!(%error, "a control connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a control connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: UnixStream, control: Control) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut reader).take(LINE_LIMIT).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let response = match serde_json::from_str(&line) {
            Ok(request) => control.ask(request).await.unwrap_or_else(|error| Response::Error {
                message: error.to_string(),
            }),
            Err(error) => Response::Error {
                message: format!("not a request: {error}"),
            },
        };
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        writer.write_all(&text).await?;
    }
}
