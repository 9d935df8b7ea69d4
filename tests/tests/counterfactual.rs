//! The test of the product: a counterfactual ranking by the learned model agrees with the true simulator.
//!
//! State-only data (pusher and block position) through the writer, the reader and the ensemble; forks of held-out
//! episodes under arms that the data never took from there; the truth by replaying the simulator up to the fork.

use burn::tensor::{Device, Tensor};
use episodes::{Dataset, Episode, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule, VectorFeature};
use rand::RngExt;
use rollouts::branch::{Arm, ForkOptions, fork};
use rollouts::score::real_return;
use sim::{Demonstrator, Sim, SimConfig, episode_seed};
use world_model::train::DynamicsLearner;
use world_model::{Corpus, Embeddings, WorldModel, WorldModelConfig, noise};

const EPISODES: usize = 240;
const HORIZON: usize = 12;

fn record(config: &SimConfig, seed: u64) -> RecordedEpisode {
    let mut sim = Sim::new(config, seed);
    let mut demonstrator = Demonstrator::new(seed);
    let (mut state, mut action, mut reward, mut success) = (vec![], vec![], vec![], vec![]);
    let (mut terminated, mut truncated) = (false, false);
    while !terminated && !truncated {
        let [x, y, _] = sim.block_pose();
        state.extend(sim.state());
        state.extend([x, y]);
        let a = demonstrator.act(&sim);
        action.extend(a);
        let step = sim.step(a);
        reward.push(step.reward);
        success.push(step.success);
        (terminated, truncated) = (step.terminated, step.truncated);
    }
    let len = reward.len();
    let episode = Episode {
        index: 0,
        task: "push".into(),
        len,
        state,
        hint: Vec::new(),
        action,
        reward: Some(reward),
        success: Some(success),
        intervention: None,
        terminated,
        truncated,
        first_frame: 0,
    };
    RecordedEpisode { episode, frames: Vec::new() }
}

#[test]
fn ranking_agrees_with_the_simulator() {
    let config = SimConfig::default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("episodes");
    let mut spec = sim::spec(&config);
    spec.cameras.clear();
    let names = ["pusher_x", "pusher_y", "block_x", "block_y"].map(str::to_owned).to_vec();
    spec.state = vec![VectorFeature { key: "observation.state".into(), names, offset: 0, len: 4 }];
    let mut writer = LeRobotWriter::create(&path, &spec).expect("a writer");
    for i in 0..EPISODES {
        writer.push(&record(&config, episode_seed(11, i as u64))).expect("pushed");
    }
    writer.finish().expect("finished");

    let options = OpenOptions { path, cache_dir: folder.path().join("cache"), ..OpenOptions::default() };
    let dataset = Dataset::open(&options, &mut |_| {}).expect("opened");
    assert_eq!((dataset.episodes.len(), dataset.spec.state_len()), (EPISODES, 4));
    let split = episodes::split::split(EPISODES, 0.15, 0);
    let corpus = Corpus::new(&dataset, RewardRule::Auto, &split, 0.98);
    let embeddings = Embeddings { dim: 4, rows: corpus.tracks.iter().map(|t| t.state.clone()).collect() };

    let device = Device::default().autodiff();
    device.seed(0);
    let model_config = WorldModelConfig { updates: 2500, batch: 64, horizon: 8, ..WorldModelConfig::default() };
    let mut model = WorldModel::new(&model_config, &[], 4, 2, &device).expect("no pictures, no misfit");
    let mut learner = DynamicsLearner::new(model.dynamics.clone(), &model_config, (&corpus, &embeddings), &device, 0);
    for update in 0..model_config.updates {
        learner.update(update, model_config.updates);
    }
    use burn::module::Module;
    model = model.valid();
    model.dynamics = learner.trainee.frozen();

    let inner = Device::default();
    let mut rng = noise::generator(0, "arms", 0);
    let (mut agree, mut pairs) = (0, 0);
    for &track in corpus.held_out.iter() {
        let t = &corpus.tracks[track];
        let seed = episode_seed(11, dataset.episodes[t.episode].index as u64);
        let step = rng.random_range(0..t.len.saturating_sub(2).max(1));
        let past: Vec<[f32; 2]> =
            (0..step).map(|i| *dataset.episodes[t.episode].action_at(i, 2).first_chunk().expect("two")).collect();
        let start = sim::replay(&config, seed, &past);
        let (block, goal) = (start.block_pose(), start.goal_pose());
        let mut outcomes: Vec<(f32, f32)> = Vec::new();
        // Straight drives: through the block towards the goal, and to five other places.
        let mut targets = vec![[block[0] + 0.5 * (goal[0] - block[0]), block[1] + 0.5 * (goal[1] - block[1])]];
        targets.extend((0..5).map(|_| [rng.random_range(-0.4..0.4), rng.random_range(-0.4..0.4)]));
        for target in targets {
            // A drive as a robot is driven: the commanded position runs ahead of the pusher at its own pace.
            let from = start.state();
            let (dx, dy) = (target[0] - from[0], target[1] - from[1]);
            let distance = dx.hypot(dy).max(1e-6);
            let drive: Vec<[f32; 2]> = (1..=HORIZON)
                .map(|k| (k as f32 * sim::PUSHER_SPEED_M_PER_S / 10.0 / distance).min(1.0))
                .map(|share| [from[0] + share * dx, from[1] + share * dy])
                .collect();
            let mut truth = sim::replay(&config, seed, &past);
            let mut rewards = Vec::new();
            let mut success = false;
            for &action in &drive {
                let s = truth.step(action);
                rewards.push(s.reward);
                success = s.success;
                if s.terminated {
                    break;
                }
            }
            let mut normalised = vec![0.0; 2 * HORIZON];
            corpus.action_normaliser.normalise(drive.as_flattened(), &mut normalised);
            let options = ForkOptions { track, step, horizon: HORIZON, samples: 16, context: 0, seed: 0 };
            let rule = corpus.returns;
            // The reward at the end is held, as the truth's is.
            let branch = fork(
                &model,
                (&corpus, &embeddings),
                &Arm::Given(normalised),
                &options,
                &|e| Tensor::zeros([e.dims()[0]], &e.device()),
                &inner,
            );
            let last: f32 = branch.imagined.predictions[HORIZON - 1].reward.clone().mean().into_scalar();
            let going: f32 = branch.outcome.going.clone().mean().into_scalar();
            let imagined: f32 = branch.outcome.value.clone().mean().into_scalar();
            let imagined = imagined + going * rule.gamma.powi(HORIZON as i32) * last.clamp(rule.low, rule.high);
            outcomes.push((imagined, real_return(&rewards, success, success, &rule)));
        }
        for i in 0..outcomes.len() {
            for j in 0..i {
                let (a, b) = (outcomes[i], outcomes[j]);
                if (a.1 - b.1).abs() > 0.02 {
                    pairs += 1;
                    agree += usize::from((a.0 > b.0) == (a.1 > b.1));
                }
            }
        }
    }
    assert!(pairs >= 20, "only {pairs} pairs of arms differ in truth");
    let share = agree as f64 / pairs as f64;
    // Chance is one half; with these 250 pairs two thirds is five standard errors above it.
    assert!(share > 0.72, "{agree} of {pairs} pairs of arms are ranked as the simulator ranks them");
}
