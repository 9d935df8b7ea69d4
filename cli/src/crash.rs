//! What the user sees of a bug: one line and a request to report it, never a backtrace.

use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set this variable to see backtraces while working on rehearsal itself.
const BACKTRACE: &str = "REHEARSAL_BACKTRACE";

/// Depth of `quietly` calls; while it is not zero, panics are expected and stay silent.
static QUIET: AtomicUsize = AtomicUsize::new(0);

/// Makes every panic print one line on stderr.
pub fn install_hook() {
    let with_backtrace = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // Broken data: the panic of a parser becomes the reason why an episode is left out.
        if QUIET.load(Ordering::SeqCst) > 0 || episodes::guard::is_guarded() {
            return;
        }
        if std::env::var_os(BACKTRACE).is_some() {
            return with_backtrace(info);
        }
        let place = info.location().map(|l| format!(" ({}:{})", file_name(l.file()), l.line())).unwrap_or_default();
        crate::output::complain(&format!(
            "error: this is a bug in rehearsal: {}{place}; please report it with the command you ran and the run's \
             events.log ({BACKTRACE}=1 shows where it happened)",
            message(info)
        ));
    }));
}

/// Runs code of others that panics where it should return an error; the panic becomes its message.
///
/// # Errors
/// The message of the panic.
#[cfg(any(feature = "wgpu", feature = "cuda", test))]
pub fn quietly<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    QUIET.fetch_add(1, Ordering::SeqCst);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(run));
    QUIET.fetch_sub(1, Ordering::SeqCst);
    result.map_err(|payload| words(payload.as_ref()))
}

fn message(info: &PanicHookInfo) -> String {
    words(info.payload())
}

fn words(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The last two components: enough to find the line, nothing about the machine it was built on.
fn file_name(path: &str) -> String {
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_others_becomes_a_sentence() {
        assert_eq!(quietly(|| 3), Ok(3));
        let error = quietly(|| -> i32 { panic!("no adapter\n  found") });
        assert_eq!(error, Err("no adapter found".to_owned()));
    }

    #[test]
    fn places_are_short() {
        assert_eq!(file_name("/home/me/rehearsal/cli/src/main.rs"), "src/main.rs");
        assert_eq!(file_name("main.rs"), "main.rs");
    }
}
