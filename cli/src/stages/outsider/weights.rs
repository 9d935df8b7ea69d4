//! Arrays and words of a file of weights: safetensors, or the zip of `.npy` files that `numpy.savez` and `savez_compressed` write.
//!
//! Words are `__metadata__` of a safetensors file, and arrays of text without dimensions in a `.npz`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use safetensors::{Dtype, SafeTensors};

/// Numbers in rows, the last dimension first to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Elements per dimension.
    pub shape: Vec<usize>,
    /// Values; those of 64 bits rounded.
    pub values: Vec<f32>,
}

/// What a file holds, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Arrays.
    pub tensors: BTreeMap<String, Array>,
    /// Words.
    pub words: BTreeMap<String, String>,
}

/// Most bytes of a file, and of what is packed in it: a small policy has a few megabytes.
const MOST_BYTES: usize = 1 << 28;

impl Weights {
    /// Reads a file, by its ending.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |error| format!("{error}; expected weights of a small network");
        let len = std::fs::metadata(path).map_err(unreadable)?.len();
        if len > MOST_BYTES as u64 {
            return Err(format!(
                "{} MB; expected weights of a small network, of {} MB at most",
                len / 1_000_000,
                MOST_BYTES / 1_000_000
            ));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let is_npz = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"));
        let weights = if is_npz { Self::of_npz(&bytes)? } else { Self::of_safetensors(&bytes)? };
        match weights.tensors.iter().find(|(_, array)| array.values.iter().any(|x| !x.is_finite())) {
            Some((name, _)) => Err(format!("'{name}' holds a number that is not finite; expected finite weights")),
            None => Ok(weights),
        }
    }

    /// A word of the file.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.words.get(name).map(String::as_str)
    }

    fn of_safetensors(bytes: &[u8]) -> Result<Self, String> {
        let broken = |error| format!("not safetensors ({error}); expected a file written by the safetensors library");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let words = metadata.metadata().iter().flatten().map(|(key, word)| (key.clone(), word.clone())).collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes).map_err(broken)?.tensors() {
            let values = match view.dtype() {
                Dtype::F32 => singles(view.data()),
                Dtype::F64 => doubles(view.data()),
                other => return Err(format!("'{name}' is {other:?}; expected F32 or F64")),
            };
            tensors.insert(name, Array { shape: view.shape().to_vec(), values });
        }
        Ok(Self { tensors, words })
    }

    fn of_npz(bytes: &[u8]) -> Result<Self, String> {
        let mut weights = Self::default();
        for (file, content) in unzip(bytes)? {
            let name = file.strip_suffix(".npy").unwrap_or(&file).to_owned();
            match npy(&content).map_err(|why| format!("'{name}': {why}"))? {
                Npy::Array(array) => drop(weights.tensors.insert(name, array)),
                Npy::Word(word) => drop(weights.words.insert(name, word)),
            }
        }
        Ok(weights)
    }
}

fn singles(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn doubles(bytes: &[u8]) -> Vec<f32> {
    let value = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
    bytes.chunks_exact(8).map(value).collect()
}

/// Little-endian number of `len` bytes at a place; `None` past the end.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

/// The files of a zip archive by its central directory (APPNOTE 6.3.9, sec. 4.3), stored or deflated.
fn unzip(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    let broken = || "no zip archive, or one that was cut off; expected a file that numpy.savez wrote".to_owned();
    let end = bytes.windows(END.len()).rposition(|window| window == END).ok_or_else(broken)?;
    let field = |at: usize, len: usize| number(bytes, at, len).ok_or_else(broken);
    let (files, mut at) = (field(end + 10, 2)?, field(end + 16, 4)?);
    let mut out = Vec::with_capacity(files);
    let mut left = MOST_BYTES;
    for _ in 0..files {
        if bytes.get(at..at + ENTRY.len()) != Some(ENTRY) {
            return Err(broken());
        }
        let (method, crc) = (field(at + 10, 2)?, field(at + 16, 4)?);
        let (packed, unpacked) = (field(at + 20, 4)?, field(at + 24, 4)?);
        let (name_len, extra, comment) = (field(at + 28, 2)?, field(at + 30, 2)?, field(at + 32, 2)?);
        let header = field(at + 42, 4)?;
        let name = bytes.get(at + 46..at + 46 + name_len).ok_or_else(broken)?;
        let name = String::from_utf8_lossy(name).into_owned();
        at += 46 + name_len + extra + comment;
        // Lengths of the name and of what follows it stand once more before the content, and may be others.
        let begin = header + 30 + field(header + 26, 2)? + field(header + 28, 2)?;
        let content = bytes.get(begin..begin + packed).ok_or_else(broken)?;
        left = left.checked_sub(unpacked).ok_or("more than 268 MB unpacked; expected weights of a small network")?;
        let content = match method {
            0 => content.to_vec(),
            8 => {
                let mut out = Vec::new();
                let read = DeflateDecoder::new(content).take(unpacked as u64 + 1).read_to_end(&mut out);
                read.map_err(|error| format!("'{name}' cannot be unpacked ({error}); the file is damaged"))?;
                out
            }
            other => {
                return Err(format!("'{name}' is packed by method {other}; expected numpy.savez or savez_compressed"));
            }
        };
        let mut sum = Crc::new();
        sum.update(&content);
        if content.len() != unpacked || sum.sum() as usize != crc {
            return Err(format!("'{name}' is damaged: its checksum is another one; write the file again"));
        }
        out.push((name, content));
    }
    Ok(out)
}

enum Npy {
    Array(Array),
    Word(String),
}

/// One `.npy` file (numpy's format version 1 to 3): numbers of 32 or 64 bits, or one text.
fn npy(bytes: &[u8]) -> Result<Npy, String> {
    let broken = || "no .npy file; expected one that numpy wrote".to_owned();
    let wide = match bytes.get(..8) {
        Some([0x93, b'N', b'U', b'M', b'P', b'Y', version @ 1..=3, _]) => *version > 1,
        _ => return Err(broken()),
    };
    let (len, begin) = if wide { (number(bytes, 8, 4), 12) } else { (number(bytes, 8, 2), 10) };
    let end = len.and_then(|len| len.checked_add(begin)).ok_or_else(broken)?;
    let header = String::from_utf8_lossy(bytes.get(begin..end).ok_or_else(broken)?).into_owned();
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
    let kind = after("'descr'").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(broken)?;
    let is_columns = after("'fortran_order'").is_some_and(|rest| rest.starts_with("True"));
    let shape = after("'shape'").and_then(|rest| rest.strip_prefix('(')?.split(')').next()).ok_or_else(broken)?;
    let shape = shape.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::parse::<usize>);
    let shape: Vec<usize> = shape.collect::<Result<_, _>>().map_err(|_| broken())?;
    let content = &bytes[end..];
    if shape.is_empty() && kind.contains(['U', 'S']) {
        let text: String = if kind.starts_with("<U") {
            let letters = content.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            letters.filter_map(char::from_u32).collect()
        } else {
            String::from_utf8_lossy(content).into_owned()
        };
        return Ok(Npy::Word(text.trim_end_matches('\0').to_owned()));
    }
    let values = match kind {
        "<f4" => singles(content),
        "<f8" => doubles(content),
        other => {
            return Err(format!(
                "numbers of kind '{other}'; expected float32 or float64 (or a text without dimensions)"
            ));
        }
    };
    if shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n)) != Some(values.len()) {
        return Err(format!("{} numbers in a shape of {shape:?}; the file is damaged", values.len()));
    }
    let values = match shape[..] {
        [rows, columns] if is_columns => {
            (0..rows * columns).map(|i| values[i % columns * rows + i / columns]).collect()
        }
        _ if is_columns && shape.len() > 2 => {
            return Err("more than two dimensions, by columns; expected a matrix".into());
        }
        _ => values,
    };
    Ok(Npy::Array(Array { shape, values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tests/interop/make_policies.py` writes them with numpy and safetensors; what they hold it says at its top.
    const STORED: &[u8] = include_bytes!("weights/stored.npz");
    const PACKED: &[u8] = include_bytes!("weights/packed.npz");
    const SAFE: &[u8] = include_bytes!("weights/policy.safetensors");

    fn file(name: &str, bytes: &[u8]) -> Result<Weights, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        Weights::read(&path)
    }

    #[test]
    fn numpy_stored_numpy_packed_and_safetensors_hold_the_same() -> Result<(), String> {
        let (stored, packed, safe) = (file("a.npz", STORED)?, file("b.NPZ", PACKED)?, file("c.safetensors", SAFE)?);
        let weight = Array { shape: vec![3, 2], values: vec![1.0, -1.0, 0.5, 2.0, 0.0, -0.5] };
        assert_eq!(stored.tensors["layers.0.weight"], weight, "64 bits, and by columns");
        assert_eq!(stored.tensors["layers.1.bias"], Array { shape: vec![2], values: vec![0.25, 0.0] });
        assert_eq!(stored.word("activation"), Some("relu"));
        assert_eq!(stored, packed);
        assert_eq!(stored, safe);
        Ok(())
    }

    #[test]
    fn damage_and_other_files_are_one_sentence() {
        let words = |name: &str, bytes: &[u8]| file(name, bytes).expect_err("no weights");
        assert!(words("a.npz", b"hello").starts_with("no zip archive, or one that was cut off; expected"));
        assert!(words("a.npz", &STORED[..STORED.len() / 2]).contains("cut off"));
        let words_of = words("a.safetensors", b"hello");
        assert!(words_of.starts_with("not safetensors (") && words_of.ends_with("written by the safetensors library"));
        // Sparse: nothing of it may be read to find that it is too much.
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("huge.npz");
        std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a hole of a terabyte");
        let huge = Weights::read(&path).expect_err("far too much");
        assert_eq!(huge, "1099511 MB; expected weights of a small network, of 268 MB at most");
        let mut bent = STORED.to_vec();
        // The third value of the first matrix.
        let at = bent.windows(8).position(|w| w == 0.5f64.to_le_bytes()).expect("it holds 0.5");
        bent[at + 6] ^= 1;
        assert!(words("a.npz", &bent).ends_with("is damaged: its checksum is another one; write the file again"));
        for at in (0..PACKED.len()).step_by(7) {
            let mut bent = PACKED.to_vec();
            bent[at] ^= 0x55;
            // Whatever it makes of it, it does not panic.
            let _ = file("a.npz", &bent);
        }
    }
}
