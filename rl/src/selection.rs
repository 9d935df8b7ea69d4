//! Which policy leaves `improve`: the improved copy where the evidence is for it, otherwise the clone that went in.
//!
//! The optimiser chose its copy by starts of training episodes; the evidence comes from held-out ones. The copy is returned if and
//! only if
//! 1. nothing speaks against believing the world model at all (`fault`, from its tests on held-out episodes),
//! 2. the gate says GO: at least [`FEWEST_STARTS`] starts, known ground, and the lower bound of
//!    the paired imagined gain above zero, widened by how wrong the model has been,
//! 3. no other estimator contradicts: the interval of its paired gain does not lie below zero, widened by how wrong that estimator
//!    has been about the recorded behaviour, whose outcomes are known.
//!
//! Being wrong is not symmetric: a clone that is kept costs an improvement, a worse policy on a robot costs trust.

use serde::{Deserialize, Serialize};
use world_model::agreement::pearson;

use crate::TrackRecord;
use crate::evaluate::{FEWEST_STARTS, Verdict};

/// What `improve` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// The improved copy.
    Improved,
    /// The clone, unchanged.
    Cloned,
}

/// A paired gain over the clone with its 95 % interval, by the estimator's name; `None` where it has nothing to say.
pub type Opinion<'a> = (&'a str, Option<(f64, [f64; 2])>);

/// Correlation of imagined with recorded returns of whole held-out episodes below which no policy is judged.
pub const LEAST_CORRELATION: f64 = 0.5;

/// What speaks against a model with this record of returns, in one sentence: it does not tell good held-out episodes from bad
/// ones along their own actions. That is so where it has not learned what is good, and where what was recorded as good has nothing
/// to do with what was done. A record of fewer than [`FEWEST_STARTS`] episodes says nothing.
pub fn blind(record: &TrackRecord) -> Option<String> {
    if record.imagined.len() < FEWEST_STARTS {
        return None;
    }
    let r = pearson(&record.imagined, &record.recorded);
    let words = r.map_or("cannot be told".to_owned(), |r| format!("{r:.2}"));
    r.is_none_or(|r| r < LEAST_CORRELATION).then(|| {
        format!(
            "imagination cannot be followed for whole episodes: along their own actions it does not tell good held-out episodes from bad ones (correlation of the returns {words})."
        )
    })
}

/// The choice between the copy and the policy called `old` that went in, and why in one sentence. `others` are the estimators beside imagination.
pub fn choose(fault: Option<&str>, gate: &Verdict, others: &[Opinion<'_>], old: &str) -> (Kept, String) {
    match evidence(fault, gate, others, ("improved", old)) {
        Ok(words) => (Kept::Improved, format!("The improved policy is returned: {words}")),
        Err(words) => (Kept::Cloned, format!("The {old} policy is kept: {words}")),
    }
}

/// What speaks for the policy called `new` in place of `old`, in words that end a sentence; or why there is not enough of it.
///
/// # Errors
/// A fault, a gate that does not say GO, an estimator that contradicts: these words.
pub fn evidence(
    fault: Option<&str>,
    gate: &Verdict,
    others: &[Opinion<'_>],
    (new, old): (&str, &str),
) -> Result<String, String> {
    if let Some(fault) = fault {
        return Err(fault.to_owned());
    }
    if gate.decision != "GO" {
        return Err(lowered(&gate.why));
    }
    let against = others.iter().find_map(|(name, gain)| gain.filter(|(_, [_, high])| *high < 0.0).map(|g| (name, g)));
    if let Some((name, (gain, [low, high]))) = against {
        return Err(format!(
            "imagination prefers the {new} one, but {name} contradicts (return {gain:+.3} [{low:+.3}, {high:+.3}])."
        ));
    }
    let [low, high] = gate.gain_ci95;
    let mut why =
        format!("its paired imagined gain in return over the {old} one is {:+.3} [{low:+.3}, {high:+.3}]", gate.gain);
    let (agree, undecided): (Vec<_>, Vec<_>) =
        others.iter().filter_map(|(name, gain)| gain.map(|g| (*name, g))).partition(|(_, (_, [low, _]))| *low > 0.0);
    let names = |of: &[(&str, (f64, [f64; 2]))]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
    if !agree.is_empty() {
        let say = if agree.len() > 1 { "say" } else { "says" };
        why += &format!(", and {} {say} so too", names(&agree));
    }
    if !undecided.is_empty() {
        why += &format!("; {} cannot tell the two apart", names(&undecided));
    }
    Ok(why + ".")
}

/// With its first letter small, to go on a sentence.
fn lowered(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(decision: &str, gain: f64) -> Verdict {
        Verdict { decision: decision.into(), why: "It is so.".into(), gain, gain_ci95: [gain - 0.05, gain + 0.05] }
    }

    #[test]
    fn only_evidence_replaces_a_clone() {
        let says = |gain: f64| Some((gain, [gain - 0.1, gain + 0.1]));
        let kept = |fault, gate: Verdict, fqe, dr| {
            choose(fault, &gate, &[("fitted Q", fqe), ("the doubly robust estimate", dr)], "cloned")
        };
        assert_eq!(kept(None, gate("GO", 0.2), says(0.2), says(0.3)).0, Kept::Improved);
        assert_eq!(kept(None, gate("GO", 0.2), None, None).0, Kept::Improved);
        assert_eq!(kept(None, gate("GO", 0.2), says(-0.05), None).0, Kept::Improved, "that is no contradiction");
        assert_eq!(kept(None, gate("GO", 0.2), says(-0.2), None).0, Kept::Cloned);
        assert_eq!(kept(None, gate("GO", 0.2), says(0.2), says(-0.2)).0, Kept::Cloned);
        assert_eq!(kept(None, gate("ABSTAIN", 0.2), says(0.2), says(0.2)).0, Kept::Cloned);
        assert_eq!(kept(None, gate("NO-GO", -0.2), None, None).0, Kept::Cloned);
        assert_eq!(kept(Some("it guesses."), gate("GO", 0.2), says(0.2), says(0.2)).0, Kept::Cloned);
    }

    #[test]
    fn a_model_that_cannot_tell_good_from_bad_has_no_say() {
        let imagined: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let with = |recorded: Vec<f32>| blind(&TrackRecord { imagined: imagined[..recorded.len()].to_vec(), recorded });
        assert_eq!(with((0..20).map(|i| 2.0 * i as f32).collect()), None);
        assert!(
            with((0..20).map(|i| (i % 2) as f32).collect())
                .is_some_and(|w| w.ends_with("(correlation of the returns 0.09)."))
        );
        assert!(with(vec![0.0; 20]).is_some_and(|words| words.contains("cannot be told")));
        assert_eq!(with(vec![0.0; FEWEST_STARTS - 1]), None, "the gate knows what to say of so few");
    }

    #[test]
    fn the_reason_is_one_sentence() {
        let say = |gain: f64| Some((gain, [gain - 0.1, gain + 0.1]));
        let why = |decision, fqe| choose(None, &gate(decision, 0.2), &[("fitted Q", fqe)], "cloned").1;
        assert_eq!(
            why("GO", say(0.2)),
            "The improved policy is returned: its paired imagined gain in return over the cloned one is +0.200 [+0.150, +0.250], and fitted Q says so too."
        );
        assert_eq!(
            why("GO", say(-0.2)),
            "The cloned policy is kept: imagination prefers the improved one, but fitted Q contradicts (return -0.200 [-0.300, -0.100])."
        );
        assert_eq!(why("ABSTAIN", None), "The cloned policy is kept: it is so.");
        let planned =
            |decision, fqe| evidence(None, &gate(decision, 0.2), &[("fitted Q", fqe)], ("planned", "improved"));
        assert_eq!(
            planned("GO", None).as_deref(),
            Ok("its paired imagined gain in return over the improved one is +0.200 [+0.150, +0.250].")
        );
        assert_eq!(
            planned("GO", say(-0.2)),
            Err("imagination prefers the planned one, but fitted Q contradicts (return -0.200 [-0.300, -0.100])."
                .into())
        );
    }
}
