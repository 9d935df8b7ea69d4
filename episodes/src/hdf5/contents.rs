//! What one episode holds, by name and shape; nothing of it is read yet.

use std::collections::BTreeMap;

use super::file::{Cell, H5, Shape};
use super::layout::{Layout, Place};

/// Groups in groups in groups: deeper nobody keeps observations.
const MAX_DEPTH: usize = 4;

/// How a camera's pictures are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Storage {
    /// Pixels `[T, height, width, 3]`.
    RowsFirst {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// Pixels `[T, 3, height, width]`.
    ChannelsFirst {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// PNG or JPEG, each padded with zeros to one length `[T, L]`.
    Padded,
    /// PNG or JPEG as byte strings `[T]`.
    Strings,
}

/// What a dataset of observations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A vector of so many elements.
    Vector(usize),
    /// A colour camera.
    Camera(Storage),
}

/// The observations of one episode.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// Path below the observations and what lies there.
    pub observations: BTreeMap<String, Kind>,
    /// Elements of the action; none where it has no rank 1 or 2.
    pub action_len: Option<usize>,
    /// Observations that are not read, and why.
    pub notes: BTreeMap<String, String>,
}

impl Contents {
    /// Lists what an episode holds.
    pub fn read(h5: &H5, layout: Layout, place: &Place) -> Result<Contents, String> {
        let action = h5.shape(&join(&place.group, layout.action()))?;
        let mut contents = Contents { action_len: vector_len(&action), ..Contents::default() };
        let root = join(&place.group, layout.observations());
        match h5.members(&root) {
            Ok(_) => contents.walk(h5, &root, "", 0)?,
            Err(_) => contents.add(String::new(), &h5.shape(&root)?),
        }
        Ok(contents)
    }

    fn walk(&mut self, h5: &H5, root: &str, below: &str, depth: usize) -> Result<(), String> {
        let (groups, datasets) = h5.members(&join(root, below))?;
        for name in datasets {
            let path = join(below, &name);
            let shape = h5.shape(&join(root, &path))?;
            self.add(path, &shape);
        }
        for name in groups.iter().filter(|_| depth < MAX_DEPTH) {
            self.walk(h5, root, &join(below, name), depth + 1)?;
        }
        Ok(())
    }

    fn add(&mut self, path: String, shape: &Shape) {
        match kind(&path, shape) {
            Ok(kind) => {
                self.observations.insert(path, kind);
            }
            Err(why) => {
                self.notes.insert(path, why);
            }
        }
    }
}

/// A path below a group, either of which may be empty.
pub(super) fn join(group: &str, name: &str) -> String {
    match (group, name) {
        ("", name) => name.to_owned(),
        (group, "") => group.to_owned(),
        (group, name) => format!("{group}/{name}"),
    }
}

fn vector_len(shape: &Shape) -> Option<usize> {
    match (shape.cell, shape.dims.as_slice()) {
        (Cell::Number | Cell::Byte, [_]) => Some(1),
        (Cell::Number | Cell::Byte, &[_, n]) if n > 0 => Some(n),
        _ => None,
    }
}

fn kind(path: &str, shape: &Shape) -> Result<Kind, String> {
    let is_picture = path.starts_with("images/");
    match (shape.cell, shape.dims.as_slice()) {
        (Cell::Byte, &[_, height, width, 3]) => Ok(Kind::Camera(Storage::RowsFirst { height, width })),
        (Cell::Byte, &[_, 3, height, width]) => Ok(Kind::Camera(Storage::ChannelsFirst { height, width })),
        (Cell::Byte, [_, _]) if is_picture => Ok(Kind::Camera(Storage::Padded)),
        (Cell::Bytes, [_]) if is_picture => Ok(Kind::Camera(Storage::Strings)),
        _ if path.contains("depth") => Err("is a depth camera, only colour cameras are read".to_owned()),
        _ => vector_len(shape)
            .map(Kind::Vector)
            .ok_or_else(|| format!("has shape {:?}; only vectors and colour cameras of 8 bits are read", shape.dims)),
    }
}
