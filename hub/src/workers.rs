//! Several downloads at a time, with one voice for progress and one ear for stopping.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::Error;

/// Downloads at a time, as in Python's `huggingface_hub`: datasets of old have thousands of small files.
pub(crate) const WORKERS: usize = 8;

/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Does `work` for every number below `count`, some at a time, calling `report` on this thread in between.
///
/// `work` gets a question to ask from time to time: whether to stop, because `stop` says so or another one failed. The
/// first error is the answer.
pub(crate) fn for_each(
    count: usize,
    work: &(dyn Fn(usize, &dyn Fn() -> bool) -> Result<(), Error> + Sync),
    stop: &(dyn Fn() -> bool + Sync),
    report: &mut dyn FnMut(),
) -> Result<(), Error> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ends = || failed.load(Ordering::Relaxed) || stop();
    let (sender, receiver) = channel();
    let mut outcome = Ok(());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(count) {
            let (sender, next, ends) = (sender.clone(), &next, &ends);
            scope.spawn(move || {
                while !ends() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more only where this thread's owner is gone.
                    if number >= count || sender.send(work(number, ends)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(REPORT_EVERY) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    // Those after the first stopped because of it.
                    if !failed.swap(true, Ordering::Relaxed) {
                        outcome = Err(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            report();
        }
    });
    outcome
}
