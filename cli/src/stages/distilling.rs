//! `rehearsal distil`: of the policy that `improve` returned a copy that answers in one pass of its network, or of planning a network in its
//! place; in the bundle, and compared.

mod plans;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use policy::{Acting, DistilConfig, DistilLearner, FlowPolicy};
use rl::chunk_critic::action_range;
use rl::evaluate::PerStart;
use serde::Serialize;
use world_model::agreement::mean;
use world_model::optimise::Metrics;
use world_model::{Embeddings, WorldModel, noise};

pub use plans::DISTILLED_PLAN;

use super::improver::save_policy;
use super::reopen;
use super::training::{Hands, Stage, restore_trainee, save_trainee, train};
use super::variant::{Base, Variant};
use super::workshop::Workshop;
use crate::args::{Common, Teacher};
use crate::errors::UsageError;
use crate::output;
use crate::report::{Difference, between};

/// The policy's name in a run and in its bundle, which is that of the stage, too.
pub const DISTILLED: &str = "distilled";

/// Held-out observations by which the two are compared, and times that each is asked for its pace.
const COMPARED: usize = 1024;
const TIMED: usize = 201;

/// What became of it.
#[derive(Clone, Debug, Serialize)]
struct Distilled {
    /// Passes of the network for one answer, before.
    passes_before: usize,
    /// Milliseconds an answer takes, medians, before and after: of the policy alone, on this machine.
    answer_ms: [f64; 2],
    /// Root mean square difference of actions on held-out episodes, in standard deviations of the recorded ones.
    held_out_difference: Option<f32>,
    /// Mean imagined return, before and after.
    imagined_return: [f64; 2],
    /// After less before, paired.
    difference: Difference,
}

/// Teaches a quick copy what the policy that `improve` returned does, or what planning does, writes it into the run's bundle, and compares them.
///
/// # Errors
/// A run without that policy, or one that answers in one pass already; Ctrl-C.
pub fn distil(dir: &Path, policy: Teacher, common: &Common) -> Result<()> {
    let mut w = reopen(dir, common)?;
    let embeddings = w.embeddings()?;
    let model = w.model()?;
    if w.selected.is_none() {
        let quality = w.quality(&model, &embeddings);
        w.select(&model, &embeddings, &quality)?;
        w.save_selected()?;
    }
    if policy == Teacher::Planned {
        return plans::distil(w, &model, &embeddings, common.json);
    }
    let teacher = w.policy("improved")?;
    let passes_before = match teacher.acting() {
        Acting::Flow { steps } | Acting::Guided { steps, .. } if steps > 1 => steps,
        _ => {
            let words = format!(
                "the improved policy of {} answers in one pass already: there is nothing to distil",
                dir.display()
            );
            return Err(UsageError(words).into());
        }
    };
    let held_out_difference = w.train_distilled(&teacher, &embeddings)?;
    w.write_bundle(&model, &embeddings)?;
    w.run.finish()?;
    let student = w.policy(DISTILLED)?;
    let found = w.compared((&model, &embeddings), (&teacher, &student), (passes_before, held_out_difference))?;
    tell(&w, &found, &found.in_words(), (DISTILLED, common.json))
}

/// Answers with what was found of the copy `name`, and where it is.
fn tell(w: &Workshop, found: &impl Serialize, words: &str, (name, as_json): (&str, bool)) -> Result<()> {
    if as_json {
        return output::answer_json(found);
    }
    output::answer(words);
    let (bundle, root) = (w.run.path("bundle"), w.run.root());
    output::tell(&format!("bundle     {}  (rehearsal serve {} --policy {name})", bundle.display(), root.display()));
    Ok(())
}

/// Median time in milliseconds of doing something so many times, after once that does not count.
fn median_ms(times: usize, work: &mut dyn FnMut()) -> f64 {
    work();
    let mut taken: Vec<f64> = (0..times)
        .map(|_| {
            let since = Instant::now();
            work();
            1e3 * since.elapsed().as_secs_f64()
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    taken[times / 2]
}

impl Workshop {
    /// The stage; how far the two differ on held-out episodes.
    fn train_distilled(&mut self, teacher: &FlowPolicy, embeddings: &Embeddings) -> Result<Option<f32>> {
        let (config, seed, shards) = (self.config.distil, self.config.seed, self.config.world_model.shards);
        let DistilConfig { updates, .. } = config;
        // A guided network is larger than one that takes no advice: its pupil begins as the clone.
        let beginning = if matches!(teacher.acting(), Acting::Guided { .. }) { "cloned" } else { "improved" };
        // One that answers in one pass is kept within what was recorded, as one that climbed a critic is: nothing else holds it there.
        let student = self.policy_on(beginning, &self.device)?.within(action_range(&self.corpus));
        let stage =
            Stage { name: DISTILLED, updates, budget_s: self.budget_s, learning_rate_key: "distil.learning_rate" };
        let device = self.device.clone();
        let Self { run, corpus, .. } = self;
        let both = (student, teacher.clone());
        let mut learner = DistilLearner::new(both, (corpus, embeddings), &config, shards, (&device, seed));
        train(
            run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |l, _| {
                    let difference = l.held_out(COMPARED).map(|v| ("held_out_difference", v));
                    difference.into_iter().collect::<Metrics>().into()
                },
                judge_every: 1000,
                pace: &|l, pace| l.student.pace = pace,
                save: &|l, dir| {
                    save_trainee(&l.student, dir, "student")?;
                    save_policy(&l.student.frozen(), dir, DISTILLED)
                },
                restore: &|l, dir| restore_trainee(&mut l.student, dir, "student"),
            },
        )?;
        Ok(learner.held_out(COMPARED))
    }

    fn compared(
        &self,
        (model, embeddings): (&WorldModel, &Embeddings),
        policies: (&FlowPolicy, &FlowPolicy),
        (passes_before, held_out_difference): (usize, Option<f32>),
    ) -> Result<Distilled> {
        let limits = self.limits(model, embeddings);
        let imagine = |base| {
            let plain = Variant { base, changes: Vec::new() };
            self.imagine_named(model, embeddings, &plain, limits.into())
        };
        let (before, after): (PerStart, PerStart) = (imagine(Base::Improved)?, imagine(Base::Distilled)?);
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let of = |outcome: &PerStart| mean(outcome.value.iter().copied());
        Ok(Distilled {
            passes_before,
            answer_ms: [policies.0, policies.1].map(|policy| self.answer_ms(policy)),
            held_out_difference,
            imagined_return: [of(&before), of(&after)],
            difference: Difference::of(after.returns(), before.returns(), None, resamples, seed),
        })
    }

    /// Median time of an answer to one observation.
    fn answer_ms(&self, policy: &FlowPolicy) -> f64 {
        let (device, mut rng) = (self.inner(), noise::generator(0, "pace", 0));
        median_ms(TIMED, &mut || {
            let e = noise::normal([1, self.embedding_len()], &mut rng, &device);
            let noise = noise::normal([1, policy.noise_len()], &mut rng, &device);
            world_model::vision::floats(policy.act(e, noise));
        })
    }
}

impl Distilled {
    fn in_words(&self) -> String {
        let Self {
            passes_before,
            answer_ms: [slow, quick],
            held_out_difference,
            imagined_return: [before, after],
            difference,
        } = self;
        let apart = held_out_difference.map_or_else(String::new, |d| {
            format!("           on held-out episodes its actions are {d:.3} standard deviations of the recorded ones away (root mean square)\n")
        });
        format!(
            "distilled  one pass in the place of {passes_before}: {quick:.3} ms an answer in the place of {slow:.3} (the policy alone, here)\n{apart}           \
             imagined return {after:.3} in the place of {before:.3}: {:+.4} {}",
            difference.mean,
            between(difference.ci95, |x| format!("{x:+.4}"))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_it_in_words() {
        let found = Distilled {
            passes_before: 6,
            answer_ms: [0.07, 0.021],
            held_out_difference: Some(0.042),
            imagined_return: [0.8, 0.79],
            difference: Difference { mean: -0.01, ci95: [-0.02, 0.005] },
        };
        assert_eq!(
            found.in_words(),
            "distilled  one pass in the place of 6: 0.021 ms an answer in the place of 0.070 (the policy alone, here)\n           \
             on held-out episodes its actions are 0.042 standard deviations of the recorded ones away (root mean square)\n           \
             imagined return 0.790 in the place of 0.800: -0.0100 [-0.0200, +0.0050]"
        );
        let alone = Distilled { held_out_difference: None, ..found };
        assert_eq!(alone.in_words().lines().count(), 2);
    }
}
