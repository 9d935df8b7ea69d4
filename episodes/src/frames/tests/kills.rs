//! Killed processes and several at once: real ones, this test started again as a child.

use std::cell::RefCell;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use super::*;

const SIZE: usize = 8;
const EPISODES: usize = 12;
const LEN: usize = 5;
/// Episode at which the child stops for ever; those before are finished.
const STUCK_AT: usize = 6;
/// Tells the child which cache to fill.
const CHILD: &str = "REHEARSAL_TEST_FRAME_CACHE";
/// The journal of a child says so much when it is stuck: a line about whose it is, one per finished episode.
const LINES: usize = 1 + STUCK_AT;

fn frame(episode: usize, t: usize) -> Vec<u8> {
    (0..frame_bytes(SIZE)).map(|i| (i + 31 * episode + 7 * t) as u8).collect()
}

/// Ingests all episodes; `before` is called with the position of each that is read, before it is.
fn ingest_all(
    dir: &Path,
    before: &dyn Fn(usize),
    progress: &mut dyn FnMut(FrameProgress),
) -> Result<FrameStore, Error> {
    let episodes = pictures(&(0..EPISODES).map(|episode| (episode, LEN)).collect::<Vec<_>>());
    let mut load = |position: usize, emit: &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>| {
        before(position);
        // In two pieces, as readers do.
        emit((0..2).map(|t| frame(position, t)).collect())?;
        emit((2..LEN).map(|t| frame(position, t)).collect())?;
        Ok(None)
    };
    let (store, failures) = ingest_pixels("camera", &episodes, SIZE, place(dir), &mut load, progress)?;
    assert_eq!(failures, []);
    Ok(store)
}

fn assert_whole(store: &FrameStore) {
    assert_eq!(store.len(), EPISODES * LEN);
    for i in 0..store.len() {
        assert_eq!(store.frame(i), frame(i / LEN, i % LEN), "frame {i}");
    }
}

/// What the child does: nothing unless it is one.
#[test]
fn child_that_is_stuck() -> Result<(), Error> {
    let Some(dir) = std::env::var_os(CHILD) else { return Ok(()) };
    let stuck = |position: usize| {
        if position >= STUCK_AT {
            loop {
                thread::sleep(Duration::from_secs(60));
            }
        }
    };
    ingest_all(Path::new(&dir), &stuck, &mut |_| {}).map(drop)
}

/// Starts the child and waits until it is stuck.
fn start_child(dir: &Path) -> std::io::Result<Child> {
    let child = Command::new(std::env::current_exe()?)
        .args(["frames::tests::kills::child_that_is_stuck", "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    while left(dir, "journal").is_none_or(|journal| lines(&journal) < LINES) {
        assert!(started.elapsed() < Duration::from_secs(60), "the child does not get there");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

fn left(dir: &Path, extension: &str) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).find(|path| path.extension().is_some_and(|e| e == extension))
}

fn kill(mut child: Child) {
    child.kill().and_then(|()| child.wait()).expect("the child is killed");
}

#[test]
fn a_killed_process_costs_only_what_it_was_at() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    kill(start_child(dir.path())?);
    let entries = cache_entries(dir.path())?;
    let entry = entries.first().ok_or("the unfinished file is listed")?;
    assert_eq!((entry.is_complete, entry.in_use, entry.frames), (false, false, STUCK_AT * LEN));
    assert_eq!((entry.camera.as_str(), entry.size, entry.dataset.is_some()), ("camera", SIZE, true));

    // Damage as after a power cut: a torn line, and an episode that did not reach the disk.
    let journal = left(dir.path(), "journal").ok_or("a journal")?;
    let torn = fs::read_to_string(&journal)?;
    fs::write(&journal, format!("{torn}{}", &torn.lines().last().unwrap_or_default()[..50]))?;
    let mut build = fs::read(&entry.path)?;
    build[3 * LEN * frame_bytes(SIZE)] ^= 1;
    fs::write(&entry.path, &build)?;

    let read = RefCell::new(Vec::new());
    let mut steps = Vec::new();
    let store = ingest_all(dir.path(), &|position| read.borrow_mut().push(position), &mut |s| steps.push(done(s)))?;
    assert_whole(&store);
    assert_eq!(read.into_inner(), [3, 6, 7, 8, 9, 10, 11]);
    assert!(steps.contains(&((STUCK_AT - 1) * LEN, EPISODES * LEN)), "{steps:?}");
    let undisturbed = tempfile::tempdir()?;
    let other = ingest_all(undisturbed.path(), &|_| {}, &mut |_| {})?;
    assert!((0..store.len()).all(|i| store.frame(i) == other.frame(i)));
    // Only complete files are left, and they answer the next time.
    assert!(cache_files(dir.path()).iter().all(|path| path.extension().is_some_and(|e| e == "frames")));
    drop(store);
    assert_whole(&ingest_all(dir.path(), &|position| panic!("{position} is read again"), &mut |_| {})?);
    Ok(())
}

#[test]
fn who_waits_for_a_process_that_dies_takes_over() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let child = start_child(dir.path())?;
    let entries = cache_entries(dir.path())?;
    assert!(entries[0].in_use && !evict(&entries[0])?, "what is under construction is not taken away");
    let child = Mutex::new(Some(child));
    let read = RefCell::new(Vec::new());
    let mut waited = 0;
    let store = ingest_all(dir.path(), &|position| read.borrow_mut().push(position), &mut |step| {
        if step == (FrameProgress::Waiting { total: EPISODES * LEN }) {
            waited += 1;
            // It dies while somebody waits.
            if let Some(child) = child.lock().ok().and_then(|mut child| child.take()) {
                kill(child);
            }
        }
    })?;
    assert_whole(&store);
    assert!(waited > 0, "it said that it waits");
    assert_eq!(read.into_inner(), (STUCK_AT..EPISODES).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn an_unfinished_file_can_be_evicted() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    kill(start_child(dir.path())?);
    for entry in cache_entries(dir.path())? {
        assert!(evict(&entry)?);
    }
    assert!(cache_entries(dir.path())?.is_empty() && cache_files(dir.path()).is_empty());
    Ok(())
}

#[test]
fn of_several_at_once_one_reads_and_the_others_wait() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let read = Mutex::new(Vec::new());
    let note = |position: usize| {
        thread::sleep(Duration::from_millis(2));
        if let Ok(mut read) = read.lock() {
            read.push(position);
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| ingest_all(dir.path(), &note, &mut |_| {}))).collect();
        for one in all {
            assert_whole(&one.join().expect("no panic").expect("ingest succeeds"));
        }
    });
    assert_eq!(read.into_inner()?, (0..EPISODES).collect::<Vec<_>>(), "every episode is read once, by one of them");
    assert_eq!(cache_files(dir.path()).len(), 1);
    Ok(())
}
