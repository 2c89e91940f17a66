//! The gRPC side: requests become domain values, domain values become responses. The only place that knows the contract.
//!
//! # From a call to a byte
//!
//! A request becomes a valid domain value here (`validate`), or is refused with the field and the cure. The actor of the
//! modem then checks what must hold, makes the intent durable where the network is reached, and sends the command in its
//! lane. A refusal is one closed type (`crate::refusal`); `status` gives each its code and its reason of the contract.

pub mod auth;
mod broker;
pub mod budget;
mod connections;
pub mod convert;
mod diagnostics;
mod event;
pub mod listen;
mod location;
mod methods;
mod modem;
mod network;
mod peer;
mod radio;
pub mod settings;
mod sim;
mod sms;
pub mod status;
mod strangers;
mod terminal;
mod trace;
mod ussd;
mod validate;
mod voice;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::v1::broker_service_server::BrokerServiceServer;
use api::v1::diagnostics_service_server::DiagnosticsServiceServer;
use api::v1::event_service_server::EventServiceServer;
use api::v1::location_service_server::LocationServiceServer;
use api::v1::modem_service_server::ModemServiceServer;
use api::v1::network_service_server::NetworkServiceServer;
use api::v1::sim_service_server::SimServiceServer;
use api::v1::sms_service_server::SmsServiceServer;
use api::v1::ussd_service_server::UssdServiceServer;
use api::v1::voice_service_server::VoiceServiceServer;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;
use tonic::service::Routes;

use crate::modem::{ContentHash, Modems};
use crate::store::{Limits, Store};
use crate::wan::WanHandle;
use budget::Budget;
use event::Events;

/// A stream of responses.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Largest message that a client may send: an uplink of audio at most, with room to spare.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// What every service needs.
#[derive(Clone)]
pub struct Context {
    /// The modems.
    pub modems: Modems,
    /// The store.
    pub store: Store,
    /// How much clients may send.
    pub limits: Arc<Limits>,
    /// The choice of the WAN; none when nobody said which of several modems is the backup.
    pub wan: Option<WanHandle>,
    /// How much data a period allows.
    pub data_cap: DataCap,
    /// Whether raw AT commands are allowed.
    pub raw_at: bool,
    /// QMI requests are allowed.
    pub raw_qmi: bool,
    /// Whether emergency numbers may be dialled.
    pub emergency_calls: bool,
    /// When the broker was started.
    pub start_time: jiff::Timestamp,
    /// What responses may take in memory.
    pub budget: Arc<Budget>,
    /// How long a call goes on without an owner; `None`: until it ends by itself.
    pub reattach_grace: Option<Duration>,
    /// True from the moment at which the broker begins to stop.
    pub shutdown: watch::Receiver<bool>,
}

/// How much data a period allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataCap {
    /// Octets; no limit if none.
    pub bytes: Option<u64>,
    /// The day of the month on which a period begins.
    pub day: i8,
}

/// All services, with health and reflection.
pub async fn routes(context: Context) -> Routes {
    let (health, health_service) = tonic_health::server::health_reporter();
    // The empty name, the process as a whole, is serving from the beginning.
    health.set_serving::<BrokerServiceServer<Context>>().await;
    health.set_serving::<ModemServiceServer<Context>>().await;
    health.set_serving::<SimServiceServer<Context>>().await;
    health.set_serving::<SmsServiceServer<Context>>().await;
    health.set_serving::<VoiceServiceServer<Context>>().await;
    health.set_serving::<UssdServiceServer<Context>>().await;
    health.set_serving::<NetworkServiceServer<Context>>().await;
    health.set_serving::<LocationServiceServer<Context>>().await;
    health.set_serving::<DiagnosticsServiceServer<Context>>().await;
    health.set_serving::<EventServiceServer<Events>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that a generic client can read the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::new(health_service);
    // Both versions: newer tools ask for v1 first, grpcurl 1.8 knows v1alpha only.
    match reflection().build_v1() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::error!(%error, "reflection v1 is not served"),
    }
    match reflection().build_v1alpha() {
        Ok(service) => routes = routes.add_service(service),
        Err(error) => tracing::error!(%error, "reflection v1alpha is not served"),
    }
    routes
        .add_service(BrokerServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ModemServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(SimServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(SmsServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(VoiceServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(UssdServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(NetworkServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(LocationServiceServer::new(context.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(
            EventServiceServer::new(Events::new(
                context.store.clone(),
                context.budget.clone(),
                context.shutdown.clone(),
            ))
            .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(DiagnosticsServiceServer::new(context).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// Tells two requests with the same `request_id` apart.
fn content_hash(request: &impl prost::Message) -> ContentHash {
    use sha2::Digest as _;
    sha2::Sha256::digest(request.encode_to_vec()).into()
}
