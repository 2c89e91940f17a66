//! `BrokerService`: the broker itself.

use api::v1;
use api::v1::broker_service_server::BrokerService;
use tonic::{Request, Response, Status};

use super::auth::{Client, scopes_of};
use super::{Context, MESSAGE_BYTES_MAX, convert};
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::store::{self, StoreState};

#[tonic::async_trait]
impl BrokerService for Context {
    async fn get_broker(
        &self,
        request: Request<v1::GetBrokerRequest>,
    ) -> Result<Response<v1::GetBrokerResponse>, Status> {
        let scopes = scopes_of(&request);
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        let health = self.store.health();
        let state = match health.state {
            StoreState::Ok => v1::StoreState::Ok,
            StoreState::Degraded => v1::StoreState::Degraded,
            StoreState::Failed => v1::StoreState::Failed,
        };
        let mut queues = Vec::new();
        for modem in self.modems.iter() {
            let queued_count = self.store.queued_messages(modem.name()).await.map_err(Refusal::from)?;
            queues.push(v1::MessageQueue {
                modem: modem.name().to_owned(),
                queued_count,
            });
        }
        let may = Scope::ALL.into_iter().filter(|scope| scopes.contains(*scope));
        let broker = v1::Broker {
            broker_id: self.store.broker_id().to_owned(),
            journal_id: self.store.journal_id().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(convert::timestamp(self.start_time)),
            oldest_cursor: self.store.oldest().await.map_err(Refusal::from)?.0,
            latest_cursor: self.store.latest().0,
            store: Some(v1::Store {
                state: state.into(),
                detail: health.detail,
                free_octets: health.free_octets,
                unreadable_rows: self.store.unreadable_rows().await.map_err(Refusal::from)?,
            }),
            limits: Some(v1::BrokerLimits {
                request_octets: u32::try_from(MESSAGE_BYTES_MAX).unwrap_or(u32::MAX),
                response_octets: store::PAGE_OCTETS,
                page_size: store::PAGE_SIZE_LIMIT,
            }),
            caller: Some(v1::Caller {
                client: client.0,
                scopes: may.map(|scope| scope.name().to_owned()).collect(),
            }),
            queues,
        };
        Ok(Response::new(v1::GetBrokerResponse { broker: Some(broker) }))
    }
}
