//! The port by which sessions are set up, with the protocol that its driver leaves to us.

use ::modem::{mbim, qmi};
use tokio::sync::mpsc;

use crate::port::mbim::{MbimEvent, MbimHandle};
use crate::port::qmi::{QmiEvent, QmiHandle};

/// Asks the port.
#[derive(Clone, Debug)]
pub(in crate::modem) enum Control {
    /// With the driver `qmi_wwan`.
    Qmi(QmiHandle),
    /// With the driver `cdc_mbim`.
    Mbim(MbimHandle),
}

/// What the port tells, on its way to the actor.
pub(in crate::modem) enum Events {
    Qmi(mpsc::Receiver<QmiEvent>),
    Mbim(mpsc::Receiver<MbimEvent>),
}

/// What the port tells.
#[derive(Debug)]
pub(in crate::modem) enum Event {
    /// A QMI service told something by itself.
    Qmi(qmi::Indication),
    /// The MBIM function told something by itself.
    Mbim(mbim::Indication),
    /// The modem restarted what is behind the port: sessions are gone.
    Restarted,
    /// So many requests in a row had no answer.
    Unresponsive(u32),
    /// The port is gone.
    Closed(String),
}

impl Events {
    /// The next one.
    pub(super) async fn next(&mut self) -> Event {
        let event = match self {
            Self::Qmi(events) => events.recv().await.map(Event::from),
            Self::Mbim(events) => events.recv().await.map(Event::from),
        };
        event.unwrap_or_else(|| Event::Closed("its task ended".to_owned()))
    }
}

impl From<QmiEvent> for Event {
    fn from(event: QmiEvent) -> Self {
        match event {
            QmiEvent::Indication(indication) => Self::Qmi(indication),
            QmiEvent::Restarted => Self::Restarted,
            QmiEvent::Unresponsive(requests) => Self::Unresponsive(requests),
            QmiEvent::Closed(reason) => Self::Closed(reason),
        }
    }
}

impl From<MbimEvent> for Event {
    fn from(event: MbimEvent) -> Self {
        match event {
            MbimEvent::Indication(indication) => Self::Mbim(indication),
            MbimEvent::Restarted => Self::Restarted,
            MbimEvent::Unresponsive(requests) => Self::Unresponsive(requests),
            MbimEvent::Closed(reason) => Self::Closed(reason),
        }
    }
}
