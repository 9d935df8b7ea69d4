//! The report as a reader sees it, and the fields that programs rely on.

mod made_up;
mod page;

use rl::conformal::Calibrated;
use rl::scorecard::{Decisions, Scorecard};
use rl::selection::Kept;
use rl::track_record::UNBOUNDED;
use serde_json::json;

use super::html::Pictures;
use super::*;
pub use made_up::demo;
use made_up::{error, policy};

/// As if no simulator were there, and somebody knew a few outcomes.
fn known(report: &mut Report) {
    report.policies.iter_mut().for_each(|p| p.truth = None);
    report.policies[2].known = Some(KnownScore {
        success: Some(0.4),
        success_ci95: Some([0.22, 0.61]),
        episodes: Some(20),
        ..Default::default()
    });
    report.policies[3].known = Some(KnownScore { return_: Some(5.123), success: Some(0.6), ..Default::default() });
    report.policies[1].known = Some(KnownScore { return_: Some(3.0), return_se: Some(0.25), ..Default::default() });
}

#[test]
fn the_markdown_is_what_it_was() {
    let text = demo().to_markdown();
    // After a change that is meant: UPDATE_SNAPSHOTS=1 cargo test -p rehearsal, then read the difference.
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/snapshot.md");
        std::fs::write(file, &text).expect("the snapshot can be written");
    } else {
        assert_eq!(text, include_str!("../snapshot.md"));
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
fn from_a_single_start_there_is_no_interval() -> Result<()> {
    let boundless = [-UNBOUNDED, UNBOUNDED];
    let mut report = demo();
    report.policies[2].imagined.return_ci95 = boundless;
    report.comparisons[0].imagined_success.ci95 = boundless;
    if let Some(i) = &mut report.improvement {
        i.gained.starts = 1;
        i.gained.gains.imagined.ci95 = boundless;
    }
    let (text, page) = (report.to_markdown(), html::page(&report, &Pictures::default())?);
    assert!(
        text.contains(" points [unknown] imagined") && text.contains("over the clone, 1 held-out start:\n"),
        "{text}"
    );
    assert!(text.contains(&format!("{:.2} [unknown]", report.policies[2].imagined.return_)), "{text}");
    assert!(!text.contains("00000000") && !page.contains("00000000"), "{page}");
    let temp = tempfile::tempdir()?;
    report.save(temp.path(), &Pictures::default())?;
    let json = std::fs::read_to_string(temp.path().join("report.json"))?;
    assert!(json.contains("null") && !json.contains("1000000000.0"), "{json}");
    assert_eq!(Report::load(temp.path())?.to_markdown(), text);
    Ok(())
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
    // Where the clone was returned, it is the copy that was not.
    if let Some(i) = &mut report.improvement {
        i.kept = Kept::Cloned;
    }
    let text = report.to_markdown();
    assert!(
        text.contains("- The improved policy is the clone itself, which was returned: it is nothing new.\n"),
        "{text}"
    );
    // In a run that goes on it is not the clone that went in.
    if let Some(i) = &mut report.improvement {
        i.over = "previous".into();
    }
    let text = report.to_markdown();
    for words in [
        "## What leaves `improve`: the previous policy, unchanged\n",
        "Paired gain in return of the best copy over the previous policy, 30 held-out starts:\n",
        "the policy is the one that went in.",
        "- The improved policy is the previous policy itself, which was returned: it is nothing new.\n",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    report.policies.push(policy("candidate", 0.5, None));
    report.slices.iter_mut().for_each(|slice| slice.policies[3].name = "candidate".into());
    assert!(
        report
            .to_markdown()
            .contains("- The best copy, which was not returned, by return: better than the clone: start 1; ")
    );
}

#[test]
fn a_policy_that_plans_is_told_as_such_and_where_to_try_it_first() -> Result<()> {
    let mut report = demo();
    let Some(i) = &mut report.improvement else { return Ok(()) };
    i.kept = Kept::Cloned;
    i.planning = Some(Planning {
        is_chosen: true,
        why: "The policy plans at run time: it is better.".into(),
        over: "cloned".into(),
        answer_ms: 61.7,
        available_ms: Some(400.0),
        gained: i.gained.clone(),
    });
    let text = report.to_markdown();
    for expected in [
        "## What leaves `improve`: the cloned policy, planning at run time\n",
        "### Planning at run time\n\nThe policy plans at run time: it is better.\n",
        "Paired gain in return of planning over the cloned policy by itself, 30 held-out starts:\n\n| estimator | gain | says |\n|---|---|---|\n| imagined | +1.200 [+0.400, +2.000] | better |\n| doubly robust | none |",
        "- Pace: a plan takes 62 ms on the machine of this run; its executed actions take 400 ms.\n",
        "one trial each beside the cloned policy (`serve --policy cloned`), before any longer series.\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(text.matches("Test first on the robot").count(), 1);
    let page = page::plain(&report)?;
    assert!(page.contains("<h3>Planning at run time</h3>") && page.contains("Gain of planning over the cloned policy"));
    // Reports that were written before anybody planned.
    let mut value = serde_json::to_value(&report)?;
    value["improvement"].as_object_mut().map(|improvement| improvement.remove("planning"));
    let before: Report = serde_json::from_value(value)?;
    assert_eq!(before.improvement.map(|i| (i.leaves(), i.planning)), Some(("improved", None)));
    Ok(())
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
        "/dataset/control_rate_hz",
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
        "/policies/0/starts",
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
    known(&mut report);
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
}

#[test]
fn shares_differ_by_all_at_most() {
    let of = |ci95: [f64; 2]| Difference { mean: 0.5, ci95 }.of_shares().ci95;
    assert_eq!([of([-0.05, 1.12]), of([-1e9, 1e9])], [[-0.05, 1.0], [-1e9, 1e9]]);
}
