//! The NMEA port: sentences come in, nothing goes out.

use std::path::Path;
use std::time::Duration;

use cellular::location::SentenceReader;
use tokio::io::AsyncReadExt as _;

use super::{OpenError, OpenPort, open_serial};
use crate::port::PortAddress;

/// A receiver that runs says something every second, also without a fix.
const SILENCE: Duration = Duration::from_secs(30);

/// An open NMEA port.
pub struct NmeaPort {
    port: OpenPort,
    reader: SentenceReader,
}

/// Why an NMEA port has no more to say.
#[derive(Debug, thiserror::Error)]
pub enum NmeaError {
    /// The port is gone.
    #[error("{0}")]
    Closed(String),
    /// It said nothing for half a minute: the receiver was switched off.
    #[error("no sentence for 30 s")]
    Silent,
}

impl NmeaPort {
    /// Opens it exclusively.
    pub async fn open(address: &PortAddress, lock_directory: &Path) -> Result<NmeaPort, OpenError> {
        Ok(NmeaPort {
            port: open_serial(address, lock_directory).await?,
            reader: SentenceReader::default(),
        })
    }

    /// Reads once and hands on the bytes as they came and each intact sentence in them. Cancel safe.
    pub async fn read(&mut self, mut bytes: impl FnMut(&[u8]), each: impl FnMut(&str)) -> Result<(), NmeaError> {
        let mut buffer = [0_u8; 1024];
        let read = self.port.stream.read(&mut buffer);
        let count = match tokio::time::timeout(SILENCE, read).await {
            Ok(Ok(0)) => return Err(NmeaError::Closed("end of file: the device went away".to_owned())),
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return Err(NmeaError::Closed(format!("read: {error}"))),
            Err(_) => return Err(NmeaError::Silent),
        };
        bytes(&buffer[..count]);
        self.reader.push(&buffer[..count], each);
        Ok(())
    }

    /// Sentences whose checksum was wrong so far.
    pub fn damaged(&self) -> u64 {
        self.reader.damaged()
    }
}
