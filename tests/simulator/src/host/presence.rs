//! Whether somebody has a pseudo-terminal open.
//!
//! The simulator keeps a descriptor of each slave itself, so that a port without a host is quiet instead of failing with
//! `EIO`. Who else has it open is counted from inotify's open and close events. The kernel may merge two opens that
//! follow each other at once into one event; with more than one program on a port the count can then end too early.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

#[derive(Debug, Default)]
struct Count {
    /// Open at this moment.
    open: usize,
    /// Ever opened.
    openings: u64,
    /// How often nobody was left.
    closings: u64,
}

#[derive(Debug)]
struct Shared {
    inotify: Inotify,
    counts: Mutex<HashMap<WatchDescriptor, Count>>,
}

/// Counts of all ports of one attachment.
#[derive(Debug, Clone)]
pub(super) struct Presence(Arc<Shared>);

/// The view on one port.
#[derive(Debug, Clone)]
pub(super) struct PortPresence {
    shared: Arc<Shared>,
    watch: WatchDescriptor,
}

impl Presence {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self(Arc::new(Shared {
            inotify,
            counts: Mutex::default(),
        })))
    }

    pub(super) fn watch(&self, path: &Path) -> io::Result<PortPresence> {
        let watch = self
            .0
            .inotify
            .add_watch(path, AddWatchFlags::IN_OPEN | AddWatchFlags::IN_CLOSE)?;
        self.0
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(watch, Count::default());
        Ok(PortPresence {
            shared: self.0.clone(),
            watch,
        })
    }
}

impl Shared {
    fn update(&self, counts: &mut HashMap<WatchDescriptor, Count>) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        let Some(count) = counts.get_mut(&event.wd) else {
                            continue;
                        };
                        if event.mask.contains(AddWatchFlags::IN_OPEN) {
                            count.open += 1;
                            count.openings += 1;
                        } else {
                            count.open = count.open.saturating_sub(1);
                            count.closings += u64::from(count.open == 0);
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl PortPresence {
    /// Whether a host has the port open at this moment.
    pub(super) fn is_open(&self) -> bool {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.update(&mut counts);
        counts.get(&self.watch).is_some_and(|count| count.open > 0)
    }

    /// How often the last host that had it open closed it.
    pub(super) fn closings(&self) -> u64 {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.update(&mut counts);
        counts.get(&self.watch).map_or(0, |count| count.closings)
    }

    /// How often a host opened it.
    pub(super) fn openings(&self) -> u64 {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.update(&mut counts);
        counts.get(&self.watch).map_or(0, |count| count.openings)
    }
}
