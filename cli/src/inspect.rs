//! `rehearsal inspect`: opens a dataset as training would and says what is in it.

mod choose;
mod recording;

use std::path::Path;

use anyhow::Result;
use episodes::ControlRate;

use crate::args::{Choice, Common};
use crate::config::{DataConfig, RunConfig};
use crate::progress::Progress;
use crate::source::Source;
use crate::{config_file, output};

/// Reads the dataset at `path`, every video included, and answers as text or JSON; writes a recording to `rrd`.
///
/// Everything under `data.` may be set, the rule of rewards and success (`data.reward`, `data.labels`,
/// `data.step_cost`) included.
///
/// # Errors
/// `path` is no dataset or cannot be downloaded, or nothing in it is sound; a `--set` that is none; an episode that is not
/// there; `rrd` cannot be written.
pub fn inspect(path: &Path, rrd: Option<&Path>, choice: &Choice, common: &Common) -> Result<()> {
    let RunConfig { data, seed, .. } = config(path, common)?;
    rrd.map_or(Ok(()), recording::check_target)?;
    let source = Source::find(&data.path, None)?;
    let mut options = data.options();
    if options.control_rate == ControlRate::Recorded {
        // To look at a recording nobody needs to know how fast it ran.
        options.control_rate = ControlRate::IfRecorded;
    }
    let options = source.fetch(source.complete(options)?)?;
    let dataset = source.open(options.clone())?;
    let split = episodes::split::split(dataset.episodes.len(), data.held_out, seed);
    let inspection = episodes::inspect(&dataset, &data.rule()).with_split(&split);
    let written = match rrd {
        Some(file) => Some(recording::write(file, choice, &options, &dataset, &inspection)?),
        None => None,
    };
    if common.json {
        let mut answer = serde_json::to_value(&inspection)?;
        if let (Some(written), Some(fields)) = (&written, answer.as_object_mut()) {
            fields.insert("recording".to_owned(), serde_json::to_value(written)?);
        }
        return output::answer_json(&answer);
    }
    let mut text = inspection.to_string();
    if let Some(written) = written {
        text.push_str(&written.to_string());
    }
    output::answer(&text);
    Ok(())
}

/// What to read for a verb that takes a dataset rather than a run file: defaults under `--set data.…`.
///
/// # Errors
/// A `--set` that is no key of the run file; a rule of rewards that makes no sense.
pub fn chosen(path: &Path, common: &Common) -> Result<DataConfig> {
    Ok(config(path, common)?.data)
}

fn config(path: &Path, common: &Common) -> Result<RunConfig> {
    let mut config: RunConfig = config_file::load(None, &common.sets())?;
    config.data.check()?;
    config.data.path = path.to_owned();
    Ok(config)
}

/// Shows on stderr what a reader reports.
pub fn with_progress<T>(read: impl FnOnce(&mut dyn FnMut(episodes::Progress)) -> T) -> T {
    let mut current: Option<(String, Progress)> = None;
    let outcome = read(&mut |p: episodes::Progress| {
        if current.as_ref().is_none_or(|(what, _)| *what != p.what) {
            if let Some((_, done)) = current.take() {
                done.finish();
            }
            current = Some((p.what.clone(), Progress::stage(&p.what, p.total as u64, p.unit)));
        }
        if let Some((_, progress)) = &mut current {
            progress.set(p.done as u64, "");
        }
    });
    if let Some((_, progress)) = current {
        progress.finish();
    }
    outcome
}
