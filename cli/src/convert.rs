//! `rehearsal convert`: any dataset that can be read becomes a LeRobot v3.0 one, or is added to one.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use episodes::{Converted, Destination, Kept, KeptCamera, Skipped};
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
    cameras: &'a [KeptCamera],
    skipped: &'a [Skipped],
}

/// Writes the sound episodes of `input` to `to` and says in one line what became of them.
///
/// # Errors
/// `input` cannot be read, `to` exists and is not to be added to, or does not fit.
pub fn convert(input: &Path, to: &Destination<'_>, common: &Common) -> Result<()> {
    if hub::Address::from_path(to.path).is_some() {
        let words = format!("{}: the hub is only read; name a directory to write", to.path.display());
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
    let read =
        |report: &mut dyn FnMut(episodes::Progress)| episodes::convert(&options, to, &interrupt::requested, report);
    let converted = source.named(with_progress(read))?;
    if common.json {
        let Converted { episodes, frames, ref cameras, ref skipped } = converted;
        return output::answer_json(&Answer { out: to.path, episodes, frames, cameras, skipped });
    }
    output::answer(&summary(to.path, to.append, &converted));
    Ok(())
}

fn summary(out: &Path, append: bool, converted: &Converted) -> String {
    let count = |n: usize, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    let (episodes, frames) = (count(converted.episodes, "episode"), count(converted.frames, "frame"));
    let verb = if append { "added to" } else { "written to" };
    let mut line = format!("{episodes}, {frames} {verb} {}; ", out.display());
    if !converted.cameras.is_empty() {
        line.push_str(&cameras(&converted.cameras));
    }
    line.push_str("left out: ");
    if converted.skipped.is_empty() {
        line.push_str("nothing");
    }
    for (i, Skipped { what, why }) in converted.skipped.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{what} ({why})", if i == 0 { "" } else { "; " });
    }
    line
}

/// `2 cameras copied as video, 1 encoded as H.264; `.
fn cameras(kept: &[KeptCamera]) -> String {
    let words = |camera: &KeptCamera| match camera.kept {
        Kept::VideoCopied => "copied as video".to_owned(),
        Kept::VideoEncoded => "encoded as H.264".to_owned(),
        Kept::PicturesEmbedded => "embedded as pictures".to_owned(),
        Kept::PicturesOfThatSizeEmbedded => {
            let (height, width) = camera.size;
            format!("embedded as pictures ({height}x{width} is no size for H.264)")
        }
    };
    let mut counted: Vec<(String, usize)> = Vec::new();
    for camera in kept {
        let words = words(camera);
        match counted.iter_mut().find(|(known, _)| *known == words) {
            Some((_, count)) => *count += 1,
            None => counted.push((words, 1)),
        }
    }
    let mut line = String::new();
    for (i, (words, n)) in counted.iter().enumerate() {
        let unit = match (i, n) {
            (0, 1) => " camera",
            (0, _) => " cameras",
            _ => "",
        };
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{n}{unit} {words}", if i == 0 { "" } else { ", " });
    }
    line + "; "
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line() {
        let hole = |what: &str, why: &str| Skipped { what: what.to_owned(), why: why.to_owned() };
        let mut converted = Converted { episodes: 1, frames: 12, cameras: Vec::new(), skipped: Vec::new() };
        let words = |converted: &Converted| summary(Path::new("out"), false, converted);
        assert_eq!(words(&converted), "1 episode, 12 frames written to out; left out: nothing");
        converted.skipped = vec![hole("episode 3", "has no rows"), hole("2 episodes (5, 6)", "camera top is missing")];
        assert_eq!(
            words(&converted),
            "1 episode, 12 frames written to out; left out: episode 3 (has no rows); 2 episodes (5, 6) (camera top is \
             missing)"
        );
        let camera = |kept, size| KeptCamera { camera: String::new(), kept, size };
        converted.skipped.clear();
        converted.cameras = vec![
            camera(Kept::VideoCopied, (480, 640)),
            camera(Kept::VideoCopied, (48, 64)),
            camera(Kept::PicturesOfThatSizeEmbedded, (47, 64)),
        ];
        assert_eq!(
            words(&converted),
            "1 episode, 12 frames written to out; 2 cameras copied as video, 1 embedded as pictures (47x64 is no size for \
             H.264); left out: nothing"
        );
    }
}
