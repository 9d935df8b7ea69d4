//! Datasets of two robots, written and read through the usual doors, become one corpus.

use std::path::Path;

use burn::tensor::Device;
use episodes::{
    CameraFeature, DatasetSpec, Episode, Error, Joining, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule,
    VectorFeature, split,
};
use rand::SeedableRng;

use super::*;
use crate::differences::SeenFrom;
use crate::vision::floats;

/// Episodes of 6 steps: the state of robot `base` is `base + t`, its action `10 base + t` in every element, its reward `reward`.
pub(crate) fn record(
    path: &Path,
    (state, action): (usize, usize),
    camera: Option<&str>,
    (episodes, base, reward): (usize, f32, f32),
) -> Result<(), Error> {
    let vector = |key: &str, len: usize| VectorFeature {
        key: key.into(),
        names: (0..len).map(|i| format!("{key}{i}")).collect(),
        offset: 0,
        len,
    };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", state)],
        hints: Vec::new(),
        action: vector("action", action),
        cameras: camera
            .into_iter()
            .map(|key| CameraFeature { key: key.into(), native_height: 16, native_width: 16, model_size: 16 })
            .collect(),
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    };
    let mut writer = LeRobotWriter::create(path, &spec)?;
    for index in 0..episodes {
        let rows = |len: usize, scale: f32| (0..6).flat_map(|t| vec![scale * base + t as f32; len]).collect();
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: "push".into(),
                len: 6,
                state: rows(state, 1.0),
                hint: Vec::new(),
                action: rows(action, 10.0),
                reward: Some(vec![reward; 6]),
                success: Some(vec![false; 6]),
                intervention: None,
                terminated: false,
                truncated: true,
                first_frame: 0,
            },
            frames: camera.map(|_| vec![200; 6 * 16 * 16 * 3]).into_iter().collect(),
        })?;
    }
    writer.finish()
}

pub(crate) fn open(path: &Path, cache: &Path) -> Result<Dataset, Error> {
    let options = OpenOptions { path: path.into(), image_size: 16, cache_dir: cache.into(), ..OpenOptions::default() };
    Dataset::open(&options, &mut |_| {})
}

const CAMERA: &str = "observation.images.top";

/// Home with a camera, a state of 2 and an action of 3, and beside it a robot of 4 and 1 without a camera.
fn two_robots(dir: &Path, weight: f64) -> Result<Dataset, Error> {
    record(&dir.join("home"), (2, 3), Some(CAMERA), (4, 1.0, 0.5))?;
    record(&dir.join("other"), (4, 1), None, (6, 5.0, 4.0))?;
    let mut dataset = open(&dir.join("home"), dir)?;
    dataset.join(open(&dir.join("other"), dir)?, &Joining { weight, ..Joining::default() })?;
    Ok(dataset)
}

fn corpus(dataset: &Dataset) -> Corpus {
    Corpus::new(dataset, RewardRule::Auto, &split::split(dataset.home_episodes(), 0.25, 0), 0.9)
}

#[test]
fn robots_of_other_sizes_are_padded_marked_and_masked() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dataset = two_robots(dir.path(), 1.0)?;
    let corpus = corpus(&dataset);
    // The longest state, 4, and a mark for each of two robots; the longest action, 3.
    assert_eq!((corpus.state_len, corpus.action_len, corpus.home_action_len()), (6, 3, 3));
    let (home, other) = (&corpus.tracks[0], &corpus.tracks[4]);
    let row = |track: &Track, t: usize| track.state[t * 6..(t + 1) * 6].to_vec();
    let (first, last) = (row(home, 0), row(other, 5));
    assert!(first[0] < 0.0 && first[0] == first[1] && first[2..] == [0.0, 0.0, 1.0, 0.0], "{first:?}");
    assert!(last[0] > 0.0 && last[..4].iter().all(|x| *x == last[0]) && last[4..] == [0.0, 1.0], "{last:?}");
    // Each robot's own statistics: the same step is the same number of standard deviations from its mean.
    assert!((row(home, 2)[0] - row(other, 2)[0]).abs() < 1e-6);
    let action = &other.action[15..18];
    assert!(action[0] > 0.0 && action[1..] == [0.0, 0.0], "{action:?}");
    // Embeddings of one camera of 5 elements and the state: what is known of each.
    let device = Device::default();
    let known = floats(corpus.known([0, 4].into_iter(), 11, &device));
    assert_eq!(known[..11], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(known[11..], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    let known = floats(corpus.known_actions([0, 4].into_iter(), 2, &device));
    assert_eq!(known, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    assert!(dataset.frame(0, 0, 0).iter().all(|&v| v > 190), "home sees");
    assert!(
        dataset.frame(0, 4, 3).len() == 768 && dataset.frame(0, 4, 3).iter().all(|&v| v == 0),
        "the other does not"
    );
    Ok(())
}

#[test]
fn companions_are_only_learned_from_and_their_success_is_worth_the_same() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dataset = two_robots(dir.path(), 1.0)?;
    let corpus = corpus(&dataset);
    assert!(corpus.held_out.iter().chain(&corpus.train_home).all(|&t| t < 4));
    assert_eq!((corpus.held_out.len(), corpus.train_home.len(), corpus.train.len()), (1, 3, 9));
    // The best recorded reward is what a success holds: 0.5 at home, 4 there, which becomes 0.5.
    assert_eq!(corpus.returns.success_reward, 0.5);
    assert!(corpus.tracks[4].reward.iter().all(|r| (r - 0.5).abs() < 1e-6) && corpus.returns.high == 0.5);
    Ok(())
}

#[test]
fn datasets_are_drawn_by_their_weight_whatever_their_size() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let corpus = corpus(&two_robots(dir.path(), 3.0)?);
    let mut rng = StdRng::seed_from_u64(0);
    let of_other = |drawn: &[usize]| drawn.iter().filter(|&&t| t >= 4).count() as f64 / drawn.len() as f64;
    let steps: Vec<usize> = corpus.draw_steps(&corpus.train, 4000, &mut rng).iter().map(|at| at.0).collect();
    let tracks: Vec<usize> = (0..4000).map(|_| corpus.draw_track(&corpus.train, &mut rng)).collect();
    let windows: Vec<usize> =
        corpus.sampler(&corpus.train, 4).sample(&mut rng, 4000).iter().map(|w| w.episode).collect();
    for drawn in [steps, tracks, windows] {
        assert!((of_other(&drawn) - 0.75).abs() < 0.03, "{}", of_other(&drawn));
    }
    Ok(())
}

#[test]
fn beginnings_start_in_the_first_steps_of_every_episode() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let corpus = corpus(&two_robots(dir.path(), 1.0)?);
    let starts = |first: usize| {
        let drawn = corpus.beginnings(&corpus.train, 2, first).sample(&mut StdRng::seed_from_u64(0), 500);
        let (tracks, starts): (Vec<_>, Vec<_>) = drawn.iter().map(|w| (w.episode, w.start)).unzip();
        assert!(corpus.train.iter().all(|track| tracks.contains(track)));
        starts.into_iter().max()
    };
    // Of 6 steps the last two have no sequence of 2 behind them.
    assert_eq!([1, 3, 50].map(starts), [Some(0), Some(2), Some(4)]);
    Ok(())
}

#[test]
fn the_same_robot_elsewhere_shares_statistics_and_needs_no_mask() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, base) in [("real", 1.0), ("sim", 21.0)] {
        record(&dir.path().join(name), (2, 3), Some(CAMERA), (4, base, 0.5))?;
    }
    let mut dataset = open(&dir.path().join("real"), dir.path())?;
    dataset.join(open(&dir.path().join("sim"), dir.path())?, &Joining::default())?;
    let corpus = corpus(&dataset);
    assert!(!corpus.has_gaps() && corpus.train_home.len() == 7 && corpus.state_len == 2);
    // One mean for both: the simulated states lie above it, the real ones below.
    assert!(corpus.tracks[0].state.iter().all(|&x| x < 0.0) && corpus.tracks[5].state.iter().all(|&x| x > 0.0));
    Ok(())
}

#[test]
fn what_does_not_fit_together_is_refused_in_one_sentence() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    two_robots(dir.path(), 1.0)?;
    let refused = |how: &Joining| -> Result<String, Error> {
        let mut home = open(&dir.path().join("home"), dir.path())?;
        let other = open(&dir.path().join("other"), dir.path())?;
        Ok(home.join(other, how).expect_err("does not fit").to_string())
    };
    let same = refused(&Joining { same_robot: Some(true), ..Joining::default() })?;
    assert!(same.contains("a state of 4 and an action of 1 elements; expected 2 and 3"), "{same}");
    let cameras = |names: &[&str]| Joining {
        cameras: Some(names.iter().map(|&name| name.to_owned()).collect()),
        ..Joining::default()
    };
    let camera = refused(&cameras(&["left"]))?;
    assert!(camera.contains("it has no camera left; expected one of"), "{camera}");
    let many = refused(&cameras(&["", ""]))?;
    assert!(many.contains("2 cameras are named for it; expected 1, one (or \"\" for none) for each"), "{many}");
    let weight = refused(&Joining { weight: 0.0, ..Joining::default() })?;
    assert!(weight.contains("weight 0; expected a weight above 0"), "{weight}");
    Ok(())
}

#[test]
fn hints_are_coded_by_training_episodes_and_need_a_camera() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("home"), (2, 2), Some(CAMERA), (4, 1.0, 0.5))?;
    let options = |cameras: &[&str]| OpenOptions {
        path: dir.path().join("home"),
        image_size: 16,
        cache_dir: dir.path().into(),
        hint_keys: vec!["action".into()],
        cameras: Some(cameras.iter().map(|&key| key.to_owned()).collect()),
        ..OpenOptions::default()
    };
    let dataset = Dataset::open(&options(&[CAMERA]), &mut |_| {})?;
    let told = |angles: &[&str]| {
        let angles: Vec<String> = angles.iter().map(|&name| name.to_owned()).collect();
        corpus(&dataset).with_hints(&dataset, &angles)
    };
    let hinted = told(&["action1"]).expect("an element and a camera");
    // 10 to 15 in every episode: mean 12.5, variance 35/12; the second element as cosine and sine.
    assert_eq!(hinted.hint_len(), 3);
    for (x, expected) in hinted.tracks[3].hint[..3].iter().zip([-1.463_850_1, -0.839_071_5, -0.544_021_1]) {
        assert!((x - expected).abs() < 1e-5, "{x} is not {expected}");
    }
    let refused = told(&["turn"]).expect_err("no such element").to_string();
    assert_eq!(refused, "data.hint_angles names 'turn'; expected one of: action0, action1");
    let blind = Dataset::open(&options(&[]), &mut |_| {})?;
    let refused = corpus(&blind).with_hints(&blind, &[]).expect_err("no camera").to_string();
    assert!(refused.contains("no camera that could tell them"), "{refused}");

    let turning = corpus(&dataset).with_state_angles(&dataset, &["observation.state1".into()]).expect("an element");
    assert_eq!((turning.state_len, turning.parts[0].state_len, turning.has_gaps()), (3, 3, false));
    let mut raw = [0.0; 3];
    turning.state_normaliser.denormalise(&turning.tracks[3].state[3..6], &mut raw);
    for (x, expected) in raw.iter().zip([2.0, -0.416_146_8, 0.909_297_4]) {
        assert!((x - expected).abs() < 1e-5, "{raw:?}");
    }

    let axes = [["action0", "observation.state0"].map(String::from).to_vec()];
    let turning = turning.with_hints(&dataset, &[]).expect("hints and a camera");
    let beside = turning.clone().with_differences(&dataset, &axes, &[]).expect("two elements");
    assert_eq!((beside.state_len, beside.differences.len(), beside.has_gaps()), (4, 1, false));
    // Its place is kept free in the tracks, behind the state.
    assert_eq!(beside.tracks[3].state.chunks_exact(4).map(|row| row[3]).sum::<f32>(), 0.0);
    assert_eq!(beside.state_normaliser.dim(), 4);

    // A body at (state 0, hint 0) = (2, 11), turned by state 1 = 2, sees the point (hint 0, state 0) = (11, 2).
    let [own, hint, angle] = ["observation.state0", "action0", "observation.state1"].map(String::from);
    let body = SeenFrom { x: own.clone(), y: hint.clone(), angle, points: vec![[hint, own]] };
    let seen = turning.with_differences(&dataset, &axes, &[body]).expect("a body and a point");
    assert_eq!((seen.state_len, seen.differences.len()), (6, 3));
    let track = &seen.tracks[3];
    let mut row = [&track.hint[2..4], &track.state[6..12]].concat();
    seen.differences.renew(&mut row);
    let [u, v] = [row[6], row[7]];
    // (9, -9) turned back by 2: (-11.93, -4.439), in one deviation.
    assert!(u < 0.0 && v < 0.0 && (u / v - 2.687_5).abs() < 1e-3, "{row:?}");

    // Training episodes are learned from as recorded, held-out ones as told.
    let mut embeddings = Embeddings { dim: 5, rows: hinted.tracks.iter().map(|t| vec![9.0; t.len * 5]).collect() };
    crate::hints::learn_from_recorded(&hinted, &mut embeddings);
    let (learned, judged) = (hinted.train[0], hinted.held_out[0]);
    assert_eq!(embeddings.at(learned, 2)[..3], hinted.tracks[learned].hint[6..9]);
    assert_eq!(embeddings.at(learned, 2)[3..], [9.0, 9.0]);
    assert!(embeddings.rows[judged].iter().all(|x| *x == 9.0));
    Ok(())
}

#[test]
fn judgement_rests_on_home_even_where_nothing_is_held_out() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("real"), (2, 3), None, (1, 1.0, 0.5))?;
    record(&dir.path().join("sim"), (2, 3), None, (4, 2.0, 0.5))?;
    let mut dataset = open(&dir.path().join("real"), dir.path())?;
    let alone = corpus(&dataset);
    assert_eq!((alone.judged_on(), alone.own_tracks().collect()), (&[0][..], vec![0]));
    dataset.join(open(&dir.path().join("sim"), dir.path())?, &Joining::default())?;
    let corpus = corpus(&dataset);
    // The same robot's episodes may be improved from; they judge nothing.
    let own: Vec<usize> = corpus.own_tracks().collect();
    assert_eq!((corpus.train_home.len(), corpus.judged_on(), own), (5, &[0][..], vec![0]));
    Ok(())
}

#[test]
fn later_episodes_change_nothing_that_was_fitted_and_are_partly_held_out() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("home"), (2, 3), Some(CAMERA), (8, 1.0, 0.5))?;
    record(&dir.path().join("new"), (2, 3), Some(CAMERA), (4, 6.0, 0.75))?;
    let of = |dataset: &Dataset| Corpus::new(dataset, RewardRule::Auto, &dataset.split(0.25, 0), 0.9);
    let mut dataset = open(&dir.path().join("home"), dir.path())?;
    let (before, id) = (of(&dataset), dataset.content_id.clone());
    dataset.go_on(open(&dir.path().join("new"), dir.path())?, 1.0)?;
    let after = of(&dataset);
    assert_ne!(id, dataset.content_id);
    assert_eq!(dataset.episodes[8..].iter().map(|e| e.index).collect::<Vec<_>>(), [8, 9, 10, 11]);
    assert_eq!(before.state_normaliser, after.state_normaliser);
    assert_eq!(before.action_normaliser, after.action_normaliser);
    // Rewards: 0.5 before, so 0.75 is more than the old critics can say.
    assert_eq!((before.returns, after.tracks[8].reward[0]), (after.returns, 0.5));
    assert_eq!((before.state_len, before.tracks[0].state.clone()), (after.state_len, after.tracks[0].state.clone()));
    // Home's states are 1 + t with a mean of 3.5; the first of the new ones is 6.
    let (mean, std) = (after.state_normaliser.mean[0], after.state_normaliser.std[0]);
    assert!((after.tracks[8].state[0] - (6.0 - mean) / std).abs() < 1e-6);
    // The old split stays; a quarter of the new ones is held out too, and comes in turns with the old ones.
    assert_eq!(after.train[..6], before.train);
    assert_eq!((after.train.len(), after.train_home.len(), after.own_tracks().count()), (9, 9, 12));
    let new = after.held_out[1];
    assert_eq!([after.held_out[0], after.held_out[2]], before.held_out[..]);
    assert!((8..12).contains(&new) && !after.train.contains(&new));
    assert!(!after.has_gaps());
    // Half of what is drawn is new.
    let mut rng = StdRng::seed_from_u64(0);
    let drawn = after.draw_steps(&after.train, 2000, &mut rng).into_iter().filter(|(track, _)| *track >= 8).count();
    assert!((900..1100).contains(&drawn), "{drawn} of 2000");
    Ok(())
}

#[test]
fn what_is_told_of_later_episodes_is_told_on_the_old_scales() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("home"), (2, 2), Some(CAMERA), (4, 1.0, 0.5))?;
    record(&dir.path().join("new"), (2, 2), Some(CAMERA), (4, 6.0, 0.5))?;
    let options = |name: &str| OpenOptions {
        path: dir.path().join(name),
        image_size: 16,
        cache_dir: dir.path().into(),
        hint_keys: vec!["action".into()],
        ..OpenOptions::default()
    };
    let told = |dataset: &Dataset| -> Result<Corpus, crate::Error> {
        let axes = [["action0", "observation.state0"].map(String::from).to_vec()];
        Corpus::new(dataset, RewardRule::Auto, &dataset.split(0.25, 0), 0.9)
            .with_state_angles(dataset, &["observation.state1".into()])?
            .with_hints(dataset, &["action1".into()])?
            .with_differences(dataset, &axes, &[])
    };
    let mut dataset = Dataset::open(&options("home"), &mut |_| {})?;
    let before = told(&dataset).expect("all of it is there");
    dataset.go_on(Dataset::open(&options("new"), &mut |_| {})?, 1.0)?;
    let after = told(&dataset).expect("all of it is there");
    assert_eq!(before.state_normaliser, after.state_normaliser);
    let scales = |corpus: &Corpus| corpus.hints.as_ref().map(|code| code.normaliser.clone());
    assert_eq!(scales(&before), scales(&after));
    assert_eq!(before.differences, after.differences);
    assert_eq!((before.tracks[0].state.clone(), before.state_len), (after.tracks[0].state.clone(), after.state_len));
    assert!(after.parts.iter().all(|part| part.state_len == before.parts[0].state_len) && !after.has_gaps());
    // The new ones are further out on the old scale.
    assert!(after.tracks[4].state[0] > before.tracks[0].state[0]);
    Ok(())
}

#[test]
fn later_episodes_of_another_robot_are_refused_in_one_sentence() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("home"), (2, 3), Some(CAMERA), (2, 1.0, 0.5))?;
    for (name, sizes, camera) in [("arm", (2, 2), Some(CAMERA)), ("blind", (2, 3), None)] {
        record(&dir.path().join(name), sizes, camera, (2, 1.0, 0.5))?;
    }
    let refused = |name: &str| -> Result<String, Error> {
        let mut home = open(&dir.path().join("home"), dir.path())?;
        Ok(home.go_on(open(&dir.path().join(name), dir.path())?, 1.0).expect_err("another robot").to_string())
    };
    let arm = refused("arm")?;
    assert!(
        arm.contains("its state and action are observation.state [observation.state0, observation.state1], action [action0, action1]; expected"),
        "{arm}"
    );
    let blind = refused("blind")?;
    assert!(blind.contains(&format!("its cameras are none; expected {CAMERA}, as")), "{blind}");
    Ok(())
}

#[test]
fn later_episodes_with_recorded_success_are_read_by_it_whatever_demonstrations_were() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    record(&dir.path().join("home"), (2, 3), None, (4, 1.0, 0.5))?;
    record(&dir.path().join("new"), (2, 3), None, (4, 6.0, 9.0))?;
    let mut dataset = open(&dir.path().join("home"), dir.path())?;
    dataset.go_on(open(&dir.path().join("new"), dir.path())?, 1.0)?;
    let corpus = Corpus::new(&dataset, RewardRule::EndOfDemonstration, &dataset.split(0.25, 0), 0.9);
    let (old, new) = (&corpus.tracks[0], &corpus.tracks[4]);
    assert!(old.success && !new.success && !new.terminated);
    assert_eq!((old.reward[0], new.reward[0]), (0.0, 0.0));
    Ok(())
}
