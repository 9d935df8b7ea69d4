//! A file read in blocks, some of which are kept: recorders leave parquet files with a row group per episode, whose many
//! small pieces lie close together but are asked for one by one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 16;

/// Blocks kept at most, 8 MiB: all columns of [`super::table::ROWS_PER_BATCH`] rows find what they share still there,
/// also in a listing with a hundred statistics beside them.
const KEPT: usize = 128;

/// An open file; clones share what they read.
#[derive(Clone)]
pub(crate) struct Blocks {
    inner: Arc<Mutex<Inner>>,
    len_bytes: u64,
}

struct Inner {
    file: File,
    /// Block `n` is kept, with its number, in place `n % KEPT`.
    kept: Vec<Option<(u64, Bytes)>>,
}

impl Blocks {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Blocks> {
        let file = File::open(path)?;
        let len_bytes = file.metadata()?.len();
        Ok(Blocks { inner: Arc::new(Mutex::new(Inner { file, kept: vec![None; KEPT] })), len_bytes })
    }

    /// From `start` to the end of its block or of the file.
    fn rest_of_block(&self, start: u64) -> io::Result<Bytes> {
        if start >= self.len_bytes {
            return Ok(Bytes::new());
        }
        let number = start / BLOCK_BYTES as u64;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (number % KEPT as u64) as usize;
        let block = match &inner.kept[place] {
            Some((kept, block)) if *kept == number => block.clone(),
            _ => {
                let first = number * BLOCK_BYTES as u64;
                // What nobody looks at any more is written over: memory that is freed and taken again costs more.
                let old = inner.kept[place].take().and_then(|(_, block)| block.try_into_mut().ok()).unwrap_or_default();
                let block = inner.read(first, (self.len_bytes - first).min(BLOCK_BYTES as u64) as usize, old)?;
                inner.kept[place] = Some((number, block.clone()));
                block
            }
        };
        Ok(block.slice((start % BLOCK_BYTES as u64) as usize..))
    }
}

impl Inner {
    fn read(&mut self, start: u64, len: usize, mut bytes: BytesMut) -> io::Result<Bytes> {
        bytes.resize(len, 0);
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes.freeze())
    }
}

impl Length for Blocks {
    fn len(&self) -> u64 {
        self.len_bytes
    }
}

impl ChunkReader for Blocks {
    type T = Onward;

    fn get_read(&self, start: u64) -> Result<Onward> {
        Ok(Onward { here: self.rest_of_block(start)?, start, blocks: self.clone() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len_bytes) {
            let why = format!("{length} bytes at {start} of a file of {} bytes", self.len_bytes);
            return Err(ParquetError::EOF(why));
        }
        let begin = self.rest_of_block(start)?;
        if begin.len() >= length {
            return Ok(begin.slice(..length));
        }
        if length > BLOCK_BYTES {
            return Ok(self.inner.lock().unwrap_or_else(PoisonError::into_inner).read(
                start,
                length,
                BytesMut::new(),
            )?);
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(&begin);
        bytes.extend_from_slice(&self.rest_of_block(start + begin.len() as u64)?[..length - begin.len()]);
        Ok(bytes.freeze())
    }
}

/// Reads on from somewhere, to the end of the file.
pub(crate) struct Onward {
    blocks: Blocks,
    /// Where `here` begins.
    start: u64,
    here: Bytes,
}

impl Read for Onward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            self.here = self.blocks.rest_of_block(self.start)?;
        }
        let n = buffer.len().min(self.here.len());
        buffer[..n].copy_from_slice(&self.here[..n]);
        self.here.advance(n);
        self.start += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every read of a file of a bit more than `blocks` blocks is compared with its content.
    #[test]
    fn whatever_is_asked_for_comes_back_across_blocks_and_beyond_what_is_kept()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        let len = BLOCK_BYTES * (KEPT + 2) + 77;
        let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content)?;
        let blocks = Blocks::open(&path)?;
        // The second and the last block but one share a place.
        let starts = [0, BLOCK_BYTES - 5, BLOCK_BYTES * (KEPT + 1) - 5, BLOCK_BYTES - 5, len - 10];
        for start in starts {
            for length in [0, 1, 10, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES] {
                let found = blocks.get_bytes(start as u64, length);
                match content.get(start..start + length) {
                    Some(expected) => assert_eq!(found?, expected, "{length} bytes at {start}"),
                    None => assert!(found.is_err(), "{length} bytes at {start}"),
                }
            }
            let mut rest = Vec::new();
            blocks.get_read(start as u64)?.read_to_end(&mut rest)?;
            assert!(rest == content[start..], "all from {start} on");
        }
        assert!(blocks.get_bytes(u64::MAX, 2).is_err());
        Ok(())
    }
}
