//! Peak memory of this process, per stage where the system allows it.

/// Highest resident memory since the start or the last [`reset_peak`], MB (10^6 bytes); `None` where the system
/// does not say.
pub fn peak_rss_mb() -> Option<f64> {
    kib("/proc/self/status", "VmHWM:").map(|kib| kib * 1024.0 / 1e6)
}

/// Starts a new peak from the memory in use now. Without effect where the system has no such thing; the peak then
/// is that of the whole process.
pub fn reset_peak() {
    // "5" is the kernel's word for resetting VmHWM (proc_pid_clear_refs(5)); it may be forbidden in a container.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// One `Name:   123 kB` line of a `/proc` file, KiB.
pub(crate) fn kib(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_sees_a_large_allocation() {
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let peak_mb = peak_rss_mb().expect("Linux says the peak");
        assert!(block.len() == 64 << 20 && peak_mb > 64.0, "{peak_mb} MB with 64 MiB in hand");
    }
}
