//! `--rerun-connect`: the viewer that is shown curves and recordings while they come. There is one per process, or none.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use viz::{Curve, Live, LiveCurves};

use crate::output::tell;

/// Longest time to wait at the end for what the viewer has not been shown yet.
const PATIENCE: Duration = Duration::from_secs(10);

static VIEWER: OnceLock<Live> = OnceLock::new();
static CURVES: Mutex<Option<LiveCurves>> = Mutex::new(None);

/// Finds the viewer at an address, if one is given. One that is not there is told in a sentence, and all goes on without it.
pub fn connect(address: Option<&str>) {
    match address.map(Live::connect) {
        Some(Ok(viewer)) => _ = VIEWER.set(viewer),
        Some(Err(missing)) => tell(&format!("warning: {missing}; going on without it")),
        None => {}
    }
}

/// The viewer, for recordings.
pub fn viewer() -> Option<&'static Live> {
    VIEWER.get()
}

/// Shows one line of `metrics.jsonl` of the run at `root`.
pub fn metric(root: &Path, stage: &str, step: u64, line: &Map<String, Value>) {
    let Some(viewer) = viewer() else { return };
    let mut curves = CURVES.lock().unwrap_or_else(PoisonError::into_inner);
    if curves.is_none() {
        *curves = viewer.curves("rehearsal training", &format!("{} training", root.display())).ok();
    }
    let number = |(key, value): (&String, &Value)| {
        let value = value.as_f64().filter(|_| key != "step")?;
        Some(Curve { name: format!("{stage}/{key}"), unit: String::new(), points: vec![(step, value)] })
    };
    let points: Vec<Curve> = line.iter().filter_map(number).collect();
    // A curve that cannot be shown is in metrics.jsonl all the same.
    _ = curves.as_mut().map(|curves| curves.add(&points));
}

/// Waits a moment until the viewer has been shown everything.
pub fn finish() {
    drop(CURVES.lock().unwrap_or_else(PoisonError::into_inner).take());
    if let Some(Err(lost)) = viewer().map(|viewer| viewer.finish(PATIENCE)) {
        tell(&format!("warning: {lost}"));
    }
}
