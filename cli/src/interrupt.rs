//! Ctrl-C and SIGTERM: the first asks for a checkpoint and a clean end, the second ends at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::errors::Interrupted;

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Whether signals are being caught.
static CATCHING: AtomicBool = AtomicBool::new(false);

/// What the first signal is answered with; `None` where nobody would notice it, so that it ends the program.
static WORDS: Mutex<Option<&'static str>> = Mutex::new(None);

/// What the first signal is answered with by commands that train.
pub const CHECKPOINT: &str = "\nstopping after this step; a checkpoint is written. Press Ctrl-C again to quit at once";
/// The same for a server, which has nothing to save.
pub const SERVER: &str = "\nclosing. Press Ctrl-C again to quit at once";

/// The same for what writes a file or a dataset whole or not at all.
pub const WHOLE_OR_NOT: &str = "\nstopping; nothing is left half-written. Press Ctrl-C again to quit at once";

/// The same for a download, which continues where it ended.
pub const DOWNLOAD: &str = "\nstopping; what has been downloaded is kept. Press Ctrl-C again to quit at once";

/// Begins to catch signals, answering the first with `words`. Commands that do not call this end at once.
///
/// # Errors
/// The system refuses the handler.
pub fn install(words: &'static str) -> anyhow::Result<()> {
    say(Some(words));
    if CATCHING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        let words = *WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            Some(words) if SIGNALS.fetch_add(1, Ordering::SeqCst) == 0 => crate::output::tell(words),
            _ => std::process::exit(130),
        }
    })
    .map_err(|error| anyhow::anyhow!("cannot catch Ctrl-C: {error}"))
}

/// Answers signals with `words` while `run` runs, and as before afterwards.
///
/// # Errors
/// As [`install`].
pub fn during<T>(words: &'static str, run: impl FnOnce() -> T) -> anyhow::Result<T> {
    let before = *WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    install(words)?;
    let outcome = run();
    say(before);
    Ok(outcome)
}

fn say(words: Option<&'static str>) {
    *WORDS.lock().unwrap_or_else(PoisonError::into_inner) = words;
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// `Err(Interrupted)` once the user asked to stop: for loops that have nothing to save.
///
/// # Errors
/// [`Interrupted`], which ends the program with exit code 130.
pub fn check() -> Result<(), Interrupted> {
    if requested() { Err(Interrupted) } else { Ok(()) }
}
