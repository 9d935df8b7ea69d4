//! HDF5 files before their pictures: which episodes they claim to hold, which are sound, and what is left out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rayon::prelude::*;

use super::contents::{Contents, Storage, join};
use super::features::{self, Promise, Selected};
use super::file::H5;
use super::layout::{About, EXPECTED, Layout, Place};
use super::rows::{self, Sound};
use super::{files_in, pictures};
use crate::dataset::{ControlRate, OpenOptions, Progress};
use crate::episode::Episode;
use crate::error::Error;
use crate::frames::{self, FrameStore, SegmentFailure, decode_picture, ingest_pixels};
use crate::holes::{Holes, Why};
use crate::outcome::Labels;
use crate::spec::DatasetSpec;
use crate::survey::{Picture, Unseen, name_unlabelled};
use crate::video::resize_rgb;

/// Everything read of the files except pictures.
pub(crate) struct Survey {
    files: Files,
    /// Names, shapes and rates.
    pub spec: DatasetSpec,
    /// What was left out so far.
    pub holes: Holes,
    /// Sound episodes in ascending order; `first_frame` is set.
    pub sound: Vec<Sound>,
    /// What takes the place of recorded success.
    pub labels: Option<Labels>,
    /// What was asked for, as it was written.
    path: PathBuf,
    /// Path below the observations and storage of every camera of the spec.
    cameras: Vec<(String, Storage)>,
    layout: Layout,
}

/// The files, of which the last one used stays open.
struct Files {
    paths: Vec<PathBuf>,
    open: RefCell<Option<(usize, Rc<H5>)>>,
}

impl Files {
    fn get(&self, file: usize) -> Result<Rc<H5>, String> {
        if let Some((_, h5)) = self.open.borrow().as_ref().filter(|(open, _)| *open == file) {
            return Ok(Rc::clone(h5));
        }
        let h5 = Rc::new(H5::open(&self.paths[file])?);
        *self.open.borrow_mut() = Some((file, Rc::clone(&h5)));
        Ok(h5)
    }

    /// A reason that names the file where there are several.
    fn why(&self, text: impl Into<String>, file: usize) -> Why {
        match self.paths.len() {
            1 => Why::new(text),
            _ => Why::in_file(text, Path::new(self.paths[file].file_name().unwrap_or_default())),
        }
    }
}

/// The files, their format, and the places of the episodes they claim to hold.
struct Found {
    files: Files,
    layout: Layout,
    /// Those wanted.
    places: Vec<Place>,
    /// `episode_index` of all, wanted or not.
    listed: BTreeSet<usize>,
    about: About,
}

/// Opens every file and lists its episodes; files of another format than the first are left out.
fn find(path: &Path, filter_key: Option<&str>, holes: &mut Holes) -> Result<Found, Error> {
    let paths = if path.is_dir() { files_in(path) } else { vec![path.to_path_buf()] };
    let files = Files { paths, open: RefCell::default() };
    let is_single = files.paths.len() == 1;
    let not_a_dataset = |found: String| Error::NotADataset {
        found,
        expected: EXPECTED.to_owned(),
        path: if is_single { files.paths[0].clone() } else { path.to_path_buf() },
    };
    let (mut found, mut places, mut about): (Option<Layout>, Vec<(Place, bool)>, About) =
        (None, Vec::new(), About::default());
    let mut broken: Vec<(usize, String)> = Vec::new();
    for file in 0..files.paths.len() {
        let listed = files.get(file).map_err(|why| format!("cannot be read ({why})")).and_then(|h5| {
            let layout = Layout::recognise(&h5)?;
            if found.is_some_and(|first| first != layout) {
                return Err(format!("is {}, other files are not", layout.name()));
            }
            let places = layout.places(&h5, file).map_err(|why| format!("cannot be read ({why})"))?;
            let wanted = wanted(&h5, layout, &places, filter_key);
            Ok((layout, places.into_iter().zip(wanted), h5))
        });
        match listed {
            Ok((layout, listed, h5)) => {
                if found.is_none() {
                    about = About::read(&h5);
                }
                found = Some(layout);
                let shift =
                    if layout == Layout::Aloha { 0 } else { places.last().map_or(0, |(last, _)| last.index + 1) };
                places.extend(listed.map(|(place, wanted)| (Place { index: place.index + shift, ..place }, wanted)));
            }
            Err(why) => broken.push((file, why)),
        }
    }
    let Some(layout) = found else {
        let (_, why) = broken.into_iter().next().unwrap_or_default();
        return Err(not_a_dataset(why));
    };
    for (file, why) in broken {
        let name = files.paths[file].file_name().unwrap_or_default().to_string_lossy().into_owned();
        holes.fault(format!("file {name}"), why);
    }
    let mut listed = BTreeSet::new();
    if !places.iter().all(|(place, _)| listed.insert(place.index)) {
        // Names that do not number their files: count them.
        places.iter_mut().enumerate().for_each(|(index, (place, _))| place.index = index);
        listed = (0..places.len()).collect();
    }
    // Numbered first and then picked: a filter key changes no episode's number, nor what its label belongs to.
    let mut places: Vec<Place> = places.into_iter().filter_map(|(place, wanted)| wanted.then_some(place)).collect();
    if let (Some(key), true) = (filter_key, places.is_empty()) {
        let keys = files.get(0).and_then(|h5| h5.members("mask")).map_or_else(|_| Vec::new(), |(_, names)| names);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        return Err(features::missing(path, key, "data.filter_key", &keys));
    }
    places.sort_by_key(|place| place.index);
    Ok(Found { files, layout, places, listed, about })
}

/// Which episodes a robomimic filter key lists; all without one.
fn wanted(h5: &H5, layout: Layout, places: &[Place], filter_key: Option<&str>) -> Vec<bool> {
    let Some(key) = filter_key else { return vec![true; places.len()] };
    let listed = h5.texts(&join("mask", key)).filter(|_| layout == Layout::Robomimic).unwrap_or_default();
    let is_listed = |place: &Place| listed.iter().any(|name| place.group == join("data", name));
    places.iter().map(is_listed).collect()
}

/// The rate of the file, or the one given; they must not contradict each other.
fn rate(path: &Path, recorded_hz: Option<f64>, wanted: ControlRate) -> Result<f64, Error> {
    let bad = |found: String, expected: &str| Error::BadFile {
        found,
        expected: expected.to_owned(),
        path: path.to_path_buf(),
    };
    match (recorded_hz, wanted) {
        (Some(recorded), ControlRate::Given(hz)) if recorded != hz => Err(bad(
            format!("it was recorded at {recorded} Hz, data.control_rate_hz says {hz}"),
            "no data.control_rate_hz for a file that says its rate: leave it out",
        )),
        (_, ControlRate::Given(hz)) if !(hz.is_finite() && hz > 0.0) => {
            Err(bad(format!("data.control_rate_hz is {hz}"), "a positive rate in Hz"))
        }
        (_, ControlRate::Given(hz)) => Ok(hz),
        (Some(recorded), _) => Ok(recorded),
        (None, ControlRate::IfRecorded) => Ok(0.0),
        (None, ControlRate::Recorded) => Err(Error::NoRate { path: path.to_path_buf() }),
    }
}

impl Survey {
    /// Reads everything but pictures.
    pub fn read(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Survey, Error> {
        let mut holes = Holes::default();
        let found = find(&options.path, options.filter_key.as_deref(), &mut holes)?;
        let rate_hz = rate(&options.path, found.about.rate_hz, options.control_rate)?;
        let labels = options.labels.as_deref().map(Labels::read).transpose()?;
        if let (Some(labels), Some(file)) = (&labels, &options.labels) {
            labels.check(|index| found.listed.contains(&index), file)?;
        }
        let (places, contents) = found.contents(&mut holes);
        let promise = Promise::new(found.layout, &contents, &mut holes);
        if places.is_empty() {
            return Err(holes.nothing_left(&options.path));
        }
        let selected = promise.select(options)?;
        let mut sound = Vec::new();
        let total = places.len();
        for (done, place) in places.iter().enumerate() {
            if sound.len() >= options.max_episodes.unwrap_or(usize::MAX) {
                break;
            }
            progress(Progress { done, total, unit: "episodes", what: "data".to_owned() });
            let h5 = found.files.get(place.file);
            let read = h5.and_then(|h5| rows::read(&h5, found.layout, place, &selected, labels.as_ref()));
            match read {
                Ok(episode) => sound.push(episode),
                Err(why) => holes.episode(place.index, found.files.why(why, place.file)),
            }
        }
        progress(Progress { done: total, total, unit: "episodes", what: "data".to_owned() });
        found.finish(options, rate_hz, selected, sound, labels, holes)
    }

    /// Frames of one camera (position in the spec), episode after episode; what cannot be read is black and named.
    pub fn ingest(
        &self,
        camera: usize,
        cache_dir: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(FrameStore, Unseen), Error> {
        let key = &self.spec.cameras[camera].key;
        let size = self.spec.cameras[camera].model_size;
        let lengths: Vec<(usize, usize)> = self.sound.iter().map(|s| (s.episode.index, s.episode.len)).collect();
        let mut load = |position: usize, emit: &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>| {
            let mut trouble = None;
            let outcome = self.batches(position, camera, &mut |pictures| {
                let resized = pictures.into_par_iter().map(|picture| {
                    let (pixels, height, width) = pixels(picture)?;
                    let mut out = vec![0; size * size * 3];
                    resize_rgb(&pixels, width, height, size, &mut out);
                    Ok(out)
                });
                match resized.collect::<Result<Vec<_>, String>>() {
                    Ok(frames) if trouble.is_none() => emit(frames),
                    Ok(_) => Ok(()),
                    Err(why) => {
                        trouble.get_or_insert(why);
                        Ok(())
                    }
                }
            })?;
            Ok(outcome.err().or(trouble))
        };
        let cache = frames::Place { cache_dir, dataset: &self.path };
        let (store, failures) =
            ingest_pixels(key, &self.pictures_key(camera), &lengths, size, cache, &mut load, progress)?;
        let unseen = failures.into_iter().filter_map(|SegmentFailure { episode, why }| {
            let position = self.sound.binary_search_by_key(&episode, |sound| sound.episode.index).ok()?;
            let text = format!("a picture of camera {key} cannot be read ({why})");
            Some((position, self.files.why(text, self.sound[position].place.file)))
        });
        Ok((store, unseen.collect()))
    }

    /// What one camera saw in one episode; see [`crate::survey::Survey::pictures`].
    pub fn pictures(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Picture) -> Result<(), Error>,
    ) -> Result<Result<(), Why>, Error> {
        let outcome =
            self.batches(position, camera, &mut |pictures| pictures.into_iter().try_for_each(&mut *receive))?;
        let key = &self.spec.cameras[camera].key;
        Ok(outcome.map_err(|why| {
            let text = format!("a picture of camera {key} cannot be read ({why})");
            self.files.why(text, self.sound[position].place.file)
        }))
    }

    fn batches(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Vec<Picture>) -> Result<(), Error>,
    ) -> Result<Result<(), String>, Error> {
        let place = &self.sound[position].place;
        let (path, storage) = &self.cameras[camera];
        let path = join(&join(&place.group, self.layout.observations()), path);
        let rows = place.rows.clone().unwrap_or(0..self.sound[position].episode.len);
        match self.files.get(place.file) {
            Ok(h5) => pictures::read(&h5, &path, *storage, rows, receive),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Hash of where the pictures come from.
    fn pictures_key(&self, camera: usize) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: String| {
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
        };
        for path in &self.files.paths {
            let stamp = std::fs::metadata(path).ok().map(|about| (about.len(), about.modified().ok()));
            add(format!("{} {stamp:?}", path.canonicalize().unwrap_or_else(|_| path.clone()).display()));
        }
        add(format!("{:?}", self.cameras[camera]));
        for sound in &self.sound {
            add(format!("{:?} {}", sound.place, sound.episode.len));
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Hash of what was read: names, and every number of the episodes; pictures by the length of their files.
    pub fn content_id(&self, episodes: &[Episode]) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        for path in &self.files.paths {
            add(path.file_name().unwrap_or_default().as_encoded_bytes());
            add(&std::fs::metadata(path).map_or(0, |about| about.len()).to_le_bytes());
        }
        let spec = &self.spec;
        let state_keys: Vec<&str> = spec.state.iter().map(|feature| feature.key.as_str()).collect();
        add(format!("{state_keys:?} {} {:?} {}", spec.action.key, spec.cameras, spec.control_rate_hz).as_bytes());
        for episode in episodes {
            let Episode { index, len, terminated, success, intervention, .. } = episode;
            add(format!("{index} {len} {terminated} {success:?} {intervention:?}").as_bytes());
            for values in [&episode.state, &episode.action].into_iter().chain(&episode.reward) {
                add(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Found {
    /// What every episode holds; episodes of which that cannot be said are left out.
    fn contents(&self, holes: &mut Holes) -> (Vec<Place>, Vec<Contents>) {
        let (mut places, mut contents): (Vec<Place>, Vec<Contents>) = (Vec::new(), Vec::new());
        for place in &self.places {
            let shared = place.rows.as_ref().and_then(|_| contents.last().cloned());
            let read = match shared {
                Some(contents) => Ok(contents),
                None => self.files.get(place.file).and_then(|h5| Contents::read(&h5, self.layout, place)),
            };
            match read {
                Ok(read) => {
                    places.push(place.clone());
                    contents.push(read);
                }
                Err(why) => {
                    holes.episode(place.index, self.files.why(format!("cannot be read ({why})"), place.file));
                }
            }
        }
        (places, contents)
    }

    /// Puts the survey together: sizes of the cameras, tasks, first frames; reward and success in all episodes or none.
    fn finish(
        self,
        options: &OpenOptions,
        rate_hz: f64,
        selected: Selected,
        mut sound: Vec<Sound>,
        labels: Option<Labels>,
        mut holes: Holes,
    ) -> Result<Survey, Error> {
        let reward: fn(&Episode) -> bool = |episode| episode.reward.is_some();
        let success: fn(&Episode) -> bool = |episode| episode.success.is_some();
        let [has_reward, recorded_success] = [(reward, "rewards"), (success, "infos/success")].map(|(has, name)| {
            if labels.is_some() && name == "infos/success" {
                // Success is what the labels say.
                return false;
            }
            let promised = 2 * sound.iter().filter(|sound| has(&sound.episode)).count() > sound.len();
            sound.retain(|sound| {
                let kept = !promised || has(&sound.episode);
                if !kept {
                    let why = self.files.why(format!("{name} is missing"), sound.place.file);
                    holes.episode(sound.episode.index, why);
                }
                kept
            });
            promised
        });
        if let Some(labels) = &labels {
            name_unlabelled(labels, sound.iter().map(|sound| &sound.episode), &mut holes);
        }
        let has_success = recorded_success || labels.is_some();
        let mut tasks: Vec<String> = Vec::new();
        let mut first_frame = 0;
        for Sound { episode, .. } in &mut sound {
            episode.reward = episode.reward.take().filter(|_| has_reward);
            episode.success = episode.success.take().filter(|_| has_success);
            if episode.task.is_empty() {
                episode.task = self.about.task.clone().unwrap_or_default();
            }
            if !episode.task.is_empty() && !tasks.contains(&episode.task) {
                tasks.push(episode.task.clone());
            }
            episode.first_frame = first_frame;
            first_frame += episode.len;
        }
        let mut cameras = Vec::new();
        for (key, (path, storage)) in selected.camera_keys.iter().zip(&selected.cameras) {
            // The first episode whose picture opens speaks for all; broken ones are named when they are read.
            let size = sound.iter().find_map(|sound| {
                let path = join(&join(&sound.place.group, self.layout.observations()), path);
                pictures::size(&*self.files.get(sound.place.file).ok()?, &path, *storage).ok()
            });
            cameras.push(features::camera(key, size.unwrap_or_default(), options.image_size));
        }
        let spec = DatasetSpec {
            source: options.path.display().to_string(),
            codebase_version: self.layout.name().to_owned(),
            robot_type: self.about.robot_type,
            control_rate_hz: rate_hz,
            state: selected.state,
            action: selected.action,
            cameras,
            tasks,
            has_reward,
            has_success,
        };
        Ok(Survey {
            files: self.files,
            spec,
            holes,
            sound,
            labels,
            path: options.path.clone(),
            cameras: selected.cameras,
            layout: self.layout,
        })
    }
}

/// The pixels of a picture, its height and width.
fn pixels(picture: Picture) -> Result<(Vec<u8>, usize, usize), String> {
    match picture {
        Picture::Rgb { pixels, height, width } => Ok((pixels, height, width)),
        Picture::Encoded(bytes) => {
            let rgb = decode_picture(&bytes)?;
            let (width, height) = (rgb.width() as usize, rgb.height() as usize);
            Ok((rgb.into_raw(), height, width))
        }
    }
}

/// The spec without reading whole episodes, see [`crate::dataset::probe`]: the first sound episode speaks for all.
pub(crate) fn probe(path: &Path, rate: ControlRate) -> Result<DatasetSpec, Error> {
    let options =
        OpenOptions { path: path.to_path_buf(), control_rate: rate, max_episodes: Some(1), ..OpenOptions::default() };
    Survey::read(&options, &mut |_| {}).map(|survey| survey.spec)
}
