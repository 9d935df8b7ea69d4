//! `rehearsal inspect`: opens a dataset as training would and says what is in it.

use std::path::Path;

use anyhow::Result;
use episodes::ControlRate;

use crate::args::Common;
use crate::config::{DataConfig, RunConfig};
use crate::progress::Progress;
use crate::source::Source;
use crate::{config_file, output};

/// Reads the dataset at `path`, every video included, and answers as text or JSON.
///
/// Everything under `data.` may be set, the rule of rewards and success (`data.reward`, `data.labels`,
/// `data.step_cost`) included.
///
/// # Errors
/// `path` is no dataset or cannot be downloaded, or nothing in it is sound; a `--set` that is none.
pub fn inspect(path: &Path, common: &Common) -> Result<()> {
    let data = chosen(path, common)?;
    let source = Source::find(&data.path, None)?;
    let mut options = data.options();
    if options.control_rate == ControlRate::Recorded {
        // To look at a recording nobody needs to know how fast it ran.
        options.control_rate = ControlRate::IfRecorded;
    }
    let dataset = source.open(source.complete(options)?)?;
    let inspection = episodes::inspect(&dataset, &data.rule());
    if common.json {
        return output::answer_json(&inspection);
    }
    output::answer(&inspection.to_string());
    Ok(())
}

/// What to read for a verb that takes a dataset rather than a run file: defaults under `--set data.…`.
///
/// # Errors
/// A `--set` that is no key of the run file; a rule of rewards that makes no sense.
pub fn chosen(path: &Path, common: &Common) -> Result<DataConfig> {
    let config: RunConfig = config_file::load(None, &common.sets())?;
    config.data.check()?;
    Ok(DataConfig { path: path.to_owned(), ..config.data })
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
