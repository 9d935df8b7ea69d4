//! Two tiny recordings (H.264 with reordered frames, AV1) are decoded and broken in every way that must not panic.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const FRAMES: usize = 12;

/// What `tests/fixtures/make_colours.py` drew: left and right half of frame `k`.
fn colours(k: usize) -> [[f64; 3]; 2] {
    [[20.0 * k as f64, 60.0, 200.0], [120.0, 120.0 + 10.0 * k as f64, 40.0]]
}

fn fixtures() -> [PathBuf; 2] {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    [dir.join("colours_h264.mp4"), dir.join("colours_av1.mp4")]
}

/// Mean colours of the two halves, a few columns away from the edge between them.
fn halves(rgb: &[u8], width: usize) -> [[f64; 3]; 2] {
    let mut sums = [[0.0; 3]; 2];
    let mut counts = [0.0; 2];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let x = i % width;
        let half = usize::from(x >= width / 2);
        if x.abs_diff(width / 2) < 4 {
            continue;
        }
        counts[half] += 1.0;
        for (sum, &value) in sums[half].iter_mut().zip(pixel) {
            *sum += f64::from(value);
        }
    }
    [0, 1].map(|h| sums[h].map(|s| s / counts[h]))
}

fn decode(video: &Video, wanted: &[usize]) -> Result<Vec<[[f64; 3]; 2]>, DecodeError> {
    let mut frames = Vec::new();
    video.decode(wanted, &mut |rgb, width, height| {
        assert_eq!((width, height, rgb.len()), (64, 48, 64 * 48 * 3));
        frames.push(halves(rgb, width));
        Ok(())
    })?;
    Ok(frames)
}

fn assert_close(found: &[[f64; 3]; 2], expected: &[[f64; 3]; 2], what: &str) {
    for (f, e) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((f - e).abs() < 4.0, "{what}: found {found:?}, expected {expected:?}");
    }
}

#[test]
fn every_frame_comes_out_in_order_with_its_time_and_colours() {
    for path in fixtures() {
        let video = Video::open(&path).expect("the fixture is sound");
        assert_eq!(video.times_s().len(), FRAMES);
        for (k, t) in video.times_s().iter().enumerate() {
            assert!((t - k as f64 / 10.0).abs() < 1e-6, "frame {k} at {t} s");
        }
        let frames = decode(&video, &(0..FRAMES).collect::<Vec<_>>()).expect("the fixture decodes");
        assert_eq!(frames.len(), FRAMES);
        for (k, frame) in frames.iter().enumerate() {
            assert_close(frame, &colours(k), &format!("{} frame {k}", path.display()));
        }
    }
}

#[test]
fn hevc_and_vp9_are_left_to_ffmpeg_or_named() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for codec in ["hevc", "vp9"] {
        let path = dir.join(format!("colours_{codec}.mp4"));
        if !ffmpeg_is_there() {
            let why = Video::open(&path).map(|_| ()).expect_err("no decoder for this");
            assert_eq!(
                why,
                format!(
                    "video codec {codec} is read only through an ffmpeg on PATH; install one, or re-encode as av1 or h264"
                )
            );
            continue;
        }
        let video = Video::open(&path).expect("the fixture is sound");
        for wanted in [vec![0, 1, 2], vec![5, 7, 8], vec![11], (0..FRAMES).collect()] {
            let frames = decode(&video, &wanted).expect("the fixture decodes");
            assert_eq!(frames.len(), wanted.len());
            for (frame, &k) in frames.iter().zip(&wanted) {
                assert_close(frame, &colours(k), &format!("{codec} frame {k}"));
            }
        }
    }
}

#[test]
fn any_part_decodes_like_the_whole() {
    for path in fixtures() {
        let video = Video::open(&path).expect("the fixture is sound");
        for first in 0..FRAMES {
            for last in first..FRAMES {
                let wanted: Vec<usize> = (first..=last).step_by(2).collect();
                let frames = decode(&video, &wanted).expect("the fixture decodes");
                for (frame, &k) in frames.iter().zip(&wanted) {
                    assert_close(frame, &colours(k), &format!("{} frame {k}", path.display()));
                }
                assert_eq!(frames.len(), wanted.len());
            }
        }
    }
}

#[test]
fn a_failing_receiver_stops_the_decoding() {
    for path in fixtures() {
        let video = Video::open(&path).expect("the fixture is sound");
        let mut calls = 0;
        let result = video.decode(&[0, 1, 2], &mut |_, _, _| {
            calls += 1;
            Err(io::Error::other("disk full"))
        });
        assert!(matches!(result, Err(DecodeError::Output(_))), "{result:?}");
        assert_eq!(calls, 1);
    }
}

#[test]
fn truncated_files_are_reasons() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for path in fixtures() {
        let whole = fs::read(&path).expect("the fixture is there");
        // Behind the tables stand the tags, which nobody needs.
        let needed = whole.windows(4).position(|w| w == b"udta").map_or(whole.len(), |name| name - 4);
        assert!(needed > whole.len() / 2, "{needed} of {} bytes", whole.len());
        for len in (0..needed).step_by(7) {
            let cut = dir.path().join("cut.mp4");
            fs::write(&cut, &whole[..len]).expect("a file in the temporary directory");
            let result = Video::open(&cut).map(|video| decode(&video, &(0..video.times_s().len()).collect::<Vec<_>>()));
            assert!(!matches!(result, Ok(Ok(ref frames)) if frames.len() == FRAMES), "cut to {len} bytes");
        }
    }
    let missing = Video::open(&dir.path().join("none.mp4")).map(|_| ()).expect_err("no such file");
    assert!(missing.ends_with("none.mp4 is missing"), "{missing}");
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let broken = dir.path().join("broken.mp4");
    for path in fixtures() {
        let whole = fs::read(&path).expect("the fixture is there");
        for i in (0..whole.len()).step_by(9) {
            let mut bytes = whole.clone();
            bytes[i] ^= 0xA5;
            fs::write(&broken, &bytes).expect("a file in the temporary directory");
            if let Ok(video) = Video::open(&broken) {
                let wanted: Vec<usize> = (0..video.times_s().len()).collect();
                // Whatever comes out, it comes back.
                let _ = video.decode(&wanted, &mut |_, _, _| Ok(()));
            }
        }
    }
}

#[test]
fn content_that_is_no_video_is_a_reason() {
    for path in fixtures() {
        let whole = fs::read(&path).expect("the fixture is there");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broken = dir.path().join("broken.mp4");
        let media = whole.windows(4).position(|w| w == b"mdat").expect("a media box") + 4;
        let video = Video::open(&path).expect("the fixture is sound");
        let len: u64 = video.samples.iter().map(|s| s.len_bytes).sum();
        let mut bytes = whole.clone();
        bytes[media..media + len as usize].fill(0);
        fs::write(&broken, &bytes).expect("a file in the temporary directory");
        let video = Video::open(&broken).expect("the tables are sound");
        let why = decode(&video, &[0, 1, 2]).expect_err("nothing to decode");
        assert!(matches!(why, DecodeError::Video(_)), "{why:?}");
    }
}

#[test]
fn codecs_that_are_not_read_are_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("other.mp4");
    let mut bytes = fs::read(&fixtures()[0]).expect("the fixture is there");
    let entry = bytes.windows(4).position(|w| w == b"avc1").expect("a brand");
    let entry = bytes[entry + 4..].windows(4).position(|w| w == b"avc1").map_or(entry, |i| i + entry + 4);
    bytes[entry..entry + 4].copy_from_slice(b"mp4v");
    fs::write(&path, &bytes).expect("a file in the temporary directory");
    let why = Video::open(&path).map(|_| ()).expect_err("no decoder for this");
    assert_eq!(why, "video codec mp4v is not read; re-encode as av1 or h264");
}

/// The size of a box among titles and tags: the parser would ask for that much memory at once.
#[test]
fn tags_that_claim_the_whole_memory_are_not_looked_at() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("greedy.mp4");
    let mut bytes = fs::read(&fixtures()[0]).expect("the fixture is there");
    let meta = bytes.windows(4).position(|w| w == b"meta").expect("the fixture has tags");
    // Version and flags, then the handler, whose kind decides how the rest is read, then a box of tags.
    let kind = bytes[meta..].windows(4).position(|w| w == b"mdir").expect("a handler of tags") + meta;
    bytes[kind..kind + 4].copy_from_slice(b"none");
    let tags = bytes[meta..].windows(4).position(|w| w == b"ilst").expect("tags") + meta;
    bytes[tags - 4..tags].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF]);
    fs::write(&path, &bytes).expect("a file in the temporary directory");
    let video = Video::open(&path).expect("only the tags are broken");
    let frames = decode(&video, &[0, 5]).expect("the frames are sound");
    assert_close(&frames[1], &colours(5), "frame 5");
}
