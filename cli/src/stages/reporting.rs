//! The report: verdict, scores, what the model is worth, and what a reader should know before believing it.

use anyhow::Result;
use rl::TrackRecord;
use rl::doubly_robust::DoublyRobust;
use rl::evaluate::{self, PerStart};
use rl::members::Column;
use rl::optimism::Share;
use rl::scorecard::calibrated;
use rl::selection::Kept;
use world_model::agreement::mean;

use super::judge::Judged;
use super::planning::PLANNED;
use super::scope::Slice;
use super::scoring::{scorecard, subjects};
use super::variant::Variant;
use super::workshop::Workshop;
use crate::pool::Outcomes;
use crate::report::{
    Calibration, CompanionReport, Comparison, CounterfactualCheck, DatasetReport, Decision, Difference, Estimators,
    ImaginedScore, Improvement, KnownScore, ModelScores, MoreReport, PolicyReport, PolicyTrust, Report, TimeToSuccess,
    TrueScore, Verdict, WorldModelReport,
};

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
                    ..PolicyReport::new(
                        j.name.clone(),
                        j.imagined.value.len(),
                        imagined,
                        self.policy_trust(&j.imagined),
                    )
                }
            })
            .collect();
        let of_returns = record.map(|[value, _]| value);
        let subjects = subjects(judged, &policies);
        let scorecard = scorecard(&subjects, &policies, record, (resamples, seed));
        let find = |name: &str| judged.iter().find(|j| j.name == name);
        let paired = |a: &[f32], b: &[f32]| Difference::paired(a, b, resamples, seed);
        let imagined = |policy: &Judged, baseline: &Judged, of: fn(&PerStart) -> Column<'_>, which: usize| {
            let record = record.map(|record| record[which]);
            Difference::of(of(&policy.imagined), of(&policy.beside(baseline)), record, resamples, seed)
        };
        let against = |policy: &Judged, baseline: &Judged| Comparison {
            policy: policy.name.clone(),
            baseline: baseline.name.clone(),
            imagined_return: imagined(policy, baseline, PerStart::returns, 0),
            imagined_success: imagined(policy, baseline, PerStart::successes, 1).of_shares(),
            true_success: policy
                .truth
                .as_ref()
                .zip(baseline.truth.as_ref())
                .map(|(a, b)| paired(&a.success, &b.success)),
        };
        let improvement = self.selected.as_ref().map(|s| s.improvement.clone());
        let leaves = improvement.as_ref().map_or("improved", Improvement::leaves);
        let (verdict, mut comparisons) = match (find(leaves), find("cloned")) {
            (Some(new), Some(cloned)) => {
                let mut verdict = evaluate::gate(&new.imagined, &cloned.imagined, of_returns, resamples, seed);
                verdict.why = verdict.why.replace("improved policy", &format!("{leaves} policy"));
                // What was told before the verdict counts; what the demo finds out after it is its check.
                let told = calibrated(&subjects, &[leaves, "cloned"]).filter(|_| !known.is_empty());
                let verdict = told.map_or(verdict.clone(), |told| told.verdict(verdict));
                (verdict, vec![against(new, cloned)])
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
        let of_new = policies.iter().find(|p| p.name == leaves).map_or_else(Share::default, |p| Share {
            success: p.imagined.success,
            success_ci95: p.imagined.success_ci95,
        });
        let compared = if leaves == PLANNED { self.config.plan.horizon } else { self.config.policy.chunk };
        let verdict = match self.fault(&quality, calibration.as_ref(), of_new, compared) {
            Some(why) => evaluate::Verdict { decision: "ABSTAIN".into(), why, ..verdict },
            None => verdict,
        };
        // Where the clone was returned there is nothing new to let go, for the reason that it was returned for.
        let verdict = match &improvement {
            Some(i) if i.kept == Kept::Cloned && leaves == "improved" => {
                let decision = if i.is_worse { "NO-GO" } else { "ABSTAIN" };
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
                control_rate_hz: self.dataset.spec.control_rate_hz,
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
}
