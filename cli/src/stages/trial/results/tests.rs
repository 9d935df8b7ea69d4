//! Results of trials as a user writes them down, and what is said of them.

use super::super::plan::tests::small;
use super::*;

fn read_text(plan: &Plan, text: &str) -> Result<Results, UsageError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).expect("it can be written");
    let shown = path.display().to_string();
    read(plan, &path).map_err(|e| UsageError(e.to_string().replace(&shown, "t.csv")))
}

/// A plan of `pairs` pairs, and its table with every pair's outcomes: (of `from`, of `to`).
fn filled(pairs: usize, outcome: impl Fn(usize) -> (u8, u8)) -> (Plan, String) {
    let mut plan = small();
    plan.pairs = plan.pairs.iter().cycle().take(pairs).cloned().collect();
    let mut text = "trial,start,policy,success\n".to_owned();
    for trial in 1..=2 * pairs {
        let (pair, policy) = plan.policy_of(trial).expect("a trial of the plan");
        let (from, to) = outcome((trial - 1) / 2);
        let _ = writeln!(text, "{trial},{},{policy},{}", pair.start, if policy == plan.to { to } else { from });
    }
    (plan, text)
}

#[test]
fn half_a_pair_counts_for_its_policy_alone() -> Result<(), UsageError> {
    let text = "trial,start,policy,success,return\n1,7,cloned,0,0.4\n2,7,improved,1,0.8\n3,9,improved,1,\n4,9,cloned,,\n6,9,improved,0,\n5,9,cloned,1,0.6\n";
    let read = read_text(&small(), text)?;
    let next = Next { trial: 4, start: 9, policy: "cloned".into() };
    assert_eq!((read.pairs, read.next.as_ref(), read.left_out.clone()), (2, Some(&next), vec![2]));
    let [cloned, improved] = &read.policies;
    assert_eq!((cloned.trials, cloned.successes, improved.trials, improved.successes), (2, 1, 3, 2));
    assert!(cloned.return_.is_some_and(|r| (r - 0.5).abs() < 1e-12) && improved.return_ == Some(0.8));
    // +1 at episode 7 and -1 at 9, whichever went first.
    assert!(read.difference_without_model.mean.abs() < 1e-9 && read.verdict.decision == Says::Continue);
    let text = read.words();
    for line in [
        "Next: trial 4, cloned from the start of episode 9.",
        "Left out before the last pair: 2. That is sound only if it had nothing to do with how they went.",
        "Mean return of cloned, as filled in: 0.500.",
    ] {
        assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
    }
    let nothing = read_text(&small(), "trial,start,policy,success\n")?;
    assert_eq!((nothing.pairs, nothing.next.map(|n| n.trial), nothing.difference.ci95), (0, Some(1), [-1.0, 1.0]));
    Ok(())
}

#[test]
fn a_clear_series_ends_in_a_verdict_on_either_side() -> Result<(), UsageError> {
    let (plan, text) = filled(14, |pair| (0, u8::from(pair % 7 != 6)));
    let better = read_text(&plan, &text)?;
    assert_eq!((better.verdict.decision, better.more, better.next.as_ref()), (Says::Go, None, None));
    assert!(better.verdict.after.is_some_and(|n| (7..=12).contains(&n)), "{:?}", better.verdict);
    assert!(better.difference.ci95[0] > 0.0 && better.difference.mean > 0.5);
    assert!(better.words().contains("**GO**: improved succeeds more often than cloned: after "), "{}", better.words());
    let (plan, text) = filled(14, |pair| (u8::from(pair % 7 != 6), 0));
    let worse = read_text(&plan, &text)?;
    assert_eq!(worse.verdict.decision, Says::NoGo);
    assert!(worse.why.starts_with("improved succeeds less often than cloned; keep cloned: after "), "{}", worse.why);
    let (plan, text) = filled(4, |_| (1, 1));
    let open = read_text(&plan, &text)?;
    assert!(open.words().contains("All planned pairs have been made: the two cannot be told apart by so many."));
    Ok(())
}

#[test]
fn programs_find_the_promised_fields() -> Result<(), Box<dyn std::error::Error>> {
    let (plan, text) = filled(4, |pair| (0, u8::from(pair > 1)));
    let value = serde_json::to_value(read_text(&plan, &text)?)?;
    for pointer in [
        "/verdict/decision",
        "/verdict/after",
        "/verdict/capital_better",
        "/why",
        "/pairs",
        "/difference/mean",
        "/difference/ci95/1",
        "/difference_without_model/ci95/0",
        "/policies/0/name",
        "/policies/1/trials",
        "/policies/1/success_ci95/0",
        "/policies/1/imagined_success",
        "/more/half",
        "/next",
        "/left_out",
    ] {
        assert!(value.pointer(pointer).is_some(), "{pointer} is missing in {value}");
    }
    assert_eq!(value["verdict"]["decision"], "CONTINUE");
    Ok(())
}

#[test]
fn what_does_not_fit_the_plan_names_its_line() {
    let words = |rows: &str| {
        read_text(&small(), &format!("trial,start,policy,success\n{rows}")).expect_err("it is wrong").to_string()
    };
    let planned = ", as planned: order and starts were drawn so that the trials can be judged";
    assert_eq!(
        words("1,7,cloned,1\n2,7,best,1\n"),
        format!(
            "t.csv: line 3 has trial 2 of 'best' from the start of episode '7'; expected improved from that of episode 7{planned}"
        )
    );
    assert_eq!(
        words("1,9,cloned,1\n"),
        format!(
            "t.csv: line 2 has trial 1 of 'cloned' from the start of episode '9'; expected cloned from that of episode 7{planned}"
        )
    );
    assert_eq!(
        words("1,7,cloned,1\n1,7,cloned,0\n"),
        "t.csv: line 3 is of trial 1 again, after line 2; expected one line per trial"
    );
    assert_eq!(words("9,7,cloned,1\n"), "t.csv: line 2 is of trial '9'; expected a number of the plan's, from 1 to 8");
    assert_eq!(
        words("1,7,cloned,0.5\n"),
        "t.csv: line 2 says success '0.5'; expected 0, 1, or nothing while it has not been made"
    );
    let error = read_text(&small(), "trial,start,success\n1,7,1\n").expect_err("no policy").to_string();
    assert_eq!(error, "t.csv: line 1 is 'trial,start,success'; expected a header with trial,start,policy,success");
}
