//! Holes are named and passed over, damaged files are errors, nothing panics.

use super::*;

#[test]
fn holes_are_named_and_strict_reading_refuses_them() -> Outcome {
    let made = Made::new()?;
    let names = ["demo_0", "demo_1", "demo_2", "demo_3", "demo_4"];
    let demos: Vec<(&str, f64, bool)> =
        names.iter().enumerate().map(|(i, name)| (*name, if i == 2 { f64::NAN } else { 0.0 }, i != 0)).collect();
    let path = made.write("low.hdf5", robomimic(&demos)?)?;
    let options = OpenOptions { control_rate: ControlRate::Recorded, ..made.options(&path) };
    let dataset = open(&options)?;
    let kept: Vec<usize> = dataset.episodes.iter().map(|episode| episode.index).collect();
    assert_eq!(kept, [1, 3, 4], "the first lacks the camera that the others have, the third a number");
    let skipped: Vec<String> = dataset.skipped.iter().map(|s| format!("{}: {}", s.what, s.why)).collect();
    assert_eq!(
        skipped,
        [
            "episode 0: camera front_image is missing",
            "episode 2: observation.eef_pos element 0 (observation.eef_pos[0]) is NaN at frame 0"
        ]
    );
    let error = open(&OpenOptions { strict: true, ..options }).expect_err("strict").to_string();
    assert!(error.contains("2 items would be left out") && error.contains("camera front_image is missing"), "{error}");
    Ok(())
}

#[test]
fn lengths_that_differ_are_a_hole() -> Outcome {
    let made = Made::new()?;
    let mut file = robomimic(&[])?;
    let mut data = file.create_group("data");
    for (name, rows) in [("demo_0", LEN), ("demo_1", LEN + 1), ("demo_2", LEN)] {
        let mut demo = data.create_group(name);
        numbers(&mut demo, "actions", &count_up(0.0, LEN, 2), 2);
        let mut obs = demo.create_group("obs");
        numbers(&mut obs, "eef_pos", &count_up(0.0, rows, 3), 3);
        demo.add_group(obs.finish());
        data.add_group(demo.finish());
    }
    let mut file = FileBuilder::new();
    file.add_group(data.finish());
    let path = made.write("low.hdf5", file)?;
    let dataset = open(&made.options(&path))?;
    assert_eq!((dataset.episodes.len(), dataset.skipped.len()), (2, 1));
    assert_eq!(dataset.skipped[0].why, "eef_pos has 5 rows, there are 4 actions");
    Ok(())
}

#[test]
fn what_is_none_of_the_formats_is_said_with_what_it_is() -> Outcome {
    let made = Made::new()?;
    let mut file = FileBuilder::new();
    file.create_dataset("temperature").with_f64_data(&[1.0]).with_shape(&[1]);
    let path = made.write("other.h5", file)?;
    let error = open(&made.options(&path)).expect_err("no dataset").to_string();
    assert!(error.contains("HDF5 with temperature; expected robomimic (data/demo_N/actions), ALOHA"), "{error}");

    let text = made.path("text.hdf5");
    std::fs::write(&text, "no HDF5 at all")?;
    let error = open(&made.options(&text)).expect_err("no dataset").to_string();
    assert!(error.contains("cannot be read"), "{error}");

    let error = open(&OpenOptions { action_key: "torque".to_owned(), ..made.options(&path) });
    assert!(error.is_err());
    Ok(())
}

#[test]
fn a_rate_that_contradicts_the_file_is_refused() -> Outcome {
    let made = Made::new()?;
    let path = made.write("low.hdf5", robomimic(&[("demo_0", 0.0, true)])?)?;
    let error = open(&made.options(&path)).expect_err("10 is not 20").to_string();
    assert!(error.contains("recorded at 20 Hz, data.control_rate_hz says 10"), "{error}");
    Ok(())
}

#[test]
fn flipped_bytes_and_cut_files_never_panic() -> Outcome {
    use rand::{RngExt, SeedableRng};
    let made = Made::new()?;
    let path = made.write("low.hdf5", robomimic(&[("demo_0", 0.0, true), ("demo_1", 3.0, true)])?)?;
    let sound = std::fs::read(&path)?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let (mut refused, runs) = (0, 300);
    for run in 0..runs {
        let mut bytes = sound.clone();
        if run % 4 == 0 {
            bytes.truncate(rng.random_range(0..bytes.len()));
        } else {
            for _ in 0..rng.random_range(1..8) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random_range(0..=255);
            }
        }
        std::fs::write(&path, bytes)?;
        let options = OpenOptions { control_rate: ControlRate::IfRecorded, ..made.options(&path) };
        refused += usize::from(open(&options).is_err());
    }
    assert!(refused > 0 && refused < runs, "{refused} of {runs} were refused");
    Ok(())
}
