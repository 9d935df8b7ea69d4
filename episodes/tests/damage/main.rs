//! Recorded data damaged in thousands of ways: nothing panics, nothing takes long or much memory, and what is sound is
//! read as before.
//!
//! `REHEARSAL_MUTANTS=10000 cargo test --release -p episodes --test damage` makes more than the usual 300 mutants;
//! `REHEARSAL_MUTANT=17` makes that one alone. docs/DAMAGE.md tells every kind of damage and its test.

mod memory;
mod mutations;
mod recordings;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use episodes::{ControlRate, Dataset, Episode, Error, OpenOptions};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use recordings::{Kind, Recording, Target};

/// Longest time for one damaged dataset.
const LONGEST: Duration = Duration::from_secs(5);

/// Most memory for one damaged dataset, bytes: far above what the sound ones take, far below what a laptop has.
const MOST_BYTES: usize = 512 << 20;

/// An episode as it came out: vectors, and the pictures of every step.
type Seen = (Episode, Vec<u8>);

fn open(root: &Path, cache: &Path) -> Result<BTreeMap<usize, Seen>, Error> {
    // LeRobot says its rate itself, these HDF5 files do not.
    let is_lerobot = root.join("meta").is_dir();
    let control_rate = if is_lerobot { ControlRate::Recorded } else { ControlRate::Given(10.0) };
    let options = OpenOptions {
        path: root.to_path_buf(),
        image_size: 16,
        cache_dir: cache.to_path_buf(),
        control_rate,
        ..OpenOptions::default()
    };
    let dataset = Dataset::open(&options, &mut |_| {})?;
    let seen = dataset.episodes.iter().enumerate().map(|(position, episode)| {
        let pictures = (0..dataset.frames.len())
            .flat_map(|camera| (0..episode.len).map(move |t| (camera, t)))
            .flat_map(|(camera, t)| dataset.frame(camera, position, t).to_vec())
            .collect();
        let mut episode = episode.clone();
        // Where its frames stand in the store depends on what stands before them.
        episode.first_frame = 0;
        (episode.index, (episode, pictures))
    });
    Ok(seen.collect())
}

/// Why the mutant is no sound behaviour, if so.
fn judge(recording: &Recording, target: &Target, sound: &BTreeMap<usize, Seen>, cache: &Path) -> Result<(), String> {
    memory::restart();
    let start = Instant::now();
    let opened = catch_unwind(AssertUnwindSafe(|| open(recording.root(), cache)));
    let (took, bytes) = (start.elapsed(), memory::peak());
    let opened = opened.map_err(|_| "it panics".to_owned())?;
    if took > LONGEST {
        return Err(format!("it takes {took:?}"));
    }
    if bytes > MOST_BYTES {
        return Err(format!("it takes {} MB", bytes >> 20));
    }
    let found = match opened {
        Ok(found) => found,
        Err(why) if target.untouched.is_empty() => {
            let words = why.to_string();
            return if words.is_empty() { Err("its error says nothing".to_owned()) } else { Ok(()) };
        }
        Err(why) => return Err(format!("nothing is read: {why}")),
    };
    for index in &target.untouched {
        if found.get(index) != sound.get(index) {
            return Err(format!("episode {index} is sound and lost or changed"));
        }
    }
    // Whatever else came out keeps what the types promise.
    for (episode, _) in found.values() {
        let finite = episode.state.iter().chain(&episode.action).all(|x| x.is_finite());
        if episode.len == 0 || !finite || episode.terminated == episode.truncated {
            return Err(format!("episode {} is read although it is not sound", episode.index));
        }
    }
    Ok(())
}

#[test]
fn damage_is_named_and_costs_nothing_sound() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let mutants = match number("REHEARSAL_MUTANT") {
        Some(one) => one..one + 1,
        None => 0..number("REHEARSAL_MUTANTS").unwrap_or(300),
    };
    // A panic of a parser that is caught where it is called is no failure; its words would fill the screen.
    std::panic::set_hook(Box::new(|_| {}));
    let recordings = [Recording::v3(), Recording::v21(), Recording::hdf5()];
    let cache = tempfile::tempdir().expect("a temporary folder");
    let sound: Vec<BTreeMap<usize, Seen>> = recordings
        .iter()
        .map(|recording| open(recording.root(), &cache.path().join("sound")).expect("the sound recording is read"))
        .collect();
    assert_eq!(sound.iter().map(BTreeMap::len).collect::<Vec<_>>(), [3, 3, 3]);
    let mut faults = Vec::new();
    let mut slowest = Duration::ZERO;
    let total = mutants.end - mutants.start;
    for seed in mutants {
        let rng = &mut StdRng::seed_from_u64(seed);
        let which = rng.random_range(0..recordings.len());
        let (recording, sound) = (&recordings[which], &sound[which]);
        let targets = recording.targets();
        let target = targets.choose(rng).expect("targets");
        let path = recording.root().join(&target.file);
        let whole = std::fs::read(&path).expect("the sound file");
        let damaged = match target.kind {
            Kind::Json => mutations::json(&whole, rng),
            Kind::JsonLine(line) => mutations::json_line(&whole, line, rng),
            Kind::Parquet => mutations::bytes(&whole, true, rng),
            Kind::Video | Kind::Hdf5 => mutations::bytes(&whole, false, rng),
        };
        std::fs::write(&path, &damaged).expect("writable");
        let mutant_cache = cache.path().join("mutant");
        let start = Instant::now();
        let verdict = judge(recording, target, sound, &mutant_cache);
        slowest = slowest.max(start.elapsed());
        std::fs::write(&path, &whole).expect("writable");
        // Absent where nothing was decoded.
        let _ = std::fs::remove_dir_all(&mutant_cache);
        if let Err(why) = verdict {
            faults.push(format!("mutant {seed} ({}): {why}", target.file));
        }
    }
    let _ = std::panic::take_hook();
    println(&format!("{total} mutants, the slowest took {slowest:.2?}"));
    assert!(faults.is_empty(), "{} of {total}:\n{}", faults.len(), faults.join("\n"));
}

#[expect(clippy::print_stderr, reason = "the count belongs to the result of a test that can be made longer")]
fn println(words: &str) {
    eprintln!("{words}");
}
