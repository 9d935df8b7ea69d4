//! Demonstrations as a whole: who succeeds how often, the same whatever the threads, and the way to disk and back.

use episodes::{Dataset, LeRobotWriter, OpenOptions};
use sim::{Demonstrator, Sim, SimConfig, Task, collect, episode_seed, record, replay, run_policy, spec};

#[test]
fn competent_demonstrators_push_the_disc_home() {
    let config = SimConfig { max_steps: 60, image_size: 1, ..SimConfig::new(Task::Disc) };
    let wins = (0..100u64)
        .filter(|&i| record(&config, episode_seed(11, i), &mut Demonstrator::competent(i)).episode.terminated)
        .count();
    assert!(wins >= 95, "{wins} of 100 competent episodes succeed within 60 steps");
}

#[test]
fn competent_demonstrators_turn_the_t_home() {
    let config = SimConfig { image_size: 1, ..SimConfig::new(Task::Tee) };
    let wins = (0..10u64)
        .filter(|&i| record(&config, episode_seed(11, i), &mut Demonstrator::competent(i)).episode.terminated)
        .count();
    assert!(wins >= 9, "{wins} of 10 competent episodes succeed within 200 steps");
}

#[test]
fn about_three_in_ten_demonstrations_succeed() {
    let config = SimConfig { image_size: 1, ..SimConfig::new(Task::Disc) };
    let recorded = collect(&config, 60, 1, &mut |_| {});
    let share = recorded.iter().filter(|r| r.episode.terminated).count() as f32 / 60.0;
    assert!((0.2..=0.42).contains(&share), "{share} of the demonstrations succeed");
}

#[test]
fn sloppy_demonstrators_move_the_block_too() {
    let config = SimConfig { image_size: 1, ..SimConfig::new(Task::Disc) };
    let mut pushed = 0;
    for i in 0..40 {
        let (mut sim, mut demonstrator) = (Sim::new(&config, i), Demonstrator::new(i));
        if demonstrator.is_competent() {
            pushed += 1;
            continue;
        }
        let before = sim.block_pose();
        for _ in 0..config.max_steps {
            sim.step(demonstrator.act(&sim));
        }
        let after = sim.block_pose();
        pushed += u64::from((after[0] - before[0]).hypot(after[1] - before[1]) > 0.05);
    }
    assert!(pushed >= 34, "the block is moved in {pushed} of 40 episodes");
}

#[test]
fn a_collection_depends_on_its_seed_alone() {
    let config = SimConfig { max_steps: 25, ..SimConfig::default() };
    let mut counted = Vec::new();
    let many = collect(&config, 8, 3, &mut |n| counted.push(n));
    assert_eq!(counted, (1..=8).collect::<Vec<_>>());
    let one_by_one: Vec<_> = (0..8)
        .map(|i| {
            // The same episode, alone: replaying its actions from its seed must meet the same pictures.
            let actions: Vec<[f32; 2]> = many[i].episode.action.chunks(2).map(|a| [a[0], a[1]]).collect();
            let half = actions.len() / 2;
            replay(&config, episode_seed(3, i as u64), &actions[..half]).image()
        })
        .collect();
    for (recorded, image) in many.iter().zip(&one_by_one) {
        let half = recorded.episode.len / 2;
        assert_eq!(recorded.frames[0][half * image.len()..(half + 1) * image.len()], image[..]);
    }
    let again = collect(&config, 8, 3, &mut |_| {});
    assert!(many.iter().zip(&again).all(|(a, b)| a.episode == b.episode && a.frames == b.frames));
    let other = collect(&config, 8, 4, &mut |_| {});
    assert!(many.iter().zip(&other).all(|(a, b)| a.episode.action != b.episode.action));
}

#[test]
fn recorded_episodes_have_the_promised_shapes() {
    let config = SimConfig::default();
    for recorded in collect(&config, 4, 9, &mut |_| {}) {
        let e = &recorded.episode;
        assert_eq!((e.state.len(), e.action.len()), (2 * e.len, 2 * e.len));
        assert_eq!(recorded.frames[0].len(), e.len * 48 * 48 * 3);
        assert_eq!(e.reward.as_ref().map(Vec::len), Some(e.len));
        assert_ne!(e.terminated, e.truncated);
        assert_eq!(e.succeeded(), Some(e.terminated));
        assert!(e.action.iter().all(|a| a.abs() <= 0.5));
    }
}

#[test]
fn a_policy_is_asked_once_per_chunk() {
    let config = SimConfig { max_steps: 10, ..SimConfig::default() };
    let mut asked = 0;
    let result = run_policy(&config, 1, &mut |state, image| {
        asked += 1;
        assert_eq!(image.len(), 48 * 48 * 3);
        if asked == 1 { Vec::new() } else { vec![*state; 4] }
    });
    assert_eq!((result.steps, result.success, result.rewards.len()), (10, false, 10));
    assert_eq!(asked, 4, "1 step for the empty chunk, then 4, 4 and the first of a last chunk");
}

#[test]
fn to_disk_and_back() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("pushes");
    let config = SimConfig { max_steps: 40, ..SimConfig::default() };
    let recorded = collect(&config, 6, 5, &mut |_| {});
    let mut writer = LeRobotWriter::create(&root, &spec(&config))?;
    for r in &recorded {
        writer.push(r)?;
    }
    writer.finish()?;

    let options = OpenOptions {
        path: root,
        image_size: config.image_size,
        cache_dir: dir.path().join("cache"),
        strict: true,
        ..OpenOptions::default()
    };
    let dataset = Dataset::open(&options, &mut |_| {})?;
    assert!(dataset.skipped.is_empty(), "{:?}", dataset.skipped);
    assert_eq!(dataset.episodes.len(), recorded.len());
    assert_eq!(dataset.spec.tasks, spec(&config).tasks);
    for (i, (back, r)) in dataset.episodes.iter().zip(&recorded).enumerate() {
        let expected = episodes::Episode { index: i, first_frame: back.first_frame, ..r.episode.clone() };
        assert_eq!(back, &expected);
        for t in [0, back.len / 2, back.len - 1] {
            let size = 48 * 48 * 3;
            assert_eq!(dataset.frame(0, i, t), &r.frames[0][t * size..(t + 1) * size], "episode {i}, step {t}");
        }
    }
    Ok(())
}

#[test]
fn shuffled_outcomes_are_another_episodes_and_pictures_and_actions_stay() {
    let config = SimConfig { image_size: 16, max_steps: 30, ..SimConfig::default() };
    let poor = SimConfig { recording: sim::Recording::ShuffledOutcomes, ..config.clone() };
    let (own, shuffled) = (sim::collect(&config, 12, 3, &mut |_| {}), sim::collect(&poor, 12, 3, &mut |_| {}));
    let last = |r: &episodes::RecordedEpisode| r.episode.reward.as_ref().and_then(|r| r.last().copied());
    for (a, b) in own.iter().zip(&shuffled) {
        assert_eq!((&a.episode.action, &a.frames), (&b.episode.action, &b.frames));
        assert_ne!(a.episode.reward, b.episode.reward);
        assert_eq!(b.episode.terminated, b.episode.succeeded() == Some(true));
        assert_ne!(b.episode.terminated, b.episode.truncated);
    }
    let sorted = |all: &[episodes::RecordedEpisode]| {
        let mut firsts: Vec<f32> = all.iter().filter_map(|r| Some(r.episode.reward.as_ref()?[0])).collect();
        firsts.sort_by(f32::total_cmp);
        firsts
    };
    assert_eq!(sorted(&own), sorted(&shuffled), "nothing is made up");
    assert!(own.iter().zip(&shuffled).any(|(a, b)| last(a) != last(b)));
}

#[test]
fn random_recordings_are_all_over_the_arena_and_do_nothing_on_purpose() {
    let poor = SimConfig { image_size: 16, recording: sim::Recording::RandomActions, ..SimConfig::default() };
    let recorded = sim::collect(&poor, 10, 0, &mut |_| {});
    let actions: Vec<f32> = recorded.iter().flat_map(|r| r.episode.action.clone()).collect();
    let far = actions.iter().filter(|a| a.abs() > 0.5 * sim::ARENA_HALF_M).count() as f32 / actions.len() as f32;
    assert!((far - 0.5).abs() < 0.05, "{far} of a uniform draw lies in the outer half");
    assert!(recorded.iter().filter(|r| r.episode.succeeded() == Some(true)).count() <= 1);
}
