//! What is said of the futures of one moment: a row each beside the logged replay, and what to make of them.

use burn::tensor::Tensor;
use rl::TrackRecord;
use rl::evaluate::FEWEST_STARTS;
use rl::track_record::probability_better;
use rollouts::Branch;
use rollouts::branch::ForkOptions;
use rollouts::score::believed;
use serde::Serialize;
use world_model::trust::Limits;

use crate::args::Arm;

/// A probability from which on one way of acting is called better than another; the best of several is asked for more.
const SURE: f64 = 0.9;
/// Resamples of an interval of a gain.
const RESAMPLES: usize = 1000;

/// One future beside the logged replay.
#[derive(Clone, Debug, Serialize)]
pub struct ArmRow {
    /// Its name.
    pub arm: String,
    /// Imagined return, mean over draws.
    pub r#return: f64,
    /// Probability of success within the horizon.
    pub success_within_horizon: f64,
    /// Probability that it is better than the logged replay, given how wrong the model was about recorded moments; `None` where too few
    /// are known to tell, and for the replay itself.
    pub probability_better: Option<f64>,
    /// Share of the noise draws under which it is better; `None` for the replay itself, like the next two.
    pub better_in_draws: Option<f64>,
    /// Gain in return over the logged replay.
    pub gain_over_logged: Option<f64>,
    /// Its 95 % interval over draws.
    pub gain_ci95: Option<[f64; 2]>,
    /// Steps within the trust horizon, mean over draws.
    pub believed_steps: f64,
    /// Steps that disagree more than 95 % of held-out data.
    pub steps_beyond_known_ground: usize,
    /// It stays on known ground for long enough, by the rule of the gate.
    pub believable: bool,
}

impl ArmRow {
    /// How probably it is better, as far as anything tells; `None` for the replay itself.
    pub(super) fn likely_better(&self) -> Option<f64> {
        self.probability_better.or(self.better_in_draws)
    }
}

/// What to make of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct BranchVerdict {
    /// BETTER, WORSE or UNDECIDED.
    pub decision: &'static str,
    /// Why, in a sentence.
    pub why: String,
}

/// Whether an imagined future stays on known ground for long enough, by the rule of the gate.
pub(super) fn believable(steps_beyond: usize, horizon: usize) -> bool {
    steps_beyond as f64 <= rl::evaluate::MOST_UNSUPPORTED * horizon as f64
}

/// Share of the positions at which the first is larger.
pub(super) fn share_above(gains: &[f32]) -> f64 {
    gains.iter().filter(|gain| **gain > 0.0).count() as f64 / gains.len().max(1) as f64
}

/// Probability that `a` is better than `b`, as [`probability_better`] tells it; `None` where too few moments are known.
pub(super) fn known_better(a: &[f32], b: &[f32], record: &TrackRecord) -> Option<f64> {
    (record.imagined.len() >= FEWEST_STARTS).then(|| probability_better(a, b, record))
}

/// What a probability of being better is, in the middle of a sentence.
pub(super) fn knows(moments: usize) -> String {
    if moments < FEWEST_STARTS {
        format!(
            "is not told: {moments} held-out episodes are too few to know how wrong the model is; \"in draws\" is the share of the noise draws"
        )
    } else {
        format!(
            "knows how wrong the model was about moments of {moments} held-out episodes; \"in draws\" is the share of the noise draws"
        )
    }
}

/// The row of an arm; `against` holds the values of the logged replay and how wrong the model was about moments of other episodes,
/// `None` for the replay itself.
pub(super) fn row(
    arm: &Arm,
    branch: &Branch,
    against: Option<(&[f32], &TrackRecord)>,
    limits: &Limits,
    (options, seed): (&ForkOptions, u64),
) -> ArmRow {
    let values = branch.values();
    let gains = against.map(|(logged, _)| values.iter().zip(logged).map(|(a, b)| a - b).collect::<Vec<f32>>());
    let gain = gains.as_ref().map(|gains| rl::evaluate::interval(gains, RESAMPLES, seed));
    let beyond = branch.series(|p| &p.disagreement).iter().filter(|d| **d > limits.disagreement_95).count();
    let none = branch.outcome.value.zeros_like();
    let trusted = believed(&branch.imagined.predictions, none, limits.doubt_budget);
    let mean = |x: &Tensor<1>| f64::from(x.clone().mean().into_scalar::<f32>());
    ArmRow {
        arm: arm.to_string(),
        r#return: mean(&branch.outcome.value),
        success_within_horizon: mean(&branch.outcome.success),
        probability_better: against.and_then(|(logged, record)| known_better(&values, logged, record)),
        better_in_draws: gains.as_deref().map(share_above),
        gain_over_logged: gain.map(|(gain, _)| gain),
        gain_ci95: gain.map(|(_, interval)| interval),
        believed_steps: trusted.iter().map(mean).sum(),
        steps_beyond_known_ground: beyond,
        believable: believable(beyond, options.horizon),
    }
}

/// The rows as markdown.
pub(super) fn table(rows: &[ArmRow], horizon: usize) -> String {
    let mut text = "| arm | better than logged | in draws | gain over logged | 95 % | return | success | trusted | beyond known ground |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let or_none = |words: Option<String>| words.unwrap_or_else(|| "–".to_owned());
    for row in rows {
        let share = |share: Option<f64>| or_none(share.map(|share| format!("{:.0} %", 100.0 * share)));
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {:.3} | {:.2} | {:.0} of {horizon} | {} of {horizon}{} |\n",
            row.arm.replace('|', "\\|"),
            share(row.probability_better),
            share(row.better_in_draws),
            or_none(row.gain_over_logged.map(|gain| format!("{gain:+.3}"))),
            or_none(row.gain_ci95.map(|[low, high]| format!("{low:+.3} … {high:+.3}"))),
            row.r#return,
            row.success_within_horizon,
            row.believed_steps,
            row.steps_beyond_known_ground,
            if row.believable { "" } else { ": do not believe it" }
        ));
    }
    text
}

/// The surest believable alternative decides. The best of `k` is called better where all of them together would be with probability
/// [`SURE`]; where too few `moments` are known to tell how wrong the model is, nothing is.
pub(super) fn verdict(rows: &[ArmRow], horizon: usize, moments: usize) -> BranchVerdict {
    let say = |decision, why| BranchVerdict { decision, why };
    let alternatives: Vec<(&ArmRow, f64)> = rows.iter().filter_map(|r| Some((r, r.likely_better()?))).collect();
    let Some((best, p)) = alternatives.iter().find(|(row, _)| row.believable) else {
        let why = match alternatives.is_empty() {
            true => "There is no alternative to the logged actions to compare.".to_owned(),
            false => "Every alternative leaves known ground: what follows from it is a guess.".to_owned(),
        };
        return say("UNDECIDED", why);
    };
    let gain = best.gain_over_logged.unwrap_or(0.0);
    let trusted = format!("imagination is trusted for {:.0} of {horizon} steps of it", best.believed_steps);
    let sure = 100.0 * p;
    let k = alternatives.iter().filter(|(row, _)| row.believable).count();
    let asked = 1.0 - (1.0 - SURE) / k as f64;
    let best_of = if k > 1 { format!("; it is the best of {k}, which flatters it") } else { String::new() };
    if moments < FEWEST_STARTS {
        let why = format!(
            "{} comes out better than the logged actions in {sure:.0} % of the noise draws ({gain:+.3} return), but {moments} held-out \
             episodes are too few to know how wrong the model is; {trusted}{best_of}.",
            best.arm
        );
        say("UNDECIDED", why)
    } else if *p >= asked {
        let why = format!(
            "{} is better than the logged actions with probability {sure:.0} % ({gain:+.3} return); {trusted}{best_of}.",
            best.arm
        );
        say("BETTER", why)
    } else if *p <= 1.0 - SURE {
        let why = format!(
            "No believable alternative is better than the logged actions: {} comes nearest, with probability {sure:.0} % ({gain:+.3} \
             return); {trusted}.",
            best.arm
        );
        say("WORSE", why)
    } else {
        let how =
            if *p >= 0.5 { "may be better than the logged actions" } else { "comes nearest to the logged actions" };
        let asked = if *p >= SURE { format!(" ({:.1} % are asked of it)", 100.0 * asked) } else { String::new() };
        let why = format!(
            "{} {how}: better with probability {sure:.0} % ({gain:+.3} return), too little to tell{asked}, given how wrong the model was \
             about recorded moments; {trusted}{best_of}.",
            best.arm
        );
        say("UNDECIDED", why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arm: &str, p: Option<f64>, believable: bool) -> ArmRow {
        ArmRow {
            arm: arm.to_owned(),
            r#return: 0.5,
            success_within_horizon: 0.25,
            probability_better: p,
            better_in_draws: p.map(|_| 0.75),
            gain_over_logged: p.map(|p| p - 0.5),
            gain_ci95: p.map(|p| [p - 0.6, p - 0.4]),
            believed_steps: 17.6,
            steps_beyond_known_ground: if believable { 1 } else { 19 },
            believable,
        }
    }

    #[test]
    fn the_surest_believable_alternative_decides() {
        let decision = |rows: &[ArmRow]| verdict(rows, 20, 64).decision;
        let logged = || of("logged", None, true);
        assert_eq!(decision(&[of("improved", Some(0.95), true), logged()]), "BETTER");
        assert_eq!(decision(&[of("hold", Some(0.99), false), of("improved", Some(0.7), true), logged()]), "UNDECIDED");
        assert_eq!(decision(&[logged(), of("hold", Some(0.05), true)]), "WORSE");
        assert_eq!(decision(&[of("hold", Some(0.99), false), logged()]), "UNDECIDED");
        assert_eq!(decision(&[logged()]), "UNDECIDED");
        let nearest = verdict(&[logged(), of("hold", Some(0.3), true)], 20, 64).why;
        assert!(
            nearest.starts_with("hold comes nearest to the logged actions: better with probability 30 %"),
            "{nearest}"
        );
        let why = verdict(&[of("improved", Some(0.95), true)], 20, 64).why;
        assert_eq!(
            why,
            "improved is better than the logged actions with probability 95 % (+0.450 return); imagination is trusted for 18 of 20 steps of it."
        );
    }

    #[test]
    fn the_best_of_several_is_asked_for_more_and_said_to_be_flattered() {
        let of_four = |best: f64| {
            let mut rows = vec![of("improved#2", Some(best), true), of("logged", None, true)];
            rows.extend([0.4, 0.3, 0.2].map(|p| of("improved#1", Some(p), true)));
            // What is not believed is not chosen from.
            rows.push(of("hold", Some(0.99), false));
            verdict(&rows, 20, 64)
        };
        let (sure, unsure) = (of_four(0.98), of_four(0.96));
        assert_eq!((sure.decision, unsure.decision), ("BETTER", "UNDECIDED"), "0.975 are asked of the best of four");
        assert!(
            sure.why.ends_with("for 18 of 20 steps of it; it is the best of 4, which flatters it."),
            "{}",
            sure.why
        );
        assert!(unsure.why.contains("too little to tell (97.5 % are asked of it), given"), "{}", unsure.why);
    }

    #[test]
    fn nothing_is_better_where_nobody_knows_how_wrong_the_model_is() {
        let record = TrackRecord { imagined: vec![0.5; FEWEST_STARTS - 1], recorded: vec![0.5; FEWEST_STARTS - 1] };
        assert_eq!(known_better(&[1.0; 4], &[0.0; 4], &record), None);
        let gain_over_logged = Some(0.5);
        let unknown = |share| ArmRow { better_in_draws: share, gain_over_logged, ..of("improved", None, true) };
        let logged = ArmRow { gain_over_logged: None, ..unknown(None) };
        let rows = [unknown(Some(1.0)), logged];
        let found = verdict(&rows, 20, FEWEST_STARTS - 1);
        assert_eq!(found.decision, "UNDECIDED");
        assert!(
            table(&rows, 20).contains("| improved | – | 100 % | +0.500 |"),
            "the table is no surer than the verdict"
        );
        assert!(found.why.contains("in 100 % of the noise draws (+0.500 return), but 7 held-out episodes are too few"));
        assert!(
            knows(FEWEST_STARTS - 1).starts_with(
                "is not told: 7 held-out episodes are too few to know how wrong the model is; \"in draws\""
            )
        );
        assert!(knows(FEWEST_STARTS).contains("about moments of 8 held-out episodes; \"in draws\""));
    }

    #[test]
    fn a_row_says_what_is_known_of_it() {
        let text = table(&[of("improved", Some(0.95), true), of("logged", None, false)], 20);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| improved | 95 % | 75 % | +0.450 | +0.350 … +0.550 | 0.500 | 0.25 | 18 of 20 | 1 of 20 |",
                "| logged | – | – | – | – | 0.500 | 0.25 | 18 of 20 | 19 of 20: do not believe it |",
            ]
        );
    }
}
