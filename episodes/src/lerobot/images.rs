//! Cameras recorded as single pictures inside the data files (`image` features: PNG or JPEG bytes, or a path to them).

use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::check::Sound;
use super::info::stays_inside;
use super::rows::Source;
use super::table::{CORRUPT, Table};
use crate::error::Error;
use crate::frames::{EpisodePictures, FrameProgress, FrameStore, Place, ingest_images, stamp};
use crate::guard::guarded;
use crate::holes::Why;
use crate::survey::{Picture, Unseen};

/// Pictures held in memory at a time.
const PICTURES_PER_BATCH: usize = 32;

/// All pictures of one camera, in the order of the episodes.
pub(crate) struct Pictures<'a> {
    root: &'a Path,
    key: &'a str,
    sound: &'a [Sound],
    data_files: &'a [PathBuf],
}

/// Consecutive rows of one episode: its position, the data file and the rows in it.
#[derive(Clone, Debug)]
struct Stretch {
    position: usize,
    file: usize,
    rows: Range<usize>,
}

/// Receives the position of each picture's episode, the encoded bytes or why there are none, and whether they lie in a
/// file of their own.
type Receive<'r> = dyn FnMut(usize, Result<&[u8], &str>, bool) -> Result<(), Error> + 'r;

impl<'a> Pictures<'a> {
    /// Names the pictures of camera `key`.
    pub fn new(root: &'a Path, key: &'a str, sound: &'a [Sound], data_files: &'a [PathBuf]) -> Pictures<'a> {
        Pictures { root, key, sound, data_files }
    }

    /// Decodes all pictures that the cache does not hold; an episode with a picture that cannot be read is named.
    pub fn ingest(
        &self,
        size: usize,
        place: Place<'_>,
        progress: &mut dyn FnMut(FrameProgress),
    ) -> Result<(FrameStore, Unseen), Error> {
        let episodes = self.episodes();
        let mut load = |wanted: &[usize], emit: &mut Receive<'_>| self.walk(wanted, emit);
        let (store, failures) = ingest_images(self.key, &episodes, size, place, &mut load, progress)?;
        let unseen = failures.into_iter().filter_map(|failure| {
            let position = self.sound.binary_search_by_key(&failure.episode, |sound| sound.episode.index).ok()?;
            let source = self.sound[position].sources.first().map_or(0, |source| source.file);
            Some((position, self.why(&failure.why, &self.data_files[source])))
        });
        Ok((store, unseen.collect()))
    }

    /// Hands over every picture as it was recorded, until one cannot be read; see
    /// [`crate::survey::Survey::pictures`].
    pub fn each(&self, receive: &mut dyn FnMut(Picture) -> Result<(), Error>) -> Result<Result<(), Why>, Error> {
        let mut trouble = None;
        let all: Vec<usize> = (0..self.sound.len()).collect();
        self.walk(&all, &mut |position, picture, _| match picture {
            Ok(encoded) if trouble.is_none() => receive(Picture::Encoded(encoded.to_vec())),
            Ok(_) => Ok(()),
            Err(why) => {
                let source = self.sound[position].sources.first().map_or(0, |source| source.file);
                trouble.get_or_insert_with(|| self.why(why, &self.data_files[source]));
                Ok(())
            }
        })?;
        Ok(trouble.map_or(Ok(()), Err))
    }

    /// The episodes, each with a hash of where its pictures come from.
    fn episodes(&self) -> Vec<EpisodePictures> {
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.to_path_buf());
        let stamps: Vec<String> = self.data_files.iter().map(|file| stamp(&self.root.join(file))).collect();
        let key = |sound: &Sound| {
            let mut hasher = blake3::Hasher::new();
            let mut add = |text: String| {
                hasher.update(text.as_bytes());
                hasher.update(b"\n");
            };
            add(format!("{} {}", root.display(), self.key));
            for Source { file, rows } in &sound.sources {
                add(format!("{} {} {rows:?}", self.data_files[*file].display(), stamps[*file]));
            }
            hasher.finalize().to_hex().to_string()
        };
        let episode =
            |sound: &Sound| EpisodePictures { episode: sound.episode.index, len: sound.episode.len, key: key(sound) };
        self.sound.iter().map(episode).collect()
    }

    /// Hands over every picture of the episodes at some positions, in order.
    fn walk(&self, wanted: &[usize], receive: &mut Receive<'_>) -> Result<(), Error> {
        let mut pass: Vec<Stretch> = Vec::new();
        for &position in wanted {
            for source in &self.sound[position].sources {
                let next = Stretch { position, file: source.file, rows: source.rows.clone() };
                if pass.last().is_some_and(|last| last.file != next.file || last.rows.end > next.rows.start) {
                    self.walk_pass(&pass, receive)?;
                    pass.clear();
                }
                pass.push(next);
            }
        }
        self.walk_pass(&pass, receive)
    }

    /// Reads ascending stretches of one file in one go.
    fn walk_pass(&self, pass: &[Stretch], receive: &mut Receive<'_>) -> Result<(), Error> {
        let Some(first) = pass.first() else { return Ok(()) };
        let file = &self.data_files[first.file];
        let positions = pass.iter().flat_map(|stretch| stretch.rows.clone().map(|_| stretch.position));
        let mut positions = positions.collect::<Vec<_>>().into_iter();
        let ranges: Vec<Range<usize>> = pass.iter().map(|stretch| stretch.rows.clone()).collect();
        let table = Table::open(&self.root.join(file));
        let reader = table.and_then(|table| {
            let column = table.column(self.key).ok_or_else(|| "there is no such column".to_owned())?;
            table.rows(column, &ranges, PICTURES_PER_BATCH)
        });
        let mut trouble = None;
        match reader {
            Ok(mut reader) => {
                let mut next = || {
                    let batch = reader.next()?.map_err(|err| err.to_string());
                    Some(batch.and_then(|batch| Cells::new(batch.column(0))))
                };
                while let Some(cells) = guarded(&mut next).unwrap_or_else(|| Some(Err(CORRUPT.to_owned()))) {
                    let cells = match cells {
                        Ok(cells) => cells,
                        Err(why) => {
                            trouble = Some(why);
                            break;
                        }
                    };
                    for (row, position) in (0..cells.len()).zip(&mut positions) {
                        let is_embedded = cells.is_embedded(row);
                        match cells.encoded(self.root, row) {
                            Ok(encoded) => receive(position, Ok(&encoded), !is_embedded)?,
                            Err(why) => receive(position, Err(&why), !is_embedded)?,
                        }
                    }
                }
            }
            Err(why) => trouble = Some(why),
        }
        let trouble = trouble.unwrap_or_else(|| "it ends early".to_owned());
        // A file that could not be read may be readable another time.
        positions.try_for_each(|position| receive(position, Err(&trouble), true))
    }

    fn why(&self, why: &str, file: &Path) -> Why {
        Why::in_file(format!("a picture of camera {} cannot be read ({why})", self.key), file)
    }
}

/// A batch of an image column: structs of bytes and path, or plain bytes.
struct Cells {
    bytes: ArrayRef,
    path: Option<ArrayRef>,
}

impl Cells {
    fn new(column: &ArrayRef) -> Result<Cells, String> {
        let (bytes, path) = match column.as_struct_opt() {
            Some(cells) => (cells.column_by_name("bytes").cloned(), cells.column_by_name("path").cloned()),
            None => (Some(column.clone()), None),
        };
        let bytes = bytes.ok_or_else(|| "the column has no 'bytes'".to_owned())?;
        let bytes = cast(&bytes, &DataType::Binary).map_err(|err| err.to_string())?;
        let path = path.map(|path| cast(&path, &DataType::Utf8)).transpose().map_err(|err| err.to_string())?;
        Ok(Cells { bytes, path })
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the picture in a row is in the row itself, or would be, were there one.
    fn is_embedded(&self, row: usize) -> bool {
        let has_path = |path: &ArrayRef| path.is_valid(row) && !path.as_string::<i32>().value(row).is_empty();
        self.has_bytes(row) || !self.path.as_ref().is_some_and(has_path)
    }

    fn has_bytes(&self, row: usize) -> bool {
        self.bytes.is_valid(row) && !self.bytes.as_binary::<i32>().value(row).is_empty()
    }

    /// The picture in a row: its bytes, or those of the file it names.
    fn encoded(&self, root: &Path, row: usize) -> Result<std::borrow::Cow<'_, [u8]>, String> {
        if self.has_bytes(row) {
            return Ok(self.bytes.as_binary::<i32>().value(row).into());
        }
        let path = self.path.as_ref().filter(|path| path.is_valid(row)).map(|path| path.as_string::<i32>().value(row));
        let path = path.filter(|path| !path.is_empty()).ok_or_else(|| "a cell is empty".to_owned())?;
        if !stays_inside(path) {
            return Err(format!("'{path}' leads out of the dataset"));
        }
        std::fs::read(root.join(path)).map(Into::into).map_err(|err| format!("{path}: {err}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, StringArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn a_picture_outside_the_dataset_is_not_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = dir.path().join("dataset");
        std::fs::create_dir_all(root.join("images")).expect("writable");
        std::fs::write(root.join("images/0.png"), "inside").expect("writable");
        std::fs::write(dir.path().join("secret.png"), "outside").expect("writable");
        let absolute = dir.path().join("secret.png").display().to_string();
        let paths = StringArray::from(vec!["images/0.png", "../secret.png", absolute.as_str()]);
        let bytes = BinaryArray::from(vec![None; 3]);
        let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
        let cells: ArrayRef = Arc::new(StructArray::from(vec![
            (field("bytes", DataType::Binary), Arc::new(bytes) as ArrayRef),
            (field("path", DataType::Utf8), Arc::new(paths) as ArrayRef),
        ]));
        let cells = Cells::new(&cells).expect("cells of a picture column");
        assert_eq!(cells.encoded(&root, 0).as_deref(), Ok(b"inside".as_slice()));
        assert_eq!(cells.encoded(&root, 1), Err("'../secret.png' leads out of the dataset".to_owned()));
        assert!(cells.encoded(&root, 2).is_err_and(|why| why.ends_with("leads out of the dataset")));
    }
}
