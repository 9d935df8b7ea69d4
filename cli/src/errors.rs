//! What ends a command early, and the exit code that goes with it.

/// The command line or the run file is wrong: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The user asked to stop and everything needed to continue is on disk: exit code 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped; run the same command again to continue from the last checkpoint")]
pub struct Interrupted;

/// Exit code of a failed command: 2 for usage, 130 for Ctrl-C, 1 for everything that went wrong at run time.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<UsageError>() {
        2
    } else if is_stop(error) || matches!(error.downcast_ref(), Some(episodes::Error::Stopped { .. })) {
        130
    } else {
        1
    }
}

/// Whether the same command simply continues: no error to speak of.
pub fn is_stop(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>() || matches!(error.downcast_ref(), Some(hub::Error::Stopped { .. }))
}

/// The error and its causes on one line, for `error: …` on stderr.
///
/// A cause that its parent has already quoted is not said twice.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_usage_from_failure() {
        assert_eq!(exit_code(&UsageError("no such key".into()).into()), 2);
        assert_eq!(exit_code(&Interrupted.into()), 130);
        assert_eq!(exit_code(&episodes::Error::Stopped { path: "out".into() }.into()), 130);
        assert_eq!(exit_code(&hub::Error::Stopped { path: "cache".into() }.into()), 130);
        assert_eq!(exit_code(&anyhow::anyhow!("disk on fire")), 1);
    }

    #[test]
    fn a_usage_error_keeps_its_code_under_context() {
        let error = anyhow::Error::from(UsageError("no such key".into())).context("reading the run file");
        assert_eq!(exit_code(&error), 2);
    }

    #[test]
    fn one_line_says_each_cause_once() {
        let error = anyhow::anyhow!("cannot write a.json: no space\nleft").context("saving the report");
        assert_eq!(one_line(&error), "saving the report: cannot write a.json: no space left");
        let quoted = anyhow::anyhow!("no space").context("cannot write a.json: no space");
        assert_eq!(one_line(&quoted), "cannot write a.json: no space");
    }
}
