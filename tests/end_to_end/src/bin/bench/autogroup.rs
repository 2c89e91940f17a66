//! How the scheduler treats the bench and its children beside the kernel's own threads.

/// Its own interface, see sched(7): the group of the session of the calling process.
const FILE: &str = "/proc/self/autogroup";

/// As nice as a session may get without being starved by others.
const NICE: i32 = 10;

/// As long as this lives, the bench's session gives way to the kernel's own threads, which serve the terminals of the
/// virtual modems.
///
/// A kernel that schedules sessions as groups was seen to leave such a thread unserved for up to 2.8 s beside a processor
/// hog of one session (Linux 6.18): the group's and the thread's shares are compared with each other, and nothing bounds
/// the wait. The hogs are ours and the broker is in the same session, so this takes nothing away from the trial.
pub struct KernelFirst(Option<i32>);

impl KernelFirst {
    /// Begins, where the kernel has such groups.
    pub fn begin() -> KernelFirst {
        let before = std::fs::read_to_string(FILE).ok();
        let before = before.and_then(|text| text.trim().rsplit(' ').next()?.parse().ok());
        if before.is_some()
            && let Err(error) = std::fs::write(FILE, NICE.to_string())
        {
            tracing::warn!(%error, file = FILE, "the kernel's own threads may stand still beside the hogs");
        }
        KernelFirst(before)
    }
}

impl Drop for KernelFirst {
    fn drop(&mut self) {
        // To be less nice again takes a privilege; without it the session stays as it is.
        if let Some(before) = self.0 {
            let _ = std::fs::write(FILE, before.to_string());
        }
    }
}
