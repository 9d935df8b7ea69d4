//! Judgement: policies in imagination, beside the truth where there is a simulator; the report.

use anyhow::Result;
use burn::tensor::Tensor;
use policy::bundle::{Bundle, BundleSpec, FORMAT_VERSION};
use rand::RngExt;
use rayon::prelude::*;
use rl::evaluate::{self, PerStart};
use rollouts::score::real_return;
use world_model::foresight::foresight;
use world_model::{Embeddings, WorldModel, noise, quality};

use super::workshop::Workshop;
use crate::interrupt;
use crate::pool::{self, Outcomes, PolicyOutcomes, RunOutcomes};
use crate::progress::Progress;
use crate::report::{
    Calibration, Comparison, DatasetReport, Decision, Difference, HorizonError, ImaginedScore, PolicyReport, Report,
    TrueScore, Verdict, WorldModelReport,
};
use crate::run_dir::{write_dir_atomic, write_json_atomic};

/// Outcome of a named policy in imagination and, where known, in truth.
pub struct Judged {
    /// Name in the report.
    pub name: String,
    /// Imagined, per start.
    pub imagined: PerStart,
    /// Driven, per seed.
    pub truth: Option<Outcomes>,
}

/// Held-out successes imagined beyond those recorded, as a share, from which on no policy is judged.
const TOO_KIND: f64 = 0.1;

impl Workshop {
    /// Imagines the named policies: `random`, `behaviour`, `cloned`, `improved`.
    ///
    /// # Errors
    /// A policy that is not there.
    pub fn imagine_all(&self, model: &WorldModel, embeddings: &Embeddings, names: &[String]) -> Result<Vec<Judged>> {
        let limit = self.disagreement_limit(model, embeddings);
        let device = self.inner();
        let mut config = self.config.evaluate;
        config.horizon = self.judge_horizon();
        let starts = evaluate::starts(&self.corpus, config.starts);
        let mut progress = Progress::stage("evaluate", names.len() as u64, "policies");
        let mut out = Vec::new();
        for name in names {
            interrupt::check()?;
            let imagined = match name.as_str() {
                "behaviour" => evaluate::imagine_behaviour(
                    model,
                    (&self.corpus, embeddings),
                    &config,
                    limit,
                    &starts,
                    (self.config.seed, &device),
                ),
                "random" => {
                    let act =
                        |e: &Tensor<2>, rng: &mut rand::rngs::StdRng| self.random_actions(e.dims()[0], rng, &device);
                    evaluate::imagine_policy(
                        model,
                        (&self.corpus, embeddings),
                        (&act, 1),
                        (&config, limit),
                        &starts,
                        (self.config.seed, &device),
                    )
                }
                name => self.judge(model, embeddings, &self.policy(name)?, limit),
            };
            out.push(Judged { name: name.clone(), imagined, truth: None });
            progress.set(out.len() as u64, name);
        }
        progress.finish();
        Ok(out)
    }

    /// Uniform over the range of the recorded actions, normalised: `[rows, A]`.
    fn random_actions(&self, rows: usize, rng: &mut rand::rngs::StdRng, device: &burn::tensor::Device) -> Tensor<2> {
        let n = &self.corpus.action_normaliser;
        let mut values = Vec::with_capacity(rows * n.min.len());
        let mut raw = vec![0.0; n.min.len()];
        for _ in 0..rows {
            for (v, (low, high)) in raw.iter_mut().zip(n.min.iter().zip(&n.max)) {
                *v = low + (high - low) * rng.random::<f32>();
            }
            let start = values.len();
            values.resize(start + raw.len(), 0.0);
            n.normalise(&raw, &mut values[start..]);
        }
        Tensor::from_data(burn::tensor::TensorData::new(values, [rows, raw.len()]), device)
    }

    /// Description of the bundle that this run hands to a robot.
    pub fn bundle_spec(&self, policies: &[&str]) -> BundleSpec {
        BundleSpec {
            format_version: FORMAT_VERSION,
            kind: "flow".into(),
            dataset: self.dataset.spec.clone(),
            state_normaliser: self.corpus.state_normaliser.clone(),
            action_normaliser: self.corpus.action_normaliser.clone(),
            vision: self.config.world_model.representation.vision,
            flow: self.config.policy,
            policies: policies.iter().map(|&p| p.to_owned()).collect(),
        }
    }

    /// Writes `bundle/` with the policies that are trained.
    ///
    /// # Errors
    /// The run directory cannot be written.
    pub fn write_bundle(&self, model: &WorldModel) -> Result<()> {
        let mut policies = vec![("cloned", self.policy("cloned")?)];
        if self.run.is_complete("improve") {
            policies.push(("improved", self.policy("improved")?));
        }
        let names: Vec<&str> = policies.iter().map(|p| p.0).collect();
        let spec = self.bundle_spec(&names);
        let encoder = &model.representation.encoder;
        let pairs: Vec<_> = policies.iter().map(|(n, p)| (*n, p)).collect();
        let target = self.run.path("bundle");
        if target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        write_dir_atomic(&target, |dir| Ok(spec.save(dir, encoder, &pairs)?))
    }

    /// Drives every policy in the true simulator: the same episode seeds for each. Only `demo` may ask.
    ///
    /// # Errors
    /// A policy that is not there; Ctrl-C.
    pub fn drive_all(&self, model: &WorldModel, judged: &mut [Judged]) -> Result<()> {
        let (sim_config, episodes) = (&self.config.demo.sim, self.config.demo.truth_episodes);
        let mut progress = Progress::stage("truth", (episodes * judged.len()) as u64, "episodes");
        // Truth seeds lie far from those of the recorded episodes.
        let seeds: Vec<u64> =
            (0..episodes as u64).map(|i| sim::episode_seed(self.config.seed ^ 0x7275_7468, i)).collect();
        let mut done = 0;
        for judged in judged.iter_mut() {
            let policy = match judged.name.as_str() {
                "random" | "behaviour" => None,
                name => Some(self.policy(name)?),
            };
            let mut truth = Outcomes::default();
            for part in seeds.chunks(20) {
                interrupt::check()?;
                let outcomes: Vec<(Vec<f32>, bool)> = part
                    .par_iter()
                    .map(|&seed| {
                        let mut rng = noise::generator(seed, "truth", 0);
                        match (judged.name.as_str(), &policy) {
                            ("behaviour", _) => {
                                let recorded = sim::record(sim_config, seed, &mut sim::Demonstrator::new(seed));
                                let e = recorded.episode;
                                let success = e.succeeded().unwrap_or(false);
                                (e.reward.unwrap_or_default(), success)
                            }
                            (_, Some(policy)) => {
                                let bundle = Bundle::new(
                                    self.bundle_spec(&[]),
                                    model.representation.encoder.clone(),
                                    policy.clone(),
                                    &self.inner(),
                                );
                                let result = sim::run_policy(sim_config, seed, &mut |state, image| {
                                    let actions = bundle.act(&[image], state, &mut rng);
                                    // The simulator's observations always fit the spec they were recorded with.
                                    actions.unwrap_or_default().chunks_exact(2).map(|a| [a[0], a[1]]).collect()
                                });
                                (result.rewards, result.success)
                            }
                            _ => {
                                let n = &self.corpus.action_normaliser;
                                let result = sim::run_policy(sim_config, seed, &mut |_, _| {
                                    vec![[0, 1].map(|i| n.min[i] + (n.max[i] - n.min[i]) * rng.random::<f32>())]
                                });
                                (result.rewards, result.success)
                            }
                        }
                    })
                    .collect();
                for (rewards, success) in outcomes {
                    truth.value.push(real_return(&rewards, success, success, &self.corpus.returns));
                    truth.success.push(f32::from(u8::from(success)));
                }
                done += part.len();
                progress.set(done as u64, &judged.name);
            }
            judged.truth = Some(truth);
        }
        progress.finish();
        Ok(())
    }

    /// Writes every start's and every true episode's outcome, for whoever wants more than means.
    ///
    /// # Errors
    /// The run directory cannot be written.
    pub fn write_outcomes(&self, judged: &[Judged]) -> Result<()> {
        let outcomes: RunOutcomes = judged
            .iter()
            .map(|j| {
                let imagined = Outcomes { value: j.imagined.value.clone(), success: j.imagined.success.clone() };
                (j.name.clone(), PolicyOutcomes { imagined, truth: j.truth.clone() })
            })
            .collect();
        write_json_atomic(&self.run.path(pool::FILE), &outcomes)
    }

    /// How well the model foresees held-out episodes; `calibration` is told by [`Self::report`].
    pub fn quality(&self, model: &WorldModel, embeddings: &Embeddings) -> WorldModelReport {
        let (config, seed, device) = (&self.config.quality, self.config.seed, self.inner());
        let foresight = foresight(model, (&self.corpus, embeddings), config, seed, &device);
        let error_by_horizon =
            quality::error_by_horizon(model, (&self.dataset, &self.corpus, embeddings), config, seed, &device)
                .into_iter()
                .map(|e| HorizonError {
                    modality: e.modality,
                    h: e.h,
                    model: e.model,
                    copy_last: e.copy_last,
                    shuffled_actions: e.shuffled_actions,
                })
                .collect();
        WorldModelReport { error_by_horizon, calibration: None, foresight: Some(foresight) }
    }

    /// Puts the report together.
    pub fn report(&self, command: &str, device: &str, judged: &[Judged], quality: WorldModelReport) -> Result<Report> {
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let policies = judged
            .iter()
            .map(|j| {
                let e = evaluate::estimate(&j.imagined, resamples, seed);
                PolicyReport {
                    name: j.name.clone(),
                    imagined: ImaginedScore {
                        return_: e.r#return,
                        return_ci95: e.return_ci95,
                        success: e.success,
                        success_ci95: e.success_ci95,
                    },
                    truth: j.truth.as_ref().map(|t| {
                        let e = evaluate::estimate(
                            &PerStart { value: t.value.clone(), success: t.success.clone(), unsupported: Vec::new() },
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
                }
            })
            .collect();
        let find = |name: &str| judged.iter().find(|j| j.name == name);
        let (verdict, comparisons) = match (find("improved"), find("cloned")) {
            (Some(improved), Some(cloned)) => {
                let verdict = evaluate::gate(&improved.imagined, &cloned.imagined, resamples, seed);
                let paired = |a: &[f32], b: &[f32]| {
                    let d: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
                    let (mean, ci95) = evaluate::interval(&d, resamples, seed);
                    Difference { mean, ci95 }
                };
                let comparison = Comparison {
                    policy: "improved".into(),
                    baseline: "cloned".into(),
                    imagined_return: paired(&improved.imagined.value, &cloned.imagined.value),
                    imagined_success: paired(&improved.imagined.success, &cloned.imagined.success),
                    true_success: improved
                        .truth
                        .as_ref()
                        .zip(cloned.truth.as_ref())
                        .map(|(a, b)| paired(&a.success, &b.success)),
                };
                (verdict, vec![comparison])
            }
            _ => {
                let why = "there is no pair of an improved and a cloned policy to compare.".to_owned();
                (evaluate::Verdict { decision: "ABSTAIN".into(), why, gain: 0.0, gain_ci95: [0.0; 2] }, Vec::new())
            }
        };
        let lost: Vec<String> = quality
            .error_by_horizon
            .iter()
            .filter(|e| e.h >= 10 && !e.beats_both_floors())
            .map(|e| format!("{} at {} steps", e.modality, e.h))
            .collect();
        let calibration = find("behaviour").map(|b| self.calibration(&b.imagined));
        let too_kind = calibration.filter(|c| c.success_difference.ci95[0] > TOO_KIND);
        // A model that cannot beat doing nothing has no say, whatever it imagines; nor has one that succeeds where it was seen to fail.
        let verdict = if !lost.is_empty() {
            let why =
                format!("on held-out episodes the world model does not beat both floors for {}.", lost.join(", "));
            evaluate::Verdict { decision: "ABSTAIN".into(), why, ..verdict }
        } else if let Some(c) = too_kind {
            let why = format!(
                "imagination is too kind: along their own actions the held-out episodes succeed in {:.0} %, and {:.0} % of them did.",
                100.0 * c.imagined_success,
                100.0 * c.recorded_success
            );
            evaluate::Verdict { decision: "ABSTAIN".into(), why, ..verdict }
        } else {
            verdict
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
            world_model: WorldModelReport { calibration, ..quality },
            counterfactuals: None,
            dataset: DatasetReport {
                source: self.dataset.spec.source.clone(),
                episodes: self.dataset.episodes.len(),
                held_out_episodes: self.corpus.held_out.len(),
                frames: self.dataset.total_frames(),
                skipped: self.dataset.skipped.clone(),
            },
            reward_rule: self.corpus.rule.describe(),
            stages: self.run.manifest().stages.iter().map(Into::into).collect(),
            notes: self.notes(judged),
            config: serde_json::to_value(&self.config)?,
        })
    }

    /// The behaviour's imagined outcomes beside what its episodes recorded.
    fn calibration(&self, behaviour: &PerStart) -> Calibration {
        let starts = evaluate::starts(&self.corpus, behaviour.value.len());
        let recorded: Vec<(f32, f32)> = starts
            .iter()
            .map(|&(track, _)| {
                let t = &self.corpus.tracks[track];
                let value = real_return(&t.reward, t.success, t.terminated, &self.corpus.returns);
                (value, f32::from(u8::from(t.success)))
            })
            .collect();
        let (value, success): (Vec<f32>, Vec<f32>) = recorded.into_iter().unzip();
        let mean = |x: &[f32]| x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len().max(1) as f64;
        let paired = |imagined: &[f32], recorded: &[f32]| {
            let d: Vec<f32> = imagined.iter().zip(recorded).map(|(i, r)| i - r).collect();
            let (mean, ci95) = evaluate::interval(&d, self.config.evaluate.resamples, self.config.seed);
            Difference { mean, ci95 }
        };
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
        let mut notes = vec![
            format!(
                "Imagined numbers: {starts} first observations of held-out episodes, {} steps, {} noise draws each; intervals are bootstrapped over starts and say nothing about errors that the model makes everywhere.",
                self.judge_horizon(),
                self.config.evaluate.samples
            ),
            format!(
                "Return: discounted by {} per step, in units of the reward; a success is worth {} per step for ever.",
                self.corpus.returns.gamma, self.corpus.returns.success_reward
            ),
            "The behaviour is imagined along its own recorded actions, set back onto the recording every few steps; the other policies act closed-loop.".into(),
            "Policies see one observation at a time: what a single picture and state do not show (speed, hidden objects) they cannot use.".into(),
        ];
        if self.corpus.held_out.is_empty() {
            notes.push("There is no held-out episode: everything above was measured on training episodes.".into());
        }
        if self.corpus.success_share(&self.corpus.train) == 0.0 {
            notes.push("No training episode ends in success: success cannot be predicted, only the reward.".into());
        }
        notes
    }
}
