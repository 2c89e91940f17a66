//! Short messages over HTTP: send, list, status, and a webhook for what comes in.
//!
//! The bridge keeps nothing of its own: what was sent and received is the broker's, and so is the position up to which
//! the webhook's receiver has confirmed everything. It can be killed at any time.

#![forbid(unsafe_code)]

mod config;
mod connections;
mod dead_letters;
mod guard;
mod http;
mod json;
mod payload;
mod sending;
mod signature;
mod webhook;

use std::sync::{Arc, Mutex};

use client::Broker;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use config::{Config, ConfigError, ForwardedEvent, Webhook};

/// What a program that embeds the bridge may add.
#[derive(Debug, Default)]
pub struct Options {
    /// Listens here instead of on [`Config::listen`].
    pub listener: Option<TcpListener>,
    /// Told about what happens, for a demonstration. What does not fit into the queue is not told: nobody waits for it.
    pub on_story: Option<mpsc::Sender<Story>>,
}

/// Something that happened. Without numbers and texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// Requests are served here.
    Listening(std::net::SocketAddr),
    /// A message was accepted by the broker.
    Accepted {
        /// The message.
        message_id: String,
    },
    /// The webhook's receiver confirmed an event.
    Delivered {
        /// The message.
        message_id: String,
        /// The attempt that succeeded, from 1.
        attempt: u32,
    },
    /// The webhook's receiver did not confirm an event; it is tried again.
    Retrying {
        /// The message.
        message_id: String,
        /// The attempt that failed, from 1.
        attempt: u32,
    },
    /// An event became a dead letter: the receiver refused it for good, or it could not be read.
    Skipped {
        /// The message; empty when the event could not be read.
        message_id: String,
    },
}

#[derive(Clone, Debug, Default)]
struct Stories(Option<mpsc::Sender<Story>>);

impl Stories {
    fn tell(&self, story: Story) {
        if let Some(sender) = &self.0 {
            // A listener that does not keep up misses a line; the bridge does not wait for it.
            let _ = sender.try_send(story);
        }
    }
}

/// Runs until `shutdown` completes, or until something fails that a retry cannot mend.
pub async fn run(config: Config, options: Options, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let broker = Broker::connect_lazily(&config.broker)?;
    let stories = Stories(options.on_story);
    let listener = match options.listener {
        Some(listener) => listener,
        None => http::bind(&config).await?,
    };
    stories.tell(Story::Listening(listener.local_addr()?));
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(Mutex::new(webhook::Progress::new(config.webhook.as_ref())));
    let serving = http::serve(
        &config,
        listener,
        broker.clone(),
        Arc::clone(&progress),
        stories.clone(),
        stopped.clone(),
    );
    let forwarding = async {
        match &config.webhook {
            Some(settings) => {
                webhook::Forwarder::new(broker, settings, progress, stories)?
                    .run(stopped)
                    .await;
                Ok(())
            }
            None => Ok(()),
        }
    };
    let stopping = async {
        shutdown.await;
        stop.send_replace(true);
        Ok(())
    };
    tokio::try_join!(serving, forwarding, stopping)?;
    Ok(())
}
