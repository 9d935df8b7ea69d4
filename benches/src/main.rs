//! Times of the pieces that a run is made of, through the crates' public doors.
//!
//! ```text
//! cargo run --release -p benches                      every case, a line each
//! cargo run --release -p benches -- rssm_demo         some
//! cargo run --release -p benches -- --serve rssm_demo a burst for every line of seconds on stdin (benches/turns.sh)
//! cargo run --release -p benches -- --open DATASET    opens a dataset once and says what that took (benches/episodes.sh)
//! ```
//! `tests/interop/torch_steps.py` has the cases of the same names in PyTorch and speaks the same lines; those that read
//! recorded data have other peers there.

mod cases;
mod data;
mod measure;
mod recorded;

use std::io::{self, BufRead, Write};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds measured per case when cases are run one after the other.
const SECONDS: f64 = 3.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path] = arguments.as_slice()
        && flag == "--open"
    {
        writeln!(io::stdout(), "{}", recorded::opened(path.as_ref())?)?;
        return Ok(());
    }
    let serve = arguments.first().is_some_and(|a| a == "--serve");
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let known: Vec<&str> = cases::ALL.iter().map(|c| c.name).collect();
    if let Some(unknown) = names.iter().find(|n| !known.contains(n)) {
        return Err(format!("no case '{unknown}'; expected one of: {}", known.join(", ")).into());
    }
    // Those that read recordings run only where there are some.
    let runs =
        |c: &&cases::Case| (names.is_empty() && (!c.is_recorded || recorded::is_there())) || names.contains(&c.name);
    let chosen: Vec<&cases::Case> = cases::ALL.iter().filter(runs).collect();
    // One process has one pool: what acts on one core gets a process of its own.
    if let [only] = chosen[..] {
        rayon::ThreadPoolBuilder::new().num_threads(only.threads).build_global()?;
    }
    let mut out = io::stdout().lock();
    for case in chosen {
        let scratch = tempfile::tempdir()?;
        let mut step = (case.build)(scratch.path())?;
        let mut measured = measure::Measured::warm(&mut step);
        if serve {
            writeln!(out, "ready {}", case.name)?;
            out.flush()?;
            for line in io::stdin().lock().lines() {
                let seconds: f64 = line?.trim().parse()?;
                writeln!(out, "{}", measured.burst(&mut step, seconds))?;
                out.flush()?;
            }
        } else {
            writeln!(out, "{:<22} {}", case.name, measured.burst(&mut step, SECONDS))?;
        }
    }
    Ok(())
}
