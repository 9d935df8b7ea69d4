//! `evaluate --known FILE.csv`: what somebody already knows of policies, from trials on the robot or from a simulator of their own.

use std::path::Path;

use rl::scorecard::wilson;
use world_model::corpus::ReturnRule;

use super::outsider::Outsider;
use super::variant::Variant;
use crate::errors::UsageError;
use crate::report::KnownScore;
use crate::table::{Row, Table};

const EXPECTED: &str = "columns policy and return or success or both, and perhaps return_se and episodes";

/// Policies by their names in the report, in the order of the file.
///
/// # Errors
/// A file that cannot be read; a policy that nobody can judge or that stands there twice; an outcome that is none. Each names its line.
pub fn read(path: &Path, outsiders: &[Outsider]) -> Result<Vec<(String, KnownScore)>, UsageError> {
    let table = Table::read(path, &["policy"])?;
    if !table.has("return") && !table.has("success") {
        return Err(UsageError(format!(
            "{}: line 1 has neither return nor success; expected {EXPECTED}",
            path.display()
        )));
    }
    let mut known: Vec<(String, KnownScore)> = Vec::new();
    for row in table.rows() {
        let name = name(&row, outsiders)?;
        if known.iter().any(|(earlier, _)| *earlier == name) {
            return Err(row.wrong(&format!("tells of {name} again"), "one line per policy"));
        }
        known.push((name, score(&row)?));
    }
    if known.is_empty() {
        return Err(UsageError(format!("{}: there is no policy in it; expected a line per policy", path.display())));
    }
    Ok(known)
}

/// Refuses returns that no policy can have: whatever is done, a return lies between the smallest and the largest reward of a step. Sums of
/// rewards, which are what most people have, rarely do.
///
/// # Errors
/// A return outside, by the policy that has it.
pub fn check_returns(path: &Path, known: &[(String, KnownScore)], rule: &ReturnRule) -> Result<(), UsageError> {
    let (low, high) = (f64::from(rule.low), f64::from(rule.high));
    // The bounds are single numbers of what the file has in decimals.
    let is_outside = |x: f64| x < low - 1e-6 || x > high + 1e-6;
    match known.iter().find_map(|(name, score)| Some((name, score.return_.filter(|x| is_outside(*x))?))) {
        None => Ok(()),
        Some((name, found)) => Err(UsageError(format!(
            "{}: policy {name} has return {found}; expected {} to {}: (1-γ) Σ γ^t r_t with γ = {}, the last reward (or a success's, {}) held \
             for ever; leave it out if all you have is a sum of rewards",
            path.display(),
            rule.low,
            rule.high,
            rule.gamma,
            rule.success_reward
        ))),
    }
}

/// The policy's name as `evaluate` writes it.
fn name(row: &Row<'_>, outsiders: &[Outsider]) -> Result<String, UsageError> {
    let name = row.get("policy");
    if outsiders.iter().any(|outsider| outsider.name == name) {
        return Ok(name.to_owned());
    }
    let variant = name.parse::<Variant>().map_err(|_| {
        let expected = "a policy that can be judged: one of the run's, perhaps changed as in improved+noise:0.5, or one given by --policy NAME=WHAT";
        row.wrong(&format!("names the policy '{name}'"), expected)
    })?;
    Ok(variant.to_string())
}

fn score(row: &Row<'_>) -> Result<KnownScore, UsageError> {
    let return_ = row.number("return", "a number, in the units of the report", |_| true)?;
    let return_se = row.number("return_se", "the standard error of the return, above 0", |x| x > 0.0)?;
    let success = row.number("success", "a share of successes from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
    let count = |x: f64| x >= 1.0 && x.fract() == 0.0 && x < 1e9;
    let episodes = row.number("episodes", "a whole number from 1 on", count)?.map(|x| x as usize);
    if return_.is_none() && success.is_none() {
        return Err(row.wrong("tells neither return nor success", "one of them at least"));
    }
    if return_.is_none() && return_se.is_some() {
        return Err(row.wrong("has a return_se and no return", "the return that it is of"));
    }
    let success_ci95 = success.zip(episodes).map(|(p, n)| wilson(p, n));
    Ok(KnownScore { return_, return_se, success, success_ci95, episodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, KnownScore)>, UsageError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("known.csv");
        std::fs::write(&path, text).expect("it can be written");
        let outsiders = ["vla=ws://robot:8000".parse().expect("an outsider")];
        let shown = path.display().to_string();
        read(&path, &outsiders).map_err(|e| UsageError(e.to_string().replace(&shown, "known.csv")))
    }

    #[test]
    fn what_is_left_out_is_not_known() -> Result<(), UsageError> {
        let known =
            read_text("policy,return,success,episodes\nimproved+noise:0.50,0.7,,\nvla,,0.5,10\ncloned,0.6,0.2,\n")?;
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["improved+noise:0.5", "vla", "cloned"]);
        assert_eq!(known[0].1, KnownScore { return_: Some(0.7), ..KnownScore::default() });
        assert_eq!((known[1].1.success, known[1].1.episodes), (Some(0.5), Some(10)));
        assert_eq!((known[2].1.return_, known[2].1.success_ci95), (Some(0.6), None), "of how many, nobody said");
        assert_eq!(read_text("success,policy\n1,mean\n")?[0].1.success, Some(1.0));
        Ok(())
    }

    #[test]
    fn sums_of_rewards_are_no_returns() -> Result<(), UsageError> {
        let rule = ReturnRule { gamma: 0.98, success_reward: 1.0, failure_reward: 0.0, low: -0.1, high: 1.0 };
        let check = |text: &str| check_returns(Path::new("known.csv"), &read_text(text)?, &rule);
        check("policy,return,return_se\ncloned,-0.1,0.02\nimproved,1,\n")?;
        check("policy,success\ncloned,0.5\n")?;
        let sum = check("policy,return\ncloned,0.4\nimproved,31\n").map_err(|e| e.to_string());
        let expected = "known.csv: policy improved has return 31; expected -0.1 to 1: (1-γ) Σ γ^t r_t with γ = 0.98, the last reward (or \
                        a success's, 1) held for ever; leave it out if all you have is a sum of rewards";
        assert_eq!(sum, Err(expected.to_owned()));
        assert!(check("policy,return\ncloned,-0.2\n").is_err());
        Ok(())
    }

    #[test]
    fn mistakes_are_one_sentence_with_their_line() {
        let words = |text: &str| read_text(text).expect_err("it is wrong").to_string();
        assert_eq!(
            words("policy,return,success\ncloned,0.6,0.2\ncloned,0.6,0.2\n"),
            "known.csv: line 3 tells of cloned again; expected one line per policy"
        );
        assert_eq!(
            words("policy,success\ncloned,40\n"),
            "known.csv: line 2 says success '40'; expected a share of successes from 0 to 1"
        );
        assert_eq!(
            words("policy,success,episodes\ncloned,0.4,2.5\n"),
            "known.csv: line 2 says episodes '2.5'; expected a whole number from 1 on"
        );
        assert_eq!(
            words("policy,return\ncloned,\n"),
            "known.csv: line 2 tells neither return nor success; expected one of them at least"
        );
        assert_eq!(
            words("policy,value\ncloned,1\n"),
            "known.csv: line 1 has neither return nor success; expected columns policy and return or success or both, and perhaps return_se and episodes"
        );
        assert_eq!(
            words("policy,return,return_se\ncloned,0.5,0\n"),
            "known.csv: line 2 says return_se '0'; expected the standard error of the return, above 0"
        );
        assert_eq!(
            words("policy,success,return_se\ncloned,0.5,0.1\n"),
            "known.csv: line 2 has a return_se and no return; expected the return that it is of"
        );
        assert!(
            words("policy,success\nbest,1\n")
                .starts_with("known.csv: line 2 names the policy 'best'; expected a policy")
        );
        assert_eq!(words("policy,success\n"), "known.csv: there is no policy in it; expected a line per policy");
    }
}
