//! Real-time scheduling for the calling thread. No safe wrapper of the call exists, so this module is one.

#![expect(unsafe_code, reason = "two system calls about the calling thread itself")]

/// Above the default, below the kernel's own threads; any value beats every ordinary program.
const PRIORITY: libc::c_int = 10;

/// Asks for `SCHED_FIFO`, otherwise for a better nice value. Without privileges neither is had and the thread stays ordinary;
/// returns what it got.
pub(super) fn raise() -> &'static str {
    // SAFETY: `sched_param` is plain data, valid when zeroed; pid 0 is the calling thread.
    let fifo = unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = PRIORITY;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters)
    };
    if fifo == 0 {
        return "SCHED_FIFO";
    }
    // SAFETY: no pointers; on Linux who = 0 is the calling thread.
    let nice = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) };
    if nice == 0 { "nice -10" } else { "ordinary" }
}
