//! The whole path in one process: a virtual SIM7600 and its network, the broker, the SMS bridge and the voice bot; then a
//! message in, a message out, and a caller who speaks, told as it happens.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the demo starts its actors here, once each")]

mod caller;
mod cast;
mod fold;
mod story;
mod teller;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use cast::Cast;
use story::Story;
use teller::Teller;

/// What the command line says.
#[derive(Debug, clap::Parser)]
#[command(
    name = "demo",
    about = "A virtual SIM7600, the broker, the SMS bridge and the voice bot, and a story that goes through all of them"
)]
pub struct Options {
    /// End after the story: exit 0, or 1 with the reason
    #[arg(long)]
    pub once: bool,
    /// Print the summary as one JSON object on stdout; the story goes to stderr
    #[arg(long, requires = "once")]
    pub json: bool,
    /// Where ports, socket and store go; a temporary directory that is removed at the end if not given
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// TCP port of the broker on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 7700, value_name = "PORT")]
    pub grpc_port: u16,
    /// Port of the SMS bridge on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8088, value_name = "PORT")]
    pub http_port: u16,
    /// Use the delays of a real modem
    #[arg(long)]
    pub realistic: bool,
    /// Leave the AT dialogue out of the story
    #[arg(long)]
    pub quiet: bool,
}

/// The story and its way to the modem and back must be over in this time, or something hangs.
const STORY_LIMIT: Duration = Duration::from_secs(180);

/// Runs the demo.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix("modem-broker-demo-")
        .tempdir()
        .context("make a temporary directory")?;
    let directory = options.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
    let teller = Teller::new(options.json);
    let cast = Cast::start(&options, &directory, &teller).await?;
    let heard_stays = options.directory.is_some() || !options.once;
    let mut story = Story::new(&cast, &teller, &directory, heard_stays);
    let told = tokio::select! {
        told = tokio::time::timeout(STORY_LIMIT, story.tell()) => match told {
            Ok(told) => told,
            Err(_) => Err(anyhow::anyhow!("the story was not over after {} s", STORY_LIMIT.as_secs())),
        },
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let summary = story.summary();
    match &told {
        Ok(()) if options.json => teller.json(&summary)?,
        Ok(()) => teller.summary(&summary),
        Err(_) => {}
    }
    if told.is_ok() && !options.once {
        teller.how_to_reach(&cast);
        tokio::select! {
            ended = story.go_on() => teller.say("demo", &format!("events are no longer told: {ended:#}; Ctrl-C ends the demo")),
            _ = tokio::signal::ctrl_c() => {}
        }
        teller.say("demo", "stopping");
    }
    cast.stop().await;
    told
}
