//! The report as pages of markdown, for a recording.

use std::fmt::Write as _;

use super::report::{ElementReport, Inspection};

impl Inspection {
    /// Everything but what was left out.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.source, self.kind());
        list(&mut text, &self.content());
        text.push_str("## To look at\n\n");
        match self.doubts.as_slice() {
            [] => text.push_str("Nothing looks like a mistake.\n\n"),
            doubts => list(&mut text, doubts),
        }
        text.push_str("## Movement\n\n");
        list(&mut text, &self.movement());
        text.push_str("## Features\n\n| kind | name | shape |\n|---|---|---|\n");
        for x in &self.features {
            // Writing to a string cannot fail.
            _ = writeln!(text, "| {} | {} | {:?} |", x.kind, cell(&x.key), x.shape);
        }
        text.push_str("\n## Ranges\n\n| element | min | max | mean | std | at limits |\n|---|---|---|---|---|---|\n");
        for e in self.elements() {
            let (name, share) = (cell(&e.name), 100.0 * e.saturation_share);
            _ = writeln!(
                text,
                "| {name} | {:.4} | {:.4} | {:.4} | {:.4} | {share:.1} % |",
                e.min, e.max, e.mean, e.std
            );
        }
        text
    }

    /// What was left out, and why.
    pub fn left_out_markdown(&self) -> String {
        let mut text = "# Left out\n\n".to_owned();
        if self.skipped.is_empty() {
            text.push_str("Nothing.\n");
        }
        for s in &self.skipped {
            _ = writeln!(text, "- **{}**: {}", s.what, s.why);
        }
        text
    }

    /// Format and robot.
    pub(super) fn kind(&self) -> String {
        let robot = self.robot_type.as_deref().unwrap_or("unnamed robot");
        // Versions are LeRobot's; other formats go by their name.
        let lerobot = if self.codebase_version.starts_with('v') { "LeRobot " } else { "" };
        format!("{lerobot}{}, {robot}", self.codebase_version)
    }

    /// State, action and reward.
    pub(super) fn elements(&self) -> impl Iterator<Item = &ElementReport> {
        self.state.iter().chain(&self.action).chain(&self.reward)
    }
}

fn list(text: &mut String, lines: &[String]) {
    lines.iter().for_each(|line| _ = writeln!(text, "- {line}"));
    text.push('\n');
}

fn cell(name: &str) -> String {
    name.replace('|', "\\|")
}
