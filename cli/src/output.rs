//! The two places words go: answers to stdout, everything said on the way to stderr.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::unknown::to_json;

/// Writes an answer to stdout with a line end. A reader that has gone (`rehearsal … | head`) ends the program quietly.
pub fn answer(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.trim_end().as_bytes()).and_then(|()| out.write_all(b"\n"));
    if let Err(error) = written.and_then(|()| out.flush()) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            complain(&format!("error: cannot write to stdout: {error}"));
        }
        std::process::exit(i32::from(error.kind() != io::ErrorKind::BrokenPipe));
    }
}

/// [`answer`] as indented JSON; bounds that are not known are `null`.
///
/// # Errors
/// A value JSON cannot hold.
pub fn answer_json(value: &impl Serialize) -> anyhow::Result<()> {
    answer(&String::from_utf8(to_json(value)?)?);
    Ok(())
}

/// Writes a line to stderr; a closed stderr is nobody to complain to.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on stderr what is going on.
pub fn tell(text: &str) {
    complain(text);
}
