//! `branch`: what would have happened had the robot acted otherwise at one step.

use std::path::Path;

use anyhow::Result;
use rollouts::branch::ForkOptions;
use viz::{BranchView, Recorder, SheetRow};

use super::comparing::Comparison;
use super::ranking::knows;
use super::record::strip;
use super::reopen;
use super::workshop::Workshop;
use super::writing::{self, Imagined, Target};
use crate::args::{Arm, Common};
use crate::errors::UsageError;
use crate::interrupt;
use crate::{live, output};

/// Draws of shared noise per fork.
const SAMPLES: usize = 16;

/// Counterfactuals of one recorded episode; with `target` also as a dataset.
///
/// # Errors
/// No such episode or step, a run without world model, an arm that is not there; a dataset that exists already.
pub fn branch(
    dir: &Path,
    (episode, step): (usize, usize),
    (arms, horizon): (Option<&[Arm]>, usize),
    target: Option<Target<'_>>,
    common: &Common,
) -> Result<()> {
    let default = [Arm::Logged, Arm::Cloned, Arm::Improved, Arm::Scaled(0.5), Arm::Hold];
    let arms = arms.unwrap_or(&default);
    if let Some(target) = &target {
        target.check()?;
        if arms.iter().all(|arm| *arm == Arm::Logged) {
            return Err(UsageError(
                "--write: the logged replay alone is no alternative; name others with --arms".into(),
            )
            .into());
        }
    }
    let w = reopen(dir, common)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    let track = track_of(&w, episode)?;
    let len = w.corpus.tracks[track].len;
    if step >= len || horizon == 0 {
        return Err(UsageError(format!("episode {episode} has {len} steps; expected --step below {len} and --horizon above 0, got {step} and {horizon}")).into());
    }
    let embeddings = w.embeddings()?;
    let minds = w.minds()?;
    // Of the arms that are there by default, those whose policy is.
    let is_usable = |arm: &&Arm| arm.network().is_none_or(|name| minds.policies.contains_key(name));
    let asked = *arms != default;
    let usable: Vec<Arm> = arms.iter().filter(|arm| asked || is_usable(arm)).cloned().collect();
    let options =
        ForkOptions { track, step, horizon, samples: SAMPLES, context: w.config.quality.context, seed: w.config.seed };
    let measures = w.measures(&minds, &embeddings, horizon)?;
    let compared = w.compare(&minds, &embeddings, &usable, &options, &measures)?;
    let stem = w.run.path(&format!("branches/episode_{episode:06}_step_{step:05}"));
    w.save_branch(&compared.view, &options, &stem)?;
    let write = |target| {
        let mut out = Imagined::begin(&w, target, measures.limits)?;
        for (arm, future) in compared.futures.iter().filter(|(arm, _)| *arm != Arm::Logged) {
            out.push((&minds, &embeddings), &arm.to_string(), future, &options)?;
        }
        out.finish()
    };
    // What was compared is told even where nothing of it can be written.
    let written = target.map(write).transpose();
    if common.json {
        let files = [stem.with_extension("rrd"), stem.with_extension("png")];
        output::answer_json(&serde_json::json!({
            "episode": episode, "step": step, "horizon": horizon, "draws": SAMPLES, "arms": compared.rows,
            "logged_replay": compared.check, "verdict": compared.verdict, "moments_known": compared.moments_known,
            "files": files.iter().filter(|file| file.exists()).collect::<Vec<_>>(),
            "written": written.as_ref().ok(),
        }))?;
        return written.map(|_| ());
    }
    output::answer(&in_words(&compared, horizon));
    output::tell(&format!("recording  {}", stem.with_extension("rrd").display()));
    written?.iter().for_each(writing::Written::tell);
    Ok(())
}

fn in_words(compared: &Comparison, horizon: usize) -> String {
    let Comparison { check, verdict, view, moments_known, .. } = compared;
    let known = knows(*moments_known);
    format!(
        "# {}: {horizon} imagined steps, {SAMPLES} draws of shared noise\n\n{}\n{}: {}\n\n{}\n\n\"better than logged\" {known}.\n",
        view.name,
        view.table,
        verdict.decision,
        verdict.why,
        check.in_words()
    )
}

impl Workshop {
    /// A fork to look at: `STEM.rrd`, and `STEM.png` where there is a camera.
    ///
    /// # Errors
    /// The directory cannot be written.
    fn save_branch(&self, view: &BranchView, options: &ForkOptions, stem: &Path) -> Result<()> {
        let name = format!("{} {}", self.run.root().display(), view.name);
        let mut recorder = Recorder::shown(&stem.with_extension("rrd"), "rehearsal branch", &name, live::viewer())?;
        recorder.branches(view)?;
        recorder.finish()?;
        let strip = |frames| strip(frames, options.horizon);
        let real = view.real.cameras.first().map(|(_, real)| strip(real)).unwrap_or_default();
        let mut rows = vec![SheetRow { label: "recorded".into(), frames: real }];
        for arm in &view.arms {
            if let Some((_, frames)) = arm.cameras.first() {
                rows.push(SheetRow {
                    label: format!("{}  return {:.2}", arm.name, arm.return_mean),
                    frames: strip(frames),
                });
            }
        }
        let best = view.arms.iter().find(|arm| !arm.is_logged);
        if let Some((arm, (_, heat))) = best.and_then(|arm| Some((arm, arm.spread.first()?))) {
            let label = format!("{}: where draws disagree (yellow: {}+ of 255)", arm.name, viz::BRIGHTEST_SPREAD);
            rows.push(SheetRow { label, frames: strip(heat) });
        }
        rows.retain(|r| !r.frames.is_empty());
        if rows.is_empty() { Ok(()) } else { Ok(viz::save_sheet(&stem.with_extension("png"), &rows, 2)?) }
    }
}

/// The track of an episode of the dataset, or of those recorded later, which are numbered on; companions number theirs anew.
pub(super) fn track_of(w: &Workshop, episode: usize) -> Result<usize> {
    let index = |t: usize| w.dataset.episodes[w.corpus.tracks[t].episode].index;
    let position = w.corpus.own_tracks().find(|&t| index(t) == episode);
    position.ok_or_else(|| {
        let own: Vec<usize> = w.corpus.own_tracks().map(index).collect();
        let (first, last) = (own.first().unwrap_or(&0), own.last().unwrap_or(&0));
        UsageError(format!(
            "no episode {episode} among the {} that were read; expected one between {first} and {last} (holes excepted)",
            own.len()
        ))
        .into()
    })
}
