//! What is in a dataset, and what looks wrong with it: one report, for people and as JSON.

mod coverage;
mod doubts;
mod follow;
mod markdown;
mod measure;
mod report;
mod text;
mod units;
mod words;

use measure::{moments, share};
pub use report::{
    CameraReport, Coverage, ElementReport, EpisodeReport, FeatureReport, Follow, Inspection, InterventionReport,
    Lengths, Meaning, SplitReport, SuccessReport,
};

use crate::normaliser::Moments;
use crate::{Dataset, DatasetSpec, Episode, OutcomeRule, Skipped, Split, VectorFeature};

/// Counts and measures an opened dataset whose rewards and success will be read by `rule`.
///
/// [`Inspection::split`] is absent until [`Inspection::with_split`] tells it.
pub fn inspect(dataset: &Dataset, rule: &OutcomeRule) -> Inspection {
    let mut report = summarise(&dataset.spec, &dataset.episodes, &dataset.skipped, rule);
    let state = moments(dataset.episodes.iter().map(|e| e.state.as_slice()), dataset.spec.state_len());
    for (number, camera) in report.cameras.iter_mut().enumerate() {
        camera.still_share = doubts::still_share(dataset, number, &state);
        (camera.darkest, camera.brightest) = doubts::brightness(dataset, number);
        report.doubts.extend(doubts::still_camera(&camera.key, camera.still_share));
        report.doubts.extend(doubts::blank_camera(&camera.key, (camera.darkest, camera.brightest)));
    }
    report.timing = dataset.timing;
    report.is_imagined = dataset.is_imagined;
    report.doubts.extend(report.fps.and_then(|fps| doubts::clock(report.timing.as_ref(), fps)));
    report
}

impl Inspection {
    /// The same with the episodes that training would hold out. `split` holds positions in the dataset inspected.
    #[must_use]
    pub fn with_split(mut self, split: &Split) -> Inspection {
        for (position, episode) in self.episode_list.iter_mut().enumerate() {
            episode.is_held_out = split.held_out.contains(&position);
        }
        let side = |held_out: bool| self.episode_list.iter().filter(move |episode| episode.is_held_out == held_out);
        self.split = Some(SplitReport {
            train_episodes: side(false).count(),
            train_frames: side(false).map(|episode| episode.len).sum(),
            held_out_episodes: side(true).count(),
            held_out_frames: side(true).map(|episode| episode.len).sum(),
            held_out: side(true).map(|episode| episode.index).collect(),
        });
        self
    }
}

fn summarise(spec: &DatasetSpec, episodes: &[Episode], skipped: &[Skipped], rule: &OutcomeRule) -> Inspection {
    let state = moments(episodes.iter().map(|e| e.state.as_slice()), spec.state_len());
    let action = moments(episodes.iter().map(|e| e.action.as_slice()), spec.action_len());
    let pairs = follow::pairs(spec, episodes);
    let succeeded = episodes.iter().filter(|e| e.succeeded() == Some(true)).count();
    let success =
        spec.has_success.then(|| SuccessReport { episodes: succeeded, share: share(succeeded, episodes.len()) });
    let idle_share = measure::idle_share(episodes, &action);
    let mut doubts = units::between_state_and_action(&pairs, &state, &action);
    doubts.extend(units::between_episodes(spec, episodes));
    doubts.extend(units::within_vectors(spec, &state, &action));
    doubts.extend(follow::mixed(&pairs, episodes));
    doubts.extend(doubts::idle(idle_share));
    doubts.extend(doubts::no_success(success.as_ref(), episodes.len()));
    Inspection {
        source: spec.source.clone(),
        codebase_version: spec.codebase_version.clone(),
        robot_type: spec.robot_type.clone(),
        episodes: episodes.len(),
        frames: episodes.iter().map(|e| e.len).sum(),
        fps: Some(spec.control_rate_hz).filter(|hz| *hz > 0.0),
        lengths: measure::lengths(episodes),
        cameras: cameras(spec),
        features: features(spec, episodes),
        state: elements(&spec.state, &state, episodes.iter().map(|e| e.state.as_slice())),
        action: elements(std::slice::from_ref(&spec.action), &action, episodes.iter().map(|e| e.action.as_slice())),
        follow: follow::reports(&pairs),
        reward: measure::reward(episodes),
        idle_share,
        coverage: coverage::measure(episodes, &state, &action),
        success,
        terminated: episodes.iter().filter(|e| e.terminated).count(),
        intervention: measure::interventions(episodes),
        reward_rule: rule.resolve(spec).describe(),
        tasks: spec.tasks.clone(),
        timing: None,
        is_imagined: false,
        split: None,
        doubts,
        skipped: skipped.to_vec(),
        episode_list: episodes.iter().map(|episode| measure::episode(episode, &action)).collect(),
    }
}

fn cameras(spec: &DatasetSpec) -> Vec<CameraReport> {
    let camera = |c: &crate::CameraFeature| CameraReport {
        key: c.key.clone(),
        height: c.native_height,
        width: c.native_width,
        still_share: None,
        darkest: 0,
        brightest: 0,
    };
    spec.cameras.iter().map(camera).collect()
}

/// One report per element of a vector, `rows` `[T, D]` of all episodes together.
fn elements<'a>(
    features: &'a [VectorFeature],
    moments: &'a [Moments],
    rows: impl Iterator<Item = &'a [f32]> + Clone,
) -> Vec<ElementReport> {
    let names = features.iter().flat_map(|f| f.names.iter().map(move |n| format!("{}/{n}", f.key)));
    let reports = names.zip(moments).enumerate();
    reports.map(|(d, (name, m))| measure::element(name, m, measure::column(rows.clone(), d, moments.len()))).collect()
}

fn features(spec: &DatasetSpec, episodes: &[Episode]) -> Vec<FeatureReport> {
    let feature = |key: &str, kind, shape| FeatureReport { key: key.to_owned(), kind, shape };
    let mut out: Vec<_> = spec.state.iter().map(|f| feature(&f.key, "state", vec![f.len])).collect();
    out.push(feature(&spec.action.key, "action", vec![spec.action.len]));
    for c in &spec.cameras {
        out.push(feature(&c.key, "camera", vec![c.native_height, c.native_width, 3]));
    }
    if spec.has_reward {
        out.push(feature("next.reward", "reward", vec![1]));
    }
    if spec.has_success {
        out.push(feature("next.success", "success", vec![1]));
    }
    if episodes.iter().any(|e| e.intervention.is_some()) {
        out.push(feature("intervention", "intervention", vec![1]));
    }
    out
}

#[cfg(test)]
mod tests;
