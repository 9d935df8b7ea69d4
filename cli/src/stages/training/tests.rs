//! Training that fails, and what is left of it.

use std::fs;

use burn::tensor::{Device, Tensor};
use serde_json::Value;
use world_model::layers::Mlp;

use super::*;
use crate::run_dir::OpenRun;

fn open(dir: &Path) -> Result<RunDir> {
    RunDir::open(&OpenRun { dir, config_toml: "", command: "run", device: "cpu", dataset_source: None, fresh: false })
}

fn stage(updates: usize) -> Stage<'static> {
    Stage { name: "dynamics", updates, budget_s: None, learning_rate_key: "world_model.learning_rate" }
}

/// Counts its updates; each takes `rate * pace` off a loss of 100, unless `fails` says otherwise.
struct Counter {
    done: f64,
    pace: f64,
    fails: fn(usize, f64) -> Option<f32>,
}

impl Counter {
    fn new(fails: fn(usize, f64) -> Option<f32>) -> Self {
        Self { done: 0.0, pace: 1.0, fails }
    }

    fn train(&mut self, run: &mut RunDir, updates: usize) -> Result<()> {
        let warned = |at: usize| if at == 40 { vec!["it squints; give it glasses".to_owned()] } else { Vec::new() };
        let hands = Hands {
            update: &mut |c: &mut Self, update, _| {
                let failed = (c.fails)(update, c.pace);
                c.done += c.pace;
                vec![("loss", failed.unwrap_or(100.0 - c.done as f32)), ("gradient_norm", 1.0)]
            },
            judge: &mut |_, at| Judgement { metrics: vec![("held_out_loss", 1.0)], warnings: warned(at) },
            judge_every: 10,
            pace: &|c, pace| c.pace = pace,
            save: &|c, dir| Ok(fs::write(dir.join("done"), c.done.to_string())?),
            restore: &|c, dir| {
                c.done = fs::read_to_string(dir.join("done"))?.parse()?;
                Ok(())
            },
        };
        train(run, &stage(updates), self, hands)
    }
}

fn events(run: &RunDir) -> Result<String> {
    Ok(fs::read_to_string(run.path("events.log"))?)
}

#[test]
fn a_loss_that_is_no_number_goes_back_and_on_more_slowly_and_says_so() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path())?;
    let mut counter = Counter::new(|update, pace| (update == 25 && pace > 0.5).then_some(f32::NAN));
    counter.train(&mut run, 40)?;
    // Back to the beginning, then forty updates at a tenth.
    assert!((counter.done - 4.0).abs() < 1e-9, "{}", counter.done);
    let words = "loss became NaN at update 26: back to the checkpoint of update 0 and on with 0.1 times the learning rate (1 of 3 \
                 times); lower world_model.learning_rate if that happens again";
    assert!(events(&run)?.contains(words), "{}", events(&run)?);
    let record = run.manifest().stage("dynamics").expect("it has run");
    assert_eq!(record.warnings, [words, "it squints; give it glasses"]);
    let metrics = fs::read_to_string(run.path("metrics.jsonl"))?;
    let lines: Vec<Value> = metrics.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines[0]["learning_rate_factor"], 0.1);
    // What was written before it went back is gone: update 20 is there once.
    assert_eq!(lines.iter().filter(|line| line["step"] == 20 && !line["loss"].is_null()).count(), 1);
    Ok(())
}

#[test]
fn training_that_cannot_be_saved_gives_up_and_the_same_command_tries_again_from_the_last_good_checkpoint() -> Result<()>
{
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path())?;
    let mut counter = Counter::new(|update, pace| (update as f64 * pace >= 0.02).then_some(f32::INFINITY));
    let error = counter.train(&mut run, 40).expect_err("it diverges at every rate").to_string();
    assert!(error.starts_with("dynamics: training diverged 4 times, at last loss became inf at update 21"), "{error}");
    assert!(error.contains("lower world_model.learning_rate with --set") && error.contains("step_00000000"), "{error}");
    drop(run);
    let mut run = open(temp.path())?;
    let kept = run.last_checkpoint("dynamics")?.expect("the first checkpoint");
    assert_eq!((kept.resume.step, fs::read_to_string(kept.dir.join("done"))?.as_str()), (0, "0"));
    let mut counter = Counter::new(|_, _| None);
    counter.train(&mut run, 40)?;
    assert_eq!((counter.done, run.is_complete("dynamics")), (40.0, true));

    let data = temp.path().join("data");
    let mut run = open(&data)?;
    let mut counter = Counter::new(|update, _| (update == 7).then_some(f32::NAN));
    let error = counter.train(&mut run, 40).expect_err("a batch is broken").to_string();
    assert!(error.contains("at the same update at every learning rate, so look for outliers"), "{error}");
    Ok(())
}

#[test]
fn an_outlier_is_none_but_losses_that_explode_are_told_and_never_saved() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path())?;
    let mut counter = Counter::new(|update, _| (update == 12).then_some(1e9));
    counter.train(&mut run, 40)?;
    assert!(!events(&run)?.contains("exploded"));

    let exploding = temp.path().join("exploding");
    let mut run = open(&exploding)?;
    let mut counter = Counter::new(|update, pace| (update >= 5 && pace > 0.05).then_some(1e9));
    counter.train(&mut run, 40)?;
    let told = events(&run)?;
    assert!(told.contains("the loss exploded (from 99.000 to 1.000e9) at update 15"), "{told}");
    assert!((counter.done - 0.4).abs() < 1e-9, "twice set back: {}", counter.done);

    // The last update of all has none after it that could show it to be an outlier.
    let last = temp.path().join("last");
    let mut run = open(&last)?;
    let mut counter = Counter::new(|update, pace| (update == 39 && pace > 0.5).then_some(1e9));
    counter.train(&mut run, 40)?;
    assert!((counter.done - 4.0).abs() < 1e-9);
    Ok(())
}

#[test]
fn a_real_network_at_an_absurd_learning_rate_ends_in_words_with_a_sound_checkpoint() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path())?;
    let device = Device::default().autodiff();
    device.seed(3);
    let mut trainee = Trainee::new(Mlp::new(&[2, 8, 1], &device).materialize(), 0.0);
    let x = Tensor::<2>::from_floats([[1.0, 0.5], [-0.3, 0.8]], &device);
    let rate = 1e20;
    let mut learn = |trainee: &mut Trainee<Mlp>, _: usize, _: usize| {
        trainee.update(rate, vec![x.clone()], &device, |network, x| {
            ((network.forward(x.clone()) - x.narrow(1, 0, 1)).square().mean(), Metrics::new())
        })
    };
    let hands = Hands {
        update: &mut learn,
        judge: &mut |_, _| Judgement::default(),
        judge_every: 100,
        pace: &|trainee, pace| trainee.pace = pace,
        save: &|trainee, dir| save_trainee(trainee, dir, "network"),
        restore: &|trainee, dir| restore_trainee(trainee, dir, "network"),
    };
    let error = train(&mut run, &stage(100), &mut trainee, hands).expect_err("nothing learns at 1e17").to_string();
    let words = "training diverged 4 times, at last loss became inf at update 2 with 0.001 times the learning rate: lower world_model";
    assert!(error.contains(words), "{error}");
    let kept = run.last_checkpoint("dynamics")?.expect("the first checkpoint");
    restore_trainee(&mut trainee, &kept.dir, "network")?;
    assert!(is_finite(&trainee.frozen()));
    trainee.pace = f64::INFINITY;
    assert!(save_trainee(&trainee, temp.path(), "sound").is_ok());
    learn(&mut trainee, 0, 1);
    let refused = save_trainee(&trainee, temp.path(), "broken").expect_err("parameters are not finite");
    assert!(refused.is::<NotFinite>() && !temp.path().join("broken.bpk").exists(), "{refused}");
    Ok(())
}
