//! The report as a reader sees it, and the fields that programs rely on. One made-up report, and every view of it, make it long.

use rl::conformal::Calibrated;
use rl::optimism::{Along, Share};
use rl::scorecard::{Decisions, Exploitability, Scorecard};
use serde_json::json;
use world_model::quality::Likeness;

use super::*;

fn skipped(what: &str, why: &str) -> Skipped {
    Skipped { what: what.into(), why: why.into() }
}

fn policy(name: &str, imagined: f64, truth: Option<f64>) -> PolicyReport {
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
        ..PolicyReport::new(name.into(), score, trust)
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

fn error(modality: &str, h: usize, model: f64, copy_last: f64, shuffled_actions: f64) -> HorizonError {
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

#[test]
fn the_markdown_is_what_it_was() {
    let text = demo().to_markdown();
    // After a change that is meant: UPDATE_SNAPSHOTS=1 cargo test -p rehearsal, then read the difference.
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/snapshot.md");
        std::fs::write(file, &text).expect("the snapshot can be written");
    } else {
        assert_eq!(text, include_str!("snapshot.md"));
    }
}

#[test]
fn a_report_without_simulator_or_policies_stays_honest() {
    let mut report = demo();
    report.policies = vec![policy("cloned", 0.4, None)];
    report.comparisons.clear();
    report.dataset.skipped.clear();
    let text = report.to_markdown();
    assert!(text.contains("nothing here was checked against the truth"), "{text}");
    assert!(text.contains("| cloned | 40 % [34, 46] | 4.00 [3.00, 5.00] |\n"), "{text}");
    assert!(text.contains("Nothing was left out."), "{text}");
    report.policies.clear();
    assert!(!report.to_markdown().contains("## Policies"));
}

#[test]
fn a_wrong_order_and_a_useless_model_are_said() {
    let mut report = demo();
    report.policies[3].truth = policy("", 0.0, Some(0.2)).truth;
    report.world_model.error_by_horizon = vec![error("state", 5, 2.0, 1.0, 1.5)];
    let text = report.to_markdown();
    let expected = "By return, imagination orders them improved > cloned > behaviour > random; the truth is cloned > behaviour > \
                    improved > random.";
    assert!(text.contains(expected), "{text}");
    let expected = "- **state**: does not beat both floors at any horizon (h = 5): do not trust it; 100 % more error \
                    than copying at h = 5; at h = 5 it hardly listens to the actions";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn the_scope_says_where_the_improved_policy_is_better_and_where_nobody_knows() {
    let mut report = demo();
    let text = report.to_markdown();
    let expected = "- The improved policy, by return: better than the clone: start 1; not known to be better: start 2; too few starts to \
                    tell: successes.\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("| start 1 | 20 | 40 | 40 % [20, 60]; 0.90 [0.80, 1.00] |"), "{text}");
    assert!(text.contains("| successes | 1 | 7 | 40 %; 0.90 (1 start) | 40 %; 0.90 (1 start) |"), "{text}");
    let mut few = report.clone();
    few.slices[2].policies.retain(|p| p.name != "behaviour");
    few.slices[2].policies.iter_mut().for_each(|p| p.starts = 5);
    let few = few.to_markdown();
    assert!(few.contains("| successes | 1 | 7 | - | 40 %; 0.90 (5 starts) |"), "{few}");
    assert!(html::page(&report, &Pictures::default()).contains("<li>start 1: block_x 0.310, block_y &lt;0.2</li>"));
    // Where the clone was returned, it is the copy that was not.
    if let Some(i) = &mut report.improvement {
        i.kept = Kept::Cloned;
    }
    let text = report.to_markdown();
    assert!(
        text.contains("- The improved policy is the clone itself, which was returned: it is better nowhere.\n"),
        "{text}"
    );
    report.policies.push(policy("candidate", 0.5, None));
    report.slices.iter_mut().for_each(|slice| slice.policies[3].name = "candidate".into());
    assert!(
        report
            .to_markdown()
            .contains("- The best copy, which was not returned, by return: better than the clone: start 1; ")
    );
}

#[test]
fn programs_find_the_promised_fields() -> Result<()> {
    let report = demo();
    let value = serde_json::to_value(&report)?;
    for pointer in [
        "/stages/0/name",
        "/stages/0/wall_s",
        "/stages/0/peak_rss_mb",
        "/dataset/episodes",
        "/dataset/frames",
        "/dataset/skipped/0/what",
        "/dataset/skipped/0/why",
        "/world_model/error_by_horizon/0/modality",
        "/world_model/error_by_horizon/0/h",
        "/world_model/error_by_horizon/0/model",
        "/world_model/error_by_horizon/0/copy_last",
        "/world_model/error_by_horizon/0/shuffled_actions",
        "/world_model/error_by_horizon/0/starts",
        "/world_model/foresight/reward_r2_one_step",
        "/world_model/trust/coverage_of_halves",
        "/policies/0/name",
        "/policies/0/imagined/return",
        "/policies/0/imagined/return_ci95/1",
        "/policies/0/imagined/success",
        "/policies/0/imagined/success_ci95/1",
        "/policies/0/truth/return",
        "/policies/0/return",
        "/policies/0/return_ci95/1",
        "/policies/0/success",
        "/policies/0/success_ci95/0",
        "/policies/0/trust/unsupported_share",
        "/policies/2/trust/believed_share",
        "/policies/2/imagined/undiscounted_ci95/0",
        "/policies/2/imagined/time_to_success/time_s",
        "/slices/0/kind",
        "/slices/0/centre/block_x",
        "/slices/0/example_episode",
        "/slices/0/policies/3/gain/ci95/0",
        "/slices/0/policies/3/standing",
        "/world_model/optimism/recorded_actions/failures/success",
        "/policies/2/estimators/imagined/return",
        "/policies/2/estimators/fitted_q/return_ci95/0",
        "/policies/2/estimators/doubly_robust/return",
        "/improvement/why",
        "/improvement/gains/imagined/ci95/0",
        "/improvement/gains/fitted_q/mean",
        "/policies/0/truth/episodes",
        "/verdict/why",
    ] {
        assert!(value.pointer(pointer).is_some(), "{pointer} is missing");
    }
    assert_eq!(value.pointer("/verdict/decision"), Some(&json!("GO")));
    assert_eq!(value.pointer("/improvement/kept"), Some(&json!("improved")));
    assert_eq!(serde_json::to_value(Decision::NoGo)?, json!("NO-GO"));

    let temp = tempfile::tempdir()?;
    report.save(temp.path(), &Pictures::default())?;
    assert_eq!(Report::load(temp.path())?.to_markdown(), report.to_markdown());
    // Reports of before called fitted Q `fqe`.
    let file = temp.path().join("report.json");
    std::fs::write(&file, std::fs::read_to_string(&file)?.replace("\"fitted_q\"", "\"fqe\""))?;
    assert_eq!(Report::load(temp.path())?.to_markdown(), report.to_markdown());
    Ok(())
}

#[test]
fn known_outcomes_stand_beside_the_imagined_ones() -> Result<()> {
    let mut report = demo();
    report.policies.iter_mut().for_each(|p| p.truth = None);
    report.policies[2].known = Some(KnownScore {
        success: Some(0.4),
        success_ci95: Some([0.22, 0.61]),
        episodes: Some(20),
        ..Default::default()
    });
    report.policies[3].known = Some(KnownScore { return_: Some(5.123), success: Some(0.6), ..Default::default() });
    report.policies[1].known = Some(KnownScore { return_: Some(3.0), return_se: Some(0.25), ..Default::default() });
    let text = report.to_markdown();
    for line in [
        "| policy | imagined success | imagined return | known success | known return | episodes |",
        "| random | 6 % [0, 12] | 0.60 [-0.40, 1.60] |  |  |  |",
        "| behaviour | 31 % [25, 37] | 3.10 [2.10, 4.10] |  | 3.00 [2.51, 3.49] |  |",
        "| cloned | 40 % [34, 46] | 4.00 [3.00, 5.00] | 40 % [22, 61] |  | 20 |",
        "| improved | 52 % [46, 58] | 5.20 [4.20, 6.20] | 60 % | 5.12 |  |",
    ] {
        assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
    }
    assert!(text.contains("Known outcomes are those told with --known") && !text.contains("There is no simulator"));
    let page = html::page(&report, &Pictures::default());
    // Four imagined policies in two drawings, two known rates and two known returns; the rest as in the demo.
    assert_eq!(page.matches("<circle").count(), 8 + 4 + 2 + 7 + 2);
    assert!(page.contains("<span class=\"key truth\"></span>known"));
    let value = serde_json::to_value(&report)?;
    if let Some(judge) = &mut report.scorecard {
        judge.conformal = None;
        judge.return_ = Scorecard::default();
        let beyond = |unmeasured: usize| {
            let decisions = Decisions { unmeasured, ..judge.decisions };
            JudgeReport { decisions, ..judge.clone() }.words()
        };
        assert!(beyond(0).contains("is truly no better: 1, beyond doubt 0. Of"), "{}", beyond(0));
        assert!(
            beyond(2).contains("is truly no better: 1, beyond doubt 0 (told of 4 of the pairs). Of"),
            "{}",
            beyond(2)
        );
        assert!(beyond(6).contains("is truly no better: 1, beyond doubt: cannot be told. Of"), "{}", beyond(6));
        let one = JudgeReport { conformal: Calibrated::of(&[1000.0]), ..judge.clone() }.words();
        let expected = "- Conformal: the known return of 1 policy is too little to say how wide intervals should be; at least 4 are \
                        needed.\n";
        assert!(one.contains(expected), "{one}");
        let four = JudgeReport { conformal: Calibrated::of(&[1.0, 2.0, 0.1, 0.2]), ..judge.clone() }.words();
        assert!(four.contains("takes 19); the gate is not calibrated by so few beside a pair.\n"), "{four}");
        let words = judge.words();
        assert!(words.contains("- No return is known, so the gate, which goes by return, could not be calibrated.\n"));
        assert!(!words.contains("By return, 0 policies"), "{words}");
    }
    assert_eq!(value.pointer("/policies/3/known/return"), Some(&json!(5.123)));
    for pointer in [
        "/scorecard/decisions/decided",
        "/scorecard/decisions/abstained",
        "/scorecard/decisions/contradicted",
        "/scorecard/decisions/clear_undecided",
        "/scorecard/decisions/gains_inside",
        "/scorecard/decisions_widened/decided",
        "/scorecard/conformal/factor",
        "/scorecard/conformal/level",
        "/scorecard/exploitability/gap",
        "/scorecard/return/regret",
    ] {
        assert!(value.pointer(pointer).is_some(), "{pointer} is missing");
    }
    Ok(())
}

#[test]
fn warnings_come_before_everything_but_the_verdict() {
    let mut report = demo();
    report.warnings = vec!["dynamics: actions are ignored: <look>".into()];
    let text = report.to_markdown();
    let at = |words: &str| text.find(words).expect("it is said");
    assert!(
        at("**GO**") < at("## Warnings\n\n- dynamics: actions are ignored") && at("## Warnings") < at("## Policies")
    );
    assert!(html::page(&report, &Pictures::default()).contains("<li>dynamics: actions are ignored: &lt;look&gt;</li>"));
}

#[test]
fn the_page_stands_alone_and_shows_every_policy() {
    let curves = [("dynamics/loss".to_owned(), vec![(20.0, 1.0), (40.0, 0.5)])].into();
    let page = html::page(&demo(), &Pictures { sheet: Some(vec![1, 2, 3]), curves });
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"));
    assert!(page.contains("<section class=\"verdict go\"><strong>GO</strong>"));
    assert!(page.contains("data:image/png;base64,AQID"));
    // Four policies, twice each, in two drawings; two modalities with three lines, two of PSNR; one training curve.
    // Three gains' two whiskers, seven estimates of three policies, and the gain on two groups of more than one start.
    assert_eq!(page.matches("<circle").count(), 16 + 2 + 7 + 2);
    assert_eq!(page.matches("<polyline").count(), 9);
    assert!(!page.contains("http://") && !page.contains("https://"), "a page that fetches something");
}
