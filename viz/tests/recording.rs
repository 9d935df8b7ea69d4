//! A recording appears complete or not at all, and bad views are refused in words.

use std::fs;
use std::path::Path;

use viz::{
    ArmView, Bars, BranchView, Chart, Curve, DatasetView, EpisodeView, Error, EvaluationView, Frame, ImaginedView,
    RealView, RecordedView, Recorder, ScoreChart, ScoreRow, SheetRow, Still,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn frames(count: usize, size: usize) -> Vec<Frame> {
    (0..count).map(|index| Frame { size, rgb: vec![index as u8; size * size * 3] }).collect()
}

fn episode() -> EpisodeView {
    EpisodeView {
        name: "episode/0 with: odd [name]".to_owned(),
        fps: 10.0,
        cameras: vec![("top".to_owned(), frames(300, 16)), ("observation.images.wrist".to_owned(), frames(3, 96))],
        state: vec![vec![0.0, 1.0]; 5],
        action: vec![vec![f32::NAN]; 5],
        action_names: vec!["x".to_owned()],
        reward: vec![0.0; 5],
        ..EpisodeView::default()
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, std::io::Error> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn a_recording_of_everything_is_complete() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run/recording.rrd");
    let mut recorder = Recorder::create(&path, "test", "one")?;
    recorder.episode(&episode())?;
    let pair = ("top".to_owned(), frames(4, 16), frames(3, 16));
    let rows = vec![vec![0.5]; 4];
    recorder.imagined(&ImaginedView {
        name: "start 1".to_owned(),
        fps: 10.0,
        cameras: vec![pair],
        state_real: rows.clone(),
        state_imagined: rows,
        disagreement: vec![0.1; 4],
        ..ImaginedView::default()
    })?;
    let arm = ArmView {
        name: "policy".to_owned(),
        cameras: vec![("top".to_owned(), frames(2, 16))],
        value: vec![1.0, 2.0],
        ..ArmView::default()
    };
    recorder.branches(&BranchView {
        name: "fork".to_owned(),
        fps: 10.0,
        fork_step: 7,
        arms: vec![arm, ArmView::default()],
        ..BranchView::default()
    })?;
    recorder.curves(&[
        Curve { name: "loss:train".to_owned(), unit: "nats".to_owned(), points: vec![(0, 2.0), (10, 1.0)] },
        Curve::default(),
    ])?;
    recorder.text("report", "# Report")?;
    assert!(!path.exists());
    assert_eq!(recorder.finish()?, path);
    assert_eq!(names_in(&folder.path().join("run"))?, ["recording.rrd"]);
    let bytes = fs::read(&path)?;
    assert_eq!(&bytes[..4], b"RRF2");
    for entity in ["observation.images.wrist", "success_probability"] {
        // An arm without numbers leaves no entity behind.
        assert_eq!(contains(&bytes, entity), entity != "success_probability", "{entity}");
    }
    Ok(())
}

#[test]
fn a_branch_is_recorded_with_what_was_real_and_where_its_draws_disagree() -> Outcome {
    let folder = tempfile::tempdir()?;
    let arm = |name: &str, doubt: Vec<f32>, has_camera: bool| ArmView {
        name: name.to_owned(),
        is_logged: name == "logged",
        cameras: if has_camera { vec![("top".to_owned(), frames(3, 16))] } else { Vec::new() },
        spread: if has_camera { vec![("top".to_owned(), frames(3, 16))] } else { Vec::new() },
        action: vec![vec![0.5, 1.0]; 3],
        value: vec![0.2; 3],
        value_band: [vec![0.1; 3], vec![0.3; 3]],
        doubt,
        disagreement: vec![0.1; 3],
        ..ArmView::default()
    };
    let view = |has_camera: bool| BranchView {
        name: "fork".to_owned(),
        fps: 10.0,
        fork_step: 7,
        real: RealView {
            cameras: if has_camera { vec![("top".to_owned(), frames(2, 16))] } else { Vec::new() },
            reward: vec![0.0; 3],
        },
        arms: vec![arm("improved#2", vec![0.1, 0.3, 0.6], has_camera), arm("logged", vec![0.1, 0.2, 0.3], has_camera)],
        draws: 16,
        doubt_budget: Some(0.5),
        disagreement_limit: Some(f32::INFINITY),
        table: "| arm |".to_owned(),
        verdict: "### BETTER".to_owned(),
        ..BranchView::default()
    };
    for has_camera in [true, false] {
        let mut recorder = Recorder::create(&folder.path().join("branch.rrd"), "test", "branch")?;
        recorder.branches(&view(has_camera))?;
        let bytes = fs::read(recorder.finish()?)?;
        for (entity, is_there) in [
            ("branches/fork/real/observation.images.top", has_camera),
            ("branches/fork/improved\\#2/spread/observation.images.top", has_camera),
            ("branches/fork/improved\\#2/action", true),
            ("branches/fork/improved\\#2/value/low", true),
            // Doubt spends the budget in one future alone; a limit that is infinite is none.
            ("branches/fork/improved\\#2/trust_horizon", true),
            ("branches/fork/logged/trust_horizon", false),
            ("branches/fork/limit/doubt", true),
            ("branches/fork/limit/disagreement", false),
            ("branches/fork/real/next.reward", true),
            ("branches/fork/table", true),
            ("branches/fork/verdict", true),
        ] {
            assert_eq!(contains(&bytes, entity), is_there, "{entity}");
        }
    }
    Ok(())
}

#[test]
fn an_evaluation_is_recorded_with_intervals_verdict_and_strips() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut recorder = Recorder::create(&folder.path().join("evaluation.rrd"), "test", "evaluation")?;
    let score = |way: &str| (way.to_owned(), 0.5, [0.4, 0.6]);
    let row = |name: &str, ways: &[&str]| ScoreRow {
        name: name.to_owned(),
        scores: ways.iter().map(|way| score(way)).collect(),
    };
    let rows = vec![row("cloned", &["imagined"]), row("improved", &["imagined", "true"])];
    recorder.evaluation(&EvaluationView {
        verdict: "# GO".to_owned(),
        charts: vec![
            ScoreChart { name: "success".to_owned(), title: "success".to_owned(), rows },
            ScoreChart::default(),
        ],
        strips: vec![SheetRow { label: "recorded".to_owned(), frames: frames(2, 16) }],
    })?;
    let bytes = fs::read(recorder.finish()?)?;
    for entity in ["verdict", "strips", "success/axis", "success/names", "success/imagined_ci95", "success/true"] {
        assert!(contains(&bytes, &format!("evaluation/{entity}")), "{entity}");
    }
    Ok(())
}

#[test]
fn a_dataset_is_recorded_with_its_charts() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("look.rrd");
    let mut recorder = Recorder::create(&path, "test", "dataset")?;
    let still = |step| Still::new(step, 6, 8, &[90; 6 * 8 * 3]);
    let recorded = RecordedView {
        name: "episode 4".to_owned(),
        note: "longest".to_owned(),
        fps: Some(10.0),
        cameras: vec![("top".to_owned(), vec![still(0)?, still(2)?])],
        state: vec![vec![0.5]; 3],
        success: vec![false, false, true],
        ..RecordedView::default()
    };
    recorder.recorded(&recorded)?;
    // Nobody knows the rate, there is no camera: steps and numbers are left.
    let bare = RecordedView { name: "episode 5".to_owned(), fps: None, cameras: vec![], ..recorded };
    recorder.recorded(&bare)?;
    let bars = |name: &str, points: &[(f64, f64)]| Bars { name: name.to_owned(), points: points.to_vec() };
    let chart =
        |name: &str, bars: Vec<Bars>| Chart { name: name.to_owned(), title: name.to_owned(), bar_width: 1.0, bars };
    recorder.dataset(&DatasetView {
        pages: vec![("inspection".to_owned(), "# A dataset".to_owned())],
        charts: vec![chart("lengths", vec![bars("success", &[(4.0, 3.0)]), bars("failure", &[])])],
        groups: vec![("state".to_owned(), vec![chart("state/x", vec![bars("", &[(0.0, 1.0), (0.5, 2.0)])])])],
    })?;
    let bytes = fs::read(recorder.finish()?)?;
    for (entity, is_there) in [
        ("episodes/episode\\ 4/observation.images.top", true),
        ("episodes/episode\\ 4/next.success", true),
        ("episodes/episode\\ 4/next.reward", false),
        ("dataset/lengths/success", true),
        ("dataset/lengths/failure", false),
        ("dataset/state/x", true),
    ] {
        assert_eq!(contains(&bytes, entity), is_there, "{entity}");
    }
    Ok(())
}

#[test]
fn an_empty_recording_is_a_recording() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = Recorder::create(&folder.path().join("recording.rrd"), "test", "two")?.finish()?;
    assert_eq!(&fs::read(path)?[..4], b"RRF2");
    Ok(())
}

#[test]
fn an_unfinished_recording_leaves_nothing_and_replaces_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("recording.rrd");
    fs::write(&path, "the one before")?;
    let mut recorder = Recorder::create(&path, "test", "three")?;
    recorder.episode(&episode())?;
    drop(recorder);
    assert_eq!(names_in(folder.path())?, ["recording.rrd"]);
    assert_eq!(fs::read_to_string(&path)?, "the one before");
    Ok(())
}

#[test]
fn views_that_contradict_themselves_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut recorder = Recorder::create(&folder.path().join("recording.rrd"), "test", "four")?;
    let mut ragged = episode();
    ragged.state[3].pop();
    assert!(matches!(recorder.episode(&ragged), Err(Error::Row { row: 3, found: 1, expected: 2, .. })));
    let mut unnamed = episode();
    unnamed.action_names.push("y".to_owned());
    assert!(matches!(recorder.episode(&unnamed), Err(Error::Row { row: 0, found: 1, expected: 2, .. })));
    let mut broken = episode();
    broken.cameras[0].1[200].rgb.pop();
    let text = recorder.episode(&broken).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("frame 200 of /episodes/") && text.contains("expected 768"), "{text}");
    assert!(matches!(recorder.episode(&EpisodeView { fps: 0.0, ..episode() }), Err(Error::Fps { .. })));
    Ok(())
}
