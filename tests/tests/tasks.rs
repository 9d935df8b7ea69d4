//! Two tasks whose right action is the opposite of each other in the same situation, told apart by their texts alone.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use episodes::{
    Dataset, DatasetSpec, Episode, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule, VectorFeature, split,
};
use policy::bundle::{Bundle, BundleSpec, FORMAT_VERSION};
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world_model::model::{Inputs, Kind};
use world_model::representation::Encoder;
use world_model::task::{TaskConfig, When};
use world_model::train::DynamicsLearner;
use world_model::vision::{VisionConfig, floats};
use world_model::{Corpus, Embeddings, WorldModel, WorldModelConfig, noise};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LEFT: &str = "push the block to the left";
const RIGHT: &str = "push the block to the right";

/// Episodes of random states in [-1, 1], the first task's answered with the state itself, the second's with its opposite, or
/// all at random; the reward is the state for the first task, its opposite for the second.
fn record(path: &Path, texts: [&str; 2], at_random: bool) -> Result<Dataset, episodes::Error> {
    let vector = |key: &str| VectorFeature { key: key.into(), names: vec!["x".into()], offset: 0, len: 1 };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state")],
        hints: Vec::new(),
        action: vector("action"),
        cameras: Vec::new(),
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    };
    let mut rng = StdRng::seed_from_u64(3);
    let mut writer = LeRobotWriter::create(path.join("data"), &spec)?;
    for index in 0..12 {
        let state: Vec<f32> = (0..40).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        let answer: Vec<f32> = state.iter().map(|s| sign * s).collect();
        let random: Vec<f32> = (0..40).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: texts[index % 2].into(),
                len: 40,
                state,
                hint: Vec::new(),
                action: if at_random { random } else { answer.clone() },
                reward: Some(answer),
                success: Some(vec![false; 40]),
                intervention: None,
                terminated: false,
                truncated: true,
                first_frame: 0,
            },
            frames: Vec::new(),
        })?;
    }
    writer.finish()?;
    let options = OpenOptions { path: path.join("data"), cache_dir: path.join("cache"), ..OpenOptions::default() };
    Dataset::open(&options, &mut |_| {})
}

fn corpus(dataset: &Dataset, task: &TaskConfig) -> Corpus {
    let split = split::split(dataset.episodes.len(), 0.2, 0);
    Corpus::joined(dataset, &[RewardRule::Auto.into()], &split, 0.9, task)
}

fn embeddings(corpus: &Corpus) -> Embeddings {
    Embeddings { dim: corpus.state_len, rows: corpus.tracks.iter().map(|track| track.state.clone()).collect() }
}

#[test]
fn the_task_is_told_where_there_are_several_and_not_where_there_is_one() -> Outcome {
    let (two, one) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let told = record(two.path(), [LEFT, RIGHT], false)?;
    assert_eq!(told.spec.tasks, [LEFT, RIGHT]);
    let known = corpus(&told, &TaskConfig::default());
    assert_eq!((known.state_len, known.task_len), (2, 1));
    assert!(!known.has_gaps(), "a task is no padding");
    for track in &known.tracks {
        let expected = if track.episode % 2 == 0 { known.tracks[0].state[1] } else { -known.tracks[0].state[1] };
        assert!(track.state.chunks_exact(2).all(|row| row[1] == expected && expected.abs() > 0.99));
    }
    let never = corpus(&told, &TaskConfig { when: When::Never, ..TaskConfig::default() });
    assert_eq!((never.state_len, never.task_len, never.tasks.is_none()), (1, 0, true));
    let same = corpus(&record(one.path(), [LEFT, "Push the block, to the left."], false)?, &TaskConfig::default());
    assert_eq!((same.state_len, same.task_len, same.tasks.is_none()), (1, 0, true));
    Ok(())
}

#[test]
fn the_served_clone_does_what_each_text_says_and_what_a_paraphrase_means() -> Outcome {
    let dir = tempfile::tempdir()?;
    let dataset = record(dir.path(), [LEFT, RIGHT], false)?;
    let corpus = corpus(&dataset, &TaskConfig::default());
    let device = Device::default().autodiff();
    device.seed(0);
    let flow = FlowConfig { chunk: 1, execute: 1, width: 48, batch: 128, learning_rate: 3e-3, ..FlowConfig::default() };
    let (dim, embeddings) = (corpus.state_len, embeddings(&corpus));
    let policy = FlowPolicy::new(&flow, dim, corpus.action_len, &device);
    let mut learner = CloneLearner::new(policy, &flow, (&corpus, &embeddings), 1, &device, 0);
    for update in 0..600 {
        learner.update(update, 600);
    }
    let spec = BundleSpec {
        format_version: FORMAT_VERSION,
        kind: "flow".into(),
        dataset: dataset.spec.clone(),
        state_angles: world_model::angles::Angles::none(1),
        differences: world_model::differences::Differences::NONE,
        state_normaliser: corpus.state_normaliser.clone(),
        tasks: corpus.tasks.clone(),
        action_normaliser: corpus.action_normaliser.clone(),
        vision: VisionConfig::default(),
        hints: None,
        pretrained: None,
        farthest: Vec::new(),
        flow,
        policies: Default::default(),
    };
    let inner = Device::default();
    let encoder = Encoder::new(&spec.vision, &[], &inner)?;
    spec.save(dir.path(), (&encoder, None), &[("cloned", &learner.trainee.frozen())])?;
    let bundle = Bundle::load(dir.path(), "cloned", &inner)?;
    let act = |state: f32, prompt: Option<&str>| {
        bundle.act(&[], &[state], prompt, &mut noise::generator(0, "ask", 0)).map(|action| action[0])
    };
    for state in [-0.9f32, -0.4, 0.4, 0.9] {
        for (sign, prompts) in [
            (1.0, [LEFT, "to the left, please", "move the block left"]),
            (-1.0, [RIGHT, "to the right, please", "move the block right"]),
        ] {
            for prompt in prompts {
                let action = act(state, Some(prompt))?;
                assert!((action - sign * state).abs() < 0.3, "'{prompt}' at {state}: {action}");
            }
        }
    }
    let strange = bundle.hear(Some("fetch me a beer"))?.ok_or("several tasks")?;
    assert!(!strange.is_understood && act(0.5, Some("fetch me a beer"))? == act(0.5, Some(strange.nearest))?);
    let refused = act(0.5, None).expect_err("which of two?").to_string();
    assert!(refused.contains("no prompt; expected one that says which task") && refused.contains(LEFT), "{refused}");
    Ok(())
}

#[test]
fn both_kinds_of_dynamics_tell_the_tasks_rewards_apart_and_carry_the_task_unchanged() -> Outcome {
    let dir = tempfile::tempdir()?;
    // Were the actions right, the reward could be read off them.
    let corpus = corpus(&record(dir.path(), [LEFT, RIGHT], true)?, &TaskConfig::default());
    let embeddings = embeddings(&corpus);
    let inner = Device::default();
    for kind in [Kind::Ensemble, Kind::Rssm] {
        let device = inner.clone().autodiff();
        device.seed(0);
        let mut config = WorldModelConfig { kind, batch: 32, horizon: 4, ..WorldModelConfig::default() };
        (config.rssm.hidden, config.rssm.width, config.ensemble.width) = (32, 48, 48);
        let (state, task) = (corpus.state_len, corpus.task_len);
        let differences = &corpus.differences;
        let inputs = Inputs { camera_sizes: &[], feature: 0, hint: 0, state, task, differences, action: 1 };
        let model = WorldModel::of(&config, &inputs, &device)?;
        let mut learner = DynamicsLearner::new(model.dynamics.clone(), &config, (&corpus, &embeddings), &device, 0);
        for update in 0..400 {
            learner.update(update, 400);
        }
        let mut model = model.valid();
        model.dynamics = learner.trainee.frozen();
        let code = |text: &str| corpus.tasks.as_ref().map(|tasks| tasks.hear(text).code[0]).ok_or("two tasks");
        let mut rng = noise::generator(0, "ask", 0);
        for state in [-1.2f32, 1.2] {
            let mut rewards = [0.0; 2];
            for (reward, text) in rewards.iter_mut().zip(["move the block left", "move the block right"]) {
                let e = Tensor::from_data(TensorData::new([state, code(text)?].repeat(32), [32, 2]), &inner);
                let mut latent = model.start(e.clone(), model.draw_noise(32, &mut rng, &inner));
                for step in 0..6 {
                    let action = Tensor::zeros([32, 1], &inner);
                    let (next, p) = model.imagine(&latent, action, model.draw_noise(32, &mut rng, &inner));
                    let (e, told) = (floats(next.e.clone()), code(text)?);
                    assert!(e.chunks_exact(2).all(|e| e[1] == told), "{kind:?}: the task after {step} steps: {e:?}");
                    if step == 0 {
                        *reward = p.reward.mean().into_scalar::<f32>();
                    }
                    latent = next;
                }
            }
            assert!(
                rewards[0] * state > 0.2 && rewards[1] * state < -0.2,
                "{kind:?} at {state}: {rewards:?} for left and right"
            );
        }
    }
    Ok(())
}
