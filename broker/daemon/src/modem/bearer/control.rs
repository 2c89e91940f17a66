//! The port by which sessions are set up, with the protocol that its driver leaves to us.

use cellular::{mbim, qmi};
use tokio::sync::mpsc;

use super::connecting::ppp::{Ended, PppHandle};
use crate::port::at::AtEvent;
use crate::port::control::ControlEvent;
use crate::port::mbim::{MbimEvent, MbimHandle};
use crate::port::qmi::{QmiEvent, QmiHandle};
use crate::resource::PortRole;

/// Asks the port.
#[derive(Clone, Debug)]
pub(in crate::modem) enum Control {
    /// With the driver `qmi_wwan`.
    Qmi(QmiHandle),
    /// With the driver `cdc_mbim`.
    Mbim(MbimHandle),
    /// An AT port for data calls, where there is neither.
    Ppp(PppHandle),
}

/// What the port tells, on its way to the actor.
pub(in crate::modem) enum Events {
    Qmi(mpsc::Receiver<QmiEvent>),
    Mbim(mpsc::Receiver<MbimEvent>),
    Ppp {
        port: mpsc::Receiver<(PortRole, AtEvent)>,
        sessions: mpsc::Receiver<Ended>,
    },
}

/// What the port tells.
#[derive(Debug)]
pub(in crate::modem) enum Event {
    /// A QMI service told something by itself.
    Qmi(qmi::Indication),
    /// The MBIM function told something by itself.
    Mbim(mbim::Indication),
    /// A session by PPP ended.
    Ended(Ended),
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
            Self::Qmi(events) => events.recv().await.map(|event| Event::of_port(event, Event::Qmi)),
            Self::Mbim(events) => events.recv().await.map(|event| Event::of_port(event, Event::Mbim)),
            Self::Ppp { port, sessions } => loop {
                tokio::select! {
                    Some(ended) = sessions.recv() => break Some(Event::Ended(ended)),
                    event = port.recv() => match event {
                        Some((_, AtEvent::Closed(reason))) => break Some(Event::Closed(reason)),
                        Some((_, AtEvent::Unresponsive(probes))) => break Some(Event::Unresponsive(probes)),
                        // The other AT port hears it as well.
                        Some(_) => {}
                        None => break None,
                    },
                }
            },
        };
        event.unwrap_or_else(|| Event::Closed("its task ended".to_owned()))
    }
}

impl Event {
    fn of_port<Indication>(event: ControlEvent<Indication>, told: impl FnOnce(Indication) -> Self) -> Self {
        match event {
            ControlEvent::Indication(indication) => told(indication),
            ControlEvent::Restarted => Self::Restarted,
            ControlEvent::Unresponsive(requests) => Self::Unresponsive(requests),
            ControlEvent::Closed(reason) => Self::Closed(reason),
        }
    }
}
