//! The front end inside a process: each port is a stream in memory, so that tests can run on a paused clock.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::driver;
use super::{AudioLink, Bench, Event, Line, Links, PORT_QUEUE, audio_port};
use crate::client::Control;
use crate::core::{Composition, Config, Function, Timing};

/// Bytes that a stream holds for a reader.
const STREAM_BYTES: usize = 64 * 1024;

/// Attachments that wait to be taken.
const ATTACHMENT_QUEUE: usize = 16;

/// The ports of one attachment. They end when the device vanishes.
#[derive(Debug)]
pub struct Attachment {
    /// What enumerated.
    pub composition: Composition,
    /// The host's ends.
    pub ports: HashMap<Function, DuplexStream>,
}

/// A virtual modem inside the process.
#[derive(Debug)]
pub struct InProcess {
    control: Control,
    attachments: mpsc::Receiver<Attachment>,
    driver: JoinHandle<()>,
}

/// Starts a virtual modem whose ports are streams in memory. Must be called on a runtime.
pub fn start_in_process(timing: Timing, config: Config) -> InProcess {
    let (queue, attachments) = mpsc::channel(ATTACHMENT_QUEUE);
    let (control, driver) = driver::spawn(DuplexBench { queue }, timing, config, true);
    InProcess {
        control,
        attachments,
        driver,
    }
}

impl InProcess {
    /// The handle to ask and to make things happen.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the device to appear on the bus: once at the start and after each time it vanished.
    pub async fn attachment(&mut self) -> Option<Attachment> {
        self.attachments.recv().await
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct DuplexBench {
    queue: mpsc::Sender<Attachment>,
}

impl Bench for DuplexBench {
    fn attach(
        &mut self,
        composition: Composition,
        _renumber: bool,
        generation: u64,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Links> {
        let mut links = Links {
            serial: Vec::new(),
            audio: None,
            nodes: Vec::new(),
            tasks: tokio::task::JoinSet::new(),
        };
        let mut ports = HashMap::new();
        for interface in composition.interfaces() {
            let function = interface.function;
            if !function.is_serial() && !function.has_control_channel() {
                continue;
            }
            let (host, device) = tokio::io::duplex(STREAM_BYTES);
            ports.insert(function, host);
            if function == Function::Audio {
                let (orders, inbox) = mpsc::channel(PORT_QUEUE);
                links.tasks.spawn(audio_port::run_task(device, inbox, events.clone()));
                links.audio = Some(AudioLink::Task(orders));
                continue;
            }
            let (queue, outgoing) = mpsc::channel(PORT_QUEUE);
            links
                .tasks
                .spawn(carry(function, generation, device, outgoing, events.clone()));
            links.serial.push(Line {
                function,
                queue,
                listener: None,
            });
        }
        self.queue
            .try_send(Attachment { composition, ports })
            .map_err(io::Error::other)?;
        Ok(links)
    }

    fn detach(&mut self) {}

    fn deauthorize(&mut self) {}
}

async fn carry(
    function: Function,
    generation: u64,
    device: DuplexStream,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    let (mut reader, mut writer) = tokio::io::split(device);
    let mut buffer = vec![0; 4_096];
    let write = async {
        while let Some(bytes) = outgoing.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            let event = Event::Input {
                port: function,
                generation,
                bytes: buffer[..count].to_vec(),
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    // Either the host dropped its end, or the device is gone and nobody wants to hear of it.
    let _ = events
        .send(Event::Closed {
            port: function,
            generation,
        })
        .await;
}
