//! The stages that train: representation, dynamics, policy, value.

use anyhow::Result;
use policy::flow::LearnFrom;
use policy::{CloneLearner, FlowConfig};
use rl::CriticLearner;
use world_model::dropout::CameraDropout;
use world_model::health::Spread;
use world_model::optimise::Metrics;
use world_model::quality::QualityConfig;
use world_model::train::{DynamicsLearner, RepresentationLearner};
use world_model::trust::{Limits, Trust};
use world_model::walk::{Walk, walk};
use world_model::{Embeddings, WorldModel, quality};

use super::training::{Hands, Judgement, Stage, restore_module, restore_trainee, save_module, save_trainee, train};
use super::workshop::Workshop;

/// The stage, and the name of the policy, that is a clone of all that was recorded where `cloned` is one of a part.
pub(super) const EXPLORER: &str = "explorer";

/// Shares of the training time when a run is planned by minutes.
const SHARES: [(&str, f64); 5] =
    [("representation", 0.30), ("dynamics", 0.25), ("policy", 0.10), ("value", 0.05), ("improve", 0.30)];

impl Workshop {
    /// The budget of one stage out of several; a verb that trains one stage gives it everything.
    pub(super) fn budget(&self, stage: &str, among: &[&str]) -> Option<f64> {
        let share = |name: &str| SHARES.iter().find(|(n, _)| *n == name).map_or(0.0, |s| s.1);
        let total: f64 = among.iter().map(|n| share(n)).sum();
        self.budget_s.map(|b| b * share(stage) / total.max(1e-9))
    }

    /// Observation to embedding.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train_representation(&mut self, among: &[&str]) -> Result<()> {
        let (config, seed) = (self.config.world_model, self.config.seed);
        let representation = self.fresh_model(&self.device)?.representation;
        // Without cameras the embedding is the state: there is nothing to learn.
        let updates = if self.dataset.spec.cameras.is_empty() { 0 } else { config.representation.updates };
        let budget_s = if updates == 0 { None } else { self.budget("representation", among) };
        let stage = Stage {
            name: "representation",
            updates,
            budget_s,
            learning_rate_key: "world_model.representation.learning_rate",
        };
        // A stage that is complete is only restored.
        let features = if self.run.is_complete("representation") { None } else { self.features()? };
        let data = (&self.dataset, &self.corpus, features.as_ref());
        let mut learner = RepresentationLearner::with_features(representation, &config, data, &self.device, seed);
        train(
            &mut self.run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |l, _| {
                    let spreads = l.spreads();
                    let least = spreads.iter().map(|s| s.embedding as f32).reduce(f32::min);
                    Judgement {
                        metrics: least
                            .map(|spread| ("embedding_spread", spread))
                            .into_iter()
                            .chain(l.held_out_hint().map(|error| ("held_out_hint", error)))
                            .collect(),
                        warnings: spreads.iter().filter_map(Spread::warning).collect(),
                    }
                },
                judge_every: 500,
                pace: &|l, pace| l.trainee.pace = pace,
                save: &|l, dir| save_trainee(&l.trainee, dir, "representation"),
                restore: &|l, dir| restore_trainee(&mut l.trainee, dir, "representation"),
            },
        )
    }

    /// Which cameras go missing while learning, if any.
    fn camera_dropout(&self) -> Result<Option<CameraDropout>> {
        let share = self.config.world_model.camera_dropout;
        if share <= 0.0 || self.dataset.spec.cameras.len() < 2 {
            return Ok(None);
        }
        let encoder = self.representation()?.encoder;
        Ok(CameraDropout::new(
            share,
            (&encoder, self.vit.as_ref()),
            &self.camera_sizes(),
            self.corpus.state_len,
            &self.inner(),
        ))
    }

    /// How the embedding goes on.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train_dynamics(&mut self, embeddings: &Embeddings, among: &[&str]) -> Result<()> {
        let (config, seed) = (self.config.training().world_model, self.config.seed);
        let dynamics = self.fresh_model(&self.device)?.dynamics;
        let stage = Stage {
            name: "dynamics",
            updates: config.updates,
            budget_s: self.budget("dynamics", among),
            learning_rate_key: "world_model.learning_rate",
        };
        let mut learner = DynamicsLearner::new(dynamics, &config, (&self.corpus, embeddings), &self.device, seed)
            .with_dropout(self.camera_dropout()?);
        if let Some(dir) = self.inherited("dynamics") {
            restore_trainee(&mut learner.trainee, &dir, "dynamics")?;
        }
        train(
            &mut self.run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |l, _| {
                    l.elect();
                    let losses = l.held_out().unwrap_or_default();
                    let reactions = l.reactions();
                    let mut metrics: Metrics = losses.into_iter().map(|(name, v)| (held_out_name(name), v)).collect();
                    metrics.extend(reactions.metrics());
                    Judgement { metrics, warnings: reactions.warnings() }
                },
                judge_every: 500,
                pace: &|l, pace| l.trainee.pace = pace,
                save: &|l, dir| save_trainee(&l.trainee, dir, "dynamics"),
                restore: &|l, dir| restore_trainee(&mut l.trainee, dir, "dynamics"),
            },
        )
    }

    /// Behaviour cloning.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train_policy(&mut self, embeddings: &Embeddings, among: &[&str]) -> Result<()> {
        self.clone_recorded("policy", self.config.training().policy, embeddings, among)
    }

    /// A clone of all that was recorded, where the policy learns from a part: futures to compare with are drawn from everything that the robot
    /// has ever done.
    pub(super) fn train_explorer(&mut self, embeddings: &Embeddings, among: &[&str]) -> Result<()> {
        if !self.needs_explorer() || self.run.is_complete("improve") {
            return Ok(());
        }
        let config = FlowConfig { learn_from: LearnFrom::All, ..self.config.training().policy };
        self.clone_recorded(EXPLORER, config, embeddings, among)
    }

    fn needs_explorer(&self) -> bool {
        self.config.policy.learn_from != LearnFrom::All && self.config.improve.method.imagines()
    }

    fn clone_recorded(
        &mut self,
        name: &'static str,
        config: FlowConfig,
        embeddings: &Embeddings,
        among: &[&str],
    ) -> Result<()> {
        let (seed, shards) = (self.config.seed, self.config.world_model.shards);
        let policy = self.fresh_policy(&self.device);
        let stage = Stage {
            name,
            updates: config.updates,
            // Where `improve` is among the stages, two clones share it.
            budget_s: self
                .budget("policy", among)
                .map(|budget| if self.needs_explorer() && among.contains(&"improve") { budget / 2.0 } else { budget }),
            learning_rate_key: "policy.learning_rate",
        };
        let mut learner = CloneLearner::new(policy, &config, (&self.corpus, embeddings), shards, &self.device, seed)
            .with_dropout(self.camera_dropout()?);
        if let Some(dir) = self.inherited(name) {
            restore_trainee(&mut learner.trainee, &dir, "policy")?;
        }
        train(
            &mut self.run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |l, i| {
                    let held_out: Metrics = l.held_out(i).map(|v| ("held_out_loss", v)).into_iter().collect();
                    Judgement { metrics: held_out, warnings: l.warning().into_iter().collect() }
                },
                judge_every: 1000,
                pace: &|l, pace| l.trainee.pace = pace,
                save: &|l, dir| save_trainee(&l.trainee, dir, "policy"),
                restore: &|l, dir| restore_trainee(&mut l.trainee, dir, "policy"),
            },
        )
    }

    /// Values of the recorded behaviour.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train_value(&mut self, embeddings: &Embeddings, among: &[&str]) -> Result<()> {
        let (config, seed, shards) = (self.config.training().value, self.config.seed, self.config.world_model.shards);
        let critic = self.fresh_critic(&self.device);
        let stage = Stage {
            name: "value",
            updates: config.updates,
            budget_s: self.budget("value", among),
            learning_rate_key: "value.learning_rate",
        };
        let mut learner = CriticLearner::new(critic, &config, (&self.corpus, embeddings), shards, &self.device, seed);
        if let Some(dir) = self.inherited("value") {
            restore_trainee(&mut learner.trainee, &dir, "critic")?;
            learner.slow = restore_module(learner.slow, &dir, "slow")?;
        }
        train(
            &mut self.run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |_, _| Judgement::default(),
                judge_every: 1000,
                pace: &|l, pace| l.trainee.pace = pace,
                save: &|l, dir| {
                    save_trainee(&l.trainee, dir, "critic")?;
                    save_module(&l.slow, dir, "slow")
                },
                restore: &|l, dir| {
                    restore_trainee(&mut l.trainee, dir, "critic")?;
                    l.slow = restore_module(l.slow.clone(), dir, "slow")?;
                    Ok(())
                },
            },
        )
    }

    /// 95th percentile of disagreement on held-out data: beyond it the model is guessing.
    pub fn disagreement_limit(&self, model: &WorldModel, embeddings: &Embeddings) -> f32 {
        let (config, seed, device) = (&self.config.quality, self.config.seed, self.inner());
        quality::held_out_disagreement(model, (&self.corpus, embeddings), config, seed, &device)
    }

    /// How far the model may be believed, from walks along held-out episodes; training episodes can promise nothing.
    pub fn trust(&self, walks: &[Walk]) -> Option<Trust> {
        let QualityConfig { tolerance, confidence, .. } = self.config.quality;
        if self.corpus.held_out.is_empty() { None } else { Trust::of(walks, tolerance, confidence) }
    }

    /// Where the model stops being believed, measured on held-out data.
    pub fn limits(&self, model: &WorldModel, embeddings: &Embeddings) -> Limits {
        let (config, seed, device) = (&self.config.quality, self.config.seed, self.inner());
        let trust = self.trust(&walk(model, (&self.corpus, embeddings), config, seed, &device));
        Limits {
            disagreement_95: self.disagreement_limit(model, embeddings),
            doubt_budget: trust.map_or(f32::INFINITY, |t| t.budget as f32),
        }
    }

    /// Steps to imagine when judging: configured, or the longest episode of home's robot, at most 300.
    pub fn judge_horizon(&self) -> usize {
        match self.config.evaluate.horizon {
            0 => self.corpus.own_tracks().map(|t| self.corpus.tracks[t].len).max().unwrap_or(1).min(300),
            horizon => horizon,
        }
    }
}

/// Names of the held-out metrics; static, as metrics are.
fn held_out_name(name: &'static str) -> &'static str {
    match name {
        "loss" => "held_out_loss",
        "one_step" => "held_out_one_step",
        "many_step" => "held_out_many_step",
        "kl" => "held_out_kl",
        "guess" => "held_out_guess",
        "nll" => "held_out_nll",
        "reward" => "held_out_reward",
        "success" => "held_out_success",
        "failure" => "held_out_failure",
        other => other,
    }
}
