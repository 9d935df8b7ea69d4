//! Ctrl-C and SIGTERM: the first asks for a checkpoint and a clean end, the second ends at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::errors::Interrupted;

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// What the first signal is answered with by commands that train.
pub const CHECKPOINT: &str = "\nstopping after this step; a checkpoint is written. Press Ctrl-C again to quit at once";
/// The same for a server, which has nothing to save.
pub const SERVER: &str = "\nclosing. Press Ctrl-C again to quit at once";

/// The same for what writes a file or a dataset whole or not at all.
pub const WHOLE_OR_NOT: &str = "\nstopping; nothing is left half-written. Press Ctrl-C again to quit at once";

/// Begins to catch signals, answering the first with `words`. Commands that do not call this keep the system's immediate
/// end.
///
/// # Errors
/// The system refuses the handler.
pub fn install(words: &'static str) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
        crate::output::tell(words);
    })
    .map_err(|error| anyhow::anyhow!("cannot catch Ctrl-C: {error}"))
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
