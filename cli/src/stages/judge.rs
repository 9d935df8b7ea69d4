//! Judgement: policies in imagination, beside the truth where there is a simulator.

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use policy::FlowPolicy;
use rand::RngExt;
use rand::rngs::StdRng;
use rl::TrackRecord;
use rl::evaluate::{self, Belief, EvaluateConfig, PerStart};
use rl::fqe::Evaluated;
use rl::optimism::Optimism;
use rollouts::score::real_return;
use world_model::agreement::{mean, pearson};
use world_model::foresight::Foresight;
use world_model::quality::QualityConfig;
use world_model::trust::Limits;
use world_model::walk::walk;
use world_model::{Embeddings, WorldModel, noise, quality};

use super::outsider::Guest;
use super::variant::{Base, Variant};
use super::workshop::Workshop;
use crate::interrupt;
use crate::pool::{self, Outcomes, PolicyOutcomes, RunOutcomes};
use crate::progress::Progress;
use crate::report::{WholeEpisodes, WorldModelReport};
use crate::run_dir::write_json_atomic;

/// Starts from which members of the world model are asked alone, where a policy takes long to answer.
pub(super) const FEW_STARTS: usize = 8;

/// Outcome of a named policy in imagination and, where known, in truth.
pub struct Judged {
    /// Name in the report.
    pub name: String,
    /// Imagined, per start.
    pub imagined: PerStart,
    /// Driven, per seed.
    pub truth: Option<Outcomes>,
    /// What recorded steps alone say; `None` where nobody asked them.
    pub fitted: Option<Evaluated>,
    /// Which held-out start each outcome is of, by its position; `None` for one of each in their order.
    pub at: Option<Vec<usize>>,
    /// What a reader should know of how it was imagined.
    pub note: Option<String>,
}

impl Judged {
    /// As imagined from every start.
    pub fn new(name: &str, imagined: PerStart) -> Self {
        Self { name: name.to_owned(), imagined, truth: None, fitted: None, at: None, note: None }
    }

    /// The starts of its outcomes, by position.
    pub fn starts(&self) -> Vec<usize> {
        self.at.clone().unwrap_or_else(|| (0..self.imagined.value.len()).collect())
    }

    /// The outcomes of a policy that was imagined once from every start, at the starts of this one.
    pub fn beside(&self, baseline: &Self) -> PerStart {
        baseline.imagined.only(&self.starts())
    }
}

impl Workshop {
    /// Imagines the named policies, each a [`Variant`], and those from elsewhere.
    ///
    /// # Errors
    /// A policy that is not there; as [`Self::imagine_guest`].
    pub fn imagine_all(
        &self,
        model: &WorldModel,
        embeddings: &Embeddings,
        names: &[String],
        guests: &mut [Guest],
    ) -> Result<Vec<Judged>> {
        let critic = self.recorded_critic().ok();
        let belief = Belief { limits: self.limits(model, embeddings), values: critic.as_ref() };
        let mut config = self.config.evaluate;
        config.horizon = self.judge_horizon();
        let starts = evaluate::starts(&self.corpus, config.starts);
        let mut progress = Progress::stage("evaluate", names.len() as u64, "policies");
        let mut out = Vec::new();
        for name in names {
            interrupt::check()?;
            let imagined = self.imagine_named(model, embeddings, &name.parse()?, belief)?;
            out.push(Judged::new(name, imagined));
            progress.set(out.len() as u64, name);
        }
        progress.finish();
        let world = self.judging(model);
        for guest in guests {
            out.push(self.imagine_guest((&world, embeddings), guest, (&config, belief), &starts)?);
        }
        Ok(out)
    }

    /// Imagines one policy from the held-out starts, also under every member of the world model alone; one that plans, which takes long,
    /// from [`FEW_STARTS`] of them and once each.
    ///
    /// # Errors
    /// It is not there; Ctrl-C.
    pub fn imagine_named(
        &self,
        model: &WorldModel,
        embeddings: &Embeddings,
        variant: &Variant,
        belief: Belief<'_>,
    ) -> Result<PerStart> {
        let config = EvaluateConfig { horizon: self.judge_horizon(), ..self.config.evaluate };
        let model = &self.judging(model);
        let starts = evaluate::starts(&self.corpus, config.starts);
        let together = self.imagine_in((model, model), embeddings, variant, (&config, belief), &starts)?;
        let (alone, few) = match variant.base {
            Base::Planned => (EvaluateConfig { samples: 1, ..config }, &starts[..starts.len().min(FEW_STARTS)]),
            _ => (config, &starts[..]),
        };
        self.among_members(model, together, &mut |member| {
            self.imagine_in((member, model), embeddings, variant, (&alone, belief), few)
        })
    }

    /// The world in which policies are judged: the model, as uncertain as it was found to be.
    pub(super) fn judging(&self, model: &WorldModel) -> WorldModel {
        model.noisy(self.config.evaluate.noise)
    }

    /// A policy's outcomes beside those under each member of the world model alone, where that is wanted.
    ///
    /// # Errors
    /// Those of `imagine`; Ctrl-C.
    pub(super) fn among_members(
        &self,
        model: &WorldModel,
        together: PerStart,
        imagine: &mut dyn FnMut(&WorldModel) -> Result<PerStart>,
    ) -> Result<PerStart> {
        let members = if self.config.evaluate.members { model.members() } else { Vec::new() };
        let alone = members.iter().map(|member| {
            interrupt::check()?;
            imagine(member)
        });
        Ok(together.among(&alone.collect::<Result<Vec<_>>>()?))
    }

    /// Imagines one policy in a `world`; one that plans does so with its own `model`.
    pub(super) fn imagine_in(
        &self,
        (world, model): (&WorldModel, &WorldModel),
        embeddings: &Embeddings,
        variant: &Variant,
        (config, belief): (&EvaluateConfig, Belief<'_>),
        starts: &[(usize, usize)],
    ) -> Result<PerStart> {
        let device = self.inner();
        let (data, random) = ((&self.corpus, embeddings), (self.config.seed, &device));
        if variant.base == Base::Behaviour {
            return Ok(evaluate::imagine_behaviour(world, data, config, belief.limits, starts, random));
        }
        if matches!(variant.base, Base::Hold | Base::Logged) {
            let actions = |track: usize| match variant.base {
                Base::Hold => &self.corpus.tracks[track].action[..self.corpus.action_len],
                _ => &self.corpus.tracks[track].action[..],
            };
            let played: Vec<_> = starts.iter().map(|&(track, t)| ((track, t), actions(track))).collect();
            return Ok(evaluate::imagine_sequences(world, data, (config, belief), &played, random));
        }
        if variant.base == Base::Planned {
            let robot = self.robot(model, embeddings)?;
            let recorded = &self.corpus.action_normaliser;
            let change = |actions: Tensor<2>, rng: &mut StdRng| variant.change(actions, recorded, rng);
            let planned = (&robot.planner(), &change as evaluate::Change<'_>);
            return Ok(evaluate::imagine_planned(world, data, planned, (config, belief), starts, random));
        }
        let policy = variant.network().map(|name| self.policy(name)).transpose()?;
        let act = |e: &Tensor<2>, rng: &mut StdRng| self.act(variant, policy.as_ref(), e, rng);
        let receding = if policy.is_some() { self.config.policy.receding() } else { 1.into() };
        Ok(evaluate::imagine_policy(world, data, (&act, receding), (config, belief), starts, random))
    }

    /// Normalised actions at embeddings `[B, E]`: a chunk `[B, chunk*A]` of a network, else one action `[B, A]`.
    pub fn act(&self, variant: &Variant, policy: Option<&FlowPolicy>, e: &Tensor<2>, rng: &mut StdRng) -> Tensor<2> {
        match (policy, variant.base) {
            (Some(policy), _) => {
                let noise = noise::normal([e.dims()[0], policy.noise_len()], rng, &e.device());
                policy.own(variant.change(policy.act(e.clone(), noise), &self.corpus.action_normaliser, rng))
            }
            (None, Base::Random) => self.random_actions(e.dims()[0], rng, &e.device()),
            (None, Base::Idle) => {
                let own = self.corpus.home_action_len();
                let mut action = vec![0.0; self.corpus.action_len];
                self.corpus.action_normaliser.normalise(&vec![0.0; action.len()], &mut action);
                action[own..].fill(0.0);
                let action = Tensor::<2>::from_data(TensorData::new(action, [1, self.corpus.action_len]), &e.device());
                action.expand([e.dims()[0], self.corpus.action_len])
            }
            (None, _) => Tensor::zeros([e.dims()[0], self.corpus.action_len], &e.device()),
        }
    }

    /// Uniform over the range of the recorded actions, normalised: `[rows, A]`.
    fn random_actions(&self, rows: usize, rng: &mut StdRng, device: &burn::tensor::Device) -> Tensor<2> {
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
        Tensor::from_data(TensorData::new(values, [rows, raw.len()]), device)
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

    /// Held-out episodes along their own actions, from the first observation to the end, beside what was recorded.
    fn whole_episodes(&self, model: &WorldModel, embeddings: &Embeddings) -> WholeEpisodes {
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let longest = starts.iter().map(|&(track, _)| self.corpus.tracks[track].len).max().unwrap_or(1);
        let config = EvaluateConfig { anchor_every: longest + 10, ..self.config.evaluate };
        let (data, seed, device) = ((&self.corpus, embeddings), self.config.seed, self.inner());
        let imagined = evaluate::imagine_behaviour(model, data, &config, Limits::NONE, &starts, (seed, &device));
        let recorded = self.recorded_outcomes(&starts);
        let mean = |x: &[f32]| mean(x.iter().copied());
        WholeEpisodes {
            episodes: starts.len(),
            imagined_return: mean(&imagined.value),
            recorded_return: mean(&recorded.value),
            return_r: pearson(&imagined.value, &recorded.value),
            value: TrackRecord { imagined: imagined.value, recorded: recorded.value },
            success: TrackRecord { imagined: imagined.success, recorded: recorded.success },
        }
    }

    /// What happened in the episodes of the given starts.
    pub fn recorded_outcomes(&self, starts: &[(usize, usize)]) -> Outcomes {
        let tracks = || starts.iter().map(|&(track, _)| &self.corpus.tracks[track]);
        Outcomes {
            value: tracks().map(|t| real_return(&t.reward, t.success, t.terminated, &self.corpus.returns)).collect(),
            success: tracks().map(|t| f32::from(u8::from(t.success))).collect(),
        }
    }

    /// How well the model foresees held-out episodes; `calibration` is told by [`Self::report`].
    pub fn quality(&self, model: &WorldModel, embeddings: &Embeddings) -> WorldModelReport {
        let (config, seed, device) = (&self.config.quality, self.config.seed, self.inner());
        let walks = walk(model, (&self.corpus, embeddings), config, seed, &device);
        let one_step = QualityConfig { horizon: 1, ..*config };
        let next = walk(model, (&self.corpus, embeddings), &one_step, seed, &device);
        let error_by_horizon =
            quality::error_by_horizon(model, (&self.dataset, &self.corpus, embeddings), config, seed, &device);
        let data = (&self.dataset.spec, &self.corpus, embeddings);
        let hints = world_model::hints::hint_errors(model, data, config, seed, &device);
        let world = &self.judging(model);
        let whole_episodes = Some(self.whole_episodes(world, embeddings));
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let data = (&self.corpus, embeddings);
        let optimism = Optimism::of(world, data, &self.config.evaluate, &starts, (seed, &device));
        WorldModelReport {
            error_by_horizon,
            calibration: None,
            optimism,
            whole_episodes,
            hints,
            foresight: Some(Foresight::of(&walks, &next)),
            trust: self.trust(&walks),
        }
    }
}
