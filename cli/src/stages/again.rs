//! `run --from RUN`: the same run with something set otherwise, which takes over every stage that the change leaves as it was.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::learn::EXPLORER;
use super::more::{beside, inheriting::copy_files};
use super::workshop::{Workshop, find_companions, open_data};
use super::{ALL, loop_through};
use crate::args::Common;
use crate::config::RunConfig;
use crate::errors::UsageError;
use crate::run_dir::{Manifest, OpenRun, RunDir, Status, write_error, write_json_atomic};
use crate::source::Source;
use crate::{config_file, interrupt};

/// File in a run directory that says what it took over.
const FILE: &str = "taken_over.json";

/// What a run took over from another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TakenOver {
    /// Directory of that run, as it was named.
    pub from: String,
    /// Stages, in the order in which they are trained.
    pub stages: Vec<String>,
}

/// A new run like the one in `dir`, with other settings (`--set`).
///
/// # Errors
/// `dir` holds no run whose stages could be taken over, nothing or everything is to be otherwise, its data have changed; as [`super::run`].
pub fn run_again(dir: &Path, common: &Common) -> Result<()> {
    interrupt::install(interrupt::CHECKPOINT)?;
    let out = common.out.clone().unwrap_or_else(|| beside(dir, "-again"));
    if let Some(path) = &common.data {
        let words =
            format!("--data {}: --from takes over a run with its data; leave one of the two out", path.display());
        return Err(UsageError(words).into());
    }
    if out.exists() && fs::canonicalize(&out).ok() == fs::canonicalize(dir).ok() {
        return Err(
            UsageError(format!("--out {} is the run to take over from, which stays as it is", out.display())).into()
        );
    }
    if !dir.join("manifest.json").exists() {
        return Err(unfit(dir, "there is no manifest.json").into());
    }
    let manifest = RunDir::read_manifest(dir)?;
    if manifest.command == "improve --more" {
        return Err(unfit(dir, "it goes on from a run itself").into());
    }
    let file = dir.join("run.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let begun = config_file::load_text(RunConfig::default(), Some((&file.display().to_string(), &text)), &[])?;
    let config: RunConfig = config_file::load_over(begun.clone(), None, &common.sets())?;
    let [before, now] = [&begun, &config].map(config_file::to_toml);
    let changed = config_file::differences(&before?, &now?)?;
    let stages = to_take_over(dir, &manifest, &changed)?;
    let source = Source::find(&config.data.path, manifest.dataset_source.as_deref())?;
    let dataset = open_data(&config, &source, &find_companions(&config, &source)?)?;
    if manifest.dataset_id.as_deref() != Some(&dataset.content_id) {
        let words = format!("its data are no longer those it learned from ({})", dataset.spec.source);
        return Err(unfit(dir, &words).into());
    }
    let (device, choice) = common.device()?.open()?;
    let words = choice.to_string();
    let run = RunDir::open(&OpenRun {
        dir: &out,
        config_toml: &config_file::to_toml(&config)?,
        command: "run",
        device: &words,
        dataset_source: source.pinned().as_deref(),
        fresh: common.fresh,
    })?;
    let mut w = Workshop::new(run, config, dataset, &device, common.minutes)?;
    w.take_over(dir, stages)?;
    loop_through(&mut w, "run", &words, &["random", "behaviour", "cloned", "improved"], false, common)
}

fn unfit(dir: &Path, found: &str) -> UsageError {
    UsageError(format!(
        "{}: {found}; expected a run of demo, run or train to take trained stages over from",
        dir.display()
    ))
}

/// The stages that are complete there and that `changed` settings (`key: old → new`) leave as they are.
fn to_take_over(dir: &Path, manifest: &Manifest, changed: &[String]) -> Result<Vec<&'static str>, UsageError> {
    if changed.is_empty() {
        let words = "nothing is set otherwise than there; name what is to be otherwise with --set KEY=VALUE";
        return Err(UsageError(format!("{}: {words}", dir.display())));
    }
    if let Some(all) = changed.iter().find(|key| touched(key).len() == ALL.len() + 1) {
        return Err(UsageError(format!(
            "{all}: every stage learns from it, so that nothing can be taken over; begin anew with `rehearsal run {}`",
            dir.join("run.toml").display()
        )));
    }
    let is_complete = |stage: &str| manifest.stage(stage).is_some_and(|s| s.status == Status::Complete);
    let kept: Vec<&str> = ["representation", "dynamics", "policy", "value", EXPLORER, "improve"]
        .into_iter()
        .filter(|stage| is_complete(stage) && !changed.iter().any(|key| touched(key).contains(stage)))
        .collect();
    if kept.is_empty() { Err(unfit(dir, "no stage is complete")) } else { Ok(kept) }
}

/// The stages that a setting changes, directly or through what they are built on.
fn touched(key: &str) -> &'static [&'static str] {
    let first = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    // What is seen: every embedding.
    let seen = [
        "pretrained.",
        "world_model.representation.",
        "world_model.task.",
        "world_model.learn_from_hints",
        // Of these the representation learns, too: what is worth telling apart, how its weights decay, how batches are drawn.
        "value.gamma",
        "world_model.weight_decay",
        "world_model.shards",
    ];
    if first(&["seed", "data.", "demo."]) || first(&seen) {
        &["representation", "dynamics", "policy", "value", EXPLORER, "improve"]
    } else if first(&["world_model.camera_dropout"]) {
        // Policies learn from observations that have lost a camera, too.
        &["dynamics", "policy", EXPLORER, "improve"]
    } else if first(&["world_model."]) {
        &["dynamics", "improve"]
    } else if first(&["policy."]) {
        &["policy", EXPLORER, "improve"]
    } else if first(&["value."]) {
        &["value", "improve"]
    } else if first(&["improve.", "evaluate.", "quality."]) {
        &["improve"]
    } else {
        &[]
    }
}

impl Workshop {
    /// Copies what the run in `from` came to in these stages, curves included: after this, the run stands alone.
    fn take_over(&mut self, from: &Path, stages: Vec<&'static str>) -> Result<()> {
        if self.run.path(FILE).exists() {
            return Ok(());
        }
        for file in ["embeddings.bin", "features.bin"].map(|file| (from.join(file), self.run.path(file))) {
            if file.0.exists() {
                fs::copy(&file.0, &file.1).map_err(|e| write_error(&file.1, &e))?;
            }
        }
        let curves = fs::read_to_string(from.join("metrics.jsonl")).unwrap_or_default();
        let curves: Vec<Value> = curves.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        for stage in &stages {
            if self.run.is_complete(stage) {
                continue;
            }
            let checkpoint = RunDir::checkpoint_in(from, stage)?;
            let checkpoint =
                checkpoint.with_context(|| format!("{}: {stage}: its checkpoint is gone", from.display()))?;
            // One that was killed between its checkpoint and its end has its curves.
            if self.run.begin(stage)?.is_none() {
                for line in curves.iter().filter(|line| line["stage"] == **stage) {
                    self.run.metric(stage, line["step"].as_u64().unwrap_or(0), line)?;
                }
                self.run.checkpoint(checkpoint.resume.step, |dir| copy_files(&checkpoint.dir, dir))?;
            }
            self.run.complete()?;
            self.run.event(&format!("{stage}: taken over from {}", from.display()))?;
        }
        let stages = stages.into_iter().map(str::to_owned).collect();
        write_json_atomic(&self.run.path(FILE), &TakenOver { from: from.display().to_string(), stages })
    }

    /// What was taken over; `None` of a run that did everything itself.
    pub(super) fn taken_over(&self) -> Option<TakenOver> {
        serde_json::from_slice(&fs::read(self.run.path(FILE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_what_is_built_on_it_and_nothing_else() {
        assert_eq!(touched("improve.leash: 1.0 → 0.3"), ["improve"]);
        assert_eq!(touched("world_model.updates: 1 → 2"), ["dynamics", "improve"]);
        assert_eq!(touched("policy.noise: 1.0 → 0.0"), ["policy", EXPLORER, "improve"]);
        assert!(
            touched("value.gamma: 0.9 → 0.99").contains(&"policy") && !touched("value.bins: 1 → 2").contains(&"policy")
        );
        assert!(touched("world_model.camera_dropout: 0.0 → 0.2").contains(&"policy"));
        assert!(touched("plan.rounds: 3 → 4").is_empty());
        for key in ["seed: 0 → 1", "data.path: a → b", "world_model.learn_from_hints: true → false"] {
            assert_eq!(touched(key).len(), ALL.len() + 1, "{key}");
        }
    }
}
