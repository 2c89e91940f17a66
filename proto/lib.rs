//! The gRPC contract `modembroker.v1`, generated from `proto/modembroker/v1/*.proto`.
//!
//! Nothing but generated code and the descriptor lives here: whoever depends on this crate depends on the contract alone.

#![forbid(unsafe_code)]

/// The package `modembroker.v1`: messages, clients and servers.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("modembroker.v1");
}

/// The encoded `FileDescriptorSet` of the contract, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/modembroker.v1.binpb"));

/// The domain of every `google.rpc.ErrorInfo` that the broker returns.
pub const ERROR_DOMAIN: &str = "modembroker.v1";
