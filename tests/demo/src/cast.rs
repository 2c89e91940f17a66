//! Everybody who takes part: started in the order of their needs, stopped in the reverse one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::routing::post;
use client::{Broker, Settings};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::Options;
use crate::fold::Fold;
use crate::teller::{self, Teller};

/// Lines of a story that may wait to be told.
const STORY_DEPTH: usize = 256;

pub(crate) struct Cast {
    pub(crate) directory: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) grpc_port: u16,
    pub(crate) http_port: u16,
    pub(crate) simulator: simulator::Running,
    pub(crate) broker: Broker,
    /// What the bot heard and said, as it happens.
    pub(crate) turns: watch::Receiver<usize>,
    /// Messages that the webhook's receiver got.
    pub(crate) hooked: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    tasks: Vec<(&'static str, JoinHandle<anyhow::Result<()>>)>,
}

impl Cast {
    pub(crate) async fn start(options: &Options, directory: &Path, teller: &Teller) -> anyhow::Result<Cast> {
        std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        tracing_subscriber::fmt()
            .with_env_filter("warn")
            .with_ansi(teller::has_colours(&std::io::stderr()))
            .with_writer(std::io::stderr)
            .try_init()
            .ok();
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();

        let timing = if options.realistic {
            simulator::Timing::Realistic
        } else {
            simulator::Timing::Instant
        };
        let simulator = simulator::start(simulator::Options {
            directory: directory.to_owned(),
            timing,
            ..simulator::Options::default()
        })
        .await
        .context("start the virtual SIM7600")?;
        teller.say(
            "modem",
            &format!(
                "a virtual SIM7600G-H is plugged in; its ports are in {}/dev",
                directory.display()
            ),
        );
        if !options.quiet {
            tasks.push((
                "transcript",
                tokio::spawn(tell_dialogue(simulator.control(), teller.clone(), stopping.clone())),
            ));
        }

        let grpc_port = free_port(options.grpc_port, "--grpc-port").await?;
        let socket = directory.join("broker.sock");
        let config = broker::config::Config::parse(&broker_config(directory, &socket, grpc_port), "demo.toml")
            .context("configure the broker")?;
        let running = broker::run(config, stopped(stopping.clone()));
        tasks.push((
            "broker",
            tokio::spawn(async move { running.await.context("run the broker") }),
        ));
        let settings = Settings::for_endpoint(format!("unix:{}", socket.display()));
        let broker = connect(&settings).await?;
        teller.say(
            "broker",
            &format!("serves gRPC on {} and 127.0.0.1:{grpc_port}", socket.display()),
        );

        let (hooked_sender, hooked) = watch::channel(0);
        let hook = webhook(teller.clone(), hooked_sender, stopping.clone()).await?;
        tasks.push(("webhook", hook.1));

        let listener = TcpListener::bind(("127.0.0.1", options.http_port))
            .await
            .with_context(|| {
                format!(
                    "listen on 127.0.0.1:{}; choose another with --http-port",
                    options.http_port
                )
            })?;
        let http_port = listener.local_addr()?.port();
        let (stories, bridge_stories) = mpsc::channel(STORY_DEPTH);
        let mut bridge = sms_bridge::Config {
            broker: settings.clone(),
            // Whoever watches is to try it with curl.
            without_token: true,
            ..sms_bridge::Config::default()
        };
        bridge.webhook = Some(sms_bridge::Webhook::new(format!("http://{}/hook", hook.0)));
        let bridge_options = sms_bridge::Options {
            listener: Some(listener),
            on_story: Some(stories),
        };
        tasks.push((
            "bridge",
            tokio::spawn(sms_bridge::run(bridge, bridge_options, stopped(stopping.clone()))),
        ));
        tasks.push((
            "bridge stories",
            tokio::spawn(tell_bridge(bridge_stories, teller.clone())),
        ));

        let (stories, bot_stories) = mpsc::channel(STORY_DEPTH);
        let bot = voice_bot::Config {
            broker: settings,
            ..voice_bot::Config::default()
        };
        let bot_options = voice_bot::Options {
            on_story: Some(stories),
        };
        tasks.push((
            "bot",
            tokio::spawn(voice_bot::run(bot, bot_options, stopped(stopping.clone()))),
        ));
        let (turn_sender, turns) = watch::channel(0);
        tasks.push((
            "bot stories",
            tokio::spawn(tell_bot(bot_stories, teller.clone(), turn_sender)),
        ));

        Ok(Cast {
            directory: directory.to_owned(),
            socket,
            grpc_port,
            http_port,
            simulator,
            broker,
            turns,
            hooked,
            stop,
            tasks,
        })
    }

    /// Stops everybody, each with a bound.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for (name, task) in self.tasks {
            match tokio::time::timeout(Duration::from_secs(8), task).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::warn!("{name}: {error:#}"),
                Ok(Err(error)) => tracing::warn!("{name}: {error}"),
                Err(_) => tracing::warn!("{name} did not stop in time"),
            }
        }
        self.simulator.stop().await;
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn free_port(wanted: u16, option: &str) -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", wanted))
        .await
        .with_context(|| format!("listen on 127.0.0.1:{wanted}; choose another with {option}"))?;
    Ok(listener.local_addr()?.port())
}

fn broker_config(directory: &Path, socket: &Path, port: u16) -> String {
    let quoted = |path: PathBuf| serde_json::Value::from(path.to_string_lossy().into_owned()).to_string();
    format!(
        "[broker]\nlisten = [{}, \"tcp:127.0.0.1:{port}\"]\nloopback_scopes = [\"all\"]\nstate_directory = {}\nlock_directory = {}\n\
         [discovery]\nsysfs = {}\ndev = {}\n[diagnostics]\nraw_at = true\n[[modem]]\nname = \"sim1\"\n",
        serde_json::Value::from(format!("unix:{}", socket.display())),
        quoted(directory.join("state")),
        quoted(directory.join("lock")),
        quoted(directory.join("sys")),
        quoted(directory.join("dev")),
    )
}

async fn connect(settings: &Settings) -> anyhow::Result<Broker> {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Broker::connect(settings).await {
            Ok(broker) => return Ok(broker),
            Err(error) if tokio::time::Instant::now() >= until => return Err(error).context("reach the broker"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A receiver of the bridge's webhook, as an integration would have it.
async fn webhook(
    teller: Teller,
    hooked: watch::Sender<usize>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, JoinHandle<anyhow::Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("listen for the webhook")?;
    let address = listener.local_addr()?;
    let hooked = Arc::new(hooked);
    let receive = move |Json(body): Json<serde_json::Value>| {
        let from = body
            .get("from")
            .and_then(|from| from.as_str())
            .unwrap_or("?")
            .to_owned();
        let text = body
            .get("message")
            .and_then(|text| text.as_str())
            .unwrap_or("?")
            .to_owned();
        teller.say("world", &format!("webhook received: from {from}: {text:?}"));
        hooked.send_modify(|count| *count += 1);
        async {}
    };
    let app = axum::Router::new().route("/hook", post(receive));
    let task = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(stopped(stopping))
            .await
            .context("serve the webhook")
    });
    Ok((address, task))
}

async fn tell_bridge(mut stories: mpsc::Receiver<sms_bridge::Story>, teller: Teller) -> anyhow::Result<()> {
    while let Some(story) = stories.recv().await {
        match story {
            sms_bridge::Story::Listening(address) => teller.say("bridge", &format!("serves HTTP on {address}")),
            sms_bridge::Story::Accepted { .. } => teller.say("bridge", "a message was accepted for sending"),
            sms_bridge::Story::Delivered { attempt, .. } => teller.say(
                "bridge",
                &format!("webhook confirmed at attempt {attempt}, position committed"),
            ),
            sms_bridge::Story::Retrying { attempt, .. } => {
                teller.say("bridge", &format!("webhook failed at attempt {attempt}, trying again"))
            }
            sms_bridge::Story::Skipped { .. } => teller.say("bridge", "webhook refused the message for good"),
        }
    }
    Ok(())
}

async fn tell_bot(
    mut stories: mpsc::Receiver<voice_bot::Story>,
    teller: Teller,
    turns: watch::Sender<usize>,
) -> anyhow::Result<()> {
    while let Some(story) = stories.recv().await {
        let line = match story {
            voice_bot::Story::Watching => "waits for calls".to_owned(),
            voice_bot::Story::Ringing { rings, .. } => format!("a call rings ({rings})"),
            voice_bot::Story::Answered { .. } => "answered; plays the greeting".to_owned(),
            voice_bot::Story::Heard { turn, heard_ms, .. } => {
                turns.send_replace(turn);
                format!(
                    "turn {turn}: heard {:.1} s of speech, answers with it",
                    heard_ms as f64 / 1000.0
                )
            }
            voice_bot::Story::Replied { turn, after_ms, .. } => {
                format!(
                    "turn {turn}: the answer began {:.2} s after the caller's last sample",
                    after_ms as f64 / 1000.0
                )
            }
            voice_bot::Story::Reprompted { .. } => "heard nothing, asks again".to_owned(),
            voice_bot::Story::Ended(_) => "the call is over".to_owned(),
        };
        teller.say("bot", &line);
    }
    Ok(())
}

/// How long the ports are silent before a count of repetitions is told. Longer than the broker's pauses between its polls.
const PAUSE: Duration = Duration::from_millis(1500);

/// The AT dialogue, line by line, as the modem saw it.
async fn tell_dialogue(
    control: simulator::Control,
    teller: Teller,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut follower = control.transcript(None);
    let mut folds = [("at  ", Fold::default()), ("call", Fold::default())];
    while !*stopping.borrow() {
        let Some(entry) = follower.next(PAUSE).await? else {
            for (port, fold) in &mut folds {
                for line in fold.pause() {
                    tell_line(&teller, port, &line);
                }
            }
            continue;
        };
        let (port, fold) = match entry.port {
            simulator::Function::At => &mut folds[0],
            simulator::Function::Modem => &mut folds[1],
            _ => continue,
        };
        let text = entry.text.replace("\\\"", "\"");
        for line in text
            .split("\\r\\n")
            .flat_map(|part| part.split("\\r"))
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let news = match entry.way {
                simulator::Way::ToModem => fold.command(&format!("◀ {line}")),
                simulator::Way::ToHost => fold.answer(&format!("▶ {line}")),
            };
            for line in news {
                tell_line(&teller, port, &line);
            }
        }
    }
    Ok(())
}

fn tell_line(teller: &Teller, port: &str, line: &str) {
    teller.say_shortened("modem", &format!("{port} {line}"));
}
