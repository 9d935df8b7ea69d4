//! Every kind of view filled with made-up results: a look at what a recording holds, without training.
//!
//! `cargo run --release -p viz --example every_view -- [FOLDER]` writes `recording.rrd` and `sheet.png`.

use std::path::PathBuf;

use viz::{
    ArmView, BranchView, Curve, EpisodeView, Error, EvaluationView, Frame, ImaginedView, RealView, Recorder,
    ScoreChart, ScoreRow, SheetRow, save_sheet,
};

const FPS: f64 = 10.0;
const HORIZON: usize = 20;

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "every_view".to_owned()));
    let mut recorder = Recorder::create(&folder.join("recording.rrd"), "rehearsal", "every view")?;
    recorder.text("report", "# Every view\n\nThe results of this recording are made up.\n")?;
    for (index, size) in [(0, 96), (1, 48)] {
        recorder.episode(&episode(&format!("episode {index}"), size))?;
    }
    let imagined = imagined("episode 0 from step 10", 96);
    recorder.imagined(&imagined)?;
    recorder.branches(&branch("episode 0 at step 10", 96))?;
    recorder.evaluation(&evaluation())?;
    recorder.curves(&curves())?;
    recorder.finish()?;
    let (_, real, dreamt) = &imagined.cameras[0];
    let difference = real.iter().zip(dreamt).map(|(a, b)| a.difference(b)).collect();
    let row = |label: &str, frames: Vec<Frame>| SheetRow {
        label: label.to_owned(),
        frames: frames.into_iter().step_by(4).collect(),
    };
    let rows = [
        row("real (every 4th step)", real.clone()),
        row("imagined: 0.9 x", dreamt.clone()),
        row("|difference|", difference),
    ];
    save_sheet(&folder.join("sheet.png"), &rows, 2)
}

/// A bright disc on a shaded floor; `angle` in radians.
fn picture(size: usize, angle: f64, colour: [u8; 3]) -> Frame {
    let half = size as f64 / 2.0;
    let (centre_x, centre_y) = (half + 0.3 * size as f64 * angle.cos(), half + 0.3 * size as f64 * angle.sin());
    let mut rgb = Vec::with_capacity(size * size * 3);
    for y in 0..size {
        for x in 0..size {
            let distance = (x as f64 - centre_x).hypot(y as f64 - centre_y);
            let floor = (230 - 60 * y / size) as u8;
            rgb.extend(if distance < 0.1 * size as f64 { colour } else { [floor; 3] });
        }
    }
    Frame { size, rgb }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn pose(angle: f64) -> Vec<f32> {
    vec![angle.cos() as f32, angle.sin() as f32]
}

fn series(len: usize, f: impl Fn(f64) -> f64) -> Vec<f32> {
    (0..len).map(|step| f(step as f64) as f32).collect()
}

fn episode(name: &str, size: usize) -> EpisodeView {
    let angles: Vec<f64> = (0..60).map(|step| 0.1 * f64::from(step)).collect();
    EpisodeView {
        name: name.to_owned(),
        fps: FPS,
        cameras: vec![(
            "observation.image".to_owned(),
            angles.iter().map(|angle| picture(size, *angle, [200, 40, 40])).collect(),
        )],
        state: angles.iter().map(|angle| pose(*angle)).collect(),
        state_names: names(&["pusher_x", "pusher_y"]),
        action: angles.iter().map(|angle| pose(angle + 0.1)).collect(),
        action_names: names(&["target_x", "target_y"]),
        reward: series(60, |step| f64::from(step > 50.0)),
        value: series(60, |step| 0.97_f64.powf((50.0 - step).max(0.0))),
    }
}

fn imagined(name: &str, size: usize) -> ImaginedView {
    let angle = |step: usize| 1.0 + 0.1 * step as f64;
    let frames =
        |slip: f64| (0..HORIZON).map(|step| picture(size, angle(step) - slip * step as f64, [40, 90, 200])).collect();
    ImaginedView {
        name: name.to_owned(),
        fps: FPS,
        cameras: vec![("observation.image".to_owned(), frames(0.0), frames(0.01))],
        state_real: (0..HORIZON).map(|step| pose(angle(step))).collect(),
        state_imagined: (0..HORIZON).map(|step| pose(angle(step) - 0.01 * step as f64)).collect(),
        state_names: names(&["pusher_x", "pusher_y"]),
        disagreement: series(HORIZON, |step| 0.02 * step * step),
    }
}

fn branch(name: &str, size: usize) -> BranchView {
    let arm = |name: &str, speed: f64| ArmView {
        name: name.to_owned(),
        cameras: vec![(
            "observation.image".to_owned(),
            (0..HORIZON).map(|step| picture(size, 1.0 + speed * step as f64, [30, 150, 60])).collect(),
        )],
        value: series(HORIZON, |step| 0.4 + 0.1 * speed * step),
        success_probability: series(HORIZON, |step| 1.0 - (-speed * step / 4.0).exp()),
        disagreement: series(HORIZON, |step| 0.1 * speed * step),
        reward: series(HORIZON, |step| speed * step / 20.0),
        return_mean: (speed * 10.0) as f32,
        is_logged: name == "logged",
        action: (0..HORIZON).map(|step| pose(1.0 + speed * step as f64)).collect(),
        doubt: series(HORIZON, |step| 0.2 * speed * step),
        value_band: [-0.1, 0.1].map(|by| series(HORIZON, |step| 0.4 + by + 0.1 * speed * step)),
        spread: vec![(
            "observation.image".to_owned(),
            (0..HORIZON)
                .map(|step| {
                    let wide = step as f32 * speed as f32;
                    picture(size, 1.0, [30, 150, 60]).heat(&vec![10.0 * wide; size * size])
                })
                .collect(),
        )],
    };
    BranchView {
        name: name.to_owned(),
        fps: FPS,
        fork_step: 10,
        real: RealView {
            cameras: vec![(
                "observation.image".to_owned(),
                (0..HORIZON).map(|step| picture(size, 1.0 + 0.1 * step as f64, [200, 40, 40])).collect(),
            )],
            reward: vec![0.0; HORIZON],
        },
        arms: vec![arm("improved", 0.2), arm("logged", 0.1), arm("scaled:0.5", 0.05)],
        action_names: names(&["target_x", "target_y"]),
        draws: 16,
        doubt_budget: Some(0.5),
        disagreement_limit: Some(0.3),
        table: "| arm | return |\n|---|---|\n| improved | 2.0 |\n".to_owned(),
        verdict: "### BETTER\n\nimproved is better than what was logged.\n".to_owned(),
    }
}

fn evaluation() -> EvaluationView {
    let row = |name: &str, at: f64| ScoreRow {
        name: name.to_owned(),
        scores: vec![
            ("imagined".to_owned(), at, [at - 0.1, at + 0.1]),
            ("true".to_owned(), at + 0.03, [at, at + 0.06]),
        ],
    };
    let rows = vec![row("random", 0.1), row("cloned", 0.3), row("improved", 0.7)];
    let chart = |name: &str| ScoreChart { name: name.to_owned(), title: name.to_owned(), rows: rows.clone() };
    let frames = (0..8).map(|step| picture(48, 0.3 * f64::from(step), [30, 150, 60])).collect();
    EvaluationView {
        verdict: "# GO\n\nThe results of this recording are made up.\n".to_owned(),
        charts: vec![chart("success"), chart("return")],
        strips: vec![SheetRow { label: "imagined".to_owned(), frames }],
    }
}

fn curves() -> Vec<Curve> {
    let curve = |name: &str, unit: &str, floor: f64| Curve {
        name: name.to_owned(),
        unit: unit.to_owned(),
        points: (0..200).map(|update| (update * 10, floor + (-(update as f64) / 40.0).exp())).collect(),
    };
    vec![
        curve("world_model/loss:train", "nats", 0.1),
        curve("world_model/loss:held_out", "nats", 0.2),
        curve("policy/loss", "", 0.3),
    ]
}
