//! Traces for clients: the bytes of all ports, cut into lines and redacted.

use std::collections::BTreeMap;

use api::v1::{StreamTraceResponse, TraceDirection, TraceEntry};
use bytes::Bytes;
use cellular::trace::{Dialect, Direction, Piece, Redactor};
use jiff::Timestamp;
use tokio::sync::watch;
use tonic::Status;

use super::{ResponseStream, convert};
use crate::port::trace::Chunk;
use crate::refusal::Refusal;
use crate::resource::PortRole;
use crate::tail::{Batch, Reader};

/// A client's view of a modem's trace.
pub(super) struct TraceView {
    modem: String,
    reader: Reader<Chunk>,
    redactors: BTreeMap<PortRole, Redactor<Timestamp>>,
    /// Every byte since the ports were opened was seen, so that the first line of each is whole.
    from_the_beginning: bool,
}

impl TraceView {
    pub(super) fn new(modem: &str, reader: Reader<Chunk>) -> TraceView {
        TraceView {
            modem: modem.to_owned(),
            from_the_beginning: reader.is_at_the_beginning(),
            reader,
            redactors: BTreeMap::new(),
        }
    }

    /// Everything that is kept now, with the lines that have not ended, and how many pieces were lost before.
    pub(super) fn everything(mut self) -> Vec<TraceEntry> {
        let mut entries = Vec::new();
        loop {
            let batch = self.reader.read();
            if batch.items.is_empty() {
                break;
            }
            entries.extend(self.take(batch));
        }
        for (port, redactor) in std::mem::take(&mut self.redactors) {
            entries.extend(redactor.finish().into_iter().map(|piece| self.entry(port, piece)));
        }
        entries
    }

    /// Entries as they come, until the broker stops.
    pub(super) fn follow(self, shutdown: watch::Receiver<bool>) -> ResponseStream<StreamTraceResponse> {
        let stream = futures_util::stream::unfold(Some((self, shutdown)), |state| async move {
            let (mut view, mut shutdown) = state?;
            loop {
                let batch = tokio::select! {
                    batch = view.reader.next() => batch,
                    _ = shutdown.wait_for(|stop| *stop) => None,
                };
                let Some(batch) = batch else {
                    return Some((Err(Status::from(Refusal::ShuttingDown)), None));
                };
                let lost_chunks = batch.lost;
                let entries = view.take(batch);
                if lost_chunks > 0 || !entries.is_empty() {
                    return Some((Ok(StreamTraceResponse { entries, lost_chunks }), Some((view, shutdown))));
                }
            }
        });
        Box::pin(stream)
    }

    fn take(&mut self, batch: Batch<Chunk>) -> Vec<TraceEntry> {
        if batch.lost > 0 {
            self.redactors.clear();
            self.from_the_beginning = false;
        }
        let mut entries = Vec::new();
        for chunk in batch.items {
            if chunk.bytes.is_empty() {
                entries.push(self.counted(&chunk));
                continue;
            }
            let from_the_beginning = self.from_the_beginning;
            let redactor = self
                .redactors
                .entry(chunk.port)
                .or_insert_with(|| Redactor::new(dialect(chunk.port), from_the_beginning));
            let pieces = redactor.push(chunk.direction, &chunk.time, &chunk.bytes);
            entries.extend(pieces.into_iter().map(|piece| self.entry(chunk.port, piece)));
        }
        entries
    }

    fn entry(&self, port: PortRole, piece: Piece<Timestamp>) -> TraceEntry {
        TraceEntry {
            modem: self.modem.clone(),
            port: convert::port_role(port).into(),
            direction: direction(piece.direction).into(),
            trace_time: Some(convert::timestamp(piece.mark)),
            octet_count: piece.bytes.len() as u64,
            octets: Bytes::from(piece.bytes),
        }
    }

    fn counted(&self, chunk: &Chunk) -> TraceEntry {
        TraceEntry {
            modem: self.modem.clone(),
            port: convert::port_role(chunk.port).into(),
            direction: direction(chunk.direction).into(),
            trace_time: Some(convert::timestamp(chunk.time)),
            octet_count: chunk.count,
            octets: Bytes::new(),
        }
    }
}

fn dialect(port: PortRole) -> Dialect {
    match port {
        PortRole::At | PortRole::AtCalls | PortRole::Ppp => Dialect::At,
        PortRole::Nmea => Dialect::Nmea,
        PortRole::Diagnostics | PortRole::Audio | PortRole::Qmi => Dialect::Frames,
        PortRole::Mbim => Dialect::Mbim,
    }
}

fn direction(direction: Direction) -> TraceDirection {
    match direction {
        Direction::FromModem => TraceDirection::FromModem,
        Direction::ToModem => TraceDirection::ToModem,
    }
}
