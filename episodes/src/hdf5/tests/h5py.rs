//! A file as h5py writes it by default (old superblock and symbol tables, deflate and shuffle, texts of variable length),
//! made by tests/interop/make_hdf5.py.

use super::*;

#[test]
fn what_h5py_wrote_comes_out_right() -> Outcome {
    let made = Made::new()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5py_robomimic.hdf5");
    let options = OpenOptions { control_rate: ControlRate::Recorded, image_size: 8, ..made.options(&path) };
    let dataset = open(&options)?;
    assert_eq!((dataset.spec.control_rate_hz, dataset.spec.tasks.as_slice()), (20.0, &["pick up".to_owned()][..]));
    assert_eq!((dataset.episodes.len(), dataset.total_frames()), (3, 3 * 30));
    // The script's formulas: state = demo + t / 8 + element / 64, action = -state, pixel = 8 t + 2 column + channel.
    let (position, demo, t) = (2, 10, 17);
    let state: Vec<f32> = (0..3).map(|i| demo as f32 + t as f32 / 8.0 + i as f32 / 64.0).collect();
    assert_eq!(dataset.episodes[position].state_at(t, 3), state);
    assert_eq!(dataset.episodes[position].action_at(t, 2), [-state[0], -state[1]]);
    let pixels: Vec<u8> = (0..8 * 8 * 3).map(|i| (8 * t + 2 * (i / 3 % 8) + i % 3) as u8).collect();
    assert_eq!(dataset.frame(0, position, t), pixels);
    let few = open(&OpenOptions { filter_key: Some("valid".to_owned()), ..options })?;
    assert_eq!(few.episodes.iter().map(|episode| episode.index).collect::<Vec<_>>(), [2, 10]);
    Ok(())
}
