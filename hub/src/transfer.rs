//! One file from the hub to the cache: continued where it broke off, checked, and only then given its name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::header::CONTENT_RANGE;
use ureq::http::{Response, StatusCode};

use crate::address::Address;
use crate::client::{Client, Failure};
use crate::content::Hash;
use crate::error::Error;
use crate::listing::{Listed, place_of};
use crate::store::{Store, make_parent};

/// Requests in a row that bring nothing before a download is given up.
const MAX_FAILURES: u32 = 5;

/// Bytes read at a time.
const PIECE: usize = 128 << 10;

/// Between two looks at whether to stop while waiting.
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// What the downloads of one commit have in common.
pub(crate) struct Transfer<'a> {
    /// The hub.
    pub client: &'a Client,
    /// The cache.
    pub store: &'a Store,
    /// The dataset.
    pub address: &'a Address,
    /// The commit.
    pub commit: &'a str,
    /// First pause between two tries.
    pub retry_pause: Duration,
}

impl Transfer<'_> {
    /// Brings a file into the commit's folder; `have` follows how many of its bytes are here.
    pub fn bring(&self, file: &Listed, have: &AtomicU64, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let lock = self.store.lock(file, stop)?;
        if !self.store.holds(self.commit, file) {
            if !self.store.has_blob(file) {
                self.download(file, have, stop)?;
            }
            self.store.place(self.commit, file)?;
        }
        drop(lock);
        have.store(file.size, Ordering::Relaxed);
        Ok(())
    }

    fn download(&self, file: &Listed, have: &AtomicU64, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut part = Part::open(self.store.incomplete(file), file)?;
        let (mut failures, mut mismatches) = (0, 0);
        loop {
            have.store(part.len, Ordering::Relaxed);
            if part.len == file.size {
                if part.hash.name() == file.blob {
                    return part.become_blob(self.store.blob(file));
                }
                part.clear()?;
                mismatches += 1;
                if mismatches > 1 {
                    return Err(self.not_as_promised(file));
                }
            }
            let before = part.len;
            let Err(failure) = self.receive(&mut part, have, stop)? else { continue };
            failures = if part.len > before { 0 } else { failures + 1 };
            if !failure.is_passing() || failures == MAX_FAILURES {
                return Err(self.client.explain(&self.address.at(self.commit), &failure));
            }
            if failures > 0 {
                let pause = self.retry_pause * 2_u32.pow(failures - 1);
                self.wait(failure.pause().unwrap_or(pause), stop)?;
            }
        }
    }

    /// One request for what is not here yet; `Ok(Err)` says why it was not enough.
    fn receive(
        &self,
        part: &mut Part<'_>,
        have: &AtomicU64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Result<(), Failure>, Error> {
        self.refuse_if(stop)?;
        let mut response = match self.client.get(&place_of(self.address, self.commit, part.file), part.len) {
            Ok(response) => response,
            Err(failure) => {
                if matches!(failure, Failure::Refused { status: 416, .. }) {
                    part.clear()?;
                }
                return Ok(Err(failure));
            }
        };
        if part.len > 0 && !continues_at(&response, part.len) {
            // The whole file comes, or a piece that was not asked for.
            part.clear()?;
            if response.status() != StatusCode::OK {
                return Ok(Err(self.client.unreachable("it sends another part of the file than it was asked for")));
            }
        }
        let mut reader = response.body_mut().as_reader();
        let mut piece = vec![0; PIECE];
        while part.len <= part.file.size {
            self.refuse_if(stop)?;
            match reader.read(&mut piece) {
                Ok(0) if part.len == part.file.size => return Ok(Ok(())),
                Ok(0) => return Ok(Err(self.client.unreachable("the connection ended early"))),
                Ok(n) => part.append(&piece[..n])?,
                Err(error) => return Ok(Err(self.client.unreachable(&error.to_string()))),
            }
            have.store(part.len, Ordering::Relaxed);
        }
        part.clear()?;
        Ok(Err(self.client.unreachable("it sends more than it promised")))
    }

    fn refuse_if(&self, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        if stop() { Err(Error::Stopped { path: self.store.root().to_path_buf() }) } else { Ok(()) }
    }

    fn wait(&self, pause: Duration, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let began = Instant::now();
        while let Some(left) = pause.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            self.refuse_if(stop)?;
            sleep(left.min(STOP_PAUSE));
        }
        Ok(())
    }

    fn not_as_promised(&self, file: &Listed) -> Error {
        Error::NotToBeHad {
            asked: self.address.at(self.commit).to_string(),
            found: format!("{} came twice with another content than its hash ({}) says", file.path, file.blob),
            remedy: "something between here and the hub changes files: check HF_ENDPOINT and proxies".to_owned(),
        }
    }
}

/// Whether an answer begins at byte `from`.
fn continues_at(response: &Response<Body>, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first =
        range.and_then(|range| range.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && first == Some(from)
}

/// A file that is not whole yet.
struct Part<'a> {
    file: &'a Listed,
    path: PathBuf,
    out: File,
    len: u64,
    /// Of the bytes so far.
    hash: Hash,
}

impl Part<'_> {
    /// Goes on with what an earlier attempt left, or begins.
    fn open(path: PathBuf, file: &Listed) -> Result<Part<'_>, Error> {
        make_parent(&path)?;
        let options = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let out = options.map_err(Error::io("cannot write", &path))?;
        let mut part = Part { file, path, out, len: 0, hash: Hash::new(&file.blob, file.size) };
        let left = part.out.metadata().map_err(Error::io("cannot read", &part.path))?.len();
        if left > file.size {
            part.clear()?;
        }
        let mut piece = vec![0; PIECE];
        while part.len < left.min(file.size) {
            let n = part.out.read(&mut piece).map_err(Error::io("cannot read", &part.path))?;
            if n == 0 {
                break;
            }
            part.hash.update(&piece[..n]);
            part.len += n as u64;
        }
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::io("cannot write", &self.path))?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins again.
    fn clear(&mut self) -> Result<(), Error> {
        self.out.set_len(0).map_err(Error::io("cannot write", &self.path))?;
        self.out.seek(SeekFrom::Start(0)).map_err(Error::io("cannot write", &self.path))?;
        self.len = 0;
        self.hash = Hash::new(&self.file.blob, self.file.size);
        Ok(())
    }

    /// Gives the whole file its name.
    fn become_blob(self, blob: PathBuf) -> Result<(), Error> {
        self.out.sync_all().map_err(Error::io("cannot write", &self.path))?;
        // Closed first: Windows does not rename what is open.
        drop(self.out);
        std::fs::rename(&self.path, &blob).map_err(Error::io("cannot write", &blob))
    }
}
