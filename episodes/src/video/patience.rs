//! A reader that gives up: corrupt box sizes can send an mp4 parser backwards for ever.

use std::io::{self, Read, Seek, SeekFrom};

/// Calls that even the smallest file may take.
const BASE_CALLS: u64 = 100_000;

/// Passes on a limited number of calls, then every call fails.
///
/// A sound parse reads each table entry (4 bytes or more) once and moves a few times per box.
pub(super) struct PatientReader<R> {
    inner: R,
    calls_left: u64,
}

impl<R> PatientReader<R> {
    pub(super) fn new(inner: R, file_bytes: u64) -> PatientReader<R> {
        PatientReader { inner, calls_left: BASE_CALLS + file_bytes / 4 }
    }

    fn spend(&mut self) -> io::Result<&mut R> {
        self.calls_left = self
            .calls_left
            .checked_sub(1)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its boxes go round in circles"))?;
        Ok(&mut self.inner)
    }
}

impl<R: Read> Read for PatientReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.spend()?.read(buffer)
    }
}

impl<R: Seek> Seek for PatientReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.spend()?.seek(to)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        self.spend()?.stream_position()
    }
}
