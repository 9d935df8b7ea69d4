//! Code of others that panics on broken data where it should return an error: the panic becomes a reason.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic on this thread, now, is about to become a reason: a panic hook may then stay silent.
pub fn is_guarded() -> bool {
    DEPTH.get() > 0
}

/// Runs a parser or decoder; `None` where it panics.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(run));
    DEPTH.set(DEPTH.get() - 1);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_reason_and_is_known_as_one() {
        assert_eq!(guarded(|| (is_guarded(), 3)), Some((true, 3)));
        let empty: Vec<u8> = Vec::new();
        assert_eq!(guarded(|| empty[0]), None);
        // A panic leaves no trace, and one inside another neither.
        assert_eq!(guarded(|| (guarded(|| empty[0]), is_guarded())), Some((None, true)));
        assert!(!is_guarded());
    }
}
