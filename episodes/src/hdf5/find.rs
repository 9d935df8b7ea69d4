//! Which HDF5 files a path means, their format, and the episodes they claim to hold.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::contents::{Contents, join};
use super::features;
use super::file::H5;
use super::files_in;
use super::layout::{About, EXPECTED, Layout, Place};
use crate::error::Error;
use crate::holes::{Holes, Why};

/// The files, of which the last one used stays open.
pub(super) struct Files {
    pub paths: Vec<PathBuf>,
    open: RefCell<Option<(usize, Rc<H5>)>>,
}

impl Files {
    pub fn get(&self, file: usize) -> Result<Rc<H5>, String> {
        if let Some((_, h5)) = self.open.borrow().as_ref().filter(|(open, _)| *open == file) {
            return Ok(Rc::clone(h5));
        }
        let h5 = Rc::new(H5::open(&self.paths[file])?);
        *self.open.borrow_mut() = Some((file, Rc::clone(&h5)));
        Ok(h5)
    }

    /// A reason that names the file where there are several.
    pub fn why(&self, text: impl Into<String>, file: usize) -> Why {
        match self.paths.len() {
            1 => Why::new(text),
            _ => Why::in_file(text, Path::new(self.paths[file].file_name().unwrap_or_default())),
        }
    }
}

/// The files, their format, and the places of the episodes they claim to hold.
pub(super) struct Found {
    pub files: Files,
    pub layout: Layout,
    /// Those wanted.
    places: Vec<Place>,
    /// `episode_index` of all, wanted or not.
    pub listed: BTreeSet<usize>,
    pub about: About,
}

/// Opens every file and lists its episodes; files of another format than the first are left out.
pub(super) fn find(path: &Path, filter_key: Option<&str>, holes: &mut Holes) -> Result<Found, Error> {
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

impl Found {
    /// What every episode holds; episodes of which that cannot be said are left out.
    pub fn contents(&self, holes: &mut Holes) -> (Vec<Place>, Vec<Contents>) {
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
}
