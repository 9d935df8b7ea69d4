//! The report as text, for a terminal.

use std::fmt;

use super::Inspection;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let robot = self.robot_type.as_deref().unwrap_or("unnamed robot");
        // Versions are LeRobot's; other formats go by their name.
        let lerobot = if self.codebase_version.starts_with('v') { "LeRobot " } else { "" };
        writeln!(f, "{}  ({lerobot}{}, {robot})", self.source, self.codebase_version)?;
        write!(f, "  {} episodes, {} frames ", self.episodes, self.frames)?;
        match self.fps {
            Some(fps) => write!(f, "at {fps} Hz")?,
            None => write!(f, "at an unknown rate (set data.control_rate_hz to learn from them)")?,
        }
        match self.lengths {
            Some(l) => writeln!(f, "; lengths {} to {}, median {} steps", l.min, l.max, l.median)?,
            None => writeln!(f)?,
        }
        for task in &self.tasks {
            writeln!(f, "  task: {task}")?;
        }
        match self.success {
            Some(s) => writeln!(f, "  success: {} episodes ({:.0} %)", s.episodes, 100.0 * s.share)?,
            None => writeln!(f, "  success: not recorded")?,
        }
        if let Some(i) = self.intervention {
            let share = 100.0 * i.step_share;
            writeln!(f, "  a person had the controls in {} episodes, {share:.1} % of steps", i.episodes)?;
        }
        writeln!(f, "  {}", self.reward_rule)?;
        writeln!(f, "features")?;
        for x in &self.features {
            writeln!(f, "  {:<12} {:<40} {:?}", x.kind, x.key, x.shape)?;
        }
        writeln!(f, "{:<42} {:>10} {:>10} {:>10} {:>10}", "ranges", "min", "max", "mean", "std")?;
        let mut row = |name: &str, v: [f64; 4]| -> fmt::Result {
            write!(f, "  {name:<40}")?;
            for x in v {
                write!(f, " {x:>10.4}")?;
            }
            writeln!(f)
        };
        for e in &self.state {
            row(&e.name, [e.min, e.max, e.mean, e.std])?;
        }
        for e in &self.action {
            row(&e.name, [e.min, e.max, e.mean, e.std])?;
        }
        let saturated = self.action.iter().map(|a| a.saturation_share).fold(0.0, f64::max);
        writeln!(
            f,
            "  action idle {:.1} % of steps, at its limits up to {:.1} %",
            100.0 * self.idle_share,
            100.0 * saturated
        )?;
        if let Some(t) = self.timing {
            let (mean, jitter, longest) = (1e3 * t.mean_step_s, 1e3 * t.jitter_s, 1e3 * t.longest_step_s);
            writeln!(f, "  steps of {mean:.1} ms, jitter {jitter:.1} ms, longest {longest:.1} ms")?;
        }
        for (camera, share) in self.cameras.iter().filter_map(|c| Some((&c.key, c.still_share?))) {
            let share = 100.0 * share;
            writeln!(f, "  {camera}: the same picture again at {share:.1} % of the steps at which the state moves")?;
        }
        if !self.doubts.is_empty() {
            writeln!(f, "to look at")?;
            self.doubts.iter().try_for_each(|doubt| writeln!(f, "  {doubt}"))?;
        }
        if self.skipped.is_empty() {
            return writeln!(f, "left out: nothing");
        }
        writeln!(f, "left out")?;
        for s in &self.skipped {
            writeln!(f, "  {}: {}", s.what, s.why)?;
        }
        Ok(())
    }
}
