//! What recorded steps alone say of the policies: fitted Q evaluation.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use rand::rngs::StdRng;
use rl::TrackRecord;
use rl::evaluate;
use rl::fqe::{Evaluated, Executes, FqeLearner};
use world_model::Embeddings;

use super::judge::Judged;
use super::outsider::Guest;
use super::variant::{Base, Variant};
use super::workshop::Workshop;
use crate::interrupt;
use crate::progress::Progress;

impl Workshop {
    /// Evaluates one policy from recorded steps, or takes what is known already; `None` where that is switched off, and for the planned
    /// policy, which asks the world model for every action: asking it at every recorded step would take hours.
    ///
    /// # Errors
    /// The policy is not there; Ctrl-C.
    pub fn fit(&mut self, embeddings: &Embeddings, variant: &Variant) -> Result<Option<Evaluated>> {
        let name = variant.to_string();
        if let Some(known) = self.selected.as_ref().and_then(|s| s.fits.get(&s.stands_for(&name))) {
            return Ok(Some(known.clone()));
        }
        let config = self.config.evaluate.fqe;
        if config.updates == 0 || self.corpus.train_home.is_empty() || variant.base == Base::Planned {
            return Ok(None);
        }
        let fitted = self.fit_fresh(embeddings, variant)?;
        if let Some(selected) = &mut self.selected {
            let name = selected.stands_for(&name);
            selected.fits.insert(name, fitted.clone());
        }
        Ok(Some(fitted))
    }

    fn fit_fresh(&self, embeddings: &Embeddings, variant: &Variant) -> Result<Evaluated> {
        let policy = variant.network().map(|name| self.policy(name)).transpose()?;
        let (execute, a) = (self.config.policy.execute.clamp(1, self.config.policy.chunk), self.corpus.action_len);
        let executes = |at: &[(usize, usize)], e: &Tensor<2>, rng: &mut StdRng| match (&policy, variant.base) {
            (Some(policy), _) => self.act(variant, Some(policy), e, rng).narrow(1, 0, execute * a),
            (None, Base::Behaviour | Base::Logged | Base::Hold) => {
                let is_held = variant.base == Base::Hold;
                let mut actions = Vec::new();
                for &(track, t) in at {
                    let (times, t, steps) = if is_held { (execute, 0, 1) } else { (1, t, execute) };
                    (0..times).for_each(|_| self.corpus.action_chunk(track, t, steps, &mut actions));
                }
                Tensor::from_data(TensorData::new(actions, [at.len(), execute * a]), &e.device())
            }
            (None, _) => Tensor::cat((0..execute).map(|_| self.act(variant, None, e, rng)).collect(), 1),
        };
        self.fit_executed(embeddings, &variant.to_string(), (&executes, execute))
    }

    /// Evaluates whatever executes so many actions at recorded steps before it looks again.
    fn fit_executed(
        &self,
        embeddings: &Embeddings,
        name: &str,
        (executes, execute): (Executes<'_>, usize),
    ) -> Result<Evaluated> {
        let (config, seed, device) = (self.config.evaluate.fqe, self.config.seed, &self.device);
        let a = self.corpus.action_len;
        device.seed(seed.wrapping_add(3));
        let critic = config.critic((embeddings.dim, execute * a), &self.corpus.returns, device);
        let (data, shards) = ((&self.corpus, embeddings), self.config.world_model.shards);
        let mut learner = FqeLearner::new(critic, &config, data, (executes, execute), shards, (device, seed));
        let mut progress = Progress::stage("fqe", config.updates as u64, "updates");
        for update in 0..config.updates {
            interrupt::check()?;
            learner.update(update, config.updates);
            progress.set(update as u64 + 1, name);
        }
        progress.finish();
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        Ok(learner.evaluate(&starts))
    }

    /// How wrong fitted Q evaluation was about the held-out episodes as they were recorded; nothing where it was not asked.
    pub fn fit_record(&self, behaviour: Option<&Evaluated>) -> TrackRecord {
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let of = |behaviour: &Evaluated| TrackRecord {
            imagined: behaviour.per_start(),
            recorded: self.recorded_outcomes(&starts).value,
        };
        behaviour.map(of).unwrap_or_default()
    }

    /// The same for a policy from elsewhere that can be asked at recorded steps: a small network or a bundle.
    fn fit_guest(&self, embeddings: &Embeddings, guest: &Guest) -> Result<Option<Evaluated>> {
        let config = self.config.evaluate.fqe;
        if config.updates == 0 || self.corpus.train_home.is_empty() {
            return Ok(None);
        }
        if let Some(network) = guest.network() {
            let executes = |_: &[(usize, usize)], e: &Tensor<2>, _: &mut StdRng| self.network_actions(network, e);
            return self.fit_executed(embeddings, guest.name(), (&executes, network.chunk())).map(Some);
        }
        let Some(own) = guest.bundle() else { return Ok(None) };
        let failed = Mutex::new(None);
        let executes =
            |at: &[(usize, usize)], e: &Tensor<2>, rng: &mut StdRng| match self.own_actions(guest.name(), own, at, rng)
            {
                Ok(actions) => actions,
                Err(why) => {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    Tensor::zeros([at.len(), own.execute() * self.corpus.action_len], &e.device())
                }
            };
        let fitted = self.fit_executed(embeddings, guest.name(), (&executes, own.execute()))?;
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(Some(fitted)), Err)
    }

    /// The same for all policies that were judged: scripted ones and those whose actions are changed only if the run file says so, of
    /// those from elsewhere as [`Self::fit_guest`] says; servers never, because asking them at every recorded step takes too long.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fit_all(&mut self, embeddings: &Embeddings, judged: &mut [Judged], guests: &[Guest]) -> Result<()> {
        for judged in judged {
            let guest = guests.iter().find(|guest| guest.name() == judged.name);
            if let Some(guest) = guest {
                judged.fitted = self.fit_guest(embeddings, guest)?;
            }
            let named = guest.and_then(Guest::variant).cloned();
            let Some(variant) = named.or_else(|| judged.name.parse().ok()) else { continue };
            let is_plain = variant.changes.is_empty() && !variant.is_scripted();
            if is_plain || self.config.evaluate.fqe.changed {
                judged.fitted = self.fit(embeddings, &variant)?;
            }
        }
        Ok(())
    }
}
