//! Questions to the hub over HTTP, and what went wrong with them in words.

use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{AUTHORIZATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use crate::address::Address;
use crate::error::Error;
use crate::settings::HubSettings;

/// How long a silent server is waited for: to connect, to answer, and for the next bytes.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Longest pause that a server may ask for between two requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Requests for a text before a server that is busy or broken is believed to stay so.
const TRIES: u32 = 3;

/// Characters of a server's own words that are quoted.
const MAX_WORDS: usize = 200;

/// One user of one hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    is_offline: bool,
    retry_pause: Duration,
}

/// Why a request gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answered, or the answer broke off.
    Unreachable(String),
    /// The server answered, and it was no.
    Refused {
        /// HTTP status.
        status: u16,
        /// The hub's own name of the reason, e.g. `RepoNotFound`; empty where it gives none.
        code: String,
        /// The hub's own words; empty where it has none.
        words: String,
        /// Wait so long, it says.
        pause: Option<Duration>,
    },
}

impl Failure {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Failure::Unreachable(_) => true,
            Failure::Refused { status, .. } => matches!(status, 408 | 416 | 429 | 500..),
        }
    }

    /// How long the server wants to be left alone.
    pub fn pause(&self) -> Option<Duration> {
        match self {
            Failure::Refused { pause, .. } => *pause,
            Failure::Unreachable(_) => None,
        }
    }
}

impl Client {
    /// A client for the hub in the settings.
    pub fn new(settings: &HubSettings, connections: usize) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT_PATIENCE))
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_recv_response(Some(ANSWER_PATIENCE))
            .timeout_per_read(Some(ANSWER_PATIENCE))
            // Large files are redirected to other hosts, which must not see the token; small ones to the same.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_idle_connections_per_host(connections)
            .user_agent(concat!("rehearsal/", env!("CARGO_PKG_VERSION")))
            // What arrives is counted, continued and hashed: no encoding in between.
            .accept_encoding("identity");
        // A proxy leads elsewhere; this machine needs none to speak with itself.
        let config = if is_loopback(&settings.endpoint) { config.proxy(None) } else { config };
        Client {
            agent: config.build().into(),
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            is_offline: settings.is_offline,
            retry_pause: settings.retry_pause,
        }
    }

    /// What is at `path` (with its query), from byte `from` on where that is not the first.
    pub fn get(&self, path: &str, from: u64) -> Result<Response<Body>, Failure> {
        if self.is_offline {
            return Err(Failure::Unreachable("HF_HUB_OFFLINE is set".to_owned()));
        }
        let mut request = self.agent.get(format!("{}{path}", self.endpoint));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| self.unreachable(&words(&error)))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(&response)) }
    }

    /// [`Client::get`] of a whole text of at most 10 MB, and the headers that came with it.
    pub fn get_text(&self, path: &str) -> Result<(String, HeaderMap), Failure> {
        let mut tries = 1;
        let mut response = loop {
            match self.get(path, 0) {
                // Where nobody answers there may be no network at all, and waiting helps nobody.
                Err(failure @ Failure::Refused { .. }) if failure.is_passing() && tries < TRIES => {
                    std::thread::sleep(self.retry_pause * tries);
                    tries += 1;
                }
                answer => break answer?,
            }
        };
        let text = response.body_mut().read_to_string().map_err(|error| self.unreachable(&words(&error)))?;
        Ok((text, response.into_parts().0.headers))
    }

    /// Nobody answered, in words.
    pub fn unreachable(&self, why: &str) -> Failure {
        Failure::Unreachable(format!("{} cannot be reached ({why})", self.endpoint))
    }

    /// What a failure means to somebody who asked for `address`.
    pub fn explain(&self, address: &Address, failure: &Failure) -> Error {
        let (id, revision, hub) = (address.id(), address.revision(), &self.endpoint);
        let (found, remedy) = match failure {
            Failure::Unreachable(why) => {
                (why.clone(), "check the connection and run the same command again".to_owned())
            }
            Failure::Refused { status, code, words, .. } => {
                let words = if words.is_empty() { String::new() } else { format!(": {words}") };
                let answer = format!("{status}{words}");
                match (status, code.as_str(), &self.token) {
                    (404, "RevisionNotFound", _) => (
                        format!("the dataset {id} has no revision {revision} ({hub} answers {answer})"),
                        "see its branches and tags on the hub, or leave @REVISION out".to_owned(),
                    ),
                    (404, ..) => (
                        format!("{hub} has no dataset {id} at revision {revision} ({answer})"),
                        "check the spelling; a private dataset needs a token in HF_TOKEN".to_owned(),
                    ),
                    // The hub does not tell strangers what exists.
                    (401, _, None) => (
                        format!("{hub} has no dataset {id} for everybody to read ({answer})"),
                        "check the spelling; a private dataset needs a token in HF_TOKEN".to_owned(),
                    ),
                    (401 | 403, _, Some(_)) => (
                        format!("the token in use may not read the dataset {id} ({hub} answers {answer})"),
                        format!("accept its conditions at {hub}/datasets/{id}, or set HF_TOKEN to a token with access"),
                    ),
                    (403, _, None) => (
                        format!("the dataset {id} is not open to everybody ({hub} answers {answer})"),
                        format!("accept its conditions at {hub}/datasets/{id} and set HF_TOKEN"),
                    ),
                    (429, ..) => (
                        format!("{hub} asks for fewer requests ({answer})"),
                        "wait some minutes and run the same command again; with a token in HF_TOKEN more are allowed"
                            .to_owned(),
                    ),
                    _ => (format!("{hub} answers {answer}"), "run the same command again later".to_owned()),
                }
            }
        };
        Error::NotToBeHad { asked: address.to_string(), found, remedy }
    }
}

/// Without the names of layers in front.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn refusal(response: &Response<Body>) -> Failure {
    let text = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect::<String>()
    };
    let pause = text(RETRY_AFTER.as_str()).trim().parse().ok();
    Failure::Refused {
        status: response.status().as_u16(),
        code: text("x-error-code"),
        words: text("x-error-message"),
        pause: pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)),
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let uri: Option<Uri> = endpoint.parse().ok();
    uri.and_then(|uri| uri.host().map(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))).unwrap_or(false)
}
