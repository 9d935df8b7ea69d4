//! `branch --where-it-went-wrong`: the step of an episode, or of every failed one, at which acting otherwise would have mattered most.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use rollouts::branch::ForkOptions;
use serde::Serialize;
use world_model::Embeddings;

use super::branching::track_of;
use super::comparing::Measures;
use super::known_truth::record_without;
use super::ranking::{believable, known_better, knows, share_above};
use super::record::Minds;
use super::reopen;
use super::workshop::Workshop;
use super::writing::{Imagined, Target, Written};
use crate::args::{Arm, Common};
use crate::errors::UsageError;
use crate::progress::Progress;
use crate::{interrupt, output};

/// Forks of one episode lie this many steps apart when the best moment is searched.
const SEARCH_STRIDE: usize = 4;
/// Draws of shared noise per fork in the search.
const SEARCH_SAMPLES: usize = 8;
/// Moments shown; `--json` has them all.
const SHOWN: usize = 12;

/// The moment of one episode at which acting otherwise would have mattered most.
#[derive(Clone, Debug, Serialize)]
struct Moment {
    episode: usize,
    step: usize,
    #[serde(skip)]
    track: usize,
    reference_return: f32,
    alternative_return: f32,
    gain: f64,
    gain_ci95: [f64; 2],
    /// Share of the noise draws under which the alternative is better.
    better_in_draws: f64,
    /// Probability of that, given how wrong the model was about recorded moments; `None` where too few are known to tell.
    probability_better: Option<f64>,
    steps_beyond_known_ground: usize,
    believable: bool,
}

/// Searches an episode, or every episode without a recorded success, for the step at which the second arm gains most
/// over the first; with `target` the second arm from each of those steps becomes an imagined episode.
///
/// # Errors
/// As [`branch`](super::branch); other than two arms.
pub fn where_it_went_wrong(
    dir: &Path,
    episode: Option<usize>,
    (arms, horizon): (Option<&[Arm]>, usize),
    target: Option<Target<'_>>,
    common: &Common,
) -> Result<()> {
    if horizon == 0 {
        return Err(UsageError("expected --horizon above 0, got 0".into()).into());
    }
    target.as_ref().map_or(Ok(()), Target::check)?;
    let two = match arms {
        None => None,
        Some([reference, alternative]) => Some((reference.clone(), alternative.clone())),
        Some(other) => {
            return Err(UsageError(format!(
                "--where-it-went-wrong compares two arms, got {}; expected e.g. --arms logged,improved",
                other.len()
            ))
            .into());
        }
    };
    let w = reopen(dir, common)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    let embeddings = w.embeddings()?;
    let minds = w.minds()?;
    let better = if minds.policies.contains_key("improved") { Arm::Improved } else { Arm::Cloned };
    let (reference, alternative) = two.unwrap_or((Arm::Logged, better));
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
    let measures = w.measures(&minds, &embeddings, horizon)?;
    let mut progress = Progress::stage("search", tracks.len() as u64, "episodes");
    let mut moments = Vec::new();
    for part in tracks.chunks(16) {
        interrupt::check()?;
        let found: Result<Vec<Option<Moment>>> = part
            .par_iter()
            .map(|&track| best_moment(&w, (&minds, &embeddings), track, (&reference, &alternative), horizon, &measures))
            .collect();
        moments.extend(found?.into_iter().flatten());
        progress.set(moments.len() as u64, "");
    }
    progress.finish();
    moments.sort_by(|a, b| b.gain_ci95[0].total_cmp(&a.gain_ci95[0]));
    let write = |target| write_all(&w, (&minds, &embeddings), &moments, &alternative, target, (horizon, &measures));
    // What was found is told even where nothing of it can be written.
    let written = target.map(write).transpose();
    if common.json {
        output::answer_json(&serde_json::json!({
            "reference": reference.to_string(), "alternative": alternative.to_string(), "horizon": horizon, "moments": moments,
            "moments_known": measures.moments.len(), "written": written.as_ref().ok(),
        }))?;
        return written.map(|_| ());
    }
    let words = (measures.moments.len(), episode.is_some());
    output::answer(&moments_in_words(w.run.root(), &moments, (&reference, &alternative), horizon, words));
    written?.iter().for_each(Written::tell);
    Ok(())
}

/// The alternative from every moment where it stays on known ground (from all, where steps beyond trust are wanted), as a dataset.
fn write_all(
    w: &Workshop,
    (minds, embeddings): (&Minds, &Embeddings),
    moments: &[Moment],
    alternative: &Arm,
    target: Target<'_>,
    (horizon, measures): (usize, &Measures),
) -> Result<Written> {
    let mut out = Imagined::begin(w, target, measures.limits)?;
    let mut progress = Progress::stage("write", moments.len() as u64, "moments");
    let believed = moments.iter().filter(|moment| moment.believable || target.beyond_trust);
    for (done, moment) in believed.enumerate() {
        let options = fork_at(w, moment.track, moment.step, horizon);
        let future = w.imagine_arm(minds, embeddings, alternative, &options)?;
        out.push((minds, embeddings), &alternative.to_string(), &future, &options)?;
        progress.set(done as u64 + 1, "");
    }
    progress.finish();
    out.finish()
}

fn fork_at(w: &Workshop, track: usize, step: usize, horizon: usize) -> ForkOptions {
    let (context, seed) = (w.config.quality.context, w.config.seed);
    ForkOptions { track, step, horizon, samples: SEARCH_SAMPLES, context, seed }
}

/// Of the believable forks the one whose gain is surest; where none is believable, the surest of all.
fn best_moment(
    w: &Workshop,
    (minds, embeddings): (&Minds, &Embeddings),
    track: usize,
    (reference, alternative): (&Arm, &Arm),
    horizon: usize,
    measures: &Measures,
) -> Result<Option<Moment>> {
    let record = record_without(&measures.moments, track);
    let mut best: Option<Moment> = None;
    for step in (0..w.corpus.tracks[track].len).step_by(SEARCH_STRIDE) {
        let options = fork_at(w, track, step, horizon);
        let one = w.imagine_arm(minds, embeddings, reference, &options)?.values();
        let branch = w.imagine_arm(minds, embeddings, alternative, &options)?;
        let other = branch.values();
        let gains: Vec<f32> = other.iter().zip(&one).map(|(a, b)| a - b).collect();
        let (gain, gain_ci95) = rl::evaluate::interval(&gains, 200, w.config.seed);
        let beyond =
            branch.series(|p| &p.disagreement).iter().filter(|d| **d > measures.limits.disagreement_95).count();
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len().max(1) as f32;
        let moment = Moment {
            episode: w.dataset.episodes[w.corpus.tracks[track].episode].index,
            step,
            track,
            reference_return: mean(&one),
            alternative_return: mean(&other),
            gain,
            gain_ci95,
            better_in_draws: share_above(&gains),
            probability_better: known_better(&other, &one, &record),
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
    root: &Path,
    moments: &[Moment],
    (reference, alternative): (&Arm, &Arm),
    horizon: usize,
    (moments_known, one_episode): (usize, bool),
) -> String {
    let what =
        if one_episode { "the episode".to_owned() } else { format!("{} episodes without success", moments.len()) };
    let mut text = format!(
        "# Where acting otherwise would have mattered most in {what}\n\n{alternative} instead of {reference}, {horizon} imagined \
         steps and the value of where they lead; per episode the step with the surest gain \
         of one every {SEARCH_STRIDE} steps (chosen as the best of many: it flatters the gain). \"better\" {}.\n\n\
         | episode | step | {reference} | {alternative} | gain | 95 % | better | in draws | beyond known ground |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        knows(moments_known)
    );
    for m in moments.iter().take(SHOWN) {
        text.push_str(&format!(
            "| {} | {} | {:.3} | {:.3} | {:+.3} | {:+.3} … {:+.3} | {} | {:.0} % | {} of {horizon} steps{} |\n",
            m.episode,
            m.step,
            m.reference_return,
            m.alternative_return,
            m.gain,
            m.gain_ci95[0],
            m.gain_ci95[1],
            m.probability_better.map_or("–".to_owned(), |p| format!("{:.0} %", 100.0 * p)),
            100.0 * m.better_in_draws,
            m.steps_beyond_known_ground,
            if m.believable { "" } else { ": do not believe it" }
        ));
    }
    if moments.len() > SHOWN {
        text.push_str(&format!("\nand {} more episodes, listed by --json.\n", moments.len() - SHOWN));
    }
    if let Some(first) = moments.first() {
        text.push_str(&format!(
            "\nTo see the first: rehearsal branch {} --episode {} --step {} --arms {reference},{alternative} --horizon {horizon}\n",
            root.display(),
            first.episode,
            first.step
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_told_with_the_command_that_shows_just_it() {
        let moment = Moment {
            episode: 7,
            step: 12,
            track: 3,
            reference_return: 0.25,
            alternative_return: 0.5,
            gain: 0.25,
            gain_ci95: [0.125, 0.375],
            better_in_draws: 1.0,
            probability_better: Some(0.75),
            steps_beyond_known_ground: 2,
            believable: true,
        };
        let arms = (&Arm::Cloned, &Arm::Scaled(0.5));
        let unknown = Moment { probability_better: None, ..moment.clone() };
        let text = moments_in_words(Path::new("runs/demo"), &[moment], arms, 9, (20, false));
        for line in [
            "| 7 | 12 | 0.250 | 0.500 | +0.250 | +0.125 … +0.375 | 75 % | 100 % | 2 of 9 steps |",
            "To see the first: rehearsal branch runs/demo --episode 7 --step 12 --arms cloned,scaled:0.5 --horizon 9",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(
            text.contains("\"better\" knows how wrong the model was about moments of 20 held-out episodes;"),
            "{text}"
        );
        let blind = moments_in_words(Path::new("r"), &[unknown], arms, 9, (0, true));
        assert!(blind.contains("\"better\" is not told: 0 held-out episodes are too few"), "{blind}");
        assert!(blind.contains("+0.125 … +0.375 | – | 100 % |"), "{blind}");
    }
}
