//! Files in all four formats, written by another HDF5 library than the one that reads them, and one by h5py.

mod broken;
mod formats;
mod h5py;
mod outcomes;

use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, Datatype, EnumTypeBuilder, FileBuilder, GroupBuilder};

use crate::dataset::{ControlRate, Dataset, OpenOptions};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Steps of every made-up episode, height and width of its pictures.
const LEN: usize = 4;
const HEIGHT: usize = 4;
const WIDTH: usize = 6;

/// A folder with a file to read, and a place for frames.
struct Made {
    dir: tempfile::TempDir,
}

impl Made {
    fn new() -> std::io::Result<Made> {
        Ok(Made { dir: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    /// Writes a file.
    fn write(&self, name: &str, file: FileBuilder) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        file.write(&path)?;
        Ok(path)
    }

    fn options(&self, path: &Path) -> OpenOptions {
        OpenOptions {
            path: path.to_owned(),
            image_size: 2,
            cache_dir: self.dir.path().join("frames"),
            control_rate: ControlRate::Given(10.0),
            ..OpenOptions::default()
        }
    }
}

fn open(options: &OpenOptions) -> Result<Dataset, crate::Error> {
    Dataset::open(options, &mut |_| {})
}

/// `rows` rows of `width` numbers: `start`, `start + 1`, …
fn count_up(start: f64, rows: usize, width: usize) -> Vec<f64> {
    (0..rows * width).map(|i| start + i as f64).collect()
}

/// Pictures of one colour each: red is 10 times the step, green `green`, blue 0.
fn plain(rows: usize, green: u8) -> Vec<u8> {
    (0..rows).flat_map(|t| [10 * t as u8, green, 0].repeat(HEIGHT * WIDTH)).collect()
}

fn numbers(group: &mut GroupBuilder, name: &str, values: &[f64], width: usize) {
    let rows = (values.len() / width) as u64;
    let shape = if width == 1 { vec![rows] } else { vec![rows, width as u64] };
    let chunks: Vec<u64> = shape.iter().enumerate().map(|(axis, n)| if axis == 0 { 3 } else { *n }).collect();
    group.create_dataset(name).with_f64_data(values).with_shape(&shape).with_chunks(&chunks).with_deflate(6);
}

fn pictures(group: &mut GroupBuilder, name: &str, pixels: &[u8]) {
    let rows = (pixels.len() / (HEIGHT * WIDTH * 3)) as u64;
    let shape = [rows, HEIGHT as u64, WIDTH as u64, 3];
    group.create_dataset(name).with_u8_data(pixels).with_shape(&shape);
}

/// Booleans as h5py writes them.
fn flags(group: &mut GroupBuilder, name: &str, values: &[bool]) -> Outcome {
    let values: Vec<u8> = values.iter().map(|&x| u8::from(x)).collect();
    group.create_dataset(name).with_enum_u8_data(boolean()?, &values).with_shape(&[values.len() as u64]);
    Ok(())
}

fn boolean() -> Result<Datatype, Box<dyn std::error::Error>> {
    Ok(EnumTypeBuilder::u8_based().u8_value("FALSE", 0).u8_value("TRUE", 1).build()?)
}

/// One robomimic demonstration that ends rewarded; `state` starts at `start`.
fn demo(file: &mut GroupBuilder, name: &str, start: f64, with_camera: bool) {
    let mut demo = file.create_group(name);
    numbers(&mut demo, "actions", &count_up(start, LEN, 2), 2);
    numbers(&mut demo, "rewards", &[0.0, 0.0, 0.0, 1.0], 1);
    demo.create_dataset("dones").with_i64_data(&[0, 0, 0, 1]).with_shape(&[LEN as u64]);
    let mut obs = demo.create_group("obs");
    numbers(&mut obs, "eef_pos", &count_up(start, LEN, 3), 3);
    if with_camera {
        pictures(&mut obs, "front_image", &plain(LEN, 7));
    }
    demo.add_group(obs.finish());
    file.add_group(demo.finish());
}

/// A robomimic file of `demos`; the filter key `few` lists the last of them.
fn robomimic(demos: &[(&str, f64, bool)]) -> Result<FileBuilder, Box<dyn std::error::Error>> {
    let mut file = FileBuilder::new();
    let mut data = file.create_group("data");
    let env_args = r#"{"env_name": "Lift", "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}"#;
    data.set_attr("env_args", AttrValue::String(env_args.to_owned()));
    for &(name, start, with_camera) in demos {
        demo(&mut data, name, start, with_camera);
    }
    file.add_group(data.finish());
    let mut mask = file.create_group("mask");
    let last = demos.last().map_or("", |demo| demo.0);
    mask.create_dataset("few").with_ascii_strings(&[last])?.with_shape(&[1]);
    file.add_group(mask.finish());
    Ok(file)
}
