//! A reader that gives up, and that hides what nobody needs: corrupt box sizes can send an mp4 parser backwards for
//! ever, and make it ask for more memory than there is.

use std::io::{self, Read, Seek, SeekFrom};

/// Calls that even the smallest file may take.
const BASE_CALLS: u64 = 100_000;

/// Boxes of titles, tags and events. The parser believes the sizes of what is in them and asks for as much memory, which
/// ends the process where there is not so much.
const HIDDEN: [&[u8]; 3] = [b"meta", b"udta", b"emsg"];

/// What the parser sees in their place, and skips.
const SKIPPED: &[u8; 4] = b"free";

/// A box begins with its size and its name.
const BOX_HEADER_BYTES: usize = 8;

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

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.spend()?.read_exact(buffer)?;
        if buffer.len() == BOX_HEADER_BYTES && HIDDEN.contains(&&buffer[4..]) {
            buffer[4..].copy_from_slice(SKIPPED);
        }
        Ok(())
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
