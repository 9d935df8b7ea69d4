//! One connection to one robot, from handshake to farewell.
//!
//! The policy runs in a second thread, so that this one can answer pings however long an inference takes.
//! Every read and write has a short timeout: that is how the stop flag is noticed.

use std::any::Any;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Message, WebSocket};

use crate::door::{self, Visitor};
use crate::server::{Policies, Policy};
use crate::{Error, Observation, Reply, Timing};

/// Longest time a read or write blocks before the stop flag is looked at.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How often pings are looked for while the policy computes.
const BUSY_POLL: Duration = Duration::from_millis(20);
/// Longest time a robot may take to accept a reply.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to wait for a robot to confirm a farewell.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);
/// A robot that was silent this long is pinged, and after three times as long given up.
const PING_AFTER: Duration = Duration::from_secs(20);
/// Requests read ahead of the one being answered; more wait in the socket.
const MAX_WAITING: usize = 2;
/// Largest message that is read. The protocol knows no limit, but the length a message *claims* is reserved
/// at once: without one a single bad frame could end the server. Far above any observation (a raw
/// 1920 x 1080 image has 6 MiB).
const MAX_MESSAGE_BYTES: usize = 256 << 20;

type Answer = Result<(Reply, f64), Error>;

/// Serves one accepted connection until either side ends it.
pub(crate) fn serve(
    stream: TcpStream,
    metadata: &[u8],
    api_key: Option<&str>,
    stop: &AtomicBool,
    policies: Policies<'_>,
) {
    let prepared = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(IDLE_POLL)))
        .and_then(|()| stream.set_write_timeout(Some(IDLE_POLL)));
    if prepared.is_err() {
        return;
    }
    match door::meet(&stream, api_key, stop) {
        Visitor::Gone => return,
        Visitor::Answer { status, body } => return door::answer(stream, status, body),
        Visitor::Robot => {}
    }
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let Ok(socket) = tungstenite::accept_with_config(stream, Some(config)) else {
        return;
    };
    let now = Instant::now();
    let mut link = Link { socket, stop, waiting: VecDeque::new(), heard_at: now, pinged_at: now };
    let (ask, asked) = mpsc::channel::<Bytes>();
    let (answer, answered) = mpsc::channel::<Answer>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut infer = policies();
            for request in asked {
                if answer.send(respond(&request, &mut infer)).is_err() {
                    break;
                }
            }
        });
        // `ask` ends with the conversation, and with it the thread above.
        link.converse(metadata, ask, &answered);
    });
}

/// Decodes a request, runs the policy and checks its answer; also returns the policy's milliseconds.
fn respond(request: &[u8], infer: &mut Policy<'_>) -> Answer {
    let observation = Observation::decode(request)?;
    let started = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| infer(&observation)));
    let infer_ms = started.elapsed().as_secs_f64() * 1e3;
    let reply = outcome
        .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(panic.as_ref()))))
        .map_err(Error::Policy)?;
    reply.check()?;
    Ok((reply, infer_ms))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Why a conversation ended.
enum End {
    /// The robot left, or the connection broke: nothing can be said any more.
    Lost,
    /// To be told to the robot in a text frame, then closed with 1011.
    Fault(Error),
    /// To be closed with this code and reason.
    Close(CloseCode, &'static str),
}

struct Link<'s> {
    socket: WebSocket<TcpStream>,
    stop: &'s AtomicBool,
    waiting: VecDeque<(Bytes, Instant)>,
    heard_at: Instant,
    pinged_at: Instant,
}

impl Link<'_> {
    fn converse(&mut self, metadata: &[u8], ask: Sender<Bytes>, answered: &Receiver<Answer>) {
        let Err(end) = self.exchange(metadata, &ask, answered) else {
            return;
        };
        let (code, reason) = match end {
            End::Lost => return,
            End::Fault(error) => {
                if self.send(Message::text(error.to_string())).is_err() {
                    return;
                }
                (CloseCode::Error, "the error is in the previous frame")
            }
            End::Close(code, reason) => (code, reason),
        };
        self.close(code, reason);
    }

    /// The protocol: metadata, then a reply to every request. Never returns `Ok`.
    fn exchange(&mut self, metadata: &[u8], ask: &Sender<Bytes>, answered: &Receiver<Answer>) -> Result<(), End> {
        self.send(Message::binary(metadata.to_vec()))?;
        let mut prev_total_ms = None;
        loop {
            let Some((request, arrived_at)) = self.waiting.pop_front() else {
                self.listen()?;
                continue;
            };
            ask.send(request).map_err(|_| End::Lost)?;
            let (reply, infer_ms) = self.wait_for(answered)?.map_err(End::Fault)?;
            let bytes = reply.encode(&Timing { infer_ms, prev_total_ms }).map_err(End::Fault)?;
            self.send(Message::binary(bytes))?;
            prev_total_ms = Some(arrived_at.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Waits for the policy, looking after the connection meanwhile.
    fn wait_for(&mut self, answered: &Receiver<Answer>) -> Result<Answer, End> {
        loop {
            match answered.recv_timeout(BUSY_POLL) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(End::Lost),
                Err(RecvTimeoutError::Timeout) if self.waiting.len() < MAX_WAITING => {
                    self.set_read_timeout(Duration::from_millis(1))?;
                    let heard = self.listen();
                    self.set_read_timeout(IDLE_POLL)?;
                    heard?;
                }
                Err(RecvTimeoutError::Timeout) => self.check_stop()?,
            }
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> Result<(), End> {
        self.socket.get_ref().set_read_timeout(Some(timeout)).map_err(|_| End::Lost)
    }

    fn check_stop(&self) -> Result<(), End> {
        if self.stop.load(Ordering::Relaxed) {
            Err(End::Close(CloseCode::Away, "the server is stopping"))
        } else {
            Ok(())
        }
    }

    /// Reads at most one message, or returns after the read timeout; answers pings and keeps requests.
    fn listen(&mut self) -> Result<(), End> {
        self.check_stop()?;
        match self.socket.read() {
            Ok(message) => {
                self.heard_at = Instant::now();
                match message {
                    Message::Binary(bytes) => self.waiting.push_back((bytes, self.heard_at)),
                    Message::Text(_) => {
                        return Err(End::Fault(Error::request(
                            "expected a binary frame with msgpack, found a text frame",
                        )));
                    }
                    // The pong was queued by the read; it must not wait for the next one.
                    Message::Ping(_) => self.flush()?,
                    Message::Pong(_) | Message::Frame(_) => {}
                    Message::Close(_) => {
                        _ = self.flush();
                        return Err(End::Lost);
                    }
                }
                Ok(())
            }
            Err(tungstenite::Error::Io(error)) if door::is_pause(&error) => self.check_alive(),
            Err(tungstenite::Error::Capacity(_)) => Err(End::Close(CloseCode::Size, "the message is too large")),
            Err(tungstenite::Error::Protocol(_)) => Err(End::Close(CloseCode::Protocol, "not a websocket frame")),
            Err(_) => Err(End::Lost),
        }
    }

    /// Pings a silent robot; gives it up when it stays silent, so that a dead link frees its threads.
    fn check_alive(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() > 3 * PING_AFTER {
            return Err(End::Lost);
        }
        if self.heard_at.max(self.pinged_at).elapsed() > PING_AFTER {
            self.pinged_at = Instant::now();
            return self.send(Message::Ping(Bytes::new()));
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), End> {
        match self.socket.write(message) {
            Ok(()) => {}
            // The frame is kept in the socket's buffer; flushing goes on with it.
            Err(tungstenite::Error::Io(error)) if door::is_pause(&error) => {}
            Err(_) => return Err(End::Lost),
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), End> {
        let started = Instant::now();
        loop {
            match self.socket.flush() {
                Ok(()) => return Ok(()),
                Err(tungstenite::Error::Io(error)) if door::is_pause(&error) => {
                    if started.elapsed() > SEND_TIMEOUT || self.stop.load(Ordering::Relaxed) {
                        return Err(End::Lost);
                    }
                }
                Err(_) => return Err(End::Lost),
            }
        }
    }

    /// Says goodbye and waits a moment for the confirmation: hanging up on unread bytes resets the
    /// connection and could lose the last frames.
    fn close(&mut self, code: CloseCode, reason: &'static str) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        _ = self.socket.close(Some(CloseFrame { code, reason: reason.into() }));
        while Instant::now() < deadline {
            match self.socket.read() {
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if door::is_pause(&error) => {}
                Err(_) => return,
            }
        }
    }
}
