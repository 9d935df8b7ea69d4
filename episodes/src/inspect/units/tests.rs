//! Hand-made arrays in two units.

use super::super::follow::pairs;
use super::super::measure::moments;
use super::super::tests::{episode_of, spec_of};
use super::*;

fn wave(size: f32, step: f32) -> Vec<f32> {
    (0..40).map(|t| size * (step * t as f32).sin()).collect()
}

/// Doubts about a state that swings by 1 and an action that leads it by one step, `size` times as far.
fn doubts_at(size: f32) -> Vec<String> {
    let state = wave(1.0, 0.3);
    let mut action: Vec<f32> = state[1..].iter().map(|x| size * x).collect();
    action.push(0.0);
    let episodes = [episode_of(&state, &action, 1)];
    let pairs = pairs(&spec_of(&["elbow"], &["elbow"]), &episodes);
    between_state_and_action(&pairs, &moments([&state[..]].into_iter(), 1), &moments([&action[..]].into_iter(), 1))
}

#[test]
fn state_and_action_in_two_units_are_doubted() {
    for (size, words) in [
        (57.3, "the action in degrees, the state in radians?"),
        (1.0 / 57.3, "the action in radians, the state in degrees?"),
        (1000.0, "the action in mm, the state in m?"),
        (0.01, "the action in 0 to 1 or m, the state in percent or cm?"),
        (255.0, "the action in 0 to 255, the state in 0 to 1?"),
    ] {
        let doubts = doubts_at(size);
        assert!(doubts.len() == 1 && doubts[0].ends_with(words), "{size}: {doubts:?}");
        assert!(doubts[0].starts_with("action/elbow moves with observation.state/elbow but spreads over "));
    }
    for size in [1.0, 0.5, 2.0, 10.0, 30.0] {
        assert_eq!(doubts_at(size), Vec::<String>::new(), "{size}");
    }
}

#[test]
fn elements_with_one_factor_are_told_together() {
    let state: Vec<f32> = wave(1.0, 0.3).into_iter().flat_map(|x| [x, 2.0 * x]).collect();
    let mut action: Vec<f32> = state[2..].iter().map(|x| 100.0 * x).collect();
    action.extend([0.0, 0.0]);
    let pairs = pairs(&spec_of(&["a", "b"], &["c", "d"]), &[episode_of(&state, &action, 2)]);
    let of = |values: &[f32]| moments([values].into_iter(), 2);
    let doubts = between_state_and_action(&pairs, &of(&state), &of(&action));
    assert!(doubts.len() == 1 && doubts[0].starts_with("action/c moves with observation.state/a"), "{doubts:?}");
    assert!(doubts[0].ends_with(" (and 1 more likewise): the action in percent or cm, the state in 0 to 1 or m?"));
}

#[test]
fn what_does_not_move_together_is_not_compared() {
    let (state, action) = (wave(1.0, 0.3), wave(57.3, 1.9));
    let episodes = [episode_of(&state, &action, 1)];
    let pairs = pairs(&spec_of(&["elbow"], &["elbow"]), &episodes);
    let of = |values: &[f32]| moments([values].into_iter(), 1);
    assert_eq!(between_state_and_action(&pairs, &of(&state), &of(&action)), Vec::<String>::new());
}

/// Episodes of one state element that swings by the given sizes, with an action that never does.
fn sized(sizes: &[f32]) -> Vec<Episode> {
    let episode = |(index, &size): (usize, &f32)| Episode { index, ..episode_of(&wave(size, 0.3), &[0.0; 40], 1) };
    sizes.iter().enumerate().map(episode).collect()
}

#[test]
fn episodes_in_two_units_are_doubted() {
    let spec = spec_of(&["elbow"], &["x"]);
    let doubts = between_episodes(&spec, &sized(&[1.0, 57.0, 1.2, 0.9, 60.0, 1.1]));
    let expected = "observation.state/elbow is about 57 times as large in 2 episodes (1, 4) as in the other 4: degrees \
                    there, radians here?";
    assert_eq!(doubts, [expected]);
    let percent = between_episodes(&spec, &sized(&[1.0, 1.0, 100.0, 100.0]));
    assert!(percent.len() == 1 && percent[0].ends_with("percent or cm there, 0 to 1 or m here?"), "{percent:?}");
}

#[test]
fn episodes_that_move_more_or_less_are_not() {
    let spec = spec_of(&["elbow"], &["x"]);
    let sizes: [&[f32]; 6] =
        [&[1.0, 2.0, 3.5], &[0.01, 0.1, 1.0, 10.0], &[1.0, 57.0, 57.0], &[0.0, 1.0, 57.0], &[1.0], &[]];
    for sizes in sizes {
        assert_eq!(between_episodes(&spec, &sized(sizes)), Vec::<String>::new(), "{sizes:?}");
    }
}

#[test]
fn two_elements_that_change_units_in_one_episode_are_told_together() {
    let spec = spec_of(&["shoulder", "elbow"], &["x"]);
    let episode = |(index, size): (usize, f32)| {
        let state: Vec<f32> = wave(size, 0.3).into_iter().flat_map(|x| [x, 0.5 * x]).collect();
        Episode { index, ..episode_of(&state, &[0.0; 40], 2) }
    };
    let episodes: Vec<Episode> = [1.0, 57.3, 1.0, 1.0].into_iter().enumerate().map(episode).collect();
    let doubts = between_episodes(&spec, &episodes);
    let expected = "observation.state/shoulder and observation.state/elbow are about 57 times as large in episode 1 as \
                    in the other 3: degrees there, radians here?";
    assert_eq!(doubts, [expected]);
}

#[test]
fn a_gripper_in_percent_and_an_angle_in_degrees_stand_out_among_radians() {
    let of = |names: &[&str], sizes: &[f32]| {
        let rows: Vec<f32> = [0.0, 1.0].iter().flat_map(|x| sizes.iter().map(move |size| x * size)).collect();
        let spec = spec_of(names, &["a"]);
        within_vectors(&spec, &moments([&rows[..]].into_iter(), names.len()), &moments([&[0.0f32][..]].into_iter(), 1))
    };
    let names = ["waist", "shoulder", "elbow", "wrist", "gripper"];
    let doubts = of(&names, &[1.5, 2.0, 3.1, 0.4, 100.0]);
    let expected = "observation.state/gripper runs from 0.0 to 100.0, the other elements stay within ±3.1: a gripper in \
                    percent or mm beside radians or m?";
    assert_eq!(doubts, [expected]);
    let angle = of(&names, &[1.5, 2.0, 3.1, 90.0, 1.0]);
    assert!(angle.len() == 1 && angle[0].ends_with("an angle in degrees beside radians or m?"), "{angle:?}");
    // All in degrees, one joint at rest; pixels; a force among positions.
    assert_eq!(of(&names, &[90.0, 45.0, 60.0, 1.5, 100.0]), Vec::<String>::new());
    assert_eq!(of(&["agent_x", "agent_y"], &[512.0, 512.0]), Vec::<String>::new());
    assert_eq!(of(&["x", "y", "z", "force"], &[0.5, 0.5, 0.5, 40.0]), Vec::<String>::new());
}
