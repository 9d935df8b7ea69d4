//! `rehearsal convert`: any dataset that can be read becomes a LeRobot v3.0 one, or is added to one.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use episodes::{Converted, Skipped};
use serde::Serialize;

use crate::args::Common;
use crate::errors::UsageError;
use crate::inspect::{chosen, with_progress};
use crate::source::Source;
use crate::{interrupt, output};

/// What `--json` answers.
#[derive(Serialize)]
struct Answer<'a> {
    out: &'a Path,
    episodes: usize,
    frames: usize,
    skipped: &'a [Skipped],
}

/// Writes the sound episodes of `input` to `out` and says in one line what became of them.
///
/// # Errors
/// `input` cannot be read, `out` exists and is not to be added to, or does not fit.
pub fn convert(input: &Path, out: &Path, append: bool, common: &Common) -> Result<()> {
    if hub::Address::from_path(out).is_some() {
        let words = format!("{}: the hub is only read; name a directory to write", out.display());
        return Err(UsageError(words).into());
    }
    let mut options = chosen(input, common)?.options();
    if options.state_keys.is_empty() {
        // A copy should lack nothing; who learns from it chooses then.
        options.state_keys = vec![episodes::ALL.to_owned()];
    }
    let source = Source::find(&options.path, None)?;
    let options = source.fetch(source.complete(options)?)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    let read = |report: &mut dyn FnMut(episodes::Progress)| {
        episodes::convert(&options, out, append, &interrupt::requested, report)
    };
    let converted = source.named(with_progress(read))?;
    if common.json {
        let Converted { episodes, frames, ref skipped } = converted;
        return output::answer_json(&Answer { out, episodes, frames, skipped });
    }
    output::answer(&summary(out, append, &converted));
    Ok(())
}

fn summary(out: &Path, append: bool, converted: &Converted) -> String {
    let count = |n: usize, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    let (episodes, frames) = (count(converted.episodes, "episode"), count(converted.frames, "frame"));
    let verb = if append { "added to" } else { "written to" };
    let mut line = format!("{episodes}, {frames} {verb} {}; left out: ", out.display());
    if converted.skipped.is_empty() {
        line.push_str("nothing");
    }
    for (i, Skipped { what, why }) in converted.skipped.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{what} ({why})", if i == 0 { "" } else { "; " });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line() {
        let hole = |what: &str, why: &str| Skipped { what: what.to_owned(), why: why.to_owned() };
        let mut converted = Converted { episodes: 1, frames: 12, skipped: Vec::new() };
        let words = |converted: &Converted| summary(Path::new("out"), false, converted);
        assert_eq!(words(&converted), "1 episode, 12 frames written to out; left out: nothing");
        converted.skipped = vec![hole("episode 3", "has no rows"), hole("2 episodes (5, 6)", "camera top is missing")];
        assert_eq!(
            words(&converted),
            "1 episode, 12 frames written to out; left out: episode 3 (has no rows); 2 episodes (5, 6) (camera top is \
             missing)"
        );
    }
}
