//! What is in a dataset, and what is wrong with it: one report, for people and as JSON.

mod doubts;
mod text;

use serde::Serialize;

use crate::dataset::Timing;
use crate::normaliser::Moments;
use crate::{Dataset, DatasetSpec, Episode, OutcomeRule, Skipped};

/// A change of the action below this many standard deviations counts as standing still.
const IDLE_CHANGE: f64 = 1e-3;

/// An action within this share of its range of the smallest or largest recorded value counts as saturated.
const SATURATION_MARGIN: f64 = 0.01;

/// The content of a dataset in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Where the data came from.
    pub source: String,
    /// LeRobot codebase version, or the name of another format.
    pub codebase_version: String,
    /// Robot type, where the dataset names one.
    pub robot_type: Option<String>,
    /// Sound episodes.
    pub episodes: usize,
    /// Steps in the sound episodes.
    pub frames: usize,
    /// Recording rate, Hz; absent where nobody knows it.
    pub fps: Option<f64>,
    /// Episode lengths, steps; absent without episodes.
    pub lengths: Option<Lengths>,
    /// Colour cameras.
    pub cameras: Vec<CameraReport>,
    /// Everything a model can see or learn from.
    pub features: Vec<FeatureReport>,
    /// Ranges of the observed state, element by element.
    pub state: Vec<ElementReport>,
    /// Ranges of the action, element by element.
    pub action: Vec<ActionReport>,
    /// Share of steps whose action hardly changed from the step before.
    pub idle_share: f64,
    /// Recorded successes; absent where the dataset has no success column.
    pub success: Option<SuccessReport>,
    /// Episodes that ended in a state with no future.
    pub terminated: usize,
    /// Steps at which a person had the controls; absent where that was not recorded.
    pub intervention: Option<InterventionReport>,
    /// How rewards and success are read, one sentence.
    pub reward_rule: String,
    /// Task texts.
    pub tasks: Vec<String>,
    /// How evenly the steps follow each other; absent where the dataset has no clock.
    pub timing: Option<Timing>,
    /// What is sound but looks like a mistake, one sentence each.
    pub doubts: Vec<String>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// Episode lengths, steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Shortest.
    pub min: usize,
    /// Middle one (the lower of the two middle ones).
    pub median: usize,
    /// Longest.
    pub max: usize,
}

/// One colour camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraReport {
    /// Column name.
    pub key: String,
    /// Recorded height, pixels.
    pub height: usize,
    /// Recorded width, pixels.
    pub width: usize,
    /// Share of the steps at which the state moved whose picture hardly differs from the one before; absent where
    /// nothing moved.
    pub still_share: Option<f64>,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    /// Column name.
    pub key: String,
    /// `state`, `action`, `camera`, `reward`, `success` or `intervention`.
    pub kind: &'static str,
    /// Shape of one step.
    pub shape: Vec<usize>,
}

/// Distribution of one vector element over all steps, raw units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ElementReport {
    /// Column and element name, e.g. `observation.state/x`.
    pub name: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
}

/// Distribution of one action element.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionReport {
    /// Column and element name.
    pub name: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Share of steps within 1 % of the smallest or largest value; 0 for a constant element.
    pub saturation_share: f64,
}

/// Recorded successes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SuccessReport {
    /// Episodes with at least one step recorded as success.
    pub episodes: usize,
    /// Share of all episodes, 0 to 1.
    pub share: f64,
}

/// Recorded interventions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InterventionReport {
    /// Episodes with at least one step at which a person had the controls.
    pub episodes: usize,
    /// Such steps.
    pub steps: usize,
    /// Share of all steps for which it was recorded, 0 to 1.
    pub step_share: f64,
}

/// Counts and measures an opened dataset whose rewards and success will be read by `rule`.
pub fn inspect(dataset: &Dataset, rule: &OutcomeRule) -> Inspection {
    let mut report = summarise(&dataset.spec, &dataset.episodes, &dataset.skipped, rule);
    let state = moments(dataset.episodes.iter().map(|e| e.state.as_slice()), dataset.spec.state_len());
    for (number, camera) in report.cameras.iter_mut().enumerate() {
        camera.still_share = doubts::still_share(dataset, number, &state);
        report.doubts.extend(doubts::camera(&camera.key, camera.still_share));
    }
    report.timing = dataset.timing;
    report.doubts.extend(report.fps.and_then(|fps| doubts::clock(report.timing.as_ref(), fps)));
    report
}

fn summarise(spec: &DatasetSpec, episodes: &[Episode], skipped: &[Skipped], rule: &OutcomeRule) -> Inspection {
    let (state_len, action_len) = (spec.state_len(), spec.action_len());
    let state = moments(episodes.iter().map(|e| e.state.as_slice()), state_len);
    let action = moments(episodes.iter().map(|e| e.action.as_slice()), action_len);
    let succeeded = episodes.iter().filter(|e| e.succeeded() == Some(true)).count();
    Inspection {
        source: spec.source.clone(),
        codebase_version: spec.codebase_version.clone(),
        robot_type: spec.robot_type.clone(),
        episodes: episodes.len(),
        frames: episodes.iter().map(|e| e.len).sum(),
        fps: Some(spec.control_rate_hz).filter(|hz| *hz > 0.0),
        lengths: lengths(episodes),
        cameras: spec
            .cameras
            .iter()
            .map(|c| CameraReport {
                key: c.key.clone(),
                height: c.native_height,
                width: c.native_width,
                still_share: None,
            })
            .collect(),
        features: features(spec, episodes),
        state: spec
            .state
            .iter()
            .flat_map(|f| f.names.iter().map(move |n| format!("{}/{n}", f.key)))
            .zip(&state)
            .map(|(name, m)| ElementReport { name, min: m.min(), max: m.max(), mean: m.mean(), std: m.std() })
            .collect(),
        action: action
            .iter()
            .enumerate()
            .map(|(d, m)| ActionReport {
                name: format!("{}/{}", spec.action.key, spec.action.names.get(d).map_or("?", String::as_str)),
                min: m.min(),
                max: m.max(),
                mean: m.mean(),
                std: m.std(),
                saturation_share: saturation_share(episodes, action_len, d, m),
            })
            .collect(),
        idle_share: idle_share(episodes, &action),
        success: spec
            .has_success
            .then(|| SuccessReport { episodes: succeeded, share: share(succeeded, episodes.len()) }),
        terminated: episodes.iter().filter(|e| e.terminated).count(),
        intervention: interventions(episodes),
        reward_rule: rule.resolve(spec).describe(),
        tasks: spec.tasks.clone(),
        timing: None,
        doubts: doubts::units(spec, &state, &action),
        skipped: skipped.to_vec(),
    }
}

fn moments<'a>(blocks: impl Iterator<Item = &'a [f32]>, dim: usize) -> Vec<Moments> {
    let mut out = vec![Moments::default(); dim];
    for block in blocks {
        for row in block.chunks_exact(dim.max(1)) {
            for (m, &x) in out.iter_mut().zip(row) {
                m.add(f64::from(x));
            }
        }
    }
    out
}

fn lengths(episodes: &[Episode]) -> Option<Lengths> {
    let mut sorted: Vec<usize> = episodes.iter().map(|e| e.len).collect();
    sorted.sort_unstable();
    Some(Lengths { min: *sorted.first()?, median: sorted[(sorted.len() - 1) / 2], max: *sorted.last()? })
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

fn interventions(episodes: &[Episode]) -> Option<InterventionReport> {
    let flags: Vec<&Vec<bool>> = episodes.iter().filter_map(|e| e.intervention.as_ref()).collect();
    let steps: usize = flags.iter().map(|flags| flags.iter().filter(|&&flag| flag).count()).sum();
    let of_steps = flags.iter().map(|flags| flags.len()).sum();
    let touched = flags.iter().filter(|flags| flags.contains(&true)).count();
    (!flags.is_empty()).then(|| InterventionReport { episodes: touched, steps, step_share: share(steps, of_steps) })
}

fn idle_share(episodes: &[Episode], action: &[Moments]) -> f64 {
    let (mut idle, mut steps) = (0, 0);
    for e in episodes {
        for t in 1..e.len {
            let (now, before) = (e.action_at(t, action.len()), e.action_at(t - 1, action.len()));
            let still = now
                .iter()
                .zip(before)
                .zip(action)
                .all(|((&a, &b), m)| f64::from((a - b).abs()) <= IDLE_CHANGE * m.std());
            steps += 1;
            idle += usize::from(still);
        }
    }
    share(idle, steps)
}

fn saturation_share(episodes: &[Episode], action_len: usize, d: usize, m: &Moments) -> f64 {
    let range = m.max() - m.min();
    if range == 0.0 {
        return 0.0;
    }
    let margin = SATURATION_MARGIN * range;
    let (mut saturated, mut steps) = (0, 0);
    for e in episodes {
        for t in 0..e.len {
            let a = f64::from(e.action_at(t, action_len)[d]);
            steps += 1;
            saturated += usize::from(a <= m.min() + margin || a >= m.max() - margin);
        }
    }
    share(saturated, steps)
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CameraFeature, VectorFeature};

    fn spec() -> DatasetSpec {
        let vector = |key: &str, names: &[&str]| VectorFeature {
            key: key.to_owned(),
            names: names.iter().map(|&n| n.to_owned()).collect(),
            offset: 0,
            len: names.len(),
        };
        DatasetSpec {
            source: "here".to_owned(),
            codebase_version: "v3.0".to_owned(),
            robot_type: None,
            control_rate_hz: 10.0,
            state: vec![vector("observation.state", &["x", "y"])],
            action: vector("action", &["x"]),
            cameras: vec![CameraFeature {
                key: "observation.image".to_owned(),
                native_height: 4,
                native_width: 6,
                model_size: 4,
            }],
            tasks: vec!["push".to_owned()],
            has_reward: false,
            has_success: true,
        }
    }

    fn episode(action: &[f32], success: bool) -> Episode {
        let len = action.len();
        Episode {
            index: 0,
            task: "push".to_owned(),
            len,
            state: (0..2 * len).map(|i| i as f32).collect(),
            action: action.to_vec(),
            reward: None,
            success: Some((0..len).map(|t| success && t + 1 == len).collect()),
            intervention: None,
            terminated: success,
            truncated: !success,
            first_frame: 0,
        }
    }

    #[test]
    fn counts_shares_and_ranges() -> Result<(), serde_json::Error> {
        let mut episodes = [episode(&[0.0, 0.0, 0.5, 1.0], true), episode(&[0.5, 0.4], false)];
        episodes[0].intervention = Some(vec![false, true, true, false]);
        episodes[1].intervention = Some(vec![false; 2]);
        let skipped = [Skipped { what: "episode 3".to_owned(), why: "no video".to_owned() }];
        let report = summarise(&spec(), &episodes, &skipped, &OutcomeRule::default());
        assert_eq!((report.episodes, report.frames, report.terminated), (2, 6, 1));
        assert_eq!(report.lengths, Some(Lengths { min: 2, median: 2, max: 4 }));
        assert_eq!(report.success, Some(SuccessReport { episodes: 1, share: 0.5 }));
        assert_eq!(report.intervention, Some(InterventionReport { episodes: 1, steps: 2, step_share: 2.0 / 6.0 }));
        assert_eq!(report.idle_share, 0.25);
        assert_eq!(report.action[0].saturation_share, 0.5);
        assert_eq!((report.state[1].min, report.state[1].max), (1.0, 7.0));
        let text = report.to_string();
        assert!(text.contains("a person had the controls in 1 episodes, 33.3 % of steps"), "{text}");
        assert!(text.contains("episode 3: no video") && text.contains("observation.state/y"), "{text}");
        let json = serde_json::to_value(&report)?;
        assert_eq!(json["cameras"][0]["width"], 6);
        assert_eq!(json["features"][0]["kind"], "state");
        assert_eq!(json["skipped"][0]["why"], "no video");
        Ok(())
    }

    #[test]
    fn an_empty_dataset_is_reported_not_divided_by() {
        let report = summarise(&spec(), &[], &[], &OutcomeRule::default());
        assert_eq!((report.lengths, report.idle_share), (None, 0.0));
        assert!(report.to_string().contains("left out: nothing"));
    }
}
