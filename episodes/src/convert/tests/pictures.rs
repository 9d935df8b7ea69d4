//! Cameras recorded as pictures become video, unless they cannot, and are read back nearly as they were.

use super::*;

const TALL: usize = 48;
const WIDE: usize = 64;

/// A spec whose camera is large enough for H.264.
fn large() -> DatasetSpec {
    let mut spec = spec();
    (spec.cameras[0].native_height, spec.cameras[0].native_width) = (TALL, WIDE);
    spec
}

/// An episode in which a square moves over a soft gradient.
fn moving(start: usize, len: usize, task: &str) -> RecordedEpisode {
    let mut recorded = recorded(start, len, task, true);
    let pixel = |t: usize, row: usize, column: usize| {
        let x = (start + 2 * t) % (WIDE - 12);
        let is_square = (x..x + 12).contains(&column) && (16..28).contains(&row);
        if is_square { [200, 190, 180] } else { [60 + column as u8, 80, 40 + 2 * row as u8] }
    };
    let pixels =
        (0..len).flat_map(|t| (0..TALL).flat_map(move |row| (0..WIDE).flat_map(move |column| pixel(t, row, column))));
    recorded.frames = vec![pixels.collect()];
    recorded
}

/// At the recorded size, so that nothing but the encoding comes between.
fn open_large(path: &Path) -> Result<Dataset, Error> {
    Dataset::open(&OpenOptions { image_size: TALL, ..options(path) }, &mut |_| {})
}

fn to_video(from: &Path, to: &Path, append: bool) -> Result<Converted, Error> {
    let to = Destination { path: to, append, pictures: Pictures::Video };
    convert(&options(from), &to, &|| false, &mut |_| {})
}

/// The worst frame of two datasets with the same episodes, dB.
fn least_psnr(a: &Dataset, b: &Dataset) -> f64 {
    let mut least = f64::INFINITY;
    for (position, episode) in a.episodes.iter().enumerate() {
        for t in 0..episode.len {
            let pairs = a.frame(0, position, t).iter().zip(b.frame(0, position, t));
            let squares: f64 = pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
            least = least.min(10.0 * (255.0_f64.powi(2) * (TALL * TALL * 3) as f64 / squares.max(1e-9)).log10());
        }
    }
    least
}

#[test]
fn pictures_become_video_and_come_back_nearly_as_they_were() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (from, to) = (dir.path().join("in"), dir.path().join("out"));
    // More steps than are encoded together, and an odd number of them.
    write(&from, &large(), &[moving(0, 35, "push"), moving(40, 3, "pull")])?;
    let converted = to_video(&from, &to, false)?;
    assert_eq!((converted.episodes, converted.cameras[0].kept), (2, Kept::VideoEncoded));
    let (before, after) = (open_large(&from)?, open_large(&to)?);
    assert!(after.skipped.is_empty(), "{:?}", after.skipped);
    assert_eq!(before.episodes, after.episodes);
    let least = least_psnr(&before, &after);
    assert!(least > 36.0, "{least} dB");
    let info = std::fs::read_to_string(to.join("meta/info.json"))?;
    assert!(info.contains("\"video.codec\": \"h264\"") && info.contains("\"dtype\": \"video\""), "{info}");
    // All pixels are counted, since all are seen.
    let stats = |root: &Path| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(root.join("meta/stats.json"))?)?)
    };
    assert_eq!(stats(&from)?, stats(&to)?);
    // A file per episode.
    let videos: Vec<PathBuf> =
        files(&to)?.into_keys().filter(|file| file.extension().is_some_and(|e| e == "mp4")).collect();
    let names: Vec<_> = videos.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    assert_eq!(names, ["file-000.mp4", "file-001.mp4"]);
    Ok(())
}

#[test]
fn pictures_that_h264_cannot_hold_stay_as_they_are_and_that_is_said() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (from, to) = (dir.path().join("in"), dir.path().join("out"));
    write(&from, &spec(), &[recorded(0, 5, "push", true)])?;
    let converted = to_video(&from, &to, false)?;
    let KeptCamera { kept, size, .. } = converted.cameras[0];
    assert_eq!((kept, size), (Kept::PicturesOfThatSizeEmbedded, (HEIGHT, WIDTH)));
    assert_same(&open(&from)?, &open(&to)?);
    Ok(())
}

#[test]
fn the_dataset_that_is_added_to_decides_what_becomes_of_pictures() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("pictures"), &large(), &[moving(0, 6, "push")])?;
    write(&path("more"), &large(), &[moving(20, 5, "pull")])?;
    to_video(&path("pictures"), &path("video"), false)?;

    // Without loss is not to be had where the camera is video.
    let refused = run(&path("more"), &path("video"), true).expect_err("a promise that cannot be kept").to_string();
    assert!(refused.contains("is video") && refused.contains("--lossless"), "{refused}");
    assert_eq!(to_video(&path("more"), &path("video"), true)?.cameras[0].kept, Kept::VideoEncoded);
    // Pictures stay pictures, and video becomes pictures.
    assert_eq!(to_video(&path("more"), &path("pictures"), true)?.cameras[0].kept, Kept::PicturesEmbedded);
    assert_eq!(to_video(&path("video"), &path("pictures"), true)?.cameras[0].kept, Kept::PicturesEmbedded);

    let (video, pictures) = (open_large(&path("video"))?, open_large(&path("pictures"))?);
    assert_eq!((video.episodes.len(), pictures.episodes.len()), (2, 4));
    assert!(video.skipped.is_empty() && pictures.skipped.is_empty());
    for t in 0..6 {
        // Video is made smaller before its colours are converted, pictures after: that rounds otherwise, and nothing else.
        let pairs = video.frame(0, 0, t).iter().zip(pictures.frame(0, 2, t));
        let most = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(3), "what was decoded is embedded without loss: {most:?}");
    }
    assert!(least_psnr(&video, &pictures) > 36.0);
    Ok(())
}

#[test]
fn a_writer_embeds_pictures_unless_asked() -> Outcome {
    let dir = tempfile::tempdir()?;
    let episode = moving(0, 4, "push");
    for (name, pictures, dtype) in [("exact", Pictures::Embedded, "image"), ("video", Pictures::Video, "video")] {
        let path = dir.path().join(name);
        let mut writer = LeRobotWriter::create(&path, &large())?.with_pictures(pictures);
        writer.push(&episode)?;
        writer.finish()?;
        let info = std::fs::read_to_string(path.join("meta/info.json"))?;
        assert!(info.contains(&format!("\"dtype\": \"{dtype}\"")), "{info}");
    }
    let (exact, video) = (open_large(&dir.path().join("exact"))?, open_large(&dir.path().join("video"))?);
    assert!(least_psnr(&exact, &video) > 36.0);
    // What is added later is as what is there, asked or not.
    let mut writer = LeRobotWriter::append(dir.path().join("video"), &large())?;
    writer.push(&episode)?;
    writer.finish()?;
    assert_eq!(open_large(&dir.path().join("video"))?.episodes.len(), 2);
    assert!(dir.path().join("video/videos/observation.images.top/chunk-000/file-001.mp4").exists());
    Ok(())
}
