//! Cameras recorded as single pictures inside the data files (`image` features: PNG or JPEG bytes, or a path to them).

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::check::Sound;
use super::info::stays_inside;
use super::table::{CORRUPT, Table};
use crate::error::Error;
use crate::frames::{FrameStore, Place, decode_picture, ingest_images};
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

/// Receives each picture's encoded bytes and the position of its episode.
type Receive<'r> = dyn FnMut(usize, &[u8]) -> Result<(), Error> + 'r;

impl<'a> Pictures<'a> {
    /// Names the pictures of camera `key`.
    pub fn new(root: &'a Path, key: &'a str, sound: &'a [Sound], data_files: &'a [PathBuf]) -> Pictures<'a> {
        Pictures { root, key, sound, data_files }
    }

    /// Decodes all pictures; an episode with a picture that cannot be read becomes black and is named.
    pub fn ingest(
        &self,
        size: usize,
        place: Place<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(FrameStore, Unseen), Error> {
        let count = self.sound.iter().map(|sound| sound.episode.len).sum();
        let mut unseen = Unseen::new();
        loop {
            // The names of unreadable episodes are part of the content key, so a store without a hole is never
            // mistaken for one with, and an attempt that found new ones is thrown away.
            let mut found = Unseen::new();
            let mut load = |emit: &mut dyn FnMut(&[u8]) -> Result<(), Error>| {
                self.walk(&unseen, &mut found, &mut |_, encoded| emit(encoded))?;
                if found.is_empty() { Ok(()) } else { Err(self.bad("unreadable pictures")) }
            };
            let key = self.content_key(&unseen);
            let outcome = ingest_images(self.key, &key, count, size, place, &mut load, progress);
            if found.is_empty() && matches!(outcome, Err(Error::BadFile { .. })) {
                found = self.find_undecodable(&unseen)?;
            }
            if found.is_empty() {
                return outcome.map(|store| (store, unseen));
            }
            unseen.append(&mut found);
        }
    }

    /// Hands over every picture as it was recorded, until one cannot be read; see
    /// [`crate::survey::Survey::pictures`].
    pub fn each(&self, receive: &mut dyn FnMut(Picture) -> Result<(), Error>) -> Result<Result<(), Why>, Error> {
        let mut found = Unseen::new();
        // Pictures after an unreadable one are black; the caller learns of it and throws them away.
        self.walk(&Unseen::new(), &mut found, &mut |_, encoded| receive(Picture::Encoded(encoded.to_vec())))?;
        Ok(found.pop_first().map_or(Ok(()), |(_, why)| Err(why)))
    }

    /// Hash of where the pictures come from.
    fn content_key(&self, unseen: &Unseen) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: String| {
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
        };
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.to_path_buf());
        add(format!("{} {}", root.display(), self.key));
        for file in self.data_files {
            let about = std::fs::metadata(self.root.join(file)).ok();
            let stamp = about.map(|about| (about.len(), about.modified().ok()));
            add(format!("{} {stamp:?}", file.display()));
        }
        for sound in self.sound {
            add(format!("{} {:?}", sound.episode.index, sound.sources));
        }
        add(format!("{:?}", unseen.keys().collect::<Vec<_>>()));
        hasher.finalize().to_hex().to_string()
    }

    /// Hands over every picture in order; `unseen` episodes are black, new ones are added to `found`.
    fn walk(&self, unseen: &Unseen, found: &mut Unseen, receive: &mut Receive<'_>) -> Result<(), Error> {
        let black = self.black_picture()?;
        let mut pass: Vec<Stretch> = Vec::new();
        for (position, sound) in self.sound.iter().enumerate() {
            if unseen.contains_key(&position) {
                self.walk_pass(&pass, &black, found, receive)?;
                pass.clear();
                for _ in 0..sound.episode.len {
                    receive(position, &black)?;
                }
                continue;
            }
            for source in &sound.sources {
                let next = Stretch { position, file: source.file, rows: source.rows.clone() };
                if pass.last().is_some_and(|last| last.file != next.file || last.rows.end > next.rows.start) {
                    self.walk_pass(&pass, &black, found, receive)?;
                    pass.clear();
                }
                pass.push(next);
            }
        }
        self.walk_pass(&pass, &black, found, receive)
    }

    /// Reads ascending stretches of one file in one go.
    fn walk_pass(
        &self,
        pass: &[Stretch],
        black: &[u8],
        found: &mut Unseen,
        receive: &mut Receive<'_>,
    ) -> Result<(), Error> {
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
                        match cells.encoded(self.root, row) {
                            Ok(encoded) => receive(position, &encoded)?,
                            Err(why) => {
                                found.entry(position).or_insert_with(|| self.why(&why, file));
                                receive(position, black)?;
                            }
                        }
                    }
                }
            }
            Err(why) => trouble = Some(why),
        }
        // What could not be reached is black.
        let trouble = trouble.unwrap_or_else(|| "it ends early".to_owned());
        for position in positions {
            found.entry(position).or_insert_with(|| self.why(&trouble, file));
            receive(position, black)?;
        }
        Ok(())
    }

    /// Decodes everything only to see what does not decode.
    fn find_undecodable(&self, unseen: &Unseen) -> Result<Unseen, Error> {
        let mut found = Unseen::new();
        let mut broken: BTreeMap<usize, String> = BTreeMap::new();
        self.walk(unseen, &mut found, &mut |position, encoded| {
            if let Err(why) = decode_picture(encoded) {
                broken.entry(position).or_insert(why);
            }
            Ok(())
        })?;
        for (position, why) in broken {
            let source = self.sound[position].sources.first().map_or(0, |source| source.file);
            found.entry(position).or_insert_with(|| self.why(&why, &self.data_files[source]));
        }
        Ok(found)
    }

    fn why(&self, why: &str, file: &Path) -> Why {
        Why::in_file(format!("a picture of camera {} cannot be read ({why})", self.key), file)
    }

    fn bad(&self, found: &str) -> Error {
        Error::BadFile {
            found: format!("{found} of camera {}", self.key),
            expected: "PNG or JPEG".to_owned(),
            path: self.root.to_path_buf(),
        }
    }

    fn black_picture(&self) -> Result<Vec<u8>, Error> {
        let mut png = Cursor::new(Vec::new());
        let written = image::RgbImage::new(1, 1).write_to(&mut png, image::ImageFormat::Png);
        written.map_err(|err| self.bad(&err.to_string()))?;
        Ok(png.into_inner())
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

    /// The picture in a row: its bytes, or those of the file it names.
    fn encoded(&self, root: &Path, row: usize) -> Result<std::borrow::Cow<'_, [u8]>, String> {
        if self.bytes.is_valid(row) && !self.bytes.as_binary::<i32>().value(row).is_empty() {
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
