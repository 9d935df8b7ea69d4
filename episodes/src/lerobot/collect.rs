//! Reads the data files of all listed episodes and keeps what is sound, holding the listing to its promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::check::{Sound, check};
use super::info::Info;
use super::listing::{Listed, Listing, parquet_files};
use super::rows::{Rows, Wanted, read_file};
use super::table::CORRUPT;
use crate::dataset::Progress;
use crate::guard::guarded;
use crate::holes::{Holes, Why, count};
use crate::outcome::Labels;
use crate::spec::DatasetSpec;

/// Relative difference between the promised and the found rate that is worth a word.
const RATE_TOLERANCE: f64 = 0.05;

/// Rows of all sound episodes, still without pictures.
pub(crate) struct Collected {
    /// Sound episodes in ascending order.
    pub sound: Vec<Sound>,
    /// The data files that [`super::rows::Source::file`] counts, relative to the dataset.
    pub data_files: Vec<PathBuf>,
}

/// What to collect.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The dataset.
    pub root: &'a Path,
    /// Its promises.
    pub info: &'a Info,
    /// The columns wanted.
    pub spec: &'a DatasetSpec,
    /// The episodes it claims to hold.
    pub listing: &'a Listing,
    /// Cameras whose video file an episode must have.
    pub video_keys: &'a [&'a str],
    /// Labels that take the place of recorded success.
    pub labels: Option<&'a Labels>,
    /// Stop after so many sound episodes.
    pub limit: usize,
}

/// What has been found so far.
struct Collector<'a> {
    request: Request<'a>,
    sound: Vec<Sound>,
    /// Listed episodes that have been judged.
    settled: BTreeSet<usize>,
    /// Rows of episodes that are not complete yet.
    pending: BTreeMap<i64, Rows>,
    /// Data files looked at so far.
    seen_files: BTreeSet<PathBuf>,
    /// What is wrong with data files.
    file_faults: BTreeMap<PathBuf, String>,
    video_exists: BTreeMap<PathBuf, bool>,
}

/// Reads episodes until all, or the first `limit` sound ones, are there.
pub(crate) fn collect(request: &Request<'_>, holes: &mut Holes, progress: &mut dyn FnMut(Progress)) -> Collected {
    let Request { root, info, listing, .. } = *request;
    let wanted = Wanted::new(info, request.spec);
    let mut known = BTreeSet::new();
    let first_mentions = listing.episodes.iter().filter(|episode| known.insert(&episode.data_file));
    let data_files: Vec<PathBuf> = first_mentions.map(|episode| episode.data_file.clone()).collect();
    let mut collector = Collector {
        request: *request,
        sound: Vec::new(),
        settled: BTreeSet::new(),
        pending: BTreeMap::new(),
        seen_files: BTreeSet::new(),
        file_faults: BTreeMap::new(),
        video_exists: BTreeMap::new(),
    };
    let mut seen = BTreeSet::new();
    let mut frames = 0;
    let mut files_read = 0;
    for (number, file) in data_files.iter().enumerate() {
        if collector.sound.len() >= request.limit {
            break;
        }
        progress(Progress { done: number, total: data_files.len(), unit: "files", what: "data".to_owned() });
        let before: usize = collector.pending.values().map(Rows::len).sum();
        let path = root.join(file);
        if !path.exists() {
            collector.file_faults.insert(file.clone(), "data file missing".to_owned());
        } else if let Err(why) = guarded(|| read_file(&path, number, &wanted, &mut collector.pending))
            .unwrap_or_else(|| Err(CORRUPT.to_owned()))
        {
            collector.file_faults.insert(file.clone(), format!("data file cannot be read ({why})"));
        }
        seen.extend(collector.pending.keys().copied());
        frames += collector.pending.values().map(Rows::len).sum::<usize>() - before;
        collector.settle(file, holes);
        files_read = number + 1;
    }
    let all = files_read == data_files.len();
    progress(Progress { done: files_read, total: files_read, unit: "files", what: "data".to_owned() });
    collector.settle_rest(&data_files[..files_read], holes);
    if all {
        compare("total_episodes", info.total_episodes, seen.len(), "episode", holes);
        compare("total_frames", info.total_frames, frames, "frame", holes);
    }
    name_unlisted_files(root, &known, listing, holes);
    let mut sound = collector.sound;
    compare_rate(info.fps, &sound, holes);
    sound.sort_by_key(|sound| sound.episode.index);
    Collected { sound, data_files }
}

impl<'a> Collector<'a> {
    /// Judges the episodes whose rows are all there.
    fn settle(&mut self, file: &Path, holes: &mut Holes) {
        self.seen_files.insert(file.to_path_buf());
        let negative = self.pending.extract_if(..0, |_, _| true).count();
        if negative > 0 {
            let why = format!("have a negative episode_index ({negative} different ones)");
            holes.fault(format!("rows in {}", file.display()), why);
        }
        let indices: Vec<i64> = self.pending.keys().copied().collect();
        for index in indices {
            let Some(listed) = self.listed(index) else {
                self.pending.remove(&index);
                let why = format!("has rows but is not listed in {}", self.request.listing.name);
                // Negative ones are gone.
                holes.episode(usize::try_from(index).unwrap_or_default(), Why::in_file(why, file));
                continue;
            };
            if !self.seen_files.contains(&listed.data_file) {
                // Kept, they would spoil the episode that another file holds whole.
                self.pending.remove(&index);
                let why = format!("belong to episode {index}, which is listed in {}", listed.data_file.display());
                holes.fault(format!("rows in {}", file.display()), why);
                continue;
            }
            if self.settled.contains(&listed.index) {
                self.pending.remove(&index);
                holes.fault(
                    format!("rows in {}", file.display()),
                    format!("belong to episode {index}, which is complete without"),
                );
                continue;
            }
            if self.pending.get(&index).is_some_and(|rows| rows.len() < listed.length) {
                continue;
            }
            if let Some(rows) = self.pending.remove(&index) {
                self.judge(listed, rows, holes);
            }
        }
    }

    /// Judges the listed episodes that stayed incomplete although their data file was looked at.
    fn settle_rest(&mut self, files_read: &[PathBuf], holes: &mut Holes) {
        let files_read: BTreeSet<&PathBuf> = files_read.iter().collect();
        for listed in &self.request.listing.episodes {
            if self.sound.len() >= self.request.limit {
                break;
            }
            if self.settled.contains(&listed.index) || !files_read.contains(&listed.data_file) {
                continue;
            }
            let rows = i64::try_from(listed.index).ok().and_then(|index| self.pending.remove(&index));
            match (self.file_faults.get(&listed.data_file), rows) {
                (Some(fault), _) => holes.episode(listed.index, Why::in_file(fault, &listed.data_file)),
                (None, Some(rows)) => self.judge(listed, rows, holes),
                (None, None) => {
                    holes.episode(
                        listed.index,
                        Why::in_file("is listed, but has no row in its data file", &listed.data_file),
                    );
                }
            }
        }
    }

    fn judge(&mut self, listed: &Listed, rows: Rows, holes: &mut Holes) {
        self.settled.insert(listed.index);
        if self.sound.len() >= self.request.limit {
            return;
        }
        let label = self.request.labels.and_then(|labels| labels.get(listed.index));
        let verdict = check(listed, rows, self.request.spec, label).map_err(Why::new);
        match verdict.and_then(|sound| self.check_videos(listed).map(|()| sound)) {
            Ok(sound) => self.sound.push(sound),
            Err(why) => holes.episode(listed.index, why),
        }
    }

    fn check_videos(&mut self, listed: &Listed) -> Result<(), Why> {
        for (key, place) in self.request.video_keys.iter().zip(&listed.videos) {
            let root = self.request.root;
            let exists =
                self.video_exists.entry(place.file.clone()).or_insert_with_key(|file| root.join(file).is_file());
            if !*exists {
                return Err(Why::in_file(format!("video of camera {key} missing"), &place.file));
            }
            if !(place.from_s.is_finite() && place.from_s >= 0.0) {
                let name = self.request.listing.name;
                return Err(Why::new(format!(
                    "{name} puts the start of its video of camera {key} at {} s",
                    place.from_s
                )));
            }
        }
        Ok(())
    }

    /// The list entry of an episode.
    fn listed(&self, index: i64) -> Option<&'a Listed> {
        let index = usize::try_from(index).ok()?;
        let episodes = &self.request.listing.episodes;
        episodes.binary_search_by_key(&index, |episode| episode.index).ok().map(|place| &episodes[place])
    }
}

fn compare(what: &str, promised: Option<usize>, found: usize, unit: &str, holes: &mut Holes) {
    if let Some(promised) = promised.filter(|&promised| promised != found) {
        holes.fault(format!("info.json {what}"), format!("says {promised}, {} found", count(found, unit)));
    }
}

fn compare_rate(promised_hz: f64, sound: &[Sound], holes: &mut Holes) {
    let timed = sound.iter().filter(|sound| sound.span_s > 0.0);
    let (steps, span_s) = timed.fold((0, 0.0), |(n, s), sound| (n + sound.episode.len - 1, s + sound.span_s));
    let found_hz = steps as f64 / span_s;
    if steps > 0 && (found_hz / promised_hz - 1.0).abs() > RATE_TOLERANCE {
        holes.fault("info.json fps", format!("says {promised_hz}, the timestamps advance at {found_hz:.2} Hz"));
    }
}

fn name_unlisted_files(root: &Path, listed: &BTreeSet<&PathBuf>, listing: &Listing, holes: &mut Holes) {
    let mut stray = parquet_files(root, Path::new("data"));
    stray.retain(|file| !listed.contains(file));
    let Some(first) = stray.first() else { return };
    let what = match stray.len() {
        1 => format!("data file {}", first.display()),
        n => format!("{n} data files ({} …)", first.display()),
    };
    holes.fault(what, format!("no episode in {} refers to it", listing.name));
}
