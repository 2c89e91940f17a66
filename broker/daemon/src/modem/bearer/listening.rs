//! What the port of the packet side tells by itself, and what follows from it.

use cellular::mbim::{self, basic_connect};
use cellular::packet::{EndReason, Family, end_reason::Consequence};
use cellular::qmi::wds::{Connection, StatusChange};
use cellular::qmi::{Endpoint, Indication, Service, imsa, nas, wds};

use super::connecting::Session;
use super::{Event, UNANSWERED_MAX, opening};
use crate::modem::serving::Serving;
use crate::resource::{BearerState, Persistence, PortState};

impl Serving<'_> {
    pub(in crate::modem) async fn data_event(&mut self, event: Event) {
        let name = self.data.place.name();
        match event {
            Event::Qmi(indication) => self.qmi_told(&indication).await,
            Event::Mbim(indication) => self.mbim_told(&indication).await,
            Event::Ended(ended) => match self.modem.bearer.state {
                BearerState::Connected => self.end_session(ended.detail, ended.persistence).await,
                BearerState::Connecting => self.data.ended_meanwhile = Some(None),
                BearerState::NotReady | BearerState::Disconnected | BearerState::Disconnecting => {}
            },
            Event::Unresponsive(requests) if requests < UNANSWERED_MAX => {
                tracing::debug!(modem = self.modem.status.name, requests, "the {name} does not answer");
            }
            Event::Unresponsive(requests) => {
                let detail = format!("the {name} does not answer ({requests} requests); opening it again");
                self.close_port(PortState::Silent, detail).await;
            }
            Event::Restarted => {
                let detail = format!("the modem restarted what is behind the {name}");
                self.close_port(PortState::Failed, detail).await;
            }
            Event::Closed(reason) => {
                self.close_port(PortState::Failed, format!("the {name} closed: {reason}"))
                    .await;
            }
        }
    }

    async fn qmi_told(&mut self, indication: &Indication) {
        if indication.endpoint.is_some_and(Endpoint::is_by_hand) {
            // For whoever makes requests by hand; it says nothing of the broker's own session.
            return;
        }
        match (indication.service, indication.id) {
            (Service::IMSA, imsa::REGISTRATION_CHANGED) => {
                if let Ok(registration) = imsa::registration_changed(indication) {
                    let mut ims = self.modem.network.ims.clone();
                    opening::fold_registration(&mut ims, registration);
                    self.set_ims(ims).await;
                }
            }
            (Service::IMSA, imsa::SERVICES_CHANGED) => {
                if let Ok(services) = imsa::services_changed(indication) {
                    let mut ims = self.modem.network.ims.clone();
                    opening::fold_services(&mut ims, services);
                    self.set_ims(ims).await;
                }
            }
            (Service::NAS, nas::SIGNAL_INFO) => {
                if let Ok(Some(signal)) = nas::signal_changed(indication) {
                    self.signal_told(signal).await;
                }
            }
            (Service::WDS, wds::PACKET_SERVICE_STATUS) => {
                if let Ok(StatusChange {
                    family,
                    connection: Connection::Disconnected,
                    reason,
                    ..
                }) = wds::status_change(indication)
                {
                    self.session_ended(family, reason).await;
                }
            }
            _ => self.service_told(indication).await,
        }
    }

    /// The signal and the registration are read by AT commands all the same, which tell more than MBIM does; what MBIM tells
    /// says when.
    async fn mbim_told(&mut self, indication: &mbim::Indication) {
        if indication.service != mbim::Uuid::BASIC_CONNECT {
            return;
        }
        let information = &indication.information;
        match indication.command {
            basic_connect::SIGNAL_STATE | basic_connect::REGISTER_STATE => self.read_network(),
            basic_connect::CONNECT => {
                if let Ok(connection) = basic_connect::read_connection(information)
                    && connection.is_ours()
                    && connection.activation == basic_connect::Activation::Deactivated
                {
                    self.session_ended(None, connection.reason).await;
                }
            }
            // Some functions tell of a session that ended with the attachment only this way.
            basic_connect::PACKET_SERVICE => self.verify_session(),
            _ => {}
        }
    }

    /// The session of a family, or of every one, is over.
    async fn session_ended(&mut self, family: Option<Family>, reason: Option<EndReason>) {
        match self.modem.bearer.state {
            BearerState::Connected => {
                let concerns = |session: &Session| family.is_none_or(|family| session.has(family));
                if self.data.session.as_ref().is_some_and(concerns) {
                    self.session_over(reason).await;
                }
            }
            BearerState::Connecting => self.data.ended_meanwhile = Some(reason),
            BearerState::NotReady | BearerState::Disconnected | BearerState::Disconnecting => {}
        }
    }

    /// The network or the modem ended the session.
    pub(super) async fn session_over(&mut self, reason: Option<EndReason>) {
        let detail = match reason {
            Some(reason) => format!("the session was ended: {reason}"),
            None => "the session was ended".to_owned(),
        };
        let persistence = match reason.map(EndReason::consequence) {
            Some(Consequence::Permanent | Consequence::Roaming) => Persistence::Permanent,
            _ => Persistence::Transient,
        };
        self.end_session(detail, persistence).await;
    }

    pub(super) async fn end_session(&mut self, detail: String, persistence: Persistence) {
        let Some(session) = self.data.session.take() else {
            return;
        };
        self.tell_bearer(|bearer| {
            bearer.state = BearerState::Disconnecting;
            bearer.detail = detail;
            bearer.persistence = Some(persistence);
        })
        .await;
        self.start_disconnecting(session);
    }
}
