//! Datasets that grow: what is there is used where it lies, and only what is new is read.

use std::cell::RefCell;

use super::*;

const SIZE: usize = 4;

/// Frame `t` of episode `episode`: its bytes say which it is.
fn frame(episode: usize, t: usize) -> Vec<u8> {
    [episode as u8, t as u8].repeat(frame_bytes(SIZE) / 2)
}

/// Ingests episodes of three frames each; returns the store and the episodes that were read.
fn grow(dir: &Path, episodes: &[usize]) -> Result<(FrameStore, Vec<usize>), Error> {
    let wanted = pictures(&episodes.iter().map(|&episode| (episode, 3)).collect::<Vec<_>>());
    let read = RefCell::new(Vec::new());
    let mut load = |position: usize, emit: &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>| {
        read.borrow_mut().push(episodes[position]);
        emit((0..3).map(|t| frame(episodes[position], t)).collect())?;
        Ok(None)
    };
    let (store, failures) = ingest_pixels("camera", &wanted, SIZE, place(dir), &mut load, &mut |_| {})?;
    assert_eq!(failures, []);
    for (position, &episode) in episodes.iter().enumerate() {
        (0..3).for_each(|t| assert_eq!(store.frame(3 * position + t), frame(episode, t)));
    }
    assert_eq!(store.len(), 3 * episodes.len());
    Ok((store, read.into_inner()))
}

#[test]
fn episodes_are_read_once_whatever_is_asked_for_and_in_whatever_order() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let asked: [(&[usize], &[usize]); 7] = [
        (&[0, 1, 2, 3], &[0, 1, 2, 3]),
        (&[0, 1, 2, 3], &[]),
        // Added at the end, in between, taken away, turned round, twice the same.
        (&[0, 1, 2, 3, 4, 5], &[4, 5]),
        (&[0, 7, 1, 2, 3, 4, 5], &[7]),
        (&[5, 1], &[]),
        (&[7, 5, 3, 1, 0, 2, 4], &[]),
        (&[6, 6, 0, 6], &[6]),
    ];
    for (episodes, new) in asked {
        assert_eq!(grow(dir.path(), episodes)?.1, new, "{episodes:?}");
    }
    // Nothing is kept twice: four files, each with what was new.
    let mut frames: Vec<usize> =
        cache_entries(dir.path()).expect("readable").iter().map(|entry| entry.frames).collect();
    frames.sort_unstable();
    assert_eq!(frames, [3, 3, 6, 12]);
    Ok(())
}

#[test]
fn an_evicted_file_costs_what_was_in_it() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    grow(dir.path(), &[0, 1])?;
    grow(dir.path(), &[0, 1, 2])?;
    let entries = cache_entries(dir.path())?;
    let small = entries.iter().find(|entry| entry.frames == 3).expect("the second file");
    assert!(evict(small)?);
    assert_eq!(grow(dir.path(), &[0, 1, 2])?.1, [2]);
    Ok(())
}

#[test]
fn an_episode_a_day_is_not_a_file_a_day_and_nothing_in_use_is_taken() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (first, _) = grow(dir.path(), &[0])?;
    let mut most = 0;
    for episodes in 2..=60 {
        let wanted: Vec<usize> = (0..episodes).collect();
        let read = grow(dir.path(), &wanted)?.1;
        assert_eq!(read, [episodes - 1], "only the new one is read");
        most = most.max(cache_files(dir.path()).len());
    }
    // The first file is in use by another store, so it stays when its content has moved.
    assert!((9..=17).contains(&most), "{most} files");
    assert_eq!(first.frame(1), frame(0, 1));
    Ok(())
}

#[test]
fn videos_and_pictures_decode_only_what_was_added() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut jobs = vec![job(fixture("h264"), &[(0, 0.0, 4), (1, 0.4, 3)])];
    let (before, _) = ingest(&jobs, dir.path())?;
    jobs[0].segments.push(Segment { episode: 2, from_s: 0.7, len: 2 });
    jobs.insert(0, job(fixture("av1"), &[(3, 0.1, 5)]));
    let mut calls = Vec::new();
    let (after, failures) = ingest_videos("camera", &jobs, 16, place(dir.path()), &mut |step| calls.push(done(step)))?;
    assert_eq!((calls.first(), calls.last(), failures.len()), (Some(&(7, 14)), Some(&(14, 14)), 0));
    assert!((0..7).all(|i| after.frame(5 + i) == before.frame(i)));
    (0..5).for_each(|k| assert_red(&after, k, 1 + k));
    (0..2).for_each(|k| assert_red(&after, 12 + k, 7 + k));

    let loaded = RefCell::new(Vec::new());
    let mut load = |wanted: &[usize], push: &mut images::Emit<'_>| {
        loaded.borrow_mut().push(wanted.to_vec());
        wanted.iter().try_for_each(|&position| push(position, Ok(&png(10 + position as u8, 4, 4)), false))
    };
    for episodes in [&[(0, 1), (1, 1)][..], &[(0, 1), (1, 1), (2, 1)]] {
        let (store, _) = ingest_images("pictures", &pictures(episodes), 8, place(dir.path()), &mut load, &mut |_| {})?;
        (0..store.len()).for_each(|i| assert_eq!(red(&store, i), 10 + i as u8));
    }
    assert_eq!(loaded.into_inner(), [vec![0, 1], vec![2]]);
    Ok(())
}

#[test]
fn other_cameras_sizes_and_datasets_are_kept_apart() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let jobs = [job(fixture("av1"), &[(0, 0.0, 3)])];
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("a directory");
    for (camera, size, dataset) in
        [("a", 16, dir.path()), ("b", 16, dir.path()), ("a", 8, dir.path()), ("a", 16, other.as_path())]
    {
        let place = Place { cache_dir: dir.path(), dataset };
        let mut first = None;
        let (store, _) = ingest_videos(camera, &jobs, size, place, &mut |step| {
            first.get_or_insert(done(step));
        })?;
        assert_eq!((store.size(), first), (size, Some((0, 3))));
    }
    assert_eq!(cache_entries(dir.path())?.len(), 4);
    Ok(())
}

#[test]
fn without_locks_everybody_builds_for_himself() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    grow(dir.path(), &[0, 1])?;
    let file = cache_files(dir.path()).pop().expect("one file");
    let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
    fs::remove_file(&file).expect("removable");
    // A directory in its place: the lock file cannot be made, as on a file system without locks.
    let lock = dir.path().join(format!("{}.lock", name.expect("a name")));
    fs::create_dir(&lock).expect("a directory");
    assert_eq!(grow(dir.path(), &[0, 1])?.1, [0, 1]);
    assert_eq!(grow(dir.path(), &[0, 1, 2])?.1, [2]);
    assert!(lock.is_dir());
    let mut names: Vec<_> =
        cache_files(dir.path()).iter().map(|path| path.extension().map(ToOwned::to_owned)).collect();
    names.sort();
    assert_eq!(names, ["frames", "frames", "lock"].map(|name| Some(name.into())));
    Ok(())
}
