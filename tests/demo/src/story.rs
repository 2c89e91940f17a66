//! The acts: up, a message in, a message out, a call, the network.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::v1::event::Change;
use api::v1::{
    Call, CallState, EventFilter, GetNetworkStatusRequest, ListModemsRequest, Message, MessageDirection, MessageState,
    ModemStage,
};
use client::{Start, Update, Watch};
use serde::Serialize;

use crate::caller;
use crate::cast::Cast;
use crate::teller::Teller;

/// A real message, recorded from a network: python-gsmmodem's test data, with the number masked.
const INCOMING_PDU: &str = "07915892000000F0040B915892113254F600007040213252242331493A283D0795C3F33C88FE06C9CB6132885EC6D341EDF27C1E3E97E7207B3A0C0A5241E377BB1D7693E72E";

/// From the block of numbers that Ofcom keeps for drama.
const SOMEBODY: &str = "+447700900123";

/// Each act must be over in this time.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// What the demo counted.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) sms_received: usize,
    pub(crate) sms_sent: usize,
    pub(crate) call_answered: bool,
    pub(crate) call_seconds: f64,
    pub(crate) call_turns: usize,
    pub(crate) pcm_frames_down: u64,
    pub(crate) pcm_frames_up: u64,
    pub(crate) pcm_discontinuities: u64,
    pub(crate) pcm_underruns: u64,
    pub(crate) modem_stage: String,
    pub(crate) operator: String,
}

pub(crate) struct Story<'a> {
    cast: &'a Cast,
    teller: &'a Teller,
    directory: &'a Path,
    /// Whether the directory is still there when the story is over.
    heard_stays: bool,
    watch: Watch,
    /// What was told of an event last: the same again is no news to a person.
    narrated: String,
    summary: Summary,
}

impl<'a> Story<'a> {
    pub(crate) fn new(cast: &'a Cast, teller: &'a Teller, directory: &'a Path, heard_stays: bool) -> Self {
        Story {
            cast,
            teller,
            directory,
            heard_stays,
            watch: Watch::new(cast.broker.clone(), Start::Beginning, EventFilter::default()),
            narrated: String::new(),
            summary: Summary::default(),
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary.clone()
    }

    pub(crate) async fn tell(&mut self) -> anyhow::Result<()> {
        self.teller.act("the modem comes up");
        self.come_up().await.context("the modem comes up")?;
        self.teller.act("the network");
        self.network().await.context("the network status")?;
        self.teller.act("a message arrives");
        self.receive().await.context("a message arrives")?;
        self.teller.act("a message is sent, over HTTP");
        self.send().await.context("a message is sent")?;
        self.teller.act("somebody calls and speaks");
        self.call().await.context("somebody calls")
    }

    /// Tells every event until the stream ends, and gives back why it did.
    pub(crate) async fn go_on(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.next(|_| None::<()>).await {
                return error;
            }
        }
    }

    /// Reads events until one is what the act waits for, telling each.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Change) -> Option<T>) -> anyhow::Result<T> {
        let reading = async {
            loop {
                if let Some(found) = self.next(&mut wanted).await? {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(ACT_LIMIT, reading)
            .await
            .context("nothing came within a minute")?
    }

    /// Tells the next events, and gives back the first that is wanted.
    async fn next<T>(&mut self, mut wanted: impl FnMut(&Change) -> Option<T>) -> anyhow::Result<Option<T>> {
        let batch = match self.watch.next().await? {
            Update::Batch(batch) => batch,
            Update::Interrupted { status, .. } => {
                bail!("the event stream broke: {}", client::status::describe(&status))
            }
        };
        let mut found = None;
        for event in batch.events {
            let Some(change) = event.change else { continue };
            self.narrate(&change);
            if found.is_none() {
                found = wanted(&change);
            }
        }
        Ok(found)
    }

    fn narrate(&mut self, change: &Change) {
        let line = match change {
            Change::ModemChanged(modem) => {
                format!(
                    "modem {} {:>3} % {} {}",
                    modem.name,
                    modem.progress_percent,
                    modem.stage().as_str_name().trim_start_matches("MODEM_STAGE_"),
                    modem.stage_detail
                )
            }
            Change::SimChanged(sim) => format!("SIM {}", sim.state().as_str_name().trim_start_matches("SIM_STATE_")),
            Change::MessageChanged(message) => {
                format!(
                    "message {} {:?}",
                    message.state().as_str_name().trim_start_matches("MESSAGE_STATE_"),
                    message.text
                )
            }
            Change::CallChanged(call) => {
                format!(
                    "call {} (audio {})",
                    call.state().as_str_name().trim_start_matches("CALL_STATE_"),
                    call.audio()
                        .as_str_name()
                        .trim_start_matches("CALL_AUDIO_STATE_")
                        .to_lowercase()
                )
            }
            Change::NetworkChanged(network) => {
                let registered = if network.registered {
                    "registered"
                } else {
                    "not registered"
                };
                let technology = network
                    .technology()
                    .as_str_name()
                    .trim_start_matches("ACCESS_TECHNOLOGY_")
                    .replace("UNSPECIFIED", "");
                format!("network {registered} {} {technology}", network.operator_name)
            }
            _ => return,
        };
        let line = line.trim_end().to_owned();
        if line != self.narrated {
            self.teller.say("broker", &format!("event: {line}"));
            self.narrated = line;
        }
    }

    async fn come_up(&mut self) -> anyhow::Result<()> {
        let modem = self
            .until(|change| match change {
                Change::ModemChanged(modem) if modem.stage() == ModemStage::Ready => Some(modem.clone()),
                _ => None,
            })
            .await?;
        self.summary.modem_stage = "READY".to_owned();
        self.teller.say(
            "broker",
            &format!(
                "{} {}, firmware {}, IMEI …{}",
                modem.manufacturer,
                modem.model,
                modem.revision,
                modem.imei.get(11..).unwrap_or_default()
            ),
        );
        Ok(())
    }

    async fn network(&mut self) -> anyhow::Result<()> {
        let request = GetNetworkStatusRequest {
            refresh: true,
            ..Default::default()
        };
        let status = self
            .cast
            .broker
            .network()
            .get_network_status(request)
            .await?
            .into_inner()
            .status
            .context("no status")?;
        if !status.registered {
            bail!("the modem is not registered");
        }
        let signal = status.signal.unwrap_or_default();
        let dbm = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.1}"));
        self.teller.say(
            "broker",
            &format!(
                "GetNetworkStatus: {} ({}), {}, RSRP {} dBm, RSRQ {} dB, RSSI {} dBm",
                status.operator_name,
                status.operator_plmn,
                status
                    .technology()
                    .as_str_name()
                    .trim_start_matches("ACCESS_TECHNOLOGY_"),
                dbm(signal.rsrp_dbm),
                dbm(signal.rsrq_db),
                dbm(signal.rssi_dbm),
            ),
        );
        self.summary.operator = status.operator_name;
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        self.teller.say("world", "the service centre delivers a message");
        self.cast.simulator.control().deliver_pdu(INCOMING_PDU).await?;
        self.until(|change| message(change, MessageDirection::Incoming, MessageState::Received))
            .await?;
        let mut hooked = self.cast.hooked.clone();
        tokio::time::timeout(ACT_LIMIT, hooked.wait_for(|count| *count >= 1))
            .await
            .context("the webhook was not called")??;
        self.summary.sms_received += 1;
        Ok(())
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/send", self.cast.http_port);
        let body = serde_json::json!({ "to": SOMEBODY, "message": "Grüße vom Raspberry Pi ✓" });
        self.teller.say("world", &format!("POST {url} {body}"));
        let answer = tokio::task::spawn_blocking(move || -> anyhow::Result<String> {
            Ok(ureq::post(&url).send_json(&body)?.body_mut().read_to_string()?)
        })
        .await??;
        self.teller.say("bridge", &format!("answered {}", answer.trim()));
        self.until(|change| message(change, MessageDirection::Outgoing, MessageState::Sent))
            .await?;
        let books = self
            .cast
            .simulator
            .control()
            .books_when(ACT_LIMIT, |books| !books.submits.records.is_empty())
            .await?;
        let submit = books.submits.records.back().context("the network has no message")?;
        self.teller.say(
            "world",
            &format!(
                "the network accepted a message: {:?}",
                submit.text.clone().unwrap_or_default()
            ),
        );
        self.summary.sms_sent += 1;
        Ok(())
    }

    async fn call(&mut self) -> anyhow::Result<()> {
        let wav = self.directory.join("caller.wav");
        let speaks_ms = caller::write(&wav)?;
        let heard = self.directory.join("heard-by-the-caller.wav");
        self.teller
            .say("world", "a person calls; what they say is recorded speech");
        let ring = simulator::RingOptions {
            from: SOMEBODY.to_owned(),
            audio: simulator::CallAudio::Wav(wav),
            record: Some(heard.clone()),
            hang_up_after_answer_ms: Some(speaks_ms),
            ..simulator::RingOptions::default()
        };
        self.cast.simulator.control().ring(ring).await?;
        let call = self.until(ended_call).await?;
        self.summary.call_turns = *self.cast.turns.borrow();
        self.summary.call_answered = call.answer_time.is_some();
        self.summary.call_seconds = seconds_between(&call);
        let audio = call.audio_statistics.unwrap_or_default();
        self.summary.pcm_frames_down = audio.downlink_frames;
        self.summary.pcm_frames_up = audio.uplink_frames;
        self.summary.pcm_discontinuities = audio.downlink_discontinuities;
        self.summary.pcm_underruns = audio.uplink_underruns;
        let heard = if self.heard_stays {
            format!("; what they heard is in {}", heard.display())
        } else {
            String::new()
        };
        self.teller.say("world", &format!("the caller hung up{heard}"));
        if !self.summary.call_answered {
            bail!("the call was not answered");
        }
        if self.summary.call_turns < 2 {
            bail!("the bot heard {} of the caller's 2 sentences", self.summary.call_turns);
        }
        let modems = self
            .cast
            .broker
            .modems()
            .list_modems(ListModemsRequest {})
            .await?
            .into_inner()
            .modems;
        let stage = modems.first().map(|modem| modem.stage()).unwrap_or_default();
        self.summary.modem_stage = stage.as_str_name().trim_start_matches("MODEM_STAGE_").to_owned();
        Ok(())
    }
}

fn message(change: &Change, direction: MessageDirection, state: MessageState) -> Option<Message> {
    match change {
        Change::MessageChanged(message) if message.direction() == direction && message.state() == state => {
            Some(message.clone())
        }
        _ => None,
    }
}

fn ended_call(change: &Change) -> Option<Call> {
    match change {
        Change::CallChanged(call) if call.state() == CallState::Disconnected => Some(call.clone()),
        _ => None,
    }
}

fn seconds_between(call: &Call) -> f64 {
    let at = |time: Option<&prost_types::Timestamp>| time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9);
    match (at(call.answer_time.as_ref()), at(call.end_time.as_ref())) {
        (Some(answer), Some(end)) => ((end - answer) * 10.0).round() / 10.0,
        _ => 0.0,
    }
}
