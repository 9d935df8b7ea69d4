//! `rehearsal distil RUN --policy planned`: of planning at run time, a network that answers at once.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use rl::chunk_critic::action_range;
use rl::evaluate::{self, EvaluateConfig, PerStart};
use rl::plan_distil::{Classroom, Lessons, PlanDistilLearner};
use serde::Serialize;
use world_model::agreement::mean;
use world_model::{Embeddings, Latent, WorldModel, noise};

use super::super::choosing::Judging;
use super::super::improver::save_policy;
use super::super::planning::{PLANNED, Robot};
use super::super::training::{Hands, Stage, restore_trainee, save_trainee, train};
use super::super::variant::{Base, Variant};
use super::super::workshop::{Workshop, read_rows, write_rows};
use super::{median_ms, tell};
use crate::interrupt;
use crate::progress::Progress;
use crate::report::{Difference, between};

/// The policy's name in a run and in its bundle, which is that of the stage, too.
pub const DISTILLED_PLAN: &str = "distilled_plan";

/// Times that the copy is looked at on the way, the last one included.
const LOOKS: usize = 6;

/// Plans that are timed.
const TIMED: usize = 10;

/// What became of it; of the cloned policy, of planning and of the copy in this order.
#[derive(Clone, Debug, Serialize)]
struct Distilled {
    /// Lessons that were learned from.
    lessons: usize,
    /// Milliseconds an answer takes, medians, planning and the copy: on this machine, without reading pictures.
    answer_ms: [f64; 2],
    /// Mean imagined return from the held-out starts.
    imagined_return: [f64; 3],
    /// Imagined share of successes.
    imagined_success: [f64; 3],
    /// Return of the copy less that of planning, paired.
    of_planning: Difference,
    /// Return of the copy less that of the cloned policy, paired.
    of_clone: Difference,
}

/// Teaches a copy of the clone what planning finds, writes it into the run's bundle, and compares the three.
///
/// # Errors
/// Policy or values are not trained; Ctrl-C.
pub fn distil(mut w: Workshop, model: &WorldModel, embeddings: &Embeddings, as_json: bool) -> Result<()> {
    let lessons = w.learn_from_plans(model, embeddings)?;
    w.write_bundle(model, embeddings)?;
    w.run.finish()?;
    let found = w.beside_planning(model, embeddings, lessons)?;
    tell(&w, &found, &found.in_words(), (DISTILLED_PLAN, as_json))
}

impl Workshop {
    /// The stage; how many lessons there were.
    fn learn_from_plans(&mut self, model: &WorldModel, embeddings: &Embeddings) -> Result<usize> {
        let (config, seed, shards) = (self.config.distil_plan, self.config.seed, self.config.world_model.shards);
        let stage = Stage {
            name: DISTILLED_PLAN,
            updates: config.updates,
            // Most of its time goes into the rounds of episodes, which updates at the beginning do not tell.
            budget_s: None,
            learning_rate_key: "distil_plan.learning_rate",
        };
        let robot = self.robot(model, embeddings)?;
        let (world, limits, device) = (self.judging(model), self.limits(model, embeddings), self.device.clone());
        let student = self.policy_on("cloned", &device)?.within(action_range(&self.corpus));
        // Training episodes' starts: the held-out ones have no say while it learns.
        let starts = evaluate::choosing_starts(&self.corpus, self.config.evaluate.starts);
        let (judging, inner) = (Judging { starts, horizon: self.judge_horizon() }, self.inner());
        let Self { run, corpus, config: all, .. } = self;
        let data = (&*corpus, embeddings);
        let room = Classroom { world: &world, planner: robot.planner(), data, context: all.improve.context };
        let mut learner = PlanDistilLearner::new(student, room, &config, shards, (&device, seed));
        train(
            run,
            &stage,
            &mut learner,
            Hands {
                update: &mut |l, i, n| l.update(i, n),
                judge: &mut |l, _| {
                    let outcome = judging.outcome(&world, data, &l.student.frozen(), all, limits, &inner);
                    let of = |values: &[f32]| mean(values.iter().copied()) as f32;
                    vec![("imagined_success", of(&outcome.success)), ("imagined_return", of(&outcome.value))].into()
                },
                judge_every: config.updates.div_ceil(LOOKS).max(1),
                pace: &|l, pace| l.student.pace = pace,
                save: &|l, dir| {
                    save_trainee(&l.student, dir, "student")?;
                    save_policy(&l.student.frozen(), dir, DISTILLED_PLAN)?;
                    write_rows(&dir.join(LESSONS), &[l.lessons.e.clone(), l.lessons.chunk.clone()])
                },
                restore: &|l, dir| {
                    l.lessons = restore_lessons(dir, l.student.network.noise_len(), embeddings.dim)?;
                    restore_trainee(&mut l.student, dir, "student")
                },
            },
        )?;
        Ok(learner.taught())
    }

    fn beside_planning(&self, model: &WorldModel, embeddings: &Embeddings, lessons: usize) -> Result<Distilled> {
        // All members together, not each alone: plans take long, and it is the policies that are compared, not worlds.
        let (world, belief) = (self.judging(model), self.limits(model, embeddings).into());
        let config = EvaluateConfig { horizon: self.judge_horizon(), ..self.config.evaluate };
        let starts = evaluate::starts(&self.corpus, config.starts);
        let bases = [Base::Cloned, Base::Planned, Base::DistilledPlan];
        let mut progress = Progress::stage("evaluate", bases.len() as u64, "policies");
        let mut outcomes = Vec::new();
        for base in bases {
            interrupt::check()?;
            let plain = Variant { base, changes: Vec::new() };
            progress.set(outcomes.len() as u64, &plain.to_string());
            outcomes.push(self.imagine_in((&world, &world), embeddings, &plain, (&config, belief), &starts)?);
        }
        progress.set(outcomes.len() as u64, DISTILLED_PLAN);
        progress.finish();
        let [cloned, planned, copy] = &outcomes[..] else { unreachable!("three policies, three outcomes") };
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let less = |other: &PerStart| Difference::of(copy.returns(), other.returns(), None, resamples, seed);
        let all = [cloned, planned, copy];
        let robot = self.robot(model, embeddings)?;
        Ok(Distilled {
            lessons,
            answer_ms: [self.search_ms(&robot, model), self.answer_ms(&self.policy(DISTILLED_PLAN)?)],
            imagined_return: all.map(|outcome| mean(outcome.value.iter().copied())),
            imagined_success: all.map(|outcome| mean(outcome.success.iter().copied())),
            of_planning: less(planned),
            of_clone: less(cloned),
        })
    }

    /// Median time of a plan from an embedding.
    fn search_ms(&self, robot: &Robot, model: &WorldModel) -> f64 {
        let (device, mut rng) = (self.inner(), noise::generator(0, "pace", 1));
        let latent: Latent =
            model.start(Tensor::zeros([1, self.embedding_len()], &device), model.draw_noise(1, &mut rng, &device));
        median_ms(TIMED, &mut || drop(robot.planner().plan(&latent, None, &mut rng, &device)))
    }
}

const LESSONS: &str = "lessons.bin";

fn restore_lessons(dir: &Path, chunk: usize, embedding: usize) -> Result<Lessons> {
    let path = dir.join(LESSONS);
    let bytes = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len() as usize;
    let count = bytes / (4 * (chunk + embedding));
    let rows = read_rows(&path, &[count * embedding, count * chunk]);
    let [e, chunk] = rows.and_then(|rows| rows.try_into().ok()).with_context(|| {
        format!(
            "{}: {bytes} bytes, which are no rows of {}; --fresh starts the run over",
            path.display(),
            chunk + embedding
        )
    })?;
    Ok(Lessons { e, chunk })
}

impl Distilled {
    fn in_words(&self) -> String {
        let Self { lessons, answer_ms: [slow, quick], imagined_return, imagined_success, of_planning, of_clone } = self;
        let in_brackets = |d: &Difference| format!("{:+.3} {}", d.mean, between(d.ci95, |x| format!("{x:+.3}")));
        let of = |which: usize| {
            format!("success {:.0} %, return {:.3}", 100.0 * imagined_success[which], imagined_return[which])
        };
        let worse = if of_planning.ci95[1] < 0.0 {
            "\n           planning is better beyond doubt: where there is time for a plan, serve that"
        } else {
            ""
        };
        format!(
            "distilled  {lessons} lessons; an answer takes {quick:.2} ms, a plan {slow:.0} (here, without reading pictures)\n           \
             imagined: {DISTILLED_PLAN} {}\n           {PLANNED} {}; the copy's return less that {}\n           \
             cloned {}; the copy's return less that {}{worse}",
            of(2),
            of(1),
            in_brackets(of_planning),
            of(0),
            in_brackets(of_clone)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_it_in_words() {
        let found = Distilled {
            lessons: 40_000,
            answer_ms: [130.0, 0.14],
            imagined_return: [0.2, 0.7, 0.6],
            imagined_success: [0.01, 0.72, 0.55],
            of_planning: Difference { mean: -0.1, ci95: [-0.2, 0.01] },
            of_clone: Difference { mean: 0.4, ci95: [0.3, 0.5] },
        };
        assert_eq!(
            found.in_words(),
            "distilled  40000 lessons; an answer takes 0.14 ms, a plan 130 (here, without reading pictures)\n           \
             imagined: distilled_plan success 55 %, return 0.600\n           planned success 72 %, return 0.700; the copy's return less that \
             -0.100 [-0.200, +0.010]\n           cloned success 1 %, return 0.200; the copy's return less that +0.400 [+0.300, +0.500]"
        );
        let worse = Distilled { of_planning: Difference { mean: -0.1, ci95: [-0.2, -0.01] }, ..found };
        assert!(worse.in_words().contains("\n           planning is better beyond doubt: "), "{}", worse.in_words());
    }

    #[test]
    fn lessons_come_back_as_they_were() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let lessons = Lessons { e: vec![1.0, 2.0, 3.0, 4.0], chunk: vec![0.5, -0.5, 0.25, 1.5, 2.5, 3.5] };
        write_rows(&dir.path().join(LESSONS), &[lessons.e.clone(), lessons.chunk.clone()])?;
        assert_eq!(restore_lessons(dir.path(), 3, 2)?, lessons);
        assert!(restore_lessons(dir.path(), 4, 2).is_err());
        Ok(())
    }
}
