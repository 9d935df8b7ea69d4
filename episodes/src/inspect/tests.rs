//! The report as a whole, from hand-made arrays; and what the tests beside the parts make theirs of.

use super::*;
use crate::CameraFeature;

/// A dataset at 10 Hz with one state feature, an action and no camera.
pub(super) fn spec_of(state: &[&str], action: &[&str]) -> DatasetSpec {
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
        state: vec![vector("observation.state", state)],
        hints: Vec::new(),
        action: vector("action", action),
        cameras: vec![],
        tasks: vec!["push".to_owned()],
        has_reward: false,
        has_success: true,
    }
}

/// Rows `[T, state_len]` and as many actions, cut off in the end; nothing else was recorded.
pub(super) fn episode_of(state: &[f32], action: &[f32], state_len: usize) -> Episode {
    Episode {
        index: 0,
        task: "push".to_owned(),
        len: state.len() / state_len,
        state: state.to_vec(),
        hint: Vec::new(),
        action: action.to_vec(),
        reward: None,
        success: None,
        intervention: None,
        terminated: false,
        truncated: true,
        first_frame: 0,
    }
}

fn spec() -> DatasetSpec {
    let camera =
        CameraFeature { key: "observation.image".to_owned(), native_height: 4, native_width: 6, model_size: 4 };
    DatasetSpec { cameras: vec![camera], ..spec_of(&["x", "y"], &["x"]) }
}

fn episode(action: &[f32], success: bool) -> Episode {
    let len = action.len();
    let state: Vec<f32> = (0..2 * len).map(|i| i as f32).collect();
    Episode {
        success: Some((0..len).map(|t| success && t + 1 == len).collect()),
        terminated: success,
        truncated: !success,
        ..episode_of(&state, action, 2)
    }
}

#[test]
fn counts_shares_and_ranges() -> Result<(), serde_json::Error> {
    let mut episodes = [episode(&[0.0, 0.0, 0.5, 1.0], true), episode(&[0.5, 0.4], false)];
    episodes[0].intervention = Some(vec![false, true, true, false]);
    episodes[1].intervention = Some(vec![false; 2]);
    let skipped = [Skipped { what: "episode 3".to_owned(), why: "no video".to_owned() }];
    episodes[1].reward = Some(vec![0.0, 0.5]);
    let split = Split { train: vec![0], held_out: vec![1] };
    let report = summarise(&spec(), &episodes, &skipped, &OutcomeRule::default()).with_split(&split);
    assert_eq!((report.episodes, report.frames, report.terminated), (2, 6, 1));
    assert_eq!(report.lengths, Some(Lengths { min: 2, median: 2, max: 4 }));
    assert_eq!(report.success, Some(SuccessReport { episodes: 1, share: 0.5 }));
    assert_eq!(report.intervention, Some(InterventionReport { episodes: 1, steps: 2, step_share: 2.0 / 6.0 }));
    assert_eq!(report.idle_share, 0.25);
    assert_eq!(report.action[0].saturation_share, 0.5);
    assert_eq!((report.state[1].min, report.state[1].max), (1.0, 7.0));
    assert_eq!(report.reward.as_ref().map(|r| (r.min, r.max, r.mean)), Some((0.0, 0.5, 0.25)));
    let listed: Vec<_> = report.episode_list.iter().map(|e| (e.len, e.success, e.idle_share, e.is_held_out)).collect();
    assert_eq!(listed, [(4, Some(true), 1.0 / 3.0, false), (2, Some(false), 0.0, true)]);
    let text = report.to_string();
    assert!(text.contains("a person had the controls in 1 episodes, 33.3 % of steps"), "{text}");
    assert!(text.contains("split: 1 episodes (4 frames) to learn from; held out episode 0 (2 frames)"), "{text}");
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
    let text = report.to_string();
    assert!(text.contains("to look at: nothing") && text.contains("left out: nothing"), "{text}");
    assert!(
        report.markdown().contains("Nothing looks like a mistake.") && report.left_out_markdown().contains("Nothing.")
    );
}

#[test]
fn the_page_says_what_the_text_says() {
    let skipped = [Skipped { what: "episode 3".to_owned(), why: "no video".to_owned() }];
    let report = summarise(&spec(), &[episode(&[0.0; 30], false)], &skipped, &OutcomeRule::default());
    let (text, page) = (report.to_string(), report.markdown());
    for line in report.content().iter().chain(&report.movement()).chain(&report.doubts) {
        assert!(text.contains(line) && page.contains(&format!("- {line}\n")), "{line}");
    }
    assert_eq!(report.doubts.len(), 2, "idle, and never a success: {:?}", report.doubts);
    assert!(page.contains("| action/x | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0 % |\n"), "{page}");
    assert_eq!(report.left_out_markdown(), "# Left out\n\n- **episode 3**: no video\n");
}
