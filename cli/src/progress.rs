//! Progress on stderr: a bar with rate and time left on a terminal, a plain line every ten seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::span;
use crate::output::tell;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of one stage.
#[derive(Debug)]
pub struct Progress {
    name: String,
    unit: String,
    total: u64,
    done: u64,
    message: String,
    /// Where this start began: steps done by an earlier start have no part in the rate.
    first: Option<(u64, Instant)>,
    began: Instant,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Progress {
    /// Begins to show stage `name` of `total` `unit`s (e.g. `steps`); a `total` of 0 means that it is not known.
    pub fn stage(name: &str, total: u64, unit: &str) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar.set_prefix(format!("{name:<14}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let mut progress = Progress {
            name: name.to_owned(),
            unit: unit.to_owned(),
            total: 0,
            done: 0,
            message: String::new(),
            first: None,
            began: Instant::now(),
            bar,
            last_line: None,
        };
        progress.set_total(total);
        progress
    }

    /// Changes the total (0: not known), for stages that plan as they go.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = self.bar.as_ref().filter(|_| total > 0) {
            bar.set_length(total);
        }
    }

    /// Shows that `done` units are done, with a few words or numbers (`loss 0.12`).
    pub fn set(&mut self, done: u64, message: &str) {
        let now = Instant::now();
        self.done = done;
        if self.message != message {
            message.clone_into(&mut self.message);
        }
        self.first.get_or_insert((done, now));
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(self.status(now));
        } else if self.last_line.is_none_or(|last| now.duration_since(last) >= LINE_EVERY) {
            self.last_line = Some(now);
            tell(&self.line(now));
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(words)),
            None => tell(words),
        }
    }

    /// Ends the display and leaves one line behind.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let took = span(self.began.elapsed().as_secs_f64());
        tell(format!("{:<14} {} {} in {took}  {}", self.name, self.done, self.unit, self.message).trim_end());
    }

    /// `1200/5000 steps  34.1/s  1 min 52 s left  loss 0.12`, for a plain line.
    fn line(&self, now: Instant) -> String {
        let total = if self.total > 0 { format!("/{}", self.total) } else { String::new() };
        let words = format!("{:<14} {}{total} {}  {}", self.name, self.done, self.unit, self.status(now));
        words.trim_end().to_owned()
    }

    /// Rate, time left and message.
    fn status(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        if let Some(rate) = self.rate(now) {
            parts.push(format!("{}/s", three_digits(rate)));
            if self.total > self.done {
                parts.push(format!("{} left", span((self.total - self.done) as f64 / rate)));
            }
        }
        if !self.message.is_empty() {
            parts.push(self.message.clone());
        }
        parts.join("  ")
    }

    /// Units per second since the first [`Progress::set`] of this start, once there is something to measure.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (first, at) = self.first?;
        let (units, seconds) = (self.done.checked_sub(first)? as f64, now.duration_since(at).as_secs_f64());
        (units > 0.0 && seconds > 0.0).then(|| units / seconds)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:24}] {human_pos}/{human_len}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn three_digits(rate: f64) -> String {
    match rate {
        r if r >= 100.0 => format!("{r:.0}"),
        r if r >= 10.0 => format!("{r:.1}"),
        r => format!("{r:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_has_rate_and_time_left_of_this_start_alone() {
        let mut progress = Progress::stage("world model", 5000, "steps");
        let now = Instant::now();
        progress.first = Some((1000, now));
        progress.done = 1200;
        progress.message = "loss 0.12".into();
        let line = progress.line(now + Duration::from_secs(10));
        assert_eq!(line, "world model    1200/5000 steps  20.0/s  3 min 10 s left  loss 0.12");
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let mut progress = Progress::stage("episodes", 0, "frames");
        assert_eq!(progress.line(Instant::now()), "episodes       0 frames");
        progress.set(7, "");
        assert_eq!(progress.line(Instant::now()), "episodes       7 frames");
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!(three_digits(1234.5), "1234");
        assert_eq!(three_digits(34.14), "34.1");
        assert_eq!(three_digits(0.5), "0.50");
    }
}
