//! What an `ffmpeg` on PATH decodes, where there is one: raw frames over a pipe, one in memory.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::DecodeError;

/// A process that hands over no frame for this long is ended.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Larger frames than this many pixels are refused, as for AV1.
const MAX_FRAME_PIXELS: usize = 8192 * 8192;

/// Part of the reason why a video is left out that could be read if there were an ffmpeg.
const WANTED: &str = "is read only through an ffmpeg on PATH";

/// Whether an `ffmpeg` can be started; asked once per process.
pub fn ffmpeg_is_there() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut command = Command::new("ffmpeg");
        command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// Why a video of this codec is left out where there is no ffmpeg.
pub(super) fn missing(codec: &str) -> String {
    format!("video codec {codec} {WANTED}; install one, or re-encode as av1 or h264")
}

/// Whether a video was left out only for want of an ffmpeg.
pub(crate) fn was_missing(why: &str) -> bool {
    why.contains(WANTED)
}

/// What is handed over of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RGB `[height, width, 3]`, from whatever is coded.
    Rgb,
    /// The planes as they are coded, of 8 bits and half as many colours as pixels each way. Ends at the first error.
    Yuv420,
}

impl Form {
    /// Bytes of one frame.
    pub(super) fn frame_len(self, width: usize, height: usize) -> usize {
        match self {
            Form::Rgb => width * height * 3,
            Form::Yuv420 => width * height + 2 * width.div_ceil(2) * height.div_ceil(2),
        }
    }
}

/// What to take from a file.
pub(super) struct Request<'a> {
    pub(super) path: &'a Path,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where to begin: a little before the first frame wanted, seconds from the first frame of the file.
    pub(super) from_s: f64,
    /// Frames to take from there on.
    pub(super) frames: usize,
    pub(super) form: Form,
}

/// Calls `on_frame` with the number (from 0) and the bytes of every frame asked for.
///
/// The process is ended when it hands over nothing for `patience`, and in every case before this returns.
pub(super) fn decode(
    program: &Path,
    request: &Request<'_>,
    patience: Duration,
    on_frame: &mut dyn FnMut(usize, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let pixels = request.width * request.height;
    if !(1..=MAX_FRAME_PIXELS).contains(&pixels) {
        return Err(DecodeError::Video(format!("video has frames of {}x{} pixels", request.width, request.height)));
    }
    // Every coded frame once, whatever its time. Before version 5.1 that option had another name.
    let (found, was_slow) = attempt(program, request, &["-fps_mode", "passthrough"], patience, on_frame)?;
    let (found, was_slow) = match (found, was_slow) {
        (0, false) => attempt(program, request, &["-vsync", "0"], patience, on_frame)?,
        result => result,
    };
    if was_slow {
        return Err(DecodeError::Video(format!("ffmpeg gave no frame for {} s and was ended", patience.as_secs_f64())));
    }
    if found < request.frames {
        return Err(DecodeError::Video(format!("ffmpeg gave only {found} of {} frames", request.frames)));
    }
    Ok(())
}

/// Frames handed over, and whether the process was ended for being slow.
fn attempt(
    program: &Path,
    request: &Request<'_>,
    every_frame: &[&str],
    patience: Duration,
    on_frame: &mut dyn FnMut(usize, &[u8]) -> Result<(), DecodeError>,
) -> Result<(usize, bool), DecodeError> {
    let mut file = std::ffi::OsString::from("file:");
    file.push(request.path);
    let mut command = Command::new(program);
    command.args(["-nostdin", "-v", "quiet", "-noautorotate", "-threads", "1"]);
    command.args(["-ss", &format!("{:.6}", request.from_s), "-i"]).arg(file);
    command.args(["-map", "0:v:0", "-frames:v", &request.frames.to_string()]);
    command.args(every_frame);
    let pixels = match request.form {
        Form::Rgb => {
            command.args(["-vf", &format!("scale={}:{}", request.width, request.height)]);
            "rgb24"
        }
        Form::Yuv420 => {
            command.arg("-xerror");
            "yuv420p"
        }
    };
    command.args(["-f", "rawvideo", "-pix_fmt", pixels, "pipe:1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|e| DecodeError::Video(format!("cannot start {}: {e}", program.display())))?;
    let stdout = child.stdout.take();
    let child = Mutex::new(child);
    let (alive, silence) = mpsc::channel();
    let (result, was_slow) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let silence = silence;
            loop {
                match silence.recv_timeout(patience) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return false,
                    Err(RecvTimeoutError::Timeout) => {
                        end(&child);
                        return true;
                    }
                }
            }
        });
        let result = stdout.map_or(Ok(0), |stdout| hand_over(stdout, request, &alive, on_frame));
        drop(alive);
        (result, watch.join().unwrap_or(false))
    });
    end(&child);
    Ok((result?, was_slow))
}

fn hand_over(
    mut stdout: ChildStdout,
    request: &Request<'_>,
    alive: &mpsc::Sender<()>,
    on_frame: &mut dyn FnMut(usize, &[u8]) -> Result<(), DecodeError>,
) -> Result<usize, DecodeError> {
    let mut bytes = vec![0; request.form.frame_len(request.width, request.height)];
    for number in 0..request.frames {
        // An end in mid-frame is an end: too few frames are named by their number.
        if stdout.read_exact(&mut bytes).is_err() {
            return Ok(number);
        }
        on_frame(number, &bytes)?;
        // The watch is there until this function returns.
        let _ = alive.send(());
    }
    Ok(request.frames)
}

/// Ends the process, if it has not ended, and waits for it.
fn end(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Fails where the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    /// A program that behaves as `script` says.
    fn program(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
        path
    }

    fn run(script: &str, on_frame: &mut dyn FnMut(usize, &[u8]) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let request =
            Request { path: Path::new("film.mp4"), width: 2, height: 1, from_s: 0.0, frames: 2, form: Form::Rgb };
        decode(&program(dir.path(), script), &request, Duration::from_millis(300), on_frame)
    }

    #[test]
    fn frames_come_over_the_pipe_one_by_one() {
        let mut frames = Vec::new();
        let mut keep = |number: usize, rgb: &[u8]| {
            frames.push((number, rgb.to_vec()));
            Ok(())
        };
        run("printf abcdefghijklmnop", &mut keep).expect("two frames of six bytes");
        assert_eq!(frames, [(0, b"abcdef".to_vec()), (1, b"ghijkl".to_vec())]);
        let full = run("printf abcdefghijkl", &mut |_, _| Err(std::io::Error::other("disk full").into()));
        assert!(matches!(full, Err(DecodeError::Output(_))), "{full:?}");
    }

    #[test]
    fn a_slow_a_short_and_an_old_ffmpeg_are_told_apart() {
        let words = |script: &str| run(script, &mut |_, _| Ok(())).map_err(|e| e.to_string());
        let start = Instant::now();
        let slow = words("printf abcdef; exec sleep 60");
        assert_eq!(slow, Err("ffmpeg gave no frame for 0.3 s and was ended".to_owned()));
        assert!(start.elapsed() < Duration::from_secs(20), "it was waited for");
        // A flood that nobody reads does not keep it alive either.
        assert_eq!(words("exec yes"), Ok(()));
        assert_eq!(words("printf abcdefgh"), Err("ffmpeg gave only 1 of 2 frames".to_owned()));
        assert_eq!(words("exit 1"), Err("ffmpeg gave only 0 of 2 frames".to_owned()));
        let old = "case \"$*\" in *fps_mode*) exit 1;; *-vsync*) printf abcdefghijkl;; esac";
        assert_eq!(words(old), Ok(()));
    }

    #[test]
    fn no_program_and_absurd_frames_are_reasons() {
        let mut request =
            Request { path: Path::new("film.mp4"), width: 2, height: 1, from_s: 0.0, frames: 2, form: Form::Rgb };
        let nowhere = Path::new("/no/such/ffmpeg");
        let why = decode(nowhere, &request, PATIENCE, &mut |_, _| Ok(())).expect_err("no program").to_string();
        assert!(why.starts_with("cannot start /no/such/ffmpeg"), "{why}");
        for width in [0, 1 << 30] {
            request.width = width;
            let why = decode(nowhere, &request, PATIENCE, &mut |_, _| Ok(())).expect_err("no frame").to_string();
            assert_eq!(why, format!("video has frames of {width}x1 pixels"));
        }
        assert!(was_missing(&missing("hevc")));
    }
}
