//! Sound made-up datasets: everything that was written is read back.

use serde_json::json;

use super::*;
use crate::dataset::probe;

const FILE_0: &str = "data/chunk-000/file-000.parquet";
const FILE_1: &str = "data/chunk-000/file-001.parquet";

/// Two v3 data files with three episodes.
fn three_episodes() -> Made {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0), (2, 5, 1)]);
    Rows::new(&[(0, 4), (1, 3)]).write(made.root(), FILE_0);
    Rows::new(&[(2, 5)]).write(made.root(), FILE_1);
    made
}

#[test]
fn v3_scalar_and_list_columns() -> Result<(), Error> {
    let made = three_episodes();
    let dataset = made.open()?;
    assert_eq!(dataset.skipped, []);
    assert_eq!(indices(&dataset), [0, 1, 2]);
    assert_eq!(dataset.total_frames(), 12);
    let spec = &dataset.spec;
    assert_eq!((spec.state_len(), spec.action_len(), spec.control_rate_hz), (2, 2, 10.0));
    assert_eq!(spec.action.names, ["x", "y"]);
    assert_eq!(spec.tasks, ["push"]);
    assert!(spec.has_reward && spec.has_success);
    let last = &dataset.episodes[2];
    assert_eq!(last.state_at(3, 2), [2.0, 3.0]);
    assert_eq!(last.action_at(3, 2), [-2.0, -3.0]);
    assert_eq!((last.len, last.first_frame, last.task.as_str()), (5, 7, "push"));
    assert_eq!(last.reward.as_deref(), Some([0.0, 0.2, 0.4, 0.6, 0.8].as_slice()));
    assert_eq!(last.intervention, None);
    // Even episodes end in success, which terminates them; odd ones just stop.
    assert!(last.terminated && !last.truncated);
    assert!(!dataset.episodes[1].terminated && dataset.episodes[1].truncated);
    Ok(())
}

#[test]
fn v21_reads_like_v3() -> Result<(), Error> {
    let made = Made::v21(&[4, 3, 5]);
    for (index, len) in [(0, 4), (1, 3), (2, 5)] {
        Rows::new(&[(index, len)]).write(made.root(), &format!("data/chunk-000/episode_{index:06}.parquet"));
    }
    let (old, new) = (made.open()?, three_episodes().open()?);
    assert_eq!(old.episodes, new.episodes);
    assert_eq!(old.skipped, []);
    Ok(())
}

#[test]
fn rows_in_another_order_are_sorted() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
    let mut rows = Rows::new(&[(1, 3), (0, 4)]).with_pictures();
    made.set("/features/observation.images.top", json!({"dtype": "image", "shape": [3, 4, 4], "names": null}));
    for (a, b) in [(0, 2), (1, 5)] {
        rows.episode.swap(a, b);
        rows.frame.swap(a, b);
        rows.time_s.swap(a, b);
        rows.state.swap(a, b);
        rows.action.swap(a, b);
        rows.reward.swap(a, b);
        rows.success.swap(a, b);
        rows.pictures.as_mut().expect("has pictures").swap(a, b);
    }
    rows.write(made.root(), FILE_0);
    let dataset = made.open()?;
    assert_eq!(dataset.skipped, []);
    for (position, episode) in dataset.episodes.iter().enumerate() {
        for t in 0..episode.len {
            assert_eq!(episode.state_at(t, 2), [episode.index as f32, t as f32]);
            let colour = &dataset.frame(0, position, t)[..3];
            assert_eq!(colour, [episode.index as u8 * 20, t as u8 * 10, 7]);
        }
    }
    Ok(())
}

#[test]
fn several_columns_make_one_state() -> Result<(), Error> {
    let made = three_episodes();
    let state_keys = vec!["next.reward".to_owned(), "observation.state".to_owned()];
    let dataset = Dataset::open(&OpenOptions { state_keys, ..made.options() }, &mut |_| {})?;
    assert_eq!(dataset.spec.state_len(), 3);
    assert_eq!(dataset.spec.state[0].names, ["next.reward[0]"]);
    assert_eq!(dataset.spec.state[1].offset, 1);
    assert_eq!(dataset.episodes[2].state_at(1, 3), [0.2, 2.0, 1.0]);
    Ok(())
}

#[test]
fn hints_are_read_beside_the_state_and_change_nothing_where_there_are_none() -> Result<(), Error> {
    let made = three_episodes();
    let with =
        |keys: &[&str]| OpenOptions { hint_keys: keys.iter().map(|&key| key.to_owned()).collect(), ..made.options() };
    let plain = made.open()?;
    let dataset = Dataset::open(&with(&["next.reward", "action"]), &mut |_| {})?;
    assert_eq!((dataset.spec.hint_len(), dataset.spec.hints[1].offset, dataset.spec.state_len()), (3, 1, 2));
    assert_eq!(dataset.episodes[2].hint[3..6], [0.2, -2.0, -1.0]);
    assert!(plain.episodes[2].hint.is_empty() && plain.episodes[2].state == dataset.episodes[2].state);
    assert_ne!(plain.content_id, dataset.content_id);
    let error = Dataset::open(&with(&["pose"]), &mut |_| {}).expect_err("no such column").to_string();
    assert!(error.contains("'pose'") && error.contains("data.hints") && error.contains("next.reward"), "{error}");
    Ok(())
}

#[test]
fn an_episode_whose_hint_is_no_number_is_left_out() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
    let mut rows = Rows::new(&[(0, 4), (1, 3)]);
    rows.action[5][1] = f64::NAN;
    rows.write(made.root(), FILE_0);
    let dataset = Dataset::open(&OpenOptions { hint_keys: vec!["action".to_owned()], ..made.options() }, &mut |_| {})?;
    assert_eq!(indices(&dataset), [0]);
    assert_eq!(dataset.skipped, [skipped("episode 1", "action element 1 (y) is NaN at frame 1")]);
    Ok(())
}

/// Episode 0 ends in success, episode 1 in an end without it, episode 2 is cut off.
#[test]
fn an_end_and_a_cut_are_two_things() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0), (2, 5, 0)]);
    let mut rows = Rows::new(&[(0, 4), (1, 3), (2, 5)]);
    let done = [3, 6, 11].map(|row| (0..12).map(|i| i == row).collect::<Vec<bool>>());
    let any = |columns: &[Vec<bool>]| (0..12).map(|i| columns.iter().any(|c| c[i])).collect::<Vec<bool>>();
    rows.success = done[0].clone();
    rows.flags = vec![("next.done", any(&done)), ("next.truncated", done[2].clone())];
    for name in ["next.done", "next.truncated"] {
        made.set(&format!("/features/{name}"), serde_json::json!({"dtype": "bool", "shape": [1], "names": null}));
    }
    rows.write(made.root(), FILE_0);
    let ends = |dataset: &Dataset| dataset.episodes.iter().map(|e| (e.terminated, e.truncated)).collect::<Vec<_>>();
    assert_eq!(ends(&made.open()?), [(true, false), (true, false), (false, true)]);
    // Without knowing what was cut off, the end of a recording says nothing: only success ends an episode.
    rows.flags.pop();
    rows.write(made.root(), FILE_0);
    assert_eq!(ends(&made.open()?), [(true, false), (false, true), (false, true)]);
    Ok(())
}

#[test]
fn the_first_episodes_are_enough_when_so_asked() -> Result<(), Error> {
    let made = three_episodes();
    let dataset = Dataset::open(&OpenOptions { max_episodes: Some(1), ..made.options() }, &mut |_| {})?;
    assert_eq!(indices(&dataset), [0]);
    assert_eq!(dataset.skipped, []);
    Ok(())
}

#[test]
fn the_content_id_follows_content_and_settings() -> Result<(), Error> {
    let made = three_episodes();
    let id = made.open()?.content_id;
    assert_eq!(id, made.open()?.content_id);
    assert_eq!(id, three_episodes().open()?.content_id);
    let fewer = Dataset::open(&OpenOptions { max_episodes: Some(2), ..made.options() }, &mut |_| {})?;
    assert_ne!(id, fewer.content_id);
    made.set("/robot_type", json!("another"));
    assert_ne!(id, made.open()?.content_id);
    Ok(())
}

#[test]
fn depth_cameras_get_a_word() -> Result<(), Error> {
    let made = three_episodes();
    let depth = json!({"dtype": "video", "shape": [4, 4, 1], "names": null, "info": {"video.is_depth_map": true}});
    made.set("/features/observation.images.depth", depth);
    let dataset = Dataset::open(&OpenOptions { strict: true, ..made.options() }, &mut |_| {})?;
    let word = skipped("camera observation.images.depth", "is a depth camera, only colour cameras are read");
    assert_eq!(dataset.skipped, [word]);
    Ok(())
}

#[test]
fn probing_reads_only_metadata() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0)]);
    let spec = probe(made.root(), crate::ControlRate::Recorded)?;
    assert_eq!(spec.state[0].key, "observation.state");
    assert_eq!(spec.tasks, ["push"]);
    assert_eq!(spec.robot_type.as_deref(), Some("made_up"));
    Ok(())
}
