//! What a client of the broker imports: where the broker is, a connection that says what to do when it fails, the
//! contract's errors as values, events that survive a lost connection, and the audio of a call.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::{Broker, Settings, Start, Update, Watch};
//!
//! let broker = Broker::connect(&Settings::default()).await?;
//! let mut watch = Watch::new(broker, Start::Now, Default::default());
//! loop {
//!     match watch.next().await? {
//!         Update::Batch(batch) => println!("{} events", batch.events.len()),
//!         Update::Interrupted { retry_in, .. } => println!("lost the broker, next try in {retry_in:?}"),
//!     }
//! }
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod audio;
mod back_off;
pub mod call;
mod connection;
mod endpoint;
#[cfg(feature = "json")]
pub mod json;
mod label;
mod settings;
pub mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;

pub use back_off::BackOff;
pub use connection::{Authenticated, BearerToken, Broker, ConnectError};
pub use endpoint::{Address, DEFAULT_ENDPOINT, EndpointError};
pub use label::label;
pub use settings::Settings;
pub use watch::{Batch, Start, Update, Watch, WatchError};

pub use api;
