//! What can go wrong between a socket and a policy.

use std::io;

/// Errors of this crate. Those about a request or a reply are also what the robot is told, word for word.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}; choose another port, or port 0 for any free one")]
    Bind {
        /// The address as `host:port`.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The listening socket keeps failing.
    #[error("the server stopped because no connection could be accepted any more: {0}")]
    Accept(io::Error),
    /// The metadata of [`crate::Options`] is not a JSON object.
    #[error("the server's metadata must be a JSON object or null, found {found}")]
    Metadata {
        /// The kind of JSON value found.
        found: &'static str,
    },
    /// A request is not a message of this protocol.
    #[error("the request could not be read: {problem}")]
    Request {
        /// What was found and what was expected.
        problem: String,
    },
    /// One entry of a request is malformed.
    #[error("the request's \"{key}\" could not be read: {problem}")]
    Entry {
        /// Key of the entry, nested keys joined by `/`.
        key: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The policy's answer cannot be sent to a robot.
    #[error("the policy's answer was withheld: {problem}")]
    Reply {
        /// What was found and what was expected.
        problem: String,
    },
    /// No policy server answers at an address.
    #[error("no policy server at {address}: {problem}; start it first, and name it as ws://host:port")]
    Connect {
        /// As the user wrote it.
        address: String,
        /// What went wrong.
        problem: String,
    },
    /// A policy server that was asked gave no answer.
    #[error("the policy server at {address} gave no answer: {problem}")]
    Asked {
        /// As the user wrote it.
        address: String,
        /// What went wrong, in the server's words where it said something.
        problem: String,
    },
    /// The policy reported an error.
    #[error("the policy could not answer: {0}")]
    Policy(String),
}

impl Error {
    pub(crate) fn request(problem: impl Into<String>) -> Error {
        Error::Request { problem: problem.into() }
    }

    pub(crate) fn entry(key: &str, problem: impl Into<String>) -> Error {
        Error::Entry { key: key.to_owned(), problem: problem.into() }
    }

    pub(crate) fn reply(problem: impl Into<String>) -> Error {
        Error::Reply { problem: problem.into() }
    }
}
