//! The report: verdict, scores, what the model is worth, and what a reader should know before believing it.

use anyhow::Result;
use policy::flow::LearnFrom;
use rl::TrackRecord;
use rl::doubly_robust::DoublyRobust;
use rl::evaluate::{self, PerStart};
use rl::members::Column;
use rl::scorecard::calibrated;
use rl::selection::{self, Kept};
use world_model::agreement::mean;
use world_model::corpus::human::{BEFORE_S, Said};

use super::judge::Judged;
use super::scope::Slice;
use super::scoring::{scorecard, subjects};
use super::variant::Variant;
use super::workshop::Workshop;
use crate::pool::Outcomes;
use crate::report::{
    Calibration, CompanionReport, Comparison, CounterfactualCheck, DatasetReport, Decision, Difference, Estimators,
    HorizonError, ImaginedScore, KnownScore, ModelScores, MoreReport, PolicyReport, PolicyTrust, Report, TOO_KIND,
    TimeToSuccess, TrueScore, Verdict, WorldModelReport, too_kind,
};

/// Share by which the model's error at the largest horizon must lie below that of copying. A model that hardly beats doing
/// nothing knows what usually happens, and imagines it whatever is done (docs/LOG.md, 2026-11-25, PushT).
const LEAST_SKILL: f64 = 0.1;

/// What was found out about the model itself.
#[derive(Clone)]
pub struct Found {
    /// On held-out episodes.
    pub quality: WorldModelReport,
    /// Held-out starts that belong together.
    pub slices: Vec<Slice>,
    /// Against the simulator, where there is one.
    pub counterfactuals: Option<CounterfactualCheck>,
    /// What newly recorded episodes changed, where the run goes on from another one.
    pub more: Option<MoreReport>,
    /// What somebody knows of policies, by their names.
    pub known: Vec<(String, KnownScore)>,
}

impl Workshop {
    /// Puts the report together.
    pub fn report(&self, command: &str, device: &str, judged: &[Judged], found: Found) -> Result<Report> {
        let Found { quality, slices, counterfactuals, more, known } = found;
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let record = quality.whole_episodes.as_ref().map(|whole| [&whole.value, &whole.success]);
        let of_behaviour = judged.iter().find(|j| j.name == "behaviour").and_then(|j| j.fitted.as_ref());
        let of_behaviour = of_behaviour.or_else(|| self.selected.as_ref()?.fits.get("behaviour"));
        let of_fqe = self.fit_record(of_behaviour);
        let policies: Vec<PolicyReport> = judged
            .iter()
            .map(|j| {
                let corrected = record.and_then(|[returns, _]| DoublyRobust::of(j.imagined.returns(), returns));
                let imagined = self.imagined_score(&j.imagined, record);
                let estimators = Estimators {
                    imagined: Some((imagined.return_, imagined.return_ci95).into()),
                    models: ModelScores::of(&j.imagined),
                    believed: (!j.imagined.believed_value.is_empty()).then(|| {
                        let values = PerStart { value: j.imagined.believed_value.clone(), ..j.imagined.clone() };
                        let estimate = evaluate::estimate(&values, record, resamples, seed);
                        (estimate.r#return, estimate.return_ci95).into()
                    }),
                    fitted_q: j.fitted.as_ref().map(|f| f.estimate(&of_fqe, resamples, seed).into()),
                    doubly_robust: corrected.as_ref().map(|c| c.estimate(resamples, seed).into()),
                    effective_episodes: corrected.as_ref().map(|c| c.effective_episodes),
                };
                PolicyReport {
                    estimators,
                    truth: j.truth.as_ref().map(|t| {
                        let e = evaluate::estimate(
                            &PerStart { value: t.value.clone(), success: t.success.clone(), ..PerStart::default() },
                            None,
                            resamples,
                            seed,
                        );
                        TrueScore {
                            return_: e.r#return,
                            return_ci95: e.return_ci95,
                            success: e.success,
                            success_ci95: e.success_ci95,
                            episodes: t.success.len(),
                        }
                    }),
                    known: known.iter().find(|(name, _)| *name == j.name).map(|(_, score)| *score),
                    ..PolicyReport::new(j.name.clone(), imagined, self.policy_trust(&j.imagined))
                }
            })
            .collect();
        let of_returns = record.map(|[value, _]| value);
        let subjects = subjects(judged, &policies);
        let scorecard = scorecard(&subjects, &policies, record, (resamples, seed));
        let find = |name: &str| judged.iter().find(|j| j.name == name);
        let paired = |a: &[f32], b: &[f32]| Difference::paired(a, b, resamples, seed);
        let imagined = |policy: &Judged, baseline: &Judged, of: fn(&PerStart) -> Column<'_>| {
            Difference::of(of(&policy.imagined), of(&policy.beside(baseline)), resamples, seed)
        };
        let against = |policy: &Judged, baseline: &Judged| Comparison {
            policy: policy.name.clone(),
            baseline: baseline.name.clone(),
            imagined_return: imagined(policy, baseline, PerStart::returns),
            imagined_success: imagined(policy, baseline, PerStart::successes),
            true_success: policy
                .truth
                .as_ref()
                .zip(baseline.truth.as_ref())
                .map(|(a, b)| paired(&a.success, &b.success)),
        };
        let (verdict, mut comparisons) = match (find("improved"), find("cloned")) {
            (Some(improved), Some(cloned)) => {
                let verdict = evaluate::gate(&improved.imagined, &cloned.imagined, of_returns, resamples, seed);
                // What was told before the verdict counts; what the demo finds out after it is its check.
                let told = calibrated(&subjects, &["improved", "cloned"]).filter(|_| !known.is_empty());
                let verdict = told.map_or(verdict.clone(), |told| told.verdict(verdict));
                (verdict, vec![against(improved, cloned)])
            }
            _ => {
                let why = "there is no pair of an improved and a cloned policy to compare.".to_owned();
                (evaluate::Verdict { decision: "ABSTAIN".into(), why, gain: 0.0, gain_ci95: [0.0; 2] }, Vec::new())
            }
        };
        let is_outsider = |j: &&Judged| j.name.parse::<Variant>().is_err();
        if let Some(cloned) = find("cloned") {
            comparisons.extend(judged.iter().filter(is_outsider).map(|outsider| against(outsider, cloned)));
        }
        let calibration = find("behaviour").map(|b| self.calibration(&b.imagined));
        let verdict = match self.fault(&quality, calibration.as_ref()) {
            Some(why) => evaluate::Verdict { decision: "ABSTAIN".into(), why, ..verdict },
            None => verdict,
        };
        let improvement = self.selected.as_ref().map(|s| s.improvement.clone());
        // Where the clone was returned there is nothing new to let go, for the reason that it was returned for.
        let verdict = match &improvement {
            Some(i) if i.kept == Kept::Cloned => {
                let decision = if i.gains.imagined.ci95[1] < 0.0 { "NO-GO" } else { "ABSTAIN" };
                evaluate::Verdict { decision: decision.into(), why: i.why.clone(), ..verdict }
            }
            _ => verdict,
        };
        let decision = match verdict.decision.as_str() {
            "GO" => Decision::Go,
            "NO-GO" => Decision::NoGo,
            _ => Decision::Abstain,
        };
        Ok(Report {
            command: command.into(),
            rehearsal_version: env!("CARGO_PKG_VERSION").into(),
            seed,
            device: device.into(),
            verdict: Verdict { decision, why: verdict.why },
            policies,
            comparisons,
            slices: self.on_slices(slices, judged, record),
            improvement,
            scorecard,
            world_model: WorldModelReport { calibration, ..quality },
            counterfactuals,
            more,
            dataset: DatasetReport {
                source: self.dataset.spec.source.clone(),
                episodes: self.dataset.home_episodes(),
                held_out_episodes: self.corpus.held_out.iter().filter(|&&t| self.corpus.tracks[t].part == 0).count(),
                frames: self.dataset.episodes[..self.dataset.home_episodes()].iter().map(|e| e.len).sum(),
                learned_with: self.learned_with(),
                skipped: self.dataset.skipped.clone(),
            },
            reward_rule: self.corpus.rule.describe(),
            stages: self.run.manifest().stages.iter().map(Into::into).collect(),
            warnings: self.warnings(),
            notes: self.notes(judged),
            config: serde_json::to_value(&self.config)?,
        })
    }

    fn imagined_score(&self, imagined: &PerStart, record: Option<[&TrackRecord; 2]>) -> ImaginedScore {
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let e = evaluate::estimate(imagined, record, resamples, seed);
        let (undiscounted, undiscounted_ci95) = evaluate::interval(&imagined.undiscounted, resamples, seed);
        let rate_hz = self.dataset.spec.control_rate_hz;
        ImaginedScore {
            return_: e.r#return,
            return_ci95: e.return_ci95,
            success: e.success,
            success_ci95: e.success_ci95,
            undiscounted,
            undiscounted_ci95,
            time_to_success: evaluate::time_to_success(imagined, resamples, seed)
                .map(|steps| TimeToSuccess::of(steps, rate_hz)),
        }
    }

    fn policy_trust(&self, imagined: &PerStart) -> PolicyTrust {
        let believed = &imagined.believed;
        let share = || mean(believed.iter().copied()) / self.judge_horizon() as f64;
        PolicyTrust {
            believed_share: (!believed.is_empty()).then(share),
            unsupported_share: evaluate::unsupported_share(imagined),
        }
    }

    /// What speaks against believing the world model about any policy, in one sentence: a model that cannot beat doing nothing
    /// has no say, whatever it imagines; nor has one that succeeds where it was seen to fail.
    pub fn fault(&self, quality: &WorldModelReport, calibration: Option<&Calibration>) -> Option<String> {
        // The table goes on further than a verdict rests on.
        let within = self.config.quality.horizon;
        let errors: Vec<&HorizonError> = quality.error_by_horizon.iter().filter(|e| e.h <= within).collect();
        let lost: Vec<String> = errors
            .iter()
            .filter(|e| e.h >= 10 && !e.beats_both_floors())
            .map(|e| format!("{} at {} steps", e.modality, e.h))
            .collect();
        if !lost.is_empty() {
            return Some(format!(
                "on held-out episodes the world model does not beat both floors for {}.",
                lost.join(", ")
            ));
        }
        if let Some((e, less)) = weakest(&errors).filter(|(_, less)| *less < LEAST_SKILL) {
            return Some(format!(
                "the world model foresees {} hardly better than if nothing changed: {:.0} % less error at {} steps, at least {:.0} % are needed.",
                e.modality,
                100.0 * less,
                e.h,
                100.0 * LEAST_SKILL
            ));
        }
        // Candidates are compared chunk by chunk: a model that is not believed for one has compared nothing.
        let chunk = self.config.policy.chunk;
        if let Some(t) = quality.trust.filter(|t| t.steps[1] < chunk.min(t.horizon)) {
            return Some(format!(
                "imagination may be believed for {} steps in the median, fewer than the {chunk} actions of a chunk that improvement compares.",
                t.steps[1]
            ));
        }
        if let Some(c) = calibration.filter(|c| c.success_difference.ci95[0] > TOO_KIND) {
            return Some(format!(
                "imagination is too kind: along their own actions the held-out episodes succeed in {:.0} %, and {:.0} % of them did.",
                100.0 * c.imagined_success,
                100.0 * c.recorded_success
            ));
        }
        let too_kind = quality.optimism.as_ref().and_then(too_kind);
        too_kind.or_else(|| selection::blind(&quality.whole_episodes.as_ref()?.value))
    }

    /// What the stages had to say, each with its name.
    fn warnings(&self) -> Vec<String> {
        let stages = &self.run.manifest().stages;
        stages.iter().flat_map(|stage| stage.warnings.iter().map(|words| format!("{}: {words}", stage.name))).collect()
    }

    /// The datasets beside the main one.
    fn learned_with(&self) -> Vec<CompanionReport> {
        let total: f64 = self.corpus.parts.iter().map(|part| part.weight).sum();
        let rules = self.config.data.rules();
        let companions = self.dataset.companions.iter().zip(rules.iter().skip(1)).filter(|(c, _)| !c.is_later);
        companions
            .map(|(companion, rule)| CompanionReport {
                source: companion.spec.source.clone(),
                episodes: companion.episodes,
                frames: {
                    let own = companion.first_episode..companion.first_episode + companion.episodes;
                    self.dataset.episodes[own].iter().map(|e| e.len).sum()
                },
                share: companion.weight / total,
                is_same_robot: companion.is_same_robot,
                missing_cameras: self
                    .dataset
                    .spec
                    .cameras
                    .iter()
                    .enumerate()
                    .filter(|(camera, _)| !companion.sees(*camera))
                    .map(|(_, camera)| camera.key.clone())
                    .collect(),
                reward_rule: rule.resolve(&companion.spec).describe(),
            })
            .collect()
    }

    /// The behaviour's imagined outcomes beside what its episodes recorded.
    pub(super) fn calibration(&self, behaviour: &PerStart) -> Calibration {
        let starts = evaluate::starts(&self.corpus, behaviour.value.len());
        let Outcomes { value, success } = self.recorded_outcomes(&starts);
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let mean = |x: &[f32]| mean(x.iter().copied());
        let paired = |imagined: &[f32], recorded: &[f32]| Difference::paired(imagined, recorded, resamples, seed);
        Calibration {
            episodes: starts.len(),
            recorded_return: mean(&value),
            imagined_return: mean(&behaviour.value),
            return_difference: paired(&behaviour.value, &value),
            recorded_success: mean(&success),
            imagined_success: mean(&behaviour.success),
            success_difference: paired(&behaviour.success, &success),
        }
    }

    fn notes(&self, judged: &[Judged]) -> Vec<String> {
        let starts = judged.first().map_or(0, |j| j.imagined.value.len());
        let members = judged.first().map_or(0, |j| j.imagined.returns().members.len());
        let mut notes = vec![
            format!(
                "Imagined numbers: {starts} first observations of held-out episodes, {} steps, {} noise draws each; intervals are bootstrapped over starts{}, and know what the model got wrong on whole held-out episodes; what it gets wrong only where a policy leads and no episode went, they do not know.",
                self.judge_horizon(),
                self.config.evaluate.samples,
                if members > 0 { format!(" and over the model's {members} members, each imagined alone") } else { String::new() }
            ),
            format!(
                "Return: discounted by {} per step, in units of the reward; a success is worth {} per step for ever.",
                self.corpus.returns.gamma, self.corpus.returns.success_reward
            ),
            "The behaviour is imagined along its own recorded actions, set back onto the recording every few steps; the other policies act closed-loop.".into(),
            "Policies see one observation at a time: what a single picture and state do not show (speed, hidden objects) they cannot use.".into(),
        ];
        notes.extend(judged.iter().filter_map(|j| j.note.clone()));
        if judged.iter().any(|j| j.name == "improved") {
            let method = self.config.improve.method;
            notes.push(format!("What made the improved policy out of the cloned one: {}.", method.describe()));
        }
        if let Some(believed) = judged.iter().find(|j| j.name == "improved").map(|j| &j.imagined.believed)
            && !believed.is_empty()
        {
            notes.push(format!(
                "From those starts the improved policy is imagined within the trust horizon for {:.0} of {} steps on average; beyond it, what is imagined is a story that held-out episodes do not vouch for step by step.",
                mean(believed.iter().copied()),
                self.judge_horizon()
            ));
        }
        if let (Some(better), Some(worse)) = (success_of(judged, "improved"), success_of(judged, "cloned")) {
            notes.push(match trials_needed(better, worse) {
                Some(n) if n <= MOST_TRIALS => format!(
                    "Next, on the robot: if the imagined rates hold ({:.0} % against {:.0} %), about {n} trials of each policy tell improved from cloned (one-sided 5 %, power 80 %); `rehearsal trial` plans them, and reads them as they come.",
                    100.0 * better, 100.0 * worse
                ),
                _ => format!(
                    "Next, on the robot: the imagined rates of success ({:.0} % against {:.0} %) are too close to be told apart in {MOST_TRIALS} trials of each policy.",
                    100.0 * better, 100.0 * worse
                ),
            });
        }
        let Said { positives, negatives } = self.corpus.said();
        if positives + negatives > 0 {
            notes.push(format!(
                "A person had the controls at {positives} of {} training steps, which count {} times in cloning; the {negatives} steps of the \
                 {BEFORE_S} s before a person took over are not cloned.",
                self.corpus.train.iter().map(|&t| self.corpus.tracks[t].len).sum::<usize>(),
                self.config.policy.intervention_weight
            ));
        }
        if self.config.policy.learn_from == LearnFrom::Successes {
            let successes = self.corpus.train.iter().filter(|&&t| self.corpus.tracks[t].success).count();
            notes.push(format!(
                "Cloned from successes: {successes} of {} training episodes are.",
                self.corpus.train.len()
            ));
        }
        if self.corpus.held_out.is_empty() {
            notes.push("There is no held-out episode: everything above was measured on training episodes.".into());
        }
        if self.corpus.success_share(&self.corpus.train_home) == 0.0 {
            notes.push("No training episode ends in success: success cannot be predicted, only the reward.".into());
        }
        notes
    }
}

/// The modality foreseen worst at the largest horizon, and by which share its error lies below that of copying.
fn weakest<'a>(errors: &[&'a HorizonError]) -> Option<(&'a HorizonError, f64)> {
    let last = errors.iter().map(|e| e.h).max()?;
    let skill = |e: &HorizonError| 1.0 - e.model / e.copy_last.max(1e-12);
    errors.iter().filter(|e| e.h == last).map(|&e| (e, skill(e))).min_by(|a, b| a.1.total_cmp(&b.1))
}

/// Mean imagined success of a named policy.
fn success_of(judged: &[Judged], name: &str) -> Option<f64> {
    let success = &judged.iter().find(|j| j.name == name)?.imagined.success;
    Some(mean(success.iter().copied()))
}

/// More trials than this nobody makes.
const MOST_TRIALS: usize = 500;

/// Trials of each of two policies that tell their rates of success apart, one-sided 5 %, power 80 %; `None` where the first
/// is not the better one. `n = (z_α + z_β)² [p(1-p) + q(1-q)] / (p-q)²` (Fleiss, Statistical Methods for Rates and Proportions, ch. 4).
fn trials_needed(better: f64, worse: f64) -> Option<usize> {
    const Z: f64 = 1.645 + 0.842;
    let gain = better - worse;
    // Rates of exactly 0 or 1 have no spread of their own; nobody is that sure of a policy.
    let spread = |p: f64| p.clamp(0.05, 0.95) * (1.0 - p.clamp(0.05, 0.95));
    (gain > 0.0).then(|| (Z * Z * (spread(better) + spread(worse)) / (gain * gain)).ceil().max(2.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_modality_at_the_largest_horizon_counts() {
        let error = |modality: &str, h: usize, model: f64| HorizonError {
            modality: modality.into(),
            h,
            starts: 10,
            model,
            copy_last: 1.0,
            shuffled_actions: 1.0,
            repainted: None,
            likeness: None,
        };
        let errors = [error("state", 1, 0.99), error("state", 20, 0.1), error("camera", 20, 0.94)];
        let (worst, less) = weakest(&errors.iter().collect::<Vec<_>>()).expect("there are errors");
        assert_eq!(worst.modality, "camera");
        assert!((less - 0.06).abs() < 1e-9);
        assert!(weakest(&[]).is_none());
    }

    #[test]
    fn trials_by_hand() {
        // 6.185 * (0.24 + 0.21) / 0.09 = 30.9.
        assert_eq!(trials_needed(0.6, 0.3), Some(31));
        assert_eq!(trials_needed(0.3, 0.3), None);
        assert_eq!(trials_needed(1.0, 0.0), Some(2));
    }
}
