//! `branch`: what would have happened had the robot acted otherwise, at one step or at the step where it mattered most.

use anyhow::Result;
use rayon::prelude::*;
use rollouts::branch::ForkOptions;
use serde::Serialize;
use world_model::Embeddings;

use super::record::Minds;
use super::reopen;
use super::workshop::Workshop;
use crate::args::{Arm, Common};
use crate::errors::UsageError;
use crate::progress::Progress;
use crate::{interrupt, output};

/// Draws of shared noise per fork.
const SAMPLES: usize = 16;
/// Forks of one episode lie this many steps apart when the best moment is searched.
const SEARCH_STRIDE: usize = 4;
/// Draws of shared noise per fork in the search.
const SEARCH_SAMPLES: usize = 8;
/// Moments shown; `--json` has them all.
const SHOWN: usize = 12;

/// Counterfactuals of one recorded episode.
///
/// # Errors
/// No such episode or step, a run without world model, an arm that is not there.
pub fn branch(
    dir: &std::path::Path,
    (episode, step): (usize, usize),
    arms: Option<&[Arm]>,
    horizon: usize,
    common: &Common,
) -> Result<()> {
    let default = [Arm::Logged, Arm::Cloned, Arm::Improved, Arm::Scaled(0.5), Arm::Hold];
    let arms = arms.unwrap_or(&default);
    let w = reopen(dir, common)?;
    let track = track_of(&w, episode)?;
    let len = w.corpus.tracks[track].len;
    if step >= len || horizon == 0 {
        return Err(UsageError(format!("episode {episode} has {len} steps; expected --step below {len} and --horizon above 0, got {step} and {horizon}")).into());
    }
    let embeddings = w.embeddings()?;
    let minds = w.minds()?;
    let usable: Vec<Arm> = arms
        .iter()
        .filter(|a| {
            !matches!(a, Arm::Cloned | Arm::Improved) || minds.policies.contains_key(&a.to_string()) || arms.len() == 1
        })
        .cloned()
        .collect();
    let options =
        ForkOptions { track, step, horizon, samples: SAMPLES, context: w.config.quality.context, seed: w.config.seed };
    let (view, branches) = w.branch_view(&minds, &embeddings, &usable, &options)?;
    let limit = w.disagreement_limit(&minds.model, &embeddings);
    let reference = branches.first().map(rollouts::Branch::values).unwrap_or_default();
    let mut rows = Vec::new();
    for (arm, branch) in view.arms.iter().zip(&branches) {
        let values = branch.values();
        let gains: Vec<f32> = values.iter().zip(&reference).map(|(a, b)| a - b).collect();
        let (gain, gain_ci95) = rl::evaluate::interval(&gains, 1000, w.config.seed);
        let beyond = arm.disagreement.iter().filter(|d| **d > limit).count();
        rows.push(serde_json::json!({
            "arm": arm.name,
            "return": arm.return_mean,
            "success_within_horizon": arm.success_probability.last().copied().unwrap_or(0.0),
            "gain_over_first_arm": gain,
            "gain_ci95": gain_ci95,
            "steps_beyond_known_ground": beyond,
            "believable": believable(beyond, horizon),
        }));
    }
    let mut text = format!(
        "# {}: {horizon} imagined steps, {SAMPLES} draws of shared noise\n\n| arm | return | success | gain over {} | 95 % | beyond known ground |\n|---|---|---|---|---|---|\n",
        view.name,
        usable.first().map_or_else(String::new, ToString::to_string)
    );
    for row in &rows {
        let number = |k: &str| row[k].as_f64().unwrap_or(0.0);
        let ci = |i: usize| row["gain_ci95"][i].as_f64().unwrap_or(0.0);
        text.push_str(&format!(
            "| {} | {:.3} | {:.2} | {:+.3} | {:+.3} … {:+.3} | {} of {horizon} steps{} |\n",
            row["arm"].as_str().unwrap_or(""),
            number("return"),
            number("success_within_horizon"),
            number("gain_over_first_arm"),
            ci(0),
            ci(1),
            row["steps_beyond_known_ground"],
            if row["believable"].as_bool() == Some(true) { "" } else { ": do not believe it" }
        ));
    }
    let stem = w.run.path(&format!("branches/episode_{episode:06}_step_{step:05}"));
    if let Some(parent) = stem.parent() {
        std::fs::create_dir_all(parent)?;
    }
    w.save_branch(&view, &options, &stem, &text)?;
    if common.json {
        let files = [stem.with_extension("rrd"), stem.with_extension("png")];
        return output::answer_json(
            &serde_json::json!({ "episode": episode, "step": step, "horizon": horizon, "arms": rows, "files": files }),
        );
    }
    output::answer(&text);
    output::tell(&format!("recording  {}", stem.with_extension("rrd").display()));
    Ok(())
}

/// The moment of one episode at which acting otherwise would have mattered most.
#[derive(Clone, Debug, Serialize)]
struct Moment {
    episode: usize,
    step: usize,
    reference_return: f32,
    alternative_return: f32,
    gain: f64,
    gain_ci95: [f64; 2],
    /// Share of the noise draws under which the alternative is better.
    better: f64,
    steps_beyond_known_ground: usize,
    believable: bool,
}

/// Searches an episode, or every episode without a recorded success, for the step at which the second arm gains most
/// over the first.
///
/// # Errors
/// As [`branch`]; other than two arms.
pub fn where_it_went_wrong(
    dir: &std::path::Path,
    episode: Option<usize>,
    arms: Option<&[Arm]>,
    horizon: usize,
    common: &Common,
) -> Result<()> {
    if horizon == 0 {
        return Err(UsageError("expected --horizon above 0, got 0".into()).into());
    }
    let w = reopen(dir, common)?;
    let embeddings = w.embeddings()?;
    let minds = w.minds()?;
    let better = if minds.policies.contains_key("improved") { Arm::Improved } else { Arm::Cloned };
    let (reference, alternative) = match arms {
        None => (Arm::Logged, better),
        Some([reference, alternative]) => (reference.clone(), alternative.clone()),
        Some(other) => {
            return Err(UsageError(format!(
                "--where-it-went-wrong compares two arms, got {}; expected e.g. --arms logged,improved",
                other.len()
            ))
            .into());
        }
    };
    let tracks: Vec<usize> = match episode {
        Some(episode) => vec![track_of(&w, episode)?],
        None => {
            let failed = |&t: &usize| !w.corpus.tracks[t].success && w.corpus.tracks[t].len > 0;
            w.corpus.own_tracks().filter(failed).collect()
        }
    };
    if tracks.is_empty() {
        return Err(UsageError("every episode ends in success; name one with --episode N".into()).into());
    }
    let limit = w.disagreement_limit(&minds.model, &embeddings);
    let mut progress = Progress::stage("search", tracks.len() as u64, "episodes");
    let mut moments = Vec::new();
    for part in tracks.chunks(16) {
        interrupt::check()?;
        let found: Result<Vec<Option<Moment>>> = part
            .par_iter()
            .map(|&track| best_moment(&w, (&minds, &embeddings), track, (&reference, &alternative), horizon, limit))
            .collect();
        moments.extend(found?.into_iter().flatten());
        progress.set(moments.len() as u64, "");
    }
    progress.finish();
    moments.sort_by(|a, b| b.gain_ci95[0].total_cmp(&a.gain_ci95[0]));
    if common.json {
        return output::answer_json(&serde_json::json!({
            "reference": reference.to_string(), "alternative": alternative.to_string(), "horizon": horizon, "moments": moments,
        }));
    }
    output::answer(&moments_in_words(&w, &moments, (&reference, &alternative), horizon, episode.is_some()));
    Ok(())
}

/// Whether an imagined future stays on known ground for long enough, by the rule of the gate.
fn believable(steps_beyond: usize, horizon: usize) -> bool {
    steps_beyond as f64 <= rl::evaluate::MOST_UNSUPPORTED * horizon as f64
}

/// Of the believable forks the one whose gain is surest; where none is believable, the surest of all.
fn best_moment(
    w: &Workshop,
    (minds, embeddings): (&Minds, &Embeddings),
    track: usize,
    (reference, alternative): (&Arm, &Arm),
    horizon: usize,
    limit: f32,
) -> Result<Option<Moment>> {
    let mut best: Option<Moment> = None;
    for step in (0..w.corpus.tracks[track].len).step_by(SEARCH_STRIDE) {
        let options = ForkOptions {
            track,
            step,
            horizon,
            samples: SEARCH_SAMPLES,
            context: w.config.quality.context,
            seed: w.config.seed,
        };
        let one = w.imagine_arm(minds, embeddings, reference, &options)?.values();
        let branch = w.imagine_arm(minds, embeddings, alternative, &options)?;
        let other = branch.values();
        let gains: Vec<f32> = other.iter().zip(&one).map(|(a, b)| a - b).collect();
        let (gain, gain_ci95) = rl::evaluate::interval(&gains, 200, w.config.seed);
        let beyond = branch.series(|p| &p.disagreement).iter().filter(|d| **d > limit).count();
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len().max(1) as f32;
        let moment = Moment {
            episode: w.dataset.episodes[w.corpus.tracks[track].episode].index,
            step,
            reference_return: mean(&one),
            alternative_return: mean(&other),
            gain,
            gain_ci95,
            better: gains.iter().filter(|g| **g > 0.0).count() as f64 / gains.len().max(1) as f64,
            steps_beyond_known_ground: beyond,
            believable: believable(beyond, horizon),
        };
        let surer = |b: &Moment| (moment.believable, moment.gain_ci95[0]) > (b.believable, b.gain_ci95[0]);
        if best.as_ref().is_none_or(surer) {
            best = Some(moment);
        }
    }
    Ok(best)
}

fn moments_in_words(
    w: &Workshop,
    moments: &[Moment],
    (reference, alternative): (&Arm, &Arm),
    horizon: usize,
    one_episode: bool,
) -> String {
    let what =
        if one_episode { "the episode".to_owned() } else { format!("{} episodes without success", moments.len()) };
    let mut text = format!(
        "# Where acting otherwise would have mattered most in {what}\n\n{alternative} instead of {reference}, {horizon} imagined \
         steps and the value of where they lead; per episode the step with the surest gain \
         of one every {SEARCH_STRIDE} steps (chosen as the best of many: it flatters the gain).\n\n\
         | episode | step | {reference} | {alternative} | gain | 95 % | better in | beyond known ground |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for m in moments.iter().take(SHOWN) {
        text.push_str(&format!(
            "| {} | {} | {:.3} | {:.3} | {:+.3} | {:+.3} … {:+.3} | {:.0} % | {} of {horizon} steps{} |\n",
            m.episode,
            m.step,
            m.reference_return,
            m.alternative_return,
            m.gain,
            m.gain_ci95[0],
            m.gain_ci95[1],
            100.0 * m.better,
            m.steps_beyond_known_ground,
            if m.believable { "" } else { ": do not believe it" }
        ));
    }
    if moments.len() > SHOWN {
        text.push_str(&format!("\nand {} more episodes, listed by --json.\n", moments.len() - SHOWN));
    }
    if let Some(first) = moments.first() {
        text.push_str(&format!(
            "\nTo see the first: rehearsal branch {} --episode {} --step {}\n",
            w.run.root().display(),
            first.episode,
            first.step
        ));
    }
    text
}

/// The track of an episode of the dataset, or of those recorded later, which are numbered on; companions number theirs anew.
fn track_of(w: &Workshop, episode: usize) -> Result<usize> {
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
