//! The other side: asks a policy server, as a robot does.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::{Error, Observation, Reply};

/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message that is read, bytes: metadata and chunks are small.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A connection to a policy server; one observation at a time.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    address: String,
}

impl Client {
    /// Connects to `ws://host:port` and waits for the server's first words. An answer may take `patience`.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers there, or somebody who does not speak the protocol.
    pub fn connect(address: &str, api_key: Option<&str>, patience: Duration) -> Result<Client, Error> {
        let refused = |problem: String| Error::Connect { address: address.to_owned(), problem };
        let host = address.strip_prefix("ws://").map(|rest| rest.split('/').next().unwrap_or(rest));
        let host = host.ok_or_else(|| refused("the address does not begin with ws://".to_owned()))?;
        let mut places = host.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
        let place = places.next().ok_or_else(|| refused("the name has no address".to_owned()))?;
        let stream = TcpStream::connect_timeout(&place, CONNECT_TIMEOUT)
            .and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(stream)
            })
            .map_err(|error| refused(error.to_string()))?;
        let mut request = address.into_client_request().map_err(|error| refused(error.to_string()))?;
        if let Some(key) = api_key {
            let value = format!("Api-Key {key}").parse().map_err(|_| refused("the key is no text".to_owned()))?;
            request.headers_mut().insert("Authorization", value);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let (socket, _) = tungstenite::client::client_with_config(request, stream, Some(config))
            .map_err(|error| refused(error.to_string()))?;
        let mut client = Client { socket, address: address.to_owned() };
        // The server speaks first; what it says of itself binds nobody.
        client.receive().map_err(|error| refused(error.to_string()))?;
        Ok(client)
    }

    /// Asks for the actions that follow an observation.
    ///
    /// # Errors
    /// [`Error::Entry`] when the observation contradicts itself, [`Error::Asked`] when the server answers with an error, in
    /// another language, or not in time.
    pub fn ask(&mut self, observation: &Observation) -> Result<Reply, Error> {
        let request = observation.encode()?;
        self.socket.send(Message::binary(request)).map_err(|error| self.failed(error.to_string()))?;
        let bytes = self.receive()?;
        Reply::decode(&bytes).map_err(|error| self.failed(error.to_string()))
    }

    fn receive(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            match self.socket.read().map_err(|error| self.failed(error.to_string()))? {
                Message::Binary(bytes) => return Ok(bytes.to_vec()),
                // How a server says what went wrong, before it closes.
                Message::Text(words) => return Err(self.failed(words.to_string())),
                Message::Close(_) => return Err(self.failed("it closed the connection".to_owned())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn failed(&self, problem: String) -> Error {
        Error::Asked { address: self.address.clone(), problem }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::{Options, Server};

    #[test]
    fn a_client_gets_what_the_policy_says_and_its_errors_in_words() -> Result<(), Error> {
        let options = Options { port: 0, api_key: Some("secret".to_owned()), ..Options::default() };
        let server = Server::bind(&options)?;
        let address = format!("ws://{}", server.local_addr());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                server.run(&stop, &|o: &Observation| {
                    let state = o.vectors.get("observation.state").ok_or("observation.state is missing")?;
                    Ok(Reply { actions: state.repeat(2), horizon: 2, action_len: state.len(), ..Reply::default() })
                })
            });
            let talk = || -> Result<(), Error> {
                let patience = Duration::from_secs(5);
                let shut = Client::connect(&address, None, patience).expect_err("the key is missing").to_string();
                assert!(shut.starts_with(&format!("no policy server at {address}")), "{shut}");
                let mut client = Client::connect(&address, Some("secret"), patience)?;
                let vectors = BTreeMap::from([("observation.state".to_owned(), vec![0.5, -1.5])]);
                let observation = Observation { vectors, ..Observation::default() };
                for _ in 0..3 {
                    let reply = client.ask(&observation)?;
                    assert_eq!((reply.horizon, reply.actions), (2, vec![0.5, -1.5, 0.5, -1.5]));
                }
                let why = client.ask(&Observation::default()).expect_err("no state").to_string();
                assert!(why.contains("observation.state is missing"), "{why}");
                Ok(())
            };
            let talked = talk();
            stop.store(true, Ordering::Relaxed);
            talked
        })?;
        let nobody = Client::connect("ws://127.0.0.1:1", None, Duration::from_secs(1)).expect_err("nobody listens");
        assert!(nobody.to_string().contains("start it first"), "{nobody}");
        assert!(Client::connect("http://127.0.0.1:1", None, Duration::from_secs(1)).is_err());
        Ok(())
    }
}
