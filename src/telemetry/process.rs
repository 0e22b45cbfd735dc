//! What the process itself costs, read from `/proc/self`.

use procfs::WithCurrentSystemInfo as _;
use procfs::process::Process;

/// Seconds of processor time since the start, in user and kernel together.
pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = Process::myself().ok()?.stat().ok()?;
    let per_second = u32::try_from(procfs::ticks_per_second()).ok().filter(|&ticks| ticks > 0)?;
    let ticks = stat.utime.saturating_add(stat.stime);
    // A u32 of seconds is 136 years of processor time.
    let whole = u32::try_from(ticks / u64::from(per_second)).ok()?;
    let rest = u32::try_from(ticks % u64::from(per_second)).ok()?;
    Some(f64::from(whole) + f64::from(rest) / f64::from(per_second))
}

/// Memory that is resident now.
pub(super) fn resident_bytes() -> Option<i64> {
    let stat = Process::myself().ok()?.stat().ok()?;
    i64::try_from(stat.rss_bytes().get()).ok()
}

/// Open file descriptors, the one that counts them included.
pub(super) fn open_files() -> Option<i64> {
    i64::try_from(Process::myself().ok()?.fd_count().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_files_and_time() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(open_files().is_some_and(|files| files >= 3));
        assert!(cpu_seconds().is_some_and(|seconds| seconds >= 0.0));
    }
}
