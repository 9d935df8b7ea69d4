//! The server over loopback, driven by a websocket client and by bare sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rmpv::Value;
use serve::{Observation, Options, Reply, Server};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// Sets the flag when dropped, so that a failed assertion ends the server too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Infer<'a> = dyn Fn(&Observation) -> Result<Reply, String> + Sync + 'a;

/// Runs `body` against a server; returns how long the server took to stop.
fn with_server(api_key: Option<&str>, infer: &Infer<'_>, body: impl FnOnce(SocketAddr)) -> Duration {
    let metadata = serde_json::json!({"robot": "test"});
    let options = Options { port: 0, metadata, api_key: api_key.map(str::to_owned), ..Options::default() };
    let server = Server::bind(&options).expect("a free port exists");
    let address = server.local_addr();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.run(&stop, infer));
        {
            let _guard = StopOnDrop(&stop);
            body(address);
        }
        let asked_at = Instant::now();
        running.join().expect("the server does not panic").expect("the server ends well");
        asked_at.elapsed()
    })
}

fn hold(observation: &Observation) -> Result<Reply, String> {
    let state = observation.vectors.get("state").ok_or("\"state\" is missing")?;
    Ok(Reply { actions: state.repeat(2), horizon: 2, action_len: state.len(), ..Reply::default() })
}

fn connect(address: SocketAddr, api_key: Option<&str>) -> Result<WebSocket<TcpStream>, String> {
    let mut request = format!("ws://{address}/").into_client_request().expect("the address is valid");
    if let Some(key) = api_key {
        request.headers_mut().insert("Authorization", format!("Api-Key {key}").parse().expect("a valid header"));
    }
    let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    let (mut socket, _) = tungstenite::client(request, stream).map_err(|error| error.to_string())?;
    let metadata = socket.read().map_err(|error| error.to_string())?;
    assert_eq!(metadata.into_data().as_ref(), b"\x81\xa5robot\xa4test");
    Ok(socket)
}

fn request(state: &[f32]) -> Message {
    let list = Value::Array(state.iter().map(|value| Value::from(*value)).collect());
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &Value::Map(vec![(Value::from("state"), list)])).expect("writing to memory");
    Message::binary(bytes)
}

fn ask(socket: &mut WebSocket<TcpStream>, state: &[f32]) -> Message {
    socket.send(request(state)).expect("the server listens");
    socket.read().expect("the server answers")
}

fn timing_keys(reply: &Message) -> Vec<String> {
    let Message::Binary(bytes) = reply else { panic!("expected a binary reply, found {reply}") };
    let observation = Observation::decode(bytes).expect("the reply is msgpack");
    observation.vectors.keys().cloned().collect()
}

/// Reads the text and the close code of a refusal.
fn fault(socket: &mut WebSocket<TcpStream>) -> (String, CloseCode) {
    let text = socket.read().expect("a text frame").into_text().expect("text").to_string();
    match socket.read().expect("a close frame") {
        Message::Close(Some(frame)) => (text, frame.code),
        other => panic!("expected a close frame, found {other}"),
    }
}

fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid timeout");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("the server answers");
    reply
}

#[test]
fn metadata_then_replies_with_timing() {
    with_server(None, &hold, |address| {
        let mut socket = connect(address, None).expect("connects");
        assert_eq!(timing_keys(&ask(&mut socket, &[1.0, 2.0])), ["server_timing/infer_ms"]);
        for _ in 0..3 {
            let reply = ask(&mut socket, &[1.0, 2.0]);
            assert_eq!(timing_keys(&reply), ["server_timing/infer_ms", "server_timing/prev_total_ms"]);
        }
    });
}

#[test]
fn errors_are_told_and_close_only_their_own_link() {
    let infer = |observation: &Observation| {
        assert_ne!(observation.vectors["state"][0], 13.0, "unlucky");
        if observation.vectors["state"][0].is_nan() { Err("the state is NaN".to_owned()) } else { hold(observation) }
    };
    with_server(None, &infer, |address| {
        let mut other = connect(address, None).expect("connects");
        let cases = [
            (request(&[f32::NAN]), "the policy could not answer: the state is NaN"),
            (request(&[13.0]), "the policy could not answer: it panicked"),
            (request(&[f32::INFINITY]), "the policy's answer was withheld: element 0 of action 0 is inf"),
            (Message::binary(vec![0x01]), "the request could not be read: expected a msgpack map, found an integer"),
            (
                Message::binary(vec![0xc1, 0xc1]),
                "the request could not be read: expected a msgpack map, found nothing (nil)",
            ),
            (Message::text("hello"), "the request could not be read: expected a binary frame"),
        ];
        for (message, expected) in cases {
            let mut socket = connect(address, None).expect("connects");
            socket.send(message).expect("the server listens");
            let (text, code) = fault(&mut socket);
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(code, CloseCode::Error);
            assert!(matches!(ask(&mut other, &[1.0]), Message::Binary(_)));
        }
    });
}

#[test]
fn plain_http_is_answered_on_the_same_port() {
    with_server(Some("secret"), &hold, |address| {
        let health = http(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nOK\n"), "{health}");
        assert!(http(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 426 "));
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        assert!(http(address, &long).starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn the_api_key_opens_the_door() {
    with_server(Some("secret"), &hold, |address| {
        assert!(connect(address, None).is_err_and(|error| error.contains("401")));
        assert!(connect(address, Some("wrong")).is_err_and(|error| error.contains("401")));
        let mut socket = connect(address, Some("secret")).expect("the key is right");
        assert!(matches!(ask(&mut socket, &[1.0]), Message::Binary(_)));
    });
}

#[test]
fn dropped_and_confused_links_do_no_harm() {
    let calls = AtomicUsize::new(0);
    let slow = |observation: &Observation| {
        calls.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
        hold(observation)
    };
    with_server(None, &slow, |address| {
        for _ in 0..5 {
            let mut socket = connect(address, None).expect("connects");
            socket.send(request(&[1.0])).expect("the server listens");
            drop(socket);
            drop(TcpStream::connect(address));
        }
        let mut confused = connect(address, None).expect("connects");
        // A frame header that claims 2^62 bytes.
        let claim = [&[0x82, 0xff, 0x40][..], &[0; 11]].concat();
        confused.get_mut().write_all(&claim).expect("the server reads");
        assert!(matches!(confused.read(), Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Size));
        let mut socket = connect(address, None).expect("connects");
        assert!(matches!(ask(&mut socket, &[1.0]), Message::Binary(_)));
    });
    assert!(calls.load(Ordering::Relaxed) >= 1);
}

#[test]
fn pings_are_answered_while_the_policy_computes() {
    let slow = |observation: &Observation| {
        thread::sleep(Duration::from_millis(600));
        hold(observation)
    };
    with_server(None, &slow, |address| {
        let mut socket = connect(address, None).expect("connects");
        let asked_at = Instant::now();
        socket.send(request(&[1.0])).expect("the server listens");
        socket.send(Message::Ping(b"hi".as_slice().into())).expect("the server listens");
        assert_eq!(socket.read().expect("a pong"), Message::Pong(b"hi".as_slice().into()));
        assert!(asked_at.elapsed() < Duration::from_millis(400), "{:?}", asked_at.elapsed());
        assert!(matches!(socket.read(), Ok(Message::Binary(_))));
    });
}

#[test]
fn large_images_pass_and_the_flag_stops_the_server() {
    let count = |observation: &Observation| {
        let image = observation.images.get("image").ok_or("no image")?;
        Ok(Reply { actions: vec![image.rgb.len() as f32], horizon: 1, action_len: 1, ..Reply::default() })
    };
    let mut idle = None;
    let stopped_in = with_server(None, &count, |address| {
        let mut socket = connect(address, None).expect("connects");
        let (height, width) = (4000usize, 3000usize);
        let image = Value::Map(vec![
            (Value::from("__ndarray__"), Value::Boolean(true)),
            (Value::from("data"), Value::Binary(vec![7; height * width * 3])),
            (Value::from("dtype"), Value::from("|u1")),
            (Value::from("shape"), Value::Array(vec![Value::from(height), Value::from(width), Value::from(3)])),
        ]);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &Value::Map(vec![(Value::from("image"), image)]))
            .expect("writing to memory");
        socket.send(Message::binary(bytes)).expect("the server takes 36 MB");
        assert!(matches!(socket.read(), Ok(Message::Binary(_))));
        idle = Some(socket);
    });
    assert!(stopped_in < Duration::from_secs(1), "{stopped_in:?}");
    assert!(
        matches!(idle.map(|mut socket| socket.read()), Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Away)
    );
}

#[test]
fn each_link_has_a_policy_of_its_own_that_remembers() -> Result<(), serve::Error> {
    let server = Server::bind(&Options { port: 0, ..Options::default() })?;
    let (address, stop) = (format!("ws://{}", server.local_addr()), AtomicBool::new(false));
    let observation = Observation { vectors: [("state".to_owned(), vec![1.0])].into(), ..Observation::default() };
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            // Answers with how often this robot has asked.
            server.run_each(&stop, &|| {
                let mut asked = 0.0;
                Box::new(move |_| {
                    asked += 1.0;
                    Ok(Reply { actions: vec![asked], horizon: 1, action_len: 1, ..Reply::default() })
                })
            })
        });
        let told = {
            let _guard = StopOnDrop(&stop);
            let connect = || serve::Client::connect(&address, None, Duration::from_secs(5));
            let (mut one, mut other) = (connect()?, connect()?);
            let mut told = Vec::new();
            for client in [0, 0, 1, 0] {
                let client = if client == 0 { &mut one } else { &mut other };
                told.push(client.ask(&observation)?.actions[0]);
            }
            told.push(connect()?.ask(&observation)?.actions[0]);
            told
        };
        assert_eq!(told, [1.0, 2.0, 1.0, 3.0, 1.0]);
        running.join().expect("the server does not panic")
    })
}
