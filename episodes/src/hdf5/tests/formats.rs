//! What comes out of sound files in each format.

use super::*;
use crate::episode::Episode;
use crate::outcome::RewardRule;

#[test]
fn robomimic_comes_out_with_lerobots_names_and_its_own_rate() -> Outcome {
    let made = Made::new()?;
    let path =
        made.write("low.hdf5", robomimic(&[("demo_0", 0.0, true), ("demo_2", 50.0, true), ("demo_10", 9.0, true)])?)?;
    let dataset = open(&OpenOptions { control_rate: ControlRate::Recorded, ..made.options(&path) })?;
    let spec = &dataset.spec;
    assert_eq!((spec.control_rate_hz, spec.robot_type.as_deref()), (20.0, Some("Panda")));
    assert_eq!((spec.codebase_version.as_str(), spec.tasks.as_slice()), ("robomimic HDF5", &["Lift".to_owned()][..]));
    assert_eq!((spec.state[0].key.as_str(), spec.state[0].len), ("observation.eef_pos", 3));
    assert_eq!((spec.action.key.as_str(), spec.action.len), ("action", 2));
    let camera = &spec.cameras[0];
    assert_eq!((camera.key.as_str(), camera.native_height), ("observation.images.front_image", HEIGHT));
    let indices: Vec<usize> = dataset.episodes.iter().map(|episode| episode.index).collect();
    assert_eq!(indices, [0, 2, 10], "numbered as named, ten after two");
    let second = &dataset.episodes[1];
    assert_eq!((second.state_at(1, 3), second.action_at(3, 2)), (&[53.0, 54.0, 55.0][..], &[56.0, 57.0][..]));
    assert_eq!(second.reward.as_deref(), Some(&[0.0, 0.0, 0.0, 1.0][..]));
    assert!(second.terminated && !second.truncated, "a rewarded end is an end");
    assert!(RewardRule::Auto.apply(second).success);
    assert_eq!(dataset.frame(0, 1, 3), [30, 7, 0].repeat(4), "step 3 is red 30, green 7");
    assert!(dataset.skipped.is_empty());
    Ok(())
}

#[test]
fn a_filter_key_picks_its_demonstrations_and_a_wrong_one_names_the_right_ones() -> Outcome {
    let made = Made::new()?;
    let path = made.write("low.hdf5", robomimic(&[("demo_0", 0.0, true), ("demo_1", 9.0, true)])?)?;
    let with = |key: &str| OpenOptions {
        filter_key: Some(key.to_owned()),
        control_rate: ControlRate::Recorded,
        ..made.options(&path)
    };
    let few = open(&with("few"))?;
    assert_eq!((few.episodes.len(), few.episodes[0].index), (1, 1));
    let error = open(&with("many")).expect_err("there is no such key").to_string();
    assert!(error.contains("'many'") && error.contains("it has: few") && error.contains("data.filter_key"), "{error}");
    Ok(())
}

fn aloha(start: f64, encoded: &[Vec<u8>]) -> FileBuilder {
    let mut file = FileBuilder::new();
    let wide = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    file.create_dataset("action").with_f32_data(&wide(&count_up(start, LEN, 2))).with_shape(&[LEN as u64, 2]);
    let mut observations = file.create_group("observations");
    numbers(&mut observations, "qpos", &count_up(start, LEN, 2), 2);
    numbers(&mut observations, "qvel", &count_up(-start, LEN, 2), 2);
    let mut images = observations.create_group("images");
    pictures(&mut images, "cam_high", &plain(LEN, 200));
    let longest = encoded.iter().map(Vec::len).max().unwrap_or(0);
    let padded: Vec<u8> =
        encoded.iter().flat_map(|bytes| bytes.iter().copied().chain(vec![0; longest - bytes.len()])).collect();
    images.create_dataset("cam_low").with_u8_data(&padded).with_shape(&[encoded.len() as u64, longest as u64]);
    observations.add_group(images.finish());
    file.add_group(observations.finish());
    file
}

/// PNG stands for JPEG here: it loses nothing, so that pixels can be compared.
fn encoded() -> Result<Vec<Vec<u8>>, image::ImageError> {
    let picture = |pixels: &[u8]| {
        let mut out = std::io::Cursor::new(Vec::new());
        image::write_buffer_with_format(
            &mut out,
            pixels,
            WIDTH as u32,
            HEIGHT as u32,
            image::ExtendedColorType::Rgb8,
            image::ImageFormat::Png,
        )?;
        Ok(out.into_inner())
    };
    plain(LEN, 90).chunks_exact(HEIGHT * WIDTH * 3).map(picture).collect()
}

#[test]
fn a_folder_of_aloha_files_is_one_dataset_and_its_rate_must_be_told() -> Outcome {
    let made = Made::new()?;
    for (name, start) in [("episode_0.hdf5", 0.0), ("episode_10.hdf5", 5.0), ("episode_2.hdf5", 100.0)] {
        made.write(name, aloha(start, &encoded()?))?;
    }
    let path = made.path("");
    let error = open(&OpenOptions { control_rate: ControlRate::Recorded, ..made.options(&path) });
    let error = error.expect_err("no rate").to_string();
    assert!(error.ends_with("does not say its control rate; set it with --set data.control_rate_hz=HZ"), "{error}");

    let dataset = open(&made.options(&path))?;
    assert_eq!(dataset.spec.control_rate_hz, 10.0);
    assert_eq!(dataset.spec.state[0].key, "observation.state");
    let cameras: Vec<&str> = dataset.spec.cameras.iter().map(|camera| camera.key.as_str()).collect();
    assert_eq!(cameras, ["observation.images.cam_high", "observation.images.cam_low"]);
    assert_eq!((dataset.spec.cameras[1].native_height, dataset.spec.cameras[1].native_width), (HEIGHT, WIDTH));
    let indices: Vec<usize> = dataset.episodes.iter().map(|episode| episode.index).collect();
    assert_eq!(indices, [0, 2, 10]);
    assert_eq!(dataset.episodes[1].state_at(0, 2), [100.0, 101.0]);
    assert_eq!(dataset.frame(0, 2, 1), [10, 200, 0].repeat(4));
    assert_eq!(dataset.frame(1, 2, 2), [20, 90, 0].repeat(4), "decoded from its padded row");
    assert!(dataset.episodes.iter().all(|e| e.truncated && !e.terminated && e.reward.is_none()));

    let state_keys = vec!["all".to_owned()];
    let all = open(&OpenOptions { state_keys, cameras: Some(Vec::new()), ..made.options(&path) })?;
    assert_eq!(all.spec.state_len(), 4);
    assert_eq!(all.episodes[1].state_at(0, 4), [100.0, 101.0, -100.0, -99.0]);

    let hinted = |key: &str| {
        open(&OpenOptions { hint_keys: vec![key.to_owned()], cameras: Some(Vec::new()), ..made.options(&path) })
    };
    let told = hinted("observation.velocity")?;
    assert_eq!((told.spec.hint_len(), told.spec.state_len()), (2, 2));
    assert_eq!(told.episodes[1].hint[2..4], [-98.0, -97.0]);
    assert_ne!(told.content_id, all.content_id);
    let error = hinted("pose").expect_err("no such vector").to_string();
    assert!(error.contains("'pose'") && error.contains("data.hints"), "{error}");
    Ok(())
}

#[test]
fn every_file_of_a_folder_tells_its_own_task() -> Outcome {
    let made = Made::new()?;
    let tasks = ["open the drawer", "close the drawer"];
    for (name, task) in [("a.hdf5", tasks[0]), ("b.hdf5", tasks[1])] {
        let mut file = FileBuilder::new();
        let mut data = file.create_group("data");
        let problem = format!(r#"{{"language_instruction": "{task}"}}"#);
        data.set_attr("problem_info", AttrValue::String(problem));
        demo(&mut data, "demo_0", 0.0, false);
        demo(&mut data, "demo_1", 3.0, false);
        file.add_group(data.finish());
        made.write(name, file)?;
    }
    let dataset = open(&made.options(&made.path("")))?;
    let told: Vec<&str> = dataset.episodes.iter().map(|episode| episode.task.as_str()).collect();
    assert_eq!(told, [tasks[0], tasks[0], tasks[1], tasks[1]]);
    assert_eq!(dataset.spec.tasks, tasks);
    Ok(())
}

#[test]
fn minari_keeps_terminated_and_truncated_apart_and_drops_the_last_observation() -> Outcome {
    let made = Made::new()?;
    let mut file = FileBuilder::new();
    for (name, terminated) in [("episode_0", true), ("episode_1", false)] {
        let mut episode = file.create_group(name);
        numbers(&mut episode, "actions", &count_up(0.0, LEN, 1), 1);
        numbers(&mut episode, "rewards", &count_up(1.0, LEN, 1), 1);
        let last = |flag: bool| (0..LEN).map(|t| flag && t + 1 == LEN).collect::<Vec<bool>>();
        flags(&mut episode, "terminations", &last(terminated))?;
        flags(&mut episode, "truncations", &last(!terminated))?;
        let mut observations = episode.create_group("observations");
        numbers(&mut observations, "observation", &count_up(0.0, LEN + 1, 2), 2);
        numbers(&mut observations, "desired_goal", &count_up(7.0, LEN + 1, 1), 1);
        episode.add_group(observations.finish());
        let mut infos = episode.create_group("infos");
        // One before the first action, then one after each: solved after the third.
        flags(&mut infos, "success", &[false, false, false, true, true])?;
        episode.add_group(infos.finish());
        file.add_group(episode.finish());
    }
    let path = made.write("main_data.hdf5", file)?;
    let dataset = open(&made.options(&path))?;
    let ends: Vec<(bool, bool)> = dataset.episodes.iter().map(|e| (e.terminated, e.truncated)).collect();
    assert_eq!(ends, [(true, false), (false, true)]);
    let first = &dataset.episodes[0];
    assert_eq!((first.len, first.state_at(3, 3)), (LEN, &[10.0, 6.0, 7.0][..]), "goal, then observation");
    assert_eq!(first.success.as_deref(), Some(&[false, false, true, true][..]));
    Ok(())
}

#[test]
fn d4rl_is_cut_after_terminals_and_timeouts() -> Outcome {
    let made = Made::new()?;
    let mut file = FileBuilder::new();
    let rows = 9;
    for (name, width) in [("observations", 2), ("actions", 1), ("rewards", 1)] {
        let values = count_up(0.0, rows, width);
        let shape: &[u64] = if name == "rewards" { &[9] } else { &[9, width as u64] };
        file.create_dataset(name).with_f64_data(&values).with_shape(shape);
    }
    for (name, end) in [("terminals", 2), ("timeouts", 6)] {
        let values: Vec<u8> = (0..rows).map(|row| u8::from(row == end)).collect();
        file.create_dataset(name).with_enum_u8_data(boolean()?, &values).with_shape(&[9]);
    }
    let path = made.write("flat.h5", file)?;
    let dataset = open(&made.options(&path))?;
    let of = |e: &Episode| (e.index, e.len, e.terminated, e.truncated, e.action[0]);
    let episodes: Vec<_> = dataset.episodes.iter().map(of).collect();
    assert_eq!(
        episodes,
        [(0, 3, true, false, 0.0), (1, 4, false, true, 3.0), (2, 2, false, true, 7.0)],
        "a terminal, a time-out, and a rest that was cut off"
    );
    assert_eq!(dataset.episodes[1].state_at(0, 2), [6.0, 7.0]);
    Ok(())
}
