//! Who is at the door: a robot (websocket), a health check, or somebody who has to be sent away.
//!
//! The request head is only *peeked at*, so that the websocket handshake afterwards reads it again itself.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time a visitor may take to say what it wants.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head, bytes; websocket heads are a few hundred.
const HEAD_BYTES: usize = 16 * 1024;
/// Pause between two looks at a head that is not complete.
const HEAD_POLL: Duration = Duration::from_millis(5);
/// Longest time to wait for a visitor to hang up after an answer.
const HANG_UP_TIMEOUT: Duration = Duration::from_millis(300);

/// What a visitor wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// A websocket client; its handshake is still unread.
    Robot,
    /// To be answered with this status line and body, then hung up on.
    Answer { status: &'static str, body: &'static str },
    /// Nobody any more.
    Gone,
}

/// Waits for the request head of a new connection and decides.
pub(crate) fn meet(stream: &TcpStream, api_key: Option<&str>, stop: &AtomicBool) -> Visitor {
    let deadline = Instant::now() + HEAD_TIMEOUT;
    let mut buffer = vec![0; HEAD_BYTES];
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        match stream.peek(&mut buffer) {
            Ok(0) => return Visitor::Gone,
            Ok(len) => {
                if let Some(end) = buffer[..len].windows(4).position(|window| window == b"\r\n\r\n") {
                    return judge(&String::from_utf8_lossy(&buffer[..end]), api_key);
                }
                if len == buffer.len() {
                    return Visitor::Answer {
                        status: "431 Request Header Fields Too Large",
                        body: "The request head is too long.\n",
                    };
                }
                thread::sleep(HEAD_POLL);
            }
            Err(error) if is_pause(&error) => {}
            Err(_) => return Visitor::Gone,
        }
    }
    Visitor::Gone
}

/// Whether an error of a socket with timeouts only means "nothing yet".
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn judge(head: &str, api_key: Option<&str>) -> Visitor {
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
    if method != "GET" {
        return Visitor::Answer { status: "405 Method Not Allowed", body: "Only GET is answered here.\n" };
    }
    if path.split('?').next() == Some("/healthz") {
        return Visitor::Answer { status: "200 OK", body: "OK\n" };
    }
    let headers: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim())).collect();
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value);
    if !header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        let body = "This port speaks the openpi policy protocol: connect with a websocket client.\n";
        return Visitor::Answer { status: "426 Upgrade Required", body };
    }
    match api_key {
        Some(key) if !header("Authorization").is_some_and(|value| is_authorised(value, key)) => {
            let body = "Send the header \"Authorization: Api-Key KEY\" with the server's key.\n";
            Visitor::Answer { status: "401 Unauthorized", body }
        }
        _ => Visitor::Robot,
    }
}

/// Compares without stopping at the first difference, so that the time taken says nothing about the key.
fn is_authorised(header: &str, key: &str) -> bool {
    let Some((scheme, found)) = header.split_once(' ') else {
        return false;
    };
    let (found, key) = (found.trim().as_bytes(), key.as_bytes());
    let difference = found.iter().zip(key).fold(0, |difference, (a, b)| difference | (a ^ b));
    scheme.eq_ignore_ascii_case("Api-Key") && found.len() == key.len() && difference == 0
}

/// Sends a plain HTTP answer and hangs up. A visitor that left already is not an error.
pub(crate) fn answer(mut stream: TcpStream, status: &str, body: &str) {
    let length = body.len();
    let upgrade = if status.starts_with("426") { "Upgrade: websocket\r\n" } else { "" };
    let reply = format!(
        "HTTP/1.1 {status}\r\n{upgrade}Connection: close\r\nContent-Length: {length}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    );
    if stream.write_all(reply.as_bytes()).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        // Closing with unread bytes would reset the connection and could lose the answer.
        let deadline = Instant::now() + HANG_UP_TIMEOUT;
        let mut rest = [0; 4096];
        while Instant::now() < deadline && stream.read(&mut rest).map_or_else(|error| is_pause(&error), |len| len > 0) {
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROBOT: &str = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade";

    fn status(visitor: Visitor) -> &'static str {
        match visitor {
            Visitor::Robot => "robot",
            Visitor::Answer { status, .. } => &status[..3],
            Visitor::Gone => "gone",
        }
    }

    #[test]
    fn visitors_are_told_apart() {
        assert_eq!(status(judge(ROBOT, None)), "robot");
        assert_eq!(status(judge("GET /healthz HTTP/1.1\r\nHost: x", Some("k"))), "200");
        assert_eq!(status(judge("GET / HTTP/1.1\r\nHost: x", None)), "426");
        assert_eq!(status(judge("POST / HTTP/1.1", None)), "405");
        assert_eq!(status(judge("", None)), "405");
    }

    #[test]
    fn the_key_is_checked() {
        let with = |value: &str| format!("{ROBOT}\r\nauthorization: {value}");
        assert_eq!(status(judge(ROBOT, Some("secret"))), "401");
        assert_eq!(status(judge(&with("Api-Key secreT"), Some("secret"))), "401");
        assert_eq!(status(judge(&with("Api-Key secret2"), Some("secret"))), "401");
        assert_eq!(status(judge(&with("Bearer secret"), Some("secret"))), "401");
        assert_eq!(status(judge(&with("Api-Key secret"), Some("secret"))), "robot");
    }
}
