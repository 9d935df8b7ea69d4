//! `rehearsal inspect`: opens a dataset as training would and says what is in it.

use std::path::Path;

use anyhow::Result;
use episodes::{Dataset, OpenOptions};

use crate::config::RunConfig;
use crate::progress::Progress;
use crate::{config_file, output, tools};

/// Reads the dataset at `path`, every video included, and answers as text or JSON.
///
/// The rule of rewards and success (`data.reward`, `data.labels`, `data.step_cost`) and `data.strict` may be `sets`.
///
/// # Errors
/// `path` is no dataset, or nothing in it is sound; a set that is none.
pub fn inspect(path: &Path, sets: &[String], json: bool) -> Result<()> {
    let data = config_file::load::<RunConfig>(None, sets)?.data;
    data.check()?;
    let spec = episodes::probe(path)?;
    let options = OpenOptions {
        path: path.to_owned(),
        cache_dir: tools::cache_dir(),
        state_keys: spec.state.into_iter().map(|feature| feature.key).collect(),
        action_key: spec.action.key,
        labels: data.labels(),
        strict: data.strict,
        ..OpenOptions::default()
    };
    let dataset = open(&options)?;
    let inspection = episodes::inspect(&dataset, &data.rule());
    if json {
        return output::answer_json(&inspection);
    }
    output::answer(&inspection.to_string());
    Ok(())
}

/// Opens a dataset with progress on stderr.
///
/// # Errors
/// As [`Dataset::open`].
pub fn open(options: &OpenOptions) -> Result<Dataset> {
    let mut current: Option<(String, Progress)> = None;
    let dataset = Dataset::open(options, &mut |p: episodes::Progress| {
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
    Ok(dataset?)
}
