//! Wall time, processor time and peak memory of repeated steps.

use std::fmt;
use std::time::Instant;

/// One step of a case; the argument counts steps from 0.
pub type Step = Box<dyn FnMut(usize)>;

/// A case that has been warmed up.
pub struct Measured {
    next: usize,
}

/// What a burst of steps took, per step.
pub struct Burst {
    steps: usize,
    wall_ms: Vec<f64>,
    cpu_ms: f64,
    peak_rss_mb: f64,
}

impl Measured {
    /// Runs a few steps that do not count: allocators, pools and caches fill.
    pub fn warm(step: &mut Step) -> Self {
        const WARM: usize = 3;
        /// Longer steps are warm after fewer.
        const ENOUGH_S: f64 = 2.0;
        let began = Instant::now();
        let mut next = 0;
        while next < WARM && (next == 0 || began.elapsed().as_secs_f64() < ENOUGH_S) {
            step(next);
            next += 1;
        }
        Self { next }
    }

    /// Steps for `seconds`, at least one.
    pub fn burst(&mut self, step: &mut Step, seconds: f64) -> Burst {
        let (began, cpu_began) = (Instant::now(), cpu_ms());
        let mut wall_ms = Vec::new();
        while wall_ms.is_empty() || began.elapsed().as_secs_f64() < seconds {
            let each = Instant::now();
            step(self.next);
            self.next += 1;
            wall_ms.push(each.elapsed().as_secs_f64() * 1e3);
        }
        let steps = wall_ms.len();
        wall_ms.sort_by(f64::total_cmp);
        Burst { steps, wall_ms, cpu_ms: (cpu_ms() - cpu_began) / steps as f64, peak_rss_mb: peak_rss_mb() }
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, wall_ms, cpu_ms, peak_rss_mb } = self;
        let (median, least, late) = (wall_ms[steps / 2], wall_ms[0], wall_ms[(steps - 1) * 99 / 100]);
        write!(
            f,
            "steps {steps} wall_ms {median:.3} min_ms {least:.3} cpu_ms {cpu_ms:.3} peak_rss_mb {peak_rss_mb:.0} p99_ms {late:.3}"
        )
    }
}

/// Processor time so far of all threads and of the processes that were started and have ended, milliseconds; 0 where the
/// system does not say.
pub fn cpu_ms() -> f64 {
    // Fields 14 to 17 of proc_pid_stat(5), counted after the name in brackets; a tick is 10 ms on every Linux.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(4).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Highest resident memory of this process, MB (10^6 bytes); 0 where the system does not say.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
}
