//! The one training loop: plan, resume, update, log, checkpoint, go back when training diverges, stop on Ctrl-C.

#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::tensor::Bytes;
use serde_json::json;
use world_model::optimise::{Metrics, Trainee, is_finite};

use crate::errors::Interrupted;
use crate::interrupt;
use crate::progress::Progress;
use crate::run_dir::{RunDir, write_atomic};
use watch::{NotFinite, Watch};

/// One stage of training.
pub struct Stage<'a> {
    /// Name in the run directory.
    pub name: &'static str,
    /// Updates by configuration.
    pub updates: usize,
    /// Seconds to plan for instead.
    pub budget_s: Option<f64>,
    /// Configuration key of the learning rate, for the message when training diverges.
    pub learning_rate_key: &'a str,
}

/// What is said of a learner in the middle of training and at its end.
#[derive(Default)]
pub struct Judgement {
    /// Numbers, e.g. held-out losses.
    pub metrics: Metrics,
    /// What is wrong, and what to do about it.
    pub warnings: Vec<String>,
}

impl From<Metrics> for Judgement {
    fn from(metrics: Metrics) -> Self {
        Self { metrics, warnings: Vec::new() }
    }
}

/// What the loop does with a learner.
pub struct Hands<'a, L> {
    /// One update: (learner, update, planned updates).
    pub update: &'a mut dyn FnMut(&mut L, usize, usize) -> Metrics,
    /// Something to say every `judge_every` updates and at the end.
    pub judge: &'a mut dyn FnMut(&mut L, usize) -> Judgement,
    /// Updates between judgements.
    pub judge_every: usize,
    /// Puts a factor on every learning rate of the learner.
    pub pace: &'a dyn Fn(&mut L, f64),
    /// Writes the learner into a directory.
    pub save: &'a dyn Fn(&L, &Path) -> Result<()>,
    /// Reads it back.
    pub restore: &'a dyn Fn(&mut L, &Path) -> Result<()>,
}

/// Updates after which a plan by time is made; inside warm-up, so that the schedule before it hardly depends on the plan.
const PLAN_AFTER: usize = 40;
/// Updates at the beginning that are not timed.
const PLAN_FROM: usize = 10;

/// Runs the stage to its end, or restores it if it has already been run. A killed stage continues from its last
/// checkpoint to the same numbers: noise and data of an update depend on its number alone, and a plan by time is kept.
///
/// Training that diverges goes back to the last checkpoint, which was written while all was well, and on with a tenth of
/// the learning rate; how often is kept in `STAGE.watch.json`, so that a killed stage still continues to the same numbers.
///
/// # Errors
/// Training that diverges again and again, an unwritable run directory, a request to stop.
pub fn train<L>(run: &mut RunDir, stage: &Stage<'_>, learner: &mut L, hands: Hands<'_, L>) -> Result<()> {
    if run.is_complete(stage.name) {
        let checkpoint = run
            .last_checkpoint(stage.name)?
            .with_context(|| format!("{}: complete, but its checkpoint is gone", stage.name))?;
        return (hands.restore)(learner, &checkpoint.dir);
    }
    let mut first = 0;
    if let Some(checkpoint) = run.begin(stage.name)? {
        (hands.restore)(learner, &checkpoint.dir)?;
        first = checkpoint.resume.step as usize;
    } else {
        // What to go back to, should the first steps fail.
        run.checkpoint(0, |dir| (hands.save)(learner, dir))?;
    }
    let mut watch = Watch::read(run.path(&format!("{}.watch.json", stage.name)));
    (hands.pace)(learner, watch.pace());
    let plan_path = run.path(&format!("{}.plan", stage.name));
    let planned = || -> Option<usize> { std::fs::read_to_string(&plan_path).ok()?.trim().parse().ok() };
    let mut updates = if stage.budget_s.is_some() { planned().unwrap_or(usize::MAX) } else { stage.updates };
    let mut progress = Progress::stage(stage.name, if updates == usize::MAX { 0 } else { updates as u64 }, "updates");
    let began = Instant::now();
    let mut timed_from = Instant::now();
    let mut last_save = Instant::now();
    let mut update = first;
    let mut warnings = Vec::new();
    while update < updates {
        let metrics = (hands.update)(learner, update, updates);
        let loss = metrics.first().map_or(f32::NAN, |m| m.1);
        let mut wrong = watch.look(&metrics, update + 1 == updates)?;
        update += 1;
        if let (Some(budget), usize::MAX, None) = (stage.budget_s, updates, &wrong) {
            if update == first + PLAN_FROM {
                timed_from = Instant::now();
            }
            if update >= first + PLAN_AFTER {
                let rate = (PLAN_AFTER - PLAN_FROM) as f64 / timed_from.elapsed().as_secs_f64().max(1e-6);
                let left = (budget - began.elapsed().as_secs_f64()).max(0.0);
                updates = (update + (left * rate) as usize).max(2 * PLAN_AFTER);
                write_atomic(&plan_path, updates.to_string().as_bytes())?;
                progress.set_total(updates as u64);
                run.event(&format!("{}: planned {updates} updates for {budget:.0} s", stage.name))?;
            }
        }
        if wrong.is_none() && (update % 20 == 0 || update == updates) {
            run.metric(stage.name, update as u64, &named(&metrics))?;
        }
        let mut words = format!("loss {loss:.4}");
        if wrong.is_none() && (update % hands.judge_every == 0 || update == updates) {
            let judged = (hands.judge)(learner, update);
            if let Some((name, value)) = judged.metrics.first() {
                run.metric(stage.name, update as u64, &named(&judged.metrics))?;
                words = format!("{words}  {name} {value:.4}");
                progress.say(&format!("{:<14} update {update}: {}", stage.name, in_words(&metrics, &judged.metrics)));
            }
            // What is still to be learned is not missing yet: in the first half nothing is said.
            if 2 * update >= updates {
                for warning in judged.warnings.iter().filter(|warning| !warnings.contains(*warning)) {
                    progress.say(&format!("{:<14} warning: {warning}", stage.name));
                    run.event(&format!("{}: warning at update {update}: {warning}", stage.name))?;
                }
                warnings = judged.warnings;
            }
        }
        progress.set(update as u64, &words);
        let stop = interrupt::requested();
        // While losses explode the last checkpoint stays: it is the one to go back to.
        let due = stop || update == updates || last_save.elapsed().as_secs() >= 20;
        if due && wrong.is_none() && watch.is_calm() {
            match run.checkpoint(update as u64, |dir| (hands.save)(learner, dir)) {
                Err(e) if e.is::<NotFinite>() => wrong = Some(e.to_string()),
                saved => saved?,
            }
            last_save = Instant::now();
        }
        if let Some(wrong) = wrong {
            let Some(checkpoint) = run.rewind()? else {
                bail!("{}: {wrong}, and its checkpoint is gone; --fresh starts the run over", stage.name)
            };
            if !watch.set_back(wrong, update)? {
                let words = watch.gave_up(stage.learning_rate_key, &checkpoint)?;
                run.pause(&words)?;
                progress.finish();
                bail!("{}: {words}", stage.name);
            }
            (hands.restore)(learner, &checkpoint.dir)?;
            (hands.pace)(learner, watch.pace());
            update = checkpoint.resume.step as usize;
            let words = watch.went_on(update, stage.learning_rate_key);
            progress.say(&format!("{:<14} {words}", stage.name));
            run.event(&format!("{}: {words}", stage.name))?;
            run.metric(stage.name, update as u64, &json!({ "learning_rate_factor": watch.pace() }))?;
            run.warn(&words)?;
        }
        if stop && update < updates {
            run.pause("stopped on request")?;
            progress.finish();
            return Err(Interrupted.into());
        }
    }
    if first >= updates {
        run.checkpoint(update as u64, |dir| (hands.save)(learner, dir))?;
    }
    progress.finish();
    warnings.iter().try_for_each(|warning| run.warn(warning))?;
    watch.forget();
    run.complete()
}

fn named(metrics: &Metrics) -> std::collections::BTreeMap<&'static str, f32> {
    metrics.iter().copied().collect()
}

fn in_words(metrics: &Metrics, judged: &Metrics) -> String {
    metrics.iter().chain(judged).map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
}

/// Writes network and optimiser of a trainee as `NAME.bpk` and `NAME.optimiser`.
///
/// # Errors
/// As [`save_module`].
pub fn save_trainee<M: Module + Sync>(trainee: &Trainee<M>, dir: &Path, name: &str) -> Result<()> {
    save_module(&trainee.frozen(), dir, name)?;
    let bytes = trainee.optimiser_bytes().map_err(anyhow::Error::msg)?;
    write_atomic(&dir.join(format!("{name}.optimiser")), &bytes)
}

/// Writes a network as `NAME.bpk`.
///
/// # Errors
/// Parameters that are not finite, which nothing could go on from; the directory cannot be written.
pub fn save_module<M: Module>(module: &M, dir: &Path, name: &str) -> Result<()> {
    if !is_finite(module) {
        return Err(NotFinite(name.to_owned()).into());
    }
    let bytes = module.clone().into_record().into_bytes().map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
    write_atomic(&dir.join(format!("{name}.bpk")), &bytes)
}

/// Reads what [`save_trainee`] wrote.
///
/// # Errors
/// The checkpoint is missing, broken, or of a network of other sizes.
pub fn restore_trainee<M: Module + Sync>(trainee: &mut Trainee<M>, dir: &Path, name: &str) -> Result<()> {
    trainee.network = restore_module(trainee.network.clone(), dir, name)?;
    let path = dir.join(format!("{name}.optimiser"));
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    trainee.restore_optimiser(bytes).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
}

/// Reads what [`save_module`] wrote into a network of the same sizes.
///
/// # Errors
/// The checkpoint is missing, broken, or of a network of another kind or other sizes.
pub fn restore_module<M: Module>(module: M, dir: &Path, name: &str) -> Result<M> {
    let path = dir.join(format!("{name}.bpk"));
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let misfit = |e: String| {
        let few: Vec<&str> = e.lines().map(str::trim).filter(|l| !l.is_empty()).take(3).collect();
        anyhow::anyhow!(
            "{}: the checkpoint does not fit this configuration ({}); expected weights of the kind and sizes in run.toml",
            path.display(),
            few.join("; ")
        )
    };
    let record =
        burn::store::ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| misfit(e.to_string()))?;
    module.try_load_record(record).map_err(|e| misfit(e.to_string()))
}
