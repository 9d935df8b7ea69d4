//! `improve RUN --more DATASET`: a run that goes on from a finished one with newly recorded episodes.
//!
//! Old and new episodes are mixed half and half (symmetric sampling: RLPD, Ball et al. 2023, arXiv:2302.02948, sec. 4.1). Encoder and
//! normalisers stay as they are, so the new episodes are embedded as the old ones were; dynamics, clone and values go on from their last
//! weights, the policy from the improved one, with the values that improved it. The old run is only read.

pub(super) mod inheriting;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rl::evaluate::{self, PerStart};
use world_model::quality::{HorizonError, QualityConfig, error_by_horizon};
use world_model::{Corpus, Embeddings, WorldModel};

use inheriting::INHERITED;

use super::distilling::{DISTILLED, DISTILLED_PLAN};
use super::judge::Judged;
use super::planning::PLANNED;
use super::training::restore_module;
use super::workshop::{Workshop, find_companions, go_on, open_data};
use super::{ALL, answer, judge_and_report};
use crate::args::Common;
use crate::config::{LaterConfig, RunConfig};
use crate::errors::UsageError;
use crate::report::{
    Decision, Difference, ForeseenChange, ImaginedScore, MoreReport, RecordedReport, Report, Verdict, WorldModelReport,
};
use crate::run_dir::{OpenRun, RunDir};
use crate::source::Source;
use crate::{config_file, interrupt};

/// Keys that say what the old weights mean: another value would not go on from them.
const FIXED: [&str; 7] = [
    "seed",
    "data.",
    "pretrained.",
    "world_model.representation.",
    "world_model.task.",
    "value.gamma",
    "improve.method",
];

/// A new run that goes on from the finished one in `dir`.
///
/// # Errors
/// `dir` holds no finished run, or its data have changed; new episodes that are not of the same robot; as [`super::run`].
pub fn improve_more(dir: &Path, more: &Path, labels: Option<&Path>, common: &Common) -> Result<()> {
    interrupt::install(interrupt::CHECKPOINT)?;
    let out = common.out.clone().unwrap_or_else(|| beside(dir, "-more"));
    let old = Old::read(dir)?;
    if out.exists() && fs::canonicalize(&out).ok() == fs::canonicalize(dir).ok() {
        return Err(
            UsageError(format!("--out {} is the run to go on from, which stays as it is", out.display())).into()
        );
    }
    // As begun: a dataset on the hub is read at the same commit again.
    let begun = fs::read_to_string(out.join("run.toml")).ok().filter(|_| !common.fresh);
    let begun =
        begun.and_then(|text| config_file::load_text(RunConfig::default(), Some(("run.toml", &text)), &[]).ok());
    let pinned = begun.and_then(|c| c.data.more.last().map(|later| later.path.display().to_string()));
    let source = Source::find(more, pinned.as_deref())?;
    let config = old.with(dir, source.pinned().map_or_else(|| more.to_owned(), PathBuf::from), labels, common)?;
    let home = Source::find(&old.config.data.path, old.dataset_source.as_deref())?;
    let mut dataset = open_data(&old.config, &home, &find_companions(&old.config, &home)?)?;
    if old.dataset_id.as_deref() != Some(&dataset.content_id) {
        return Err(UsageError(format!(
            "{}: its data are no longer those it learned from ({}); expected them as they were, and the new episodes in a dataset of \
             their own",
            dir.display(),
            dataset.spec.source
        ))
        .into());
    }
    if let Some(later) = config.data.more.last() {
        go_on(&mut dataset, &config.data, later, &source)?;
    }
    let (device, choice) = common.device()?.open()?;
    let words = choice.to_string();
    let run = RunDir::open(&OpenRun {
        dir: &out,
        config_toml: &config_file::to_toml(&config)?,
        command: "improve --more",
        device: &words,
        dataset_source: home.pinned().as_deref(),
        fresh: common.fresh,
    })?;
    let mut w = Workshop::new(run, config, dataset, &device, common.minutes)?;
    if w.run.is_complete("report") {
        crate::output::tell(&format!("{} is complete; --fresh starts over", w.run.root().display()));
        return answer(&Report::load(w.run.root())?, w.run.root(), common);
    }
    w.inherit(dir)?;
    let embeddings = w.embeddings()?;
    let among = &ALL[1..];
    w.train_dynamics(&embeddings, among)?;
    w.train_policy(&embeddings, among)?;
    w.train_value(&embeddings, among)?;
    w.improve(&embeddings, among)?;
    let names = super::with_planned(&w, w.own_policies());
    judge_and_report(&mut w, &embeddings, ("improve --more", &words), &names, false, common)
}

/// With "-more", `runs/x` to `runs/x-more`, that to `runs/x-more2`, and so on.
pub(super) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let name = dir.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    let (stem, count) = match name.rsplit_once(suffix) {
        Some((stem, "")) => (stem, 2),
        Some((stem, count)) => count.parse().map_or((name.as_ref(), 1), |count: usize| (stem, count + 1)),
        None => (name.as_ref(), 1),
    };
    let number = if count > 1 { count.to_string() } else { String::new() };
    dir.with_file_name(format!("{stem}{suffix}{number}"))
}

/// The run to go on from, as far as it is read before anything is written.
struct Old {
    config: RunConfig,
    dataset_id: Option<String>,
    dataset_source: Option<String>,
}

impl Old {
    fn read(dir: &Path) -> Result<Self> {
        let unfit = |found: &str| {
            UsageError(format!(
                "{}: {found}; expected a finished run to go on from, with an improved policy",
                dir.display()
            ))
        };
        if !dir.join("manifest.json").exists() {
            return Err(unfit("there is no manifest.json").into());
        }
        let manifest = RunDir::read_manifest(dir)?;
        let is_complete =
            |stage: &str| manifest.stage(stage).is_some_and(|s| s.status == crate::run_dir::Status::Complete);
        if let Some(stage) = ALL.iter().find(|stage| !is_complete(stage)) {
            return Err(unfit(&format!("stage '{stage}' is not complete")).into());
        }
        let file = dir.join("run.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let config = config_file::load_text(RunConfig::default(), Some((&file.display().to_string(), &text)), &[])?;
        Ok(Self { config, dataset_id: manifest.dataset_id, dataset_source: manifest.dataset_source })
    }

    /// The configuration of the new run.
    fn with(&self, dir: &Path, path: PathBuf, labels: Option<&Path>, common: &Common) -> Result<RunConfig, UsageError> {
        let mut config = self.config.clone();
        config.more.from = dir.to_owned();
        let mut config = config_file::load_over(config, None, &common.sets())?;
        config.more.check()?;
        let [before, now] = [&self.config, &config].map(config_file::to_toml);
        let changed = config_file::differences(&before?, &now?)?;
        if let Some(key) = changed.iter().find(|key| FIXED.iter().any(|fixed| key.starts_with(fixed))) {
            return Err(UsageError(format!(
                "{key}: what was learned before was learned with the old value; start a new run for another"
            )));
        }
        let data = &config.data;
        let others: f64 = data.weight
            + data.with.iter().map(|with| with.weight).sum::<f64>()
            + data.more.iter().map(|later| later.weight).sum::<f64>();
        let weight = others * config.more.share / (1.0 - config.more.share);
        let labels = labels.map(Path::to_owned).unwrap_or_default();
        config.data.more.push(LaterConfig { path, weight, labels });
        Ok(config)
    }
}

impl Workshop {
    pub(super) fn no_previous(&self) -> UsageError {
        UsageError(format!(
            "{} does not go on from another run: it has no policy 'previous'",
            self.run.root().display()
        ))
    }

    /// The policies that a report is about; the planned one where it is what left `improve`.
    pub(super) fn own_policies(&self) -> Vec<String> {
        let previous = self.inherited("improve").map(|_| "previous");
        let distilled = [DISTILLED, DISTILLED_PLAN].into_iter().filter(|name| self.run.is_complete(name));
        let planned = self.selected.as_ref().map(|s| s.improvement.leaves()).filter(|&leaves| leaves == PLANNED);
        let own = ["random", "behaviour", "cloned"].into_iter().chain(previous).chain(["improved"]).chain(distilled);
        own.chain(planned).map(str::to_owned).collect()
    }

    /// Tracks that were there before the newest episodes came.
    fn tracks_before(&self) -> usize {
        let newest = self.dataset.companions.last().filter(|companion| companion.is_later);
        newest.map_or(self.corpus.tracks.len(), |newest| newest.first_episode)
    }

    /// What the newest episodes changed; `None` for a run that began from nothing.
    pub(super) fn more_report(
        &self,
        model: &WorldModel,
        embeddings: &Embeddings,
        judged: &[Judged],
        quality: &WorldModelReport,
    ) -> Result<Option<MoreReport>> {
        let find = |name: &str| judged.iter().find(|j| j.name == name).map(|j| &j.imagined);
        let (Some(dynamics), Some(previous), Some(improved)) =
            (self.inherited("dynamics"), find("previous"), find("improved"))
        else {
            return Ok(None);
        };
        let before = self.tracks_before();
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let newest = self.dataset.companions.last().with_context(|| "run.toml names no newer episodes")?;
        let mut old_model = self.model()?;
        old_model.dynamics = restore_module(old_model.dynamics, &dynamics, "dynamics")?;
        let recorded = |tracks: Vec<usize>| {
            let starts: Vec<(usize, usize)> = tracks.into_iter().map(|track| (track, 0)).collect();
            let outcome = self.recorded_outcomes(&starts);
            let [return_, success] =
                [&outcome.value, &outcome.success].map(|values| evaluate::interval(values, resamples, seed));
            RecordedReport { episodes: starts.len(), return_: return_.into(), success: success.into() }
        };
        let (earlier, new): (Vec<usize>, Vec<usize>) = self.corpus.own_tracks().partition(|&track| track < before);
        let held_out = |new: bool| {
            let held_out = self.corpus.held_out.iter().copied().filter(|&track| (track >= before) == new).collect();
            Corpus { held_out, ..self.corpus.clone() }
        };
        let mut foreseen = Vec::new();
        for (on, corpus) in [("earlier", held_out(false)), ("new", held_out(true))] {
            let [was, is] = [&old_model, model].map(|model| self.errors(model, &corpus, embeddings));
            foreseen.extend(was.into_iter().zip(is).map(|(was, is)| ForeseenChange {
                on: on.to_owned(),
                modality: is.modality,
                h: is.h,
                before: was.model,
                after: is.model,
                copy_last: is.copy_last,
            }));
        }
        let record = quality.whole_episodes.as_ref().map(|whole| &whole.value);
        let gate = evaluate::gate(improved, previous, record, resamples, seed);
        // Under the same noise only the same policy has the same outcomes to the bit.
        let is_unchanged = improved.value == previous.value;
        Ok(Some(MoreReport {
            from: self.config.more.from.display().to_string(),
            source: newest.spec.source.clone(),
            first_episode: self.dataset.episodes[newest.first_episode].index,
            held_out_episodes: self.corpus.held_out.iter().filter(|&&track| track >= before).count(),
            share: newest.weight / self.corpus.parts.iter().map(|part| part.weight).sum::<f64>(),
            reward_rule: self.corpus.rule.reward.of_later(&newest.spec).describe(),
            unknown_tasks: self.unknown_tasks(before),
            recorded: [recorded(earlier), recorded(new)],
            imagined_before: self.imagined_before(),
            foreseen,
            gain: Difference { mean: gate.gain, ci95: gate.gain_ci95 },
            success_gain: Difference::of(improved.successes(), previous.successes(), None, resamples, seed).of_shares(),
            verdict: in_words(&gate, is_unchanged, improved),
            is_unchanged,
        }))
    }

    /// Errors one step ahead and as far ahead as the verdict looks.
    fn errors(&self, model: &WorldModel, corpus: &Corpus, embeddings: &Embeddings) -> Vec<HorizonError> {
        if corpus.held_out.is_empty() {
            return Vec::new();
        }
        let config = QualityConfig { error_horizon: self.config.quality.horizon, ..self.config.quality };
        let all =
            error_by_horizon(model, (&self.dataset, corpus, embeddings), &config, self.config.seed, &self.inner());
        let last = all.iter().map(|e| e.h).max().unwrap_or(0);
        all.into_iter().filter(|e| e.h == 1 || e.h == last).collect()
    }

    /// What the old run's report imagined of the policy that went in.
    fn imagined_before(&self) -> Option<ImaginedScore> {
        let report = Report::load(&self.run.path(INHERITED)).ok()?;
        Some(report.policies.iter().find(|policy| policy.name == "improved")?.imagined)
    }

    /// Texts of the newest episodes' tasks that no earlier episode had.
    fn unknown_tasks(&self, before: usize) -> Vec<String> {
        let (old, new) = self.dataset.episodes.split_at(before.min(self.dataset.episodes.len()));
        let mut unknown: Vec<String> = Vec::new();
        for episode in new.iter().filter(|new| old.iter().all(|old| old.task != new.task)) {
            if !unknown.contains(&episode.task) {
                unknown.push(episode.task.clone());
            }
        }
        unknown
    }
}

/// The gate's answer about the new policy against the one that went in.
fn in_words(gate: &evaluate::Verdict, is_unchanged: bool, improved: &PerStart) -> Verdict {
    let starts = improved.value.len();
    let (decision, why) = match gate.decision.as_str() {
        _ if is_unchanged => (
            Decision::Abstain,
            "nothing was found that is imagined better for sure: what leaves is the policy that went in.".to_owned(),
        ),
        "GO" => (
            Decision::Go,
            format!("in imagination the new policy beats the one that went in, from {starts} held-out starts of both kinds."),
        ),
        "NO-GO" => (
            Decision::NoGo,
            "in imagination the new policy is worse than the one that went in; keep that (policy `improved` of the run gone on from)."
                .to_owned(),
        ),
        _ => (
            Decision::Abstain,
            format!(
                "the imagined gain over the policy that went in cannot be told from zero from {starts} held-out starts, or lies on unknown \
                 ground; both may be tried on the robot."
            ),
        ),
    };
    Verdict { decision, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_go_on_are_numbered() {
        let names = ["runs/x", "runs/x-more", "runs/x-more2", "runs/x-more9/", "runs/no-moreover"];
        let beside = names.map(|name| beside(Path::new(name), "-more").display().to_string());
        assert_eq!(beside, ["runs/x-more", "runs/x-more2", "runs/x-more3", "runs/x-more10", "runs/no-moreover-more"]);
    }

    #[test]
    fn new_episodes_get_their_share_and_what_weights_mean_stays() -> Result<()> {
        let mut config = RunConfig::default();
        config.data.weight = 2.0;
        let mut old = Old { config, dataset_id: None, dataset_source: None };
        let sets = |sets: &[&str]| {
            use clap::Parser;
            let words = ["rehearsal", "doctor"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set]));
            crate::args::Cli::try_parse_from(words).map(|cli| cli.common)
        };
        let with = |old: &Old, sets: &Common| old.with(Path::new("runs/x"), "new".into(), None, sets);
        let first = with(&old, &sets(&[])?)?;
        assert_eq!((first.data.more[0].weight, first.more.from.as_path()), (2.0, Path::new("runs/x")));
        // The next new episodes get half again: 1/4, 1/4, 1/2; or what they are told to.
        old.config = first;
        assert_eq!(with(&old, &sets(&[])?)?.data.more[1].weight, 4.0);
        assert_eq!(with(&old, &sets(&["more.share=0.2"])?)?.data.more[1].weight, 1.0);
        for fixed in ["seed=3", "data.held_out=0.5", "world_model.representation.vision.keypoints=2"] {
            let refused = with(&old, &sets(&[fixed])?).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(refused.contains("was learned with the old value"), "{fixed}: {refused}");
        }
        assert!(with(&old, &sets(&["more.updates=-1"])?).is_err());
        Ok(())
    }
}
