//! What `branch --write` leaves of a robot with two cameras, two tasks and a companion, all of it made up here.

use std::path::Path;
use std::process::Output;

use episodes::{
    CameraFeature, Dataset, DatasetSpec, Episode, LeRobotWriter, OpenOptions, RecordedEpisode, VectorFeature,
};

use super::*;

const SIZE: usize = 16;
const STEPS: usize = 12;
const TASKS: [&str; 2] = ["pick up the red cup", "push the drawer shut"];

const CONFIG: &str = r#"
[data]
path = "real"
image_size = 16
held_out = 0.2
[[data.with]]
path = "other"
cameras = ["observation.images.eye", ""]
[world_model]
updates = 4
batch = 4
horizon = 4
[world_model.representation]
updates = 4
batch = 4
[policy]
updates = 4
chunk = 4
execute = 2
[value]
updates = 4
[improve]
updates = 2
starts = 4
[quality]
starts = 8
[evaluate]
horizon = 6
starts = 4
fqe = { updates = 0 }
"#;

/// Brightness of a camera's pictures, the left half in that of the step: apart by camera, and by episode.
fn picture(camera: usize, episode: usize, step: usize) -> Vec<u8> {
    let (own, now) = (40 + 120 * camera + 4 * episode, 40 + 120 * camera + 6 * step);
    let pixel = |x: usize| [if x < SIZE / 2 { now as u8 } else { own as u8 }; 3];
    (0..SIZE * SIZE).flat_map(|i| pixel(i % SIZE)).collect()
}

/// Ten episodes of a robot with so many elements of state and action, of two tasks in turn, each with its cameras.
fn record(path: &Path, (state, action): (usize, usize), cameras: &[&str]) -> Result<(), Error> {
    let vector = |key: &str, len: usize| VectorFeature {
        key: key.into(),
        names: (0..len).map(|i| format!("{key}{i}")).collect(),
        offset: 0,
        len,
    };
    let camera = |name: &&str| CameraFeature {
        key: format!("observation.images.{name}"),
        native_height: SIZE,
        native_width: SIZE,
        model_size: SIZE,
    };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", state)],
        hints: Vec::new(),
        action: vector("action", action),
        cameras: cameras.iter().map(camera).collect(),
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    };
    let mut writer = LeRobotWriter::create(path, &spec)?;
    for index in 0..10 {
        let succeeds = index % 3 == 0;
        let swing = |t: usize, i: usize| ((t * (i + 2) + index) as f32 * 0.7).sin();
        let of = |len: usize, scale: f32| {
            (0..STEPS).flat_map(|t| (0..len).map(move |i| scale * swing(t, i))).collect::<Vec<f32>>()
        };
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: TASKS[index % 2].to_owned(),
                len: STEPS,
                state: of(state, 1.0),
                hint: Vec::new(),
                action: of(action, 0.5),
                reward: Some((0..STEPS).map(|t| t as f32 / STEPS as f32).collect()),
                success: Some((0..STEPS).map(|t| succeeds && t + 1 == STEPS).collect()),
                intervention: None,
                terminated: succeeds,
                truncated: !succeeds,
                first_frame: 0,
            },
            frames: (0..cameras.len())
                .map(|camera| (0..STEPS).flat_map(|t| picture(camera, index, t)).collect())
                .collect(),
        })?;
    }
    Ok(writer.finish()?)
}

#[test]
fn imagined_episodes_have_every_camera_and_the_task_of_where_they_began() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("frames");
    record(&dir.path().join("real"), (3, 2), &["front", "wrist"])?;
    record(&dir.path().join("other"), (4, 3), &["eye"])?;
    std::fs::write(dir.path().join("run.toml"), CONFIG)?;
    let rehearsal = |args: &[&str]| -> Result<Output, Error> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
        let output = command.args(args).current_dir(dir.path()).env("REHEARSAL_CACHE", &cache).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    };
    rehearsal(&["run", "run.toml", "--out", "made"])?;
    let fork = ["branch", "made", "--episode", "5", "--step", "7", "--horizon", "4", "--arms", "logged,cloned,hold"];
    let answer = rehearsal(&[fork.as_slice(), &["--write", "one", "--beyond-trust", "--json"]].concat())?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    assert_eq!(answer["written"]["episodes"], 2, "{answer}");
    // Two held-out episodes are too few: neither the table nor the verdict may be sure.
    let arms = answer["arms"].as_array().cloned().unwrap_or_default();
    assert!(arms.iter().all(|arm| arm["probability_better"].is_null()), "{answer}");
    assert!(arms.iter().filter(|arm| arm["better_in_draws"].is_number()).count() == 2, "{answer}");
    assert_eq!(answer["verdict"]["decision"], "UNDECIDED");

    let open = |name: &str| {
        let path = dir.path().join(name);
        let options = OpenOptions { path, cache_dir: cache.clone(), image_size: SIZE, ..OpenOptions::default() };
        Dataset::open(&options, &mut |_| ())
    };
    let (real, one) = (open("real")?, open("one")?);
    assert_eq!((one.is_imagined, one.skipped.len()), (true, 0));
    assert_eq!((one.spec.state_len(), one.spec.action_len()), (3, 2), "home's robot, not the companion's longer one");
    for (position, episode) in one.episodes.iter().enumerate() {
        assert_eq!(episode.task, TASKS[1]);
        assert_eq!(episode.state_at(0, 3), real.episodes[5].state_at(7, 3));
        for camera in 0..2 {
            let apart = one.frame(camera, position, 0).iter().zip(picture(camera, 5, 7));
            let worst = apart.map(|(found, recorded)| found.abs_diff(recorded)).max();
            assert!(worst.is_some_and(|worst| worst < 16), "camera {camera} is {worst:?} of 255 off");
        }
    }

    rehearsal(&["branch", "made", "--where-it-went-wrong", "--horizon", "3", "--write", "all", "--beyond-trust"])?;
    let all = open("all")?;
    let failed: Vec<&Episode> = real.episodes.iter().filter(|episode| episode.index % 3 != 0).collect();
    assert_eq!(all.episodes.len(), failed.len());
    let tasks = |task: &str, of: &mut dyn Iterator<Item = &Episode>| of.filter(|e| e.task == task).count();
    for task in TASKS {
        assert_eq!(tasks(task, &mut all.episodes.iter()), tasks(task, &mut failed.iter().copied()), "{task}");
    }
    Ok(())
}
