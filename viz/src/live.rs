//! A viewer that is shown results while they come.
//!
//! Architecture invariant: nobody waits for it. What is to be shown goes into a queue that a thread of its own empties; a viewer that has
//! gone, or is slower than the results, misses the rest.

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use rerun::blueprint::{BlueprintActivation, BlueprintOpts};
use rerun::external::re_uri::{ProxyUri, RedapUri};
use rerun::log::LogMsg;
use rerun::sink::{FileSink, GrpcSink, GrpcSinkConnectionState, LogSink, SinkFlushError};
use rerun::{ApplicationId, RecordingStream, RecordingStreamBuilder};

use crate::layout::{Layout, Section};
use crate::{Curve, Error, curves};

/// Where a viewer listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "rerun+http://127.0.0.1:9876/proxy";

/// Longest time to wait for somebody to answer at the address.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages that may wait for the viewer, a picture's chunk or a point of a curve each.
const QUEUE: usize = 1024;

enum Errand {
    Show(LogMsg),
    /// Answer when everything before is shown.
    Finish(SyncSender<bool>, Duration),
}

/// A running viewer.
#[derive(Debug)]
pub struct Live {
    address: String,
    tap: Tap,
}

/// The way into the queue.
#[derive(Clone, Debug)]
struct Tap {
    queue: SyncSender<Errand>,
    is_lost: Arc<AtomicBool>,
}

impl Tap {
    fn show(&self, message: LogMsg) {
        // A stream with a gap would show what never was: after the first loss nothing more is sent.
        if !self.is_lost.load(Ordering::Relaxed) && self.queue.try_send(Errand::Show(message)).is_err() {
            self.is_lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Live {
    /// Finds the viewer at an address such as [`DEFAULT_ADDRESS`]; waits for a second at most.
    ///
    /// # Errors
    /// [`Error::NoViewerThere`] when the address is none or nobody answers.
    pub fn connect(address: &str) -> Result<Live, Error> {
        let missing = |reason: String| Error::NoViewerThere { address: address.to_owned(), reason };
        let Ok(RedapUri::Proxy(uri)) = address.parse::<RedapUri>() else {
            return Err(missing("this is no address of one".to_owned()));
        };
        let host = uri.origin.host.to_string();
        let place = (host.trim_matches(['[', ']']), uri.origin.port).to_socket_addrs();
        let place = place.ok().and_then(|mut found| found.next());
        let place = place.ok_or_else(|| missing("nobody knows this host".to_owned()))?;
        TcpStream::connect_timeout(&place, PATIENCE).map_err(|error| missing(error.to_string()))?;
        let (queue, errands) = mpsc::sync_channel(QUEUE);
        let tap = Tap { queue, is_lost: Arc::default() };
        let is_lost = Arc::clone(&tap.is_lost);
        thread::Builder::new()
            .name("viewer".to_owned())
            .spawn(move || show_all(uri, &errands, &is_lost))
            .map_err(|error| missing(error.to_string()))?;
        Ok(Live { address: address.to_owned(), tap })
    }

    /// Begins to show training curves under the name `recording_id`.
    ///
    /// # Errors
    /// [`Error::Recording`] when rerun cannot begin a recording.
    pub fn curves(&self, app: &str, recording_id: &str) -> Result<LiveCurves, Error> {
        let rec = stream(app, recording_id, self.sink(None))?;
        Ok(LiveCurves { rec, known: BTreeSet::new() })
    }

    /// Waits until everything is shown, for `patience` at most.
    ///
    /// # Errors
    /// [`Error::NoViewerThere`] when something was lost on the way.
    pub fn finish(&self, patience: Duration) -> Result<(), Error> {
        let (told, answer) = mpsc::sync_channel(1);
        let asked = self.tap.queue.try_send(Errand::Finish(told, patience)).is_ok();
        let is_shown = asked && answer.recv_timeout(patience).unwrap_or(false);
        if is_shown && !self.tap.is_lost.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = "it stopped listening or could not keep up, and was not shown everything".to_owned();
        Err(Error::NoViewerThere { address: self.address.clone(), reason })
    }

    pub(crate) fn sink(&self, file: Option<FileSink>) -> Box<dyn LogSink> {
        Box::new(Tee { file, tap: Some(self.tap.clone()) })
    }
}

/// A recording that goes into `sink`.
pub(crate) fn stream(app: &str, recording_id: &str, sink: Box<dyn LogSink>) -> Result<RecordingStream, Error> {
    let rec = RecordingStreamBuilder::new(ApplicationId::new_or_unknown(app))
        .recording_id(recording_id)
        .send_properties(true)
        .recording_name(recording_id)
        // Whoever asked for a recording gets one, also where the RERUN variable turns rerun off.
        .enabled(true)
        .buffered()
        .map_err(|error| Error::recording("the first bytes", error))?;
    rec.set_sink(sink);
    Ok(rec)
}

/// The thread of its own: everything in turn, until the viewer has gone.
fn show_all(uri: ProxyUri, errands: &Receiver<Errand>, is_lost: &AtomicBool) {
    let sink = GrpcSink::new(uri);
    for errand in errands {
        match errand {
            Errand::Show(message) => sink.send(message),
            Errand::Finish(told, patience) => {
                let is_shown = sink.flush_blocking(patience).is_ok();
                if is_shown {
                    // Says goodbye to the viewer; where it does not listen that would take for ever.
                    drop(sink);
                }
                // Who asked may have lost patience.
                _ = told.send(is_shown);
                return;
            }
        }
        if matches!(sink.status(), GrpcSinkConnectionState::Disconnected(_)) {
            is_lost.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// Into a file as it must be, to a viewer as it can be.
pub(crate) struct Tee {
    pub(crate) file: Option<FileSink>,
    tap: Option<Tap>,
}

impl Tee {
    pub(crate) fn file_alone(file: FileSink) -> Tee {
        Tee { file: Some(file), tap: None }
    }
}

impl LogSink for Tee {
    fn send(&self, message: LogMsg) {
        if let Some(tap) = &self.tap {
            tap.show(message.clone());
        }
        if let Some(file) = &self.file {
            LogSink::send(file, message);
        }
    }

    fn flush_blocking(&self, timeout: Duration) -> Result<(), SinkFlushError> {
        self.file.as_ref().map_or(Ok(()), |file| LogSink::flush_blocking(file, timeout))
    }

    fn defers_finalization_to_shutdown(&self) -> bool {
        self.file.is_some()
    }
}

/// Training curves on their way to a viewer, with a plot for each as soon as it has a point.
#[derive(Debug)]
pub struct LiveCurves {
    rec: RecordingStream,
    known: BTreeSet<String>,
}

impl LiveCurves {
    /// Shows further points of curves, old and new ones.
    ///
    /// # Errors
    /// [`Error::Recording`] when rerun refuses them.
    pub fn add(&mut self, points: &[Curve]) -> Result<(), Error> {
        curves::send(&self.rec, points)?;
        let before = self.known.len();
        self.known.extend(points.iter().map(|curve| curve.name.clone()));
        if self.known.len() == before {
            return Ok(());
        }
        let mut layout = Layout::default();
        let named: Vec<Curve> =
            self.known.iter().map(|name| Curve { name: name.clone(), ..Curve::default() }).collect();
        for (title, view) in curves::views(&named) {
            layout.add(Section::Curves, &title, view, None);
        }
        let blueprint = layout.into_blueprint();
        let opts = BlueprintOpts { blueprint, activation: BlueprintActivation::default() };
        self.rec.send_blueprint_opts(&opts).map_err(|error| Error::recording("the layout", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn nobody_at_the_address_is_told_in_a_second() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map(|at| at.port());
        let address = format!("rerun+http://127.0.0.1:{}/proxy", free.unwrap_or(1));
        let words = |address: &str| Live::connect(address).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(words(&address).starts_with(&format!("no rerun viewer at {address} (")), "{}", words(&address));
        for wrong in ["127.0.0.1:9876", "http://127.0.0.1:9876", ""] {
            assert!(words(wrong).contains("this is no address of one"), "{wrong}: {}", words(wrong));
        }
    }

    #[test]
    fn a_viewer_that_never_answers_holds_nobody_up() -> Result<(), Box<dyn std::error::Error>> {
        // It takes the connection and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let live = Live::connect(&format!("rerun+http://{}/proxy", listener.local_addr()?))?;
        let mut curves = live.curves("test", "one")?;
        let began = std::time::Instant::now();
        for update in 0..2 * QUEUE as u64 {
            curves.add(&[Curve { name: "stage/loss".to_owned(), unit: String::new(), points: vec![(update, 1.0)] }])?;
        }
        assert!(live.finish(Duration::from_millis(200)).is_err());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        Ok(())
    }
}
