//! The listening socket: one thread per connection, ended by a flag.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Error, Observation, Reply, link, reply};

/// Pause between two looks at the listening socket and the stop flag.
const ACCEPT_POLL: Duration = Duration::from_millis(10);
/// Failures of `accept` in a row after which the server gives up; single ones (a client that left at once,
/// too many open files) pass by themselves.
const MAX_ACCEPT_FAILURES: usize = 500;

/// Answers the observations of one robot, one after the other.
pub type Policy<'a> = Box<dyn FnMut(&Observation) -> Result<Reply, String> + 'a>;

/// Makes a [`Policy`] for each robot.
pub type Policies<'a> = &'a (dyn Fn() -> Policy<'a> + Sync);

/// Where to listen and what to say first.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name or address to listen on. The default `127.0.0.1` is reachable from this computer only.
    pub host: String,
    /// Port to listen on, 0 for any free one (see [`Server::local_addr`]). Default 8000.
    pub port: u16,
    /// JSON object sent to every robot when it connects, null for an empty one.
    pub metadata: serde_json::Value,
    /// When set, robots must send the header `Authorization: Api-Key KEY`.
    pub api_key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { host: "127.0.0.1".to_owned(), port: 8000, metadata: serde_json::Value::Null, api_key: None }
    }
}

/// A bound server that has not begun to answer.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    metadata: Vec<u8>,
    api_key: Option<String>,
}

impl Server {
    /// Opens the port. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`Error::Bind`] when the port cannot be opened, [`Error::Metadata`] when the metadata is no object.
    pub fn bind(options: &Options) -> Result<Server, Error> {
        let metadata = reply::encode_metadata(&options.metadata)?;
        let failed = |source: io::Error| Error::Bind { address: format!("{}:{}", options.host, options.port), source };
        let listener = TcpListener::bind((options.host.as_str(), options.port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, local_addr, metadata, api_key: options.api_key.clone() })
    }

    /// Where the server listens, with the port the system chose if [`Options::port`] was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers robots until `stop` is true, then ends within a second of the last inference.
    ///
    /// `infer` is called from one thread per connection, so calls of several robots may overlap; it returns
    /// the robot-readable reason when it cannot answer. A robot is told of any error (its own malformed
    /// request, the policy's, a panic) in a text frame and its connection is closed with code 1011; other
    /// robots and the server are not affected.
    ///
    /// # Errors
    /// [`Error::Accept`] when the listening socket fails for good.
    pub fn run(
        self,
        stop: &AtomicBool,
        infer: &(dyn Fn(&Observation) -> Result<Reply, String> + Sync),
    ) -> Result<(), Error> {
        self.run_each(stop, &|| Box::new(infer))
    }

    /// [`Server::run`] for a policy that remembers: `policies` makes one for each connection, in that connection's thread.
    ///
    /// # Errors
    /// As there.
    pub fn run_each(self, stop: &AtomicBool, policies: Policies<'_>) -> Result<(), Error> {
        let mut failures = 0;
        thread::scope(|scope| {
            while !stop.load(Ordering::Relaxed) {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        failures = 0;
                        let (metadata, api_key) = (self.metadata.as_slice(), self.api_key.as_deref());
                        let talk = move || link::serve(stream, metadata, api_key, stop, policies);
                        // Without a thread to spare the connection is dropped; the robot tries again.
                        _ = thread::Builder::new().name("robot".to_owned()).spawn_scoped(scope, move || {
                            // A fault in one conversation must not end the others.
                            _ = panic::catch_unwind(AssertUnwindSafe(talk));
                        });
                    }
                    Err(error) => {
                        failures = if error.kind() == io::ErrorKind::WouldBlock { 0 } else { failures + 1 };
                        if failures >= MAX_ACCEPT_FAILURES {
                            return Err(Error::Accept(error));
                        }
                        thread::sleep(ACCEPT_POLL);
                    }
                }
            }
            Ok(())
        })
    }
}
