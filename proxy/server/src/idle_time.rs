//! Threads whose work users must not feel: they run in the time that nobody else wants.

/// Has the scheduler run the calling thread, and what it starts, only where no other is ready: one of the data path that wakes
/// up takes the core from it at once, and a core with nothing else on it counts as idle. A low priority alone does not do that:
/// who has a core keeps it for its slice, more than a millisecond. Where it is refused or not Linux, `niceness` (1 to 19) is
/// added to the thread's own. `who` is for the log; being refused is no reason not to work.
pub(crate) fn use_only(who: &'static str, niceness: i32) {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{
            NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id, thread_schedule_policy,
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let lowest = thread_priority::ThreadPriority::Min;
        // It sets the priority to the usual one as well, which a process of a lower one may not: what counts
        // is what the scheduler says afterwards.
        let _ = set_thread_priority_and_policy(thread_native_id(), lowest, idle);
        if thread_schedule_policy().is_ok_and(|policy| policy == idle) {
            return;
        }
    }
    match rustix::process::nice(niceness) {
        Ok(niceness) => tracing::debug!(niceness, "{who}: not only idle time, but a low priority"),
        Err(error) => tracing::warn!(%error, "{who}: runs at the usual priority"),
    }
}
