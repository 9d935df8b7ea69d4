//! One made-up report with everything in it.

use rl::conformal::Calibrated;
use rl::optimism::{Along, Share};
use rl::scorecard::{Decisions, Exploitability, Scorecard};
use rl::selection::Kept;
use serde_json::json;
use world_model::quality::Likeness;

use super::super::*;

fn skipped(what: &str, why: &str) -> Skipped {
    Skipped { what: what.into(), why: why.into() }
}

pub(super) fn policy(name: &str, imagined: f64, truth: Option<f64>) -> PolicyReport {
    let score = ImaginedScore {
        return_: 10.0 * imagined,
        return_ci95: [10.0 * imagined - 1.0, 10.0 * imagined + 1.0],
        success: imagined,
        success_ci95: [imagined - 0.06, imagined + 0.06],
        undiscounted: 50.0 * imagined,
        undiscounted_ci95: [50.0 * imagined - 4.0, 50.0 * imagined + 4.0],
        time_to_success: (imagined > 0.1).then(|| TimeToSuccess::of((63.0, [58.0, 69.0]), 10.0)),
    };
    let believed_share = (name != "behaviour").then_some(0.08);
    let trust = PolicyTrust { believed_share, unsupported_share: 0.02 };
    PolicyReport {
        estimators: Estimators {
            imagined: Some((10.0 * imagined, [10.0 * imagined - 1.0, 10.0 * imagined + 1.0]).into()),
            models: None,
            believed: (name == "cloned").then(|| (8.0 * imagined, [2.2, 2.9]).into()),
            fitted_q: (name != "random").then(|| (9.0 * imagined, [9.0 * imagined - 0.5, 9.0 * imagined + 0.5]).into()),
            doubly_robust: (name == "cloned").then(|| (9.5 * imagined, [3.1, 4.2]).into()),
            effective_episodes: (name != "random").then_some(if name == "cloned" { 21.4 } else { 5.2 }),
        },
        truth: truth.map(|t| TrueScore {
            return_: 10.0 * t,
            return_ci95: [10.0 * t - 1.5, 10.0 * t + 1.5],
            success: t,
            success_ci95: [t - 0.09, t + 0.09],
            episodes: 100,
        }),
        ..PolicyReport::new(name.into(), 30, score, trust)
    }
}

/// A group of starts; `gain` of the improved policy over the clone.
fn slice(kind: SliceKind, name: &str, episodes: Vec<usize>, gain: [f64; 2]) -> SliceReport {
    let policy = |name: &str, success: f64| {
        let (is_better, is_told) = (name == "improved", episodes.len() >= rl::evaluate::FEWEST_STARTS);
        SlicePolicy {
            name: name.into(),
            starts: episodes.len(),
            return_: 0.5 + success,
            return_ci95: is_told.then_some([0.4 + success, 0.6 + success]),
            success,
            success_ci95: is_told.then_some([success - 0.2, success + 0.2]),
            gain: is_better.then_some(SliceGain { mean: 0.5 * (gain[0] + gain[1]), ci95: is_told.then_some(gain) }),
            standing: is_better.then(|| rl::slices::Standing::of(gain, episodes.len())),
        }
    };
    SliceReport {
        kind,
        name: name.into(),
        about: "block_x 0.310, block_y <0.2".into(),
        centre: [("block_x".to_owned(), 0.31)].into(),
        example_episode: episodes[0],
        policies: ["random", "behaviour", "cloned", "improved"].map(|name| policy(name, 0.4)).to_vec(),
        episodes,
    }
}

pub(super) fn error(modality: &str, h: usize, model: f64, copy_last: f64, shuffled_actions: f64) -> HorizonError {
    let likeness =
        (modality != "state").then_some(Likeness { pictures: 200, psnr_db: [27.31, 24.06], ssim: [0.942, 0.913] });
    let repainted = likeness.map(|_| 0.5 * model);
    HorizonError { modality: modality.into(), h, starts: 256, model, copy_last, shuffled_actions, repainted, likeness }
}

/// A report with everything in it.
pub fn demo() -> Report {
    Report {
        command: "demo".into(),
        rehearsal_version: "0.1.0".into(),
        seed: 0,
        device: "cpu".into(),
        verdict: Verdict {
            decision: Decision::Go,
            why: "improved beats cloned by 12.0 points of imagined success, lower bound 3.1".into(),
        },
        policies: vec![
            policy("random", 0.06, Some(0.09)),
            policy("behaviour", 0.31, Some(0.33)),
            policy("cloned", 0.40, Some(0.38)),
            policy("improved", 0.52, Some(0.50)),
        ],
        comparisons: vec![Comparison {
            policy: "improved".into(),
            baseline: "cloned".into(),
            imagined_return: Difference { mean: 1.2, ci95: [0.4, 2.0] },
            imagined_success: Difference { mean: 0.12, ci95: [0.031, 0.209] },
            true_success: Some(Difference { mean: 0.12, ci95: [0.01, 0.23] }),
        }],
        slices: vec![
            slice(SliceKind::Start, "start 1", (40..60).collect(), [0.1, 0.3]),
            slice(SliceKind::Start, "start 2", (60..69).collect(), [-0.1, 0.3]),
            slice(SliceKind::Outcome, "successes", vec![7], [0.1, 0.3]),
        ],
        improvement: Some(Improvement {
            kept: Kept::Improved,
            why: "The improved policy is returned: its gain is above zero.".into(),
            over: "cloned".into(),
            is_worse: false,
            gained: Gained {
                starts: 30,
                gains: Gains {
                    imagined: Difference { mean: 1.2, ci95: [0.4, 2.0] },
                    fitted_q: Some(Difference { mean: 0.3, ci95: [-0.1, 0.7] }),
                    doubly_robust: None,
                },
                success: Difference { mean: 0.12, ci95: [0.031, 0.209] },
                better: 0.8,
                worse: 0.2,
                largest_gains: vec![EpisodeGain { episode: 41, gain: 3.1 }, EpisodeGain { episode: 7, gain: 2.6 }],
                largest_losses: vec![EpisodeGain { episode: 112, gain: -0.8 }],
                unsupported_share: 0.04,
                believed_steps: Some(18.3),
            },
            chosen: Some(Chosen {
                copy: 1,
                copies: 3,
                update: 1250,
                coefficients: [("improve.leash".to_owned(), 1.0 / 3.0), ("improve.penalty".to_owned(), 1.0 / 3.0)]
                    .into(),
            }),
            planning: None,
        }),
        scorecard: Some(JudgeReport {
            estimators: [("fitted Q".to_owned(), Scorecard { policies: 3, ..Scorecard::default() })].into(),
            success: Scorecard {
                policies: 4,
                pearson: Some((0.991, [0.97, 1.0])),
                spearman: Some((1.0, [1.0, 1.0])),
                mmrv: Some((0.0, [0.0, 0.0])),
                regret: Some((0.0, [0.0, 0.0])),
                error: Some((0.023, [0.02, 0.03])),
                coverage: Some(1.0),
            },
            return_: Scorecard { policies: 4, ..Scorecard::default() },
            decisions: Decisions {
                pairs: 6,
                decided: 5,
                abstained: 1,
                contradicted: 1,
                refuted: 0,
                unmeasured: 0,
                clear: 4,
                clear_undecided: 1,
                gains: 6,
                gains_inside: 5,
            },
            decisions_widened: Some(Decisions {
                pairs: 6,
                decided: 4,
                clear: 4,
                clear_undecided: 2,
                ..Decisions::default()
            }),
            conformal: Calibrated::of(&[0.4, 0.9, 1.2, 0.2, 0.3, 0.1]),
            exploitability: Some(Exploitability {
                policy: "improved".into(),
                baseline: "cloned".into(),
                by: "return".into(),
                imagined_gain: 1.2,
                known_gain: 1.1,
                gap: 0.1,
                gap_ci95: [-0.6, 0.8],
            }),
        }),
        world_model: WorldModelReport {
            hints: vec![HintError {
                camera: "observation.image".into(),
                element: "block_angle".into(),
                is_angle: true,
                h: 8,
                starts: 120,
                model: [0.05, 0.2],
                unchanged: [0.4, 0.9],
            }],
            whole_episodes: Some(WholeEpisodes {
                episodes: 30,
                imagined_return: 3.1,
                recorded_return: 3.4,
                return_r: Some(0.823),
                ..WholeEpisodes::default()
            }),
            foresight: Some(Foresight {
                steps: 2310,
                successes: 10,
                reward_r2: Some(0.914),
                success_auroc: Some(0.958),
                reward_r2_one_step: Some(0.951),
                success_auroc_one_step: Some(0.988),
                doubt_error_rho: Some(0.571),
                disagreement_error_rho: None,
            }),
            trust: Some(Trust {
                tolerance: 0.25,
                confidence: 0.9,
                budget: 0.013,
                steps: [5, 8, 13],
                horizon: 20,
                coverage: 0.918,
                coverage_of_halves: Some(0.934),
                episodes: 30,
            }),
            optimism: Some({
                let along = |success: f64, of_failures: f64| {
                    let share = |s: f64| Share { success: s, success_ci95: [s - 0.02, s + 0.02] };
                    Along { all: share(success), failures: Some(share(of_failures)) }
                };
                Optimism {
                    episodes: 30,
                    failures: 20,
                    recorded_success: 0.33,
                    recorded_actions: along(0.25, 0.06),
                    noisy_actions: along(0.12, 0.04),
                    shuffled_actions: along(0.08, 0.03),
                    other_actions: along(0.05, 0.02),
                }
            }),
            calibration: Some(Calibration {
                episodes: 30,
                recorded_return: 3.4,
                imagined_return: 3.2,
                return_difference: Difference { mean: -0.2, ci95: [-0.5, 0.1] },
                recorded_success: 0.33,
                imagined_success: 0.21,
                success_difference: Difference { mean: -0.12, ci95: [-0.2, -0.04] },
            }),
            error_by_horizon: vec![
                error("state", 2, 0.0123, 0.0456, 0.05),
                error("state", 20, 0.31, 1.24, 0.9),
                error("observation.images.top", 2, 0.0021, 0.0019, 0.002),
                error("observation.images.top", 20, 0.00042, 0.03, 0.02),
            ],
        },
        more: None,
        counterfactuals: Some(CounterfactualCheck {
            moments: 100,
            arms: ["logged", "hold", "improved"].map(str::to_owned).to_vec(),
            horizon: 20,
            pairs: 240,
            agreement: 0.85,
            agreement_ci95: [0.8, 0.9],
            regret: 0.0041,
            regret_of_chance: 0.0312,
        }),
        dataset: DatasetReport {
            source: "runs/demo/episodes".into(),
            episodes: 298,
            held_out_episodes: 30,
            frames: 23456,
            control_rate_hz: 10.0,
            learned_with: Vec::new(),
            skipped: vec![skipped("episode 7", "NaN in action at step 12"), skipped("episode 9", "no data file")],
        },
        reward_rule: "Reward is the column next.reward.".into(),
        stages: vec![
            StageReport { name: "collect".into(), wall_s: 21.4, peak_rss_mb: Some(310.0) },
            StageReport { name: "world model".into(), wall_s: 401.0, peak_rss_mb: Some(1234.5) },
        ],
        warnings: Vec::new(),
        notes: vec!["The demonstrator succeeds in a third of its episodes.".into()],
        config: json!({ "seed": 0 }),
    }
}
