//! Every message as JSON, in protobuf's own mapping with the names of the contract: what `grpcurl` users know.

use std::sync::LazyLock;

use api::v1;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(api::FILE_DESCRIPTOR_SET).expect("the contract's descriptor was made by the same build")
});

/// A message of the contract that is printed as JSON.
pub trait Named: Message {
    /// Its name within the package.
    const NAME: &'static str;
}

macro_rules! named {
    ($($name:ident),* $(,)?) => { $(impl Named for v1::$name { const NAME: &'static str = stringify!($name); })* };
}

named!(
    AudioStatistics,
    Bearer,
    Call,
    CallForwarding,
    ComposeMessageResponse,
    DtmfReceived,
    Event,
    ExecuteAtCommandResponse,
    ExecuteQmiRequestResponse,
    Fix,
    GetCellsResponse,
    GetDataUsageResponse,
    GetRecoveryResponse,
    GetBearerStatisticsResponse,
    CheckStorageResponse,
    ListDataProfilesResponse,
    ListQmiServicesResponse,
    Message,
    Modem,
    NetworkStatus,
    Port,
    ScanOperatorsResponse,
    Signal,
    Sim,
    StreamNmeaResponse,
    TraceEntry,
    UssdSession,
    WanStatus,
);

/// The message as JSON: field names as in the contract, numbers as numbers, times as RFC 3339, enums by name.
pub fn to_value(message: &impl Named) -> Value {
    convert(message).unwrap_or_else(|error| Value::String(format!("failed to print a message: {error}")))
}

fn convert<M: Named>(message: &M) -> Result<Value, Box<dyn std::error::Error>> {
    let descriptor = POOL
        .get_message_by_name(&format!("modembroker.v1.{}", M::NAME))
        .ok_or("the descriptor lacks the message")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true)
        .skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_message_has_the_contracts_names_and_plain_numbers() {
        let event = v1::Event {
            sequence: 7,
            event_time: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            modem: "sim1".into(),
            change: Some(v1::event::Change::SimChanged(v1::Sim {
                modem: "sim1".into(),
                state: v1::SimState::Ready.into(),
                ..Default::default()
            })),
        };
        expect![[r#"{"event_time":"2026-09-21T14:13:20Z","modem":"sim1","sequence":7,"sim_changed":{"home_plmn":"","iccid":"","imsi":"","modem":"sim1","own_numbers":[],"state":"SIM_STATE_READY"}}"#]]
        .assert_eq(&to_value(&event).to_string());
    }
}
