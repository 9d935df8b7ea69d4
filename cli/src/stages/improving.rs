//! The stage that improves: copies of what goes in learn one after the other, each with other coefficients, and the best judged one of them all
//! is kept.

use std::path::Path;

use anyhow::Result;
use policy::FlowPolicy;
use rl::evaluate;
use rl::improve::Prior;
use world_model::optimise::Metrics;
use world_model::{Embeddings, WorldModel};

use super::choosing::Judging;
use super::improver::{Improver, restore_policy, save_policy};
use super::learn::EXPLORER;
use super::training::{Hands, Stage, restore_module, train};
use super::variant::LAST;
use super::workshop::Workshop;
use crate::config::RunConfig;
use crate::errors::UsageError;
use crate::report::Chosen;
use crate::run_dir::{write_atomic, write_json_atomic};

/// Files in a checkpoint of the stage.
const GAIN: &str = "gain";
const COPY: &str = "copy";
const CHOSEN: &str = "chosen.json";
/// The learner of the chosen copy, where another one learns.
const CHOSEN_LEARNER: &str = "chosen";

impl Workshop {
    /// Improvement by the configured method; keeps the copy that its offline judgements say is best.
    ///
    /// # Errors
    /// As [`train`].
    pub fn improve(&mut self, embeddings: &Embeddings, among: &[&str]) -> Result<()> {
        if !self.run.is_complete("improve") {
            // What was decided of an earlier copy says nothing of the one to come.
            self.selected = None;
        }
        self.train_explorer(embeddings, among)?;
        let config = self.config.training();
        let inner = self.inner();
        let model = self.model()?;
        let clone = self.policy("cloned")?;
        let explorer = if self.run.is_complete(EXPLORER) { self.policy(EXPLORER)? } else { clone.clone() };
        let value_dir = self.run.last_checkpoint("value")?.map(|c| c.dir);
        let limits = self.limits(&model, embeddings);
        // The actor starts as the clone, the critic as the behaviour's values.
        let policy_dir = self.run.last_checkpoint("policy")?.map(|c| c.dir);
        let mut actor = self.fresh_policy(&self.device);
        let mut critic = self.fresh_critic(&self.device);
        if let (Some(policy), Some(value)) = (&policy_dir, &value_dir) {
            actor = restore_module(actor, policy, "policy")?;
            critic = restore_module(critic, value, "critic")?;
        }
        // In a run that goes on from another one what goes in is the policy improved there, with its values.
        let inherited = self.inherited("improve");
        let incoming = match &inherited {
            Some(dir) => {
                actor = restore_policy(actor, dir, "best", &self.corpus)?;
                self.policy("previous")?
            }
            None => clone.clone(),
        };
        let stage = Stage {
            name: "improve",
            updates: config.improve.planned(),
            budget_s: self.budget("improve", among),
            learning_rate_key: config.improve.learning_rate_key(),
        };
        let judging =
            // Not the held-out starts: by these it is judged whether what was chosen is any better.
            Judging { starts: evaluate::choosing_starts(&self.corpus, config.evaluate.starts), horizon: self.judge_horizon() };
        // In the world in which what was chosen is judged.
        let world: WorldModel = self.judging(&model);
        let base = judging.judge(self, &world, embeddings, &incoming, limits);
        let Workshop { run, corpus, device, .. } = self;
        let corpus = &*corpus;
        let fresh = |copy: usize| -> Result<Improver<'_>> {
            let config = RunConfig { improve: config.improve.of_copy(copy), ..config.clone() };
            let prior = Prior { model: &model, clone: &explorer, limits };
            let from = (actor.clone(), critic.clone());
            let mut learner = Improver::new(from, prior, (corpus, embeddings), &config, device);
            inherited.as_ref().map_or(Ok(()), |dir| learner.inherit_values(dir))?;
            Ok(learner)
        };
        let learners = (0..config.improve.copies.max(1)).map(&fresh).collect::<Result<Vec<_>>>()?;
        let mut state = Copies { learners, at: 0, done: 0, is_over: false, best: incoming, gain: 0.0, chosen: None };
        train(
            run,
            &stage,
            &mut state,
            Hands {
                update: &mut |s, i, n| s.update(i, n),
                judge: &mut |s, _| {
                    let actor = s.learners[s.at].actor();
                    let judged = judging.outcome(&world, (corpus, embeddings), &actor, &config, limits, &inner);
                    let gains: Vec<f32> = judged.value.iter().zip(&base.value).map(|(a, b)| a - b).collect();
                    let (mean, [low, _]) = evaluate::interval(&gains, 500, config.seed);
                    let unsupported = evaluate::unsupported_share(&judged);
                    // The lower bound, not the mean, and on known ground: a copy must be better for sure to be preferred.
                    if low as f32 > s.gain && unsupported <= evaluate::MOST_UNSUPPORTED {
                        s.prefer(actor, low as f32, &config);
                    }
                    let success = judged.success.iter().sum::<f32>() / judged.success.len().max(1) as f32;
                    let mut said = vec![
                        ("imagined_success", success),
                        ("imagined_gain", mean as f32),
                        ("imagined_gain_low", low as f32),
                        ("unsupported", unsupported as f32),
                    ];
                    if s.learners.len() > 1 {
                        said.push(("copy", s.at as f32 + 1.0));
                    }
                    said.into()
                },
                judge_every: config.improve.judged_every(),
                pace: &|s, pace| s.learners.iter_mut().for_each(|learner| learner.pace(pace)),
                save: &|s, dir| {
                    let kept = s.kept();
                    s.learners[kept].save(dir)?;
                    if let Some(chosen) = s.chosen.as_ref().filter(|chosen| chosen.copy != kept) {
                        let dir = dir.join(CHOSEN_LEARNER);
                        std::fs::create_dir_all(&dir)?;
                        s.learners[chosen.copy].save(&dir)?;
                    }
                    save_policy(&s.best, dir, "best")?;
                    save_policy(&s.learners[kept].actor(), dir, LAST)?;
                    s.chosen.as_ref().map_or(Ok(()), |chosen| write_json_atomic(&dir.join(CHOSEN), chosen))?;
                    write_atomic(&dir.join(COPY), kept.to_string().as_bytes())?;
                    write_atomic(&dir.join(GAIN), s.gain.to_string().as_bytes())
                },
                restore: &|s, dir| {
                    // Of a run of before there is one copy.
                    let copy = std::fs::read_to_string(dir.join(COPY)).map_or(Ok(0), |copy| copy.trim().parse())?;
                    // Training that goes back over the beginning of a copy begins it anew.
                    for later in copy + 1..s.learners.len() {
                        s.learners[later] = fresh(later)?;
                    }
                    s.at = copy;
                    s.learners[copy].restore(dir)?;
                    s.best = restore_policy(s.best.clone(), dir, "best", corpus)?;
                    s.gain = std::fs::read_to_string(dir.join(GAIN))?.trim().parse()?;
                    s.chosen = chosen_in(dir);
                    match s.chosen.as_ref().filter(|chosen| chosen.copy != copy && dir.join(CHOSEN_LEARNER).exists()) {
                        Some(chosen) => s.learners[chosen.copy].restore(&dir.join(CHOSEN_LEARNER)),
                        None => Ok(()),
                    }
                },
            },
        )
    }

    /// Whether the copy after the last update is there: runs of before did not keep it.
    ///
    /// # Errors
    /// The run directory cannot be read.
    pub(super) fn keeps_last_copy(&self) -> Result<bool> {
        Ok(self.run.last_checkpoint("improve")?.is_some_and(|last| last.dir.join(format!("{LAST}.json")).exists()))
    }

    /// That copy, read into a `fresh` policy from the stage's checkpoint in `dir`.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn last_copy(&self, fresh: FlowPolicy, dir: &Path) -> Result<FlowPolicy> {
        if !self.keeps_last_copy()? {
            return Err(UsageError(format!(
                "{}: an earlier rehearsal improved it, which did not keep the copy after the last update; expected one of cloned, improved, \
                 candidate",
                self.run.root().display()
            ))
            .into());
        }
        restore_policy(fresh, dir, LAST, &self.corpus)
    }

    /// Which copy was chosen; `None` where none was.
    ///
    /// # Errors
    /// The run directory cannot be read.
    pub(super) fn chosen_copy(&self) -> Result<Option<Chosen>> {
        Ok(self.run.last_checkpoint("improve")?.and_then(|checkpoint| chosen_in(&checkpoint.dir)))
    }
}

/// The learners, and the best copy so far; without evidence that is what went in: the clone itself, or the policy improved before.
struct Copies<'a> {
    learners: Vec<Improver<'a>>,
    /// The one that learns.
    at: usize,
    /// Its updates.
    done: usize,
    /// Whether the last one of all has been made.
    is_over: bool,
    best: FlowPolicy,
    gain: f32,
    chosen: Option<Chosen>,
}

impl Copies<'_> {
    /// Update number `i` of `n` of all copies together: each gets as many, the last one what is left.
    fn update(&mut self, i: usize, n: usize) -> Metrics {
        let (at, own, updates) = share(i, n, self.learners.len());
        (self.at, self.done, self.is_over) = (at, own + 1, i + 1 == n);
        self.learners[at].update(own, updates)
    }

    fn prefer(&mut self, actor: FlowPolicy, gain: f32, config: &RunConfig) {
        let coefficients = config.improve.of_copy(self.at).coefficients();
        self.chosen = Some(Chosen {
            copy: self.at,
            copies: self.learners.len(),
            update: self.done,
            coefficients: coefficients.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        });
        (self.best, self.gain) = (actor, gain);
    }

    /// The learner that a checkpoint holds: the one that learns, and at the end the one whose copy was chosen, for its values are what
    /// planning and the next improvement go on with.
    fn kept(&self) -> usize {
        if self.is_over { self.chosen.as_ref().map_or(0, |chosen| chosen.copy) } else { self.at }
    }
}

/// What is known of the choice in a checkpoint of the stage: nothing where no copy was better beyond doubt, or of a run of before.
fn chosen_in(checkpoint: &Path) -> Option<Chosen> {
    serde_json::from_slice(&std::fs::read(checkpoint.join(CHOSEN)).ok()?).ok()
}

/// Update `i` of `n` among `copies`: whose it is, which of its own, and how many it has.
fn share(i: usize, n: usize, copies: usize) -> (usize, usize, usize) {
    let each = (n / copies).max(1);
    let at = (i / each).min(copies - 1);
    let own = if at + 1 == copies { n - at * each } else { each };
    (at, i - at * each, own)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn every_copy_has_its_updates_and_the_last_what_is_left() {
        assert_eq!(share(7, 10, 1), (0, 7, 10));
        let all: Vec<_> = (0..7).map(|i| share(i, 7, 3)).collect();
        assert_eq!(all, [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2), (2, 0, 3), (2, 1, 3), (2, 2, 3)]);
        // Fewer updates than copies, and a plan that is still to be made.
        assert_eq!(share(1, 2, 3), (1, 0, 1));
        assert_eq!(share(39, usize::MAX, 3).0, 0);
    }
}
