//! The truth beside imagination: policies driven in the embedded simulator.

use std::time::Instant;

use anyhow::Result;
use policy::{Bundle, Memory};
use rayon::prelude::*;
use rollouts::score::real_return;
use world_model::{Embeddings, WorldModel, noise};

use super::judge::Judged;
use super::variant::{Base, Variant};
use super::workshop::Workshop;
use crate::interrupt;
use crate::pool::Outcomes;
use crate::progress::Progress;

impl Workshop {
    /// Drives every policy in the true simulator: the same episode seeds for each. Only `demo` may ask.
    ///
    /// # Errors
    /// A policy that is not there; Ctrl-C.
    pub fn drive_all(&self, model: &WorldModel, embeddings: &Embeddings, judged: &mut [Judged]) -> Result<()> {
        let (sim_config, episodes) = (&self.config.demo.sim, self.config.demo.truth_episodes);
        let mut progress = Progress::stage("truth", (episodes * judged.len()) as u64, "episodes");
        // Truth seeds lie far from those of the recorded episodes.
        let seeds: Vec<u64> =
            (0..episodes as u64).map(|i| sim::episode_seed(self.config.seed ^ 0x7275_7468, i)).collect();
        let (mut done, normaliser) = (0, &self.corpus.action_normaliser);
        for judged in judged.iter_mut() {
            let variant: Variant = judged.name.parse()?;
            let policy = variant.network().map(|name| self.policy(name)).transpose()?;
            let robot = match variant.base {
                Base::Planned => Some(self.robot(model, embeddings)?),
                _ => None,
            };
            let mut truth = Outcomes::default();
            for part in seeds.chunks(20) {
                interrupt::check()?;
                let outcomes: Vec<(Vec<f32>, bool)> = part
                    .par_iter()
                    .map(|&seed| {
                        let mut rng = noise::generator(seed, "truth", 0);
                        match (variant.base, &policy) {
                            (Base::Behaviour | Base::Logged, _) => {
                                let recorded = sim::record(
                                    sim_config,
                                    seed,
                                    &mut sim::Demonstrator::of(sim_config.recording, seed),
                                );
                                let e = recorded.episode;
                                let success = e.succeeded().unwrap_or(false);
                                (e.reward.unwrap_or_default(), success)
                            }
                            (_, Some(policy)) => {
                                let bundle = Bundle::new(
                                    self.bundle_spec(),
                                    model.representation.encoder.clone(),
                                    policy.clone(),
                                    &self.inner(),
                                )
                                .seeing(self.vit.clone());
                                let (mut memory, mut now) = (Memory::default(), Instant::now());
                                let result = sim::run_policy(sim_config, seed, &mut |state, image| {
                                    let seen: (&[&[u8]], &[f32], _) = (&[image], state, None);
                                    // The simulator's observations always fit the spec they were recorded with.
                                    let actions =
                                        bundle.act_after(&mut memory, seen, &mut rng, now).unwrap_or_default();
                                    now += self.chunk_time();
                                    let actions = variant.changed(actions, (normaliser, 2), (&mut rng, &self.inner()));
                                    actions.chunks_exact(2).map(|a| [a[0], a[1]]).collect()
                                });
                                (result.rewards, result.success)
                            }
                            (Base::Planned, None) => {
                                let mut memory = None;
                                let result = sim::run_policy(sim_config, seed, &mut |state, image| {
                                    let acted =
                                        robot.as_ref().map(|r| r.act(&mut memory, (&[image], state, None), &mut rng));
                                    let actions = acted.and_then(Result::ok).unwrap_or_default();
                                    let actions = variant.changed(actions, (normaliser, 2), (&mut rng, &self.inner()));
                                    actions.chunks_exact(2).map(|a| [a[0], a[1]]).collect()
                                });
                                (result.rewards, result.success)
                            }
                            (base, None) => {
                                let n = &self.corpus.action_normaliser;
                                let first = (base == Base::Hold).then(|| {
                                    let mut demonstrator = sim::Demonstrator::of(sim_config.recording, seed);
                                    sim::record(sim_config, seed, &mut demonstrator).episode.action
                                });
                                let result = sim::run_policy(sim_config, seed, &mut |_, _| {
                                    vec![[0, 1].map(|i| match base {
                                        Base::Hold => first.as_ref().map_or(0.0, |action| action[i]),
                                        rule => rule.ruled(n, i, &mut rng),
                                    })]
                                });
                                (result.rewards, result.success)
                            }
                        }
                    })
                    .collect();
                for (mut rewards, success) in outcomes {
                    rewards.iter_mut().for_each(|r| *r = self.corpus.rule.reward_of_step(*r));
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
}
