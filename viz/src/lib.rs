//! Plain results to pictures: one rerun recording to look around in, and contact sheets for everybody else.
//!
//! Callers fill structs of numbers and frames ([`EpisodeView`], [`RecordedView`], [`DatasetView`], [`ImaginedView`],
//! [`BranchView`], [`EvaluationView`], [`Curve`]) and hand them to a [`Recorder`]. What lies in the recording:
//!
//! ```text
//! episodes/NAME/observation.images.CAMERA      what was seen      timelines frame_index, timestamp
//! episodes/NAME/{observation.state, action, next.reward, value, next.success, intervention}
//! imagined/NAME/{real, imagined, difference}/observation.images.CAMERA
//! imagined/NAME/{real, imagined, error}/observation.state
//! imagined/NAME/{error/observation.images.CAMERA, disagreement}
//! branches/NAME/real/{observation.images.CAMERA, next.reward}
//! branches/NAME/ARM/observation.images.CAMERA
//! branches/NAME/ARM/spread/observation.images.CAMERA           how far the draws disagree, per pixel
//! branches/NAME/ARM/{action, value, value/low, value/high, success_probability, disagreement, doubt, trust_horizon, next.reward}
//! branches/NAME/limit/{disagreement, doubt}
//! branches/NAME/{table, verdict}                markdown, timeless
//! evaluation/{verdict, strips, CHART/{axis, names, WAY}}        timeless
//! curves/NAME                                                     timeline update
//! dataset/{CHART, CHART/BARS}                  bar charts over a whole dataset, timeless
//! text/NAME                                    markdown, timeless
//! ```
//!
//! Architecture invariant: no other crate knows rerun, and this one knows nothing but plain results: no
//! tensors, no models, no data sets.

mod branches;
mod charts;
mod curves;
mod episode;
mod error;
mod evaluation;
mod font;
mod frame;
mod imagined;
mod layout;
mod live;
mod recorded;
mod recorder;
mod series;
mod sheet;
mod still;
mod strip;
mod viewer;
mod views;

pub use error::Error;
pub use frame::{BRIGHTEST_SPREAD, Frame};
pub use live::{DEFAULT_ADDRESS, Live, LiveCurves};
pub use recorder::Recorder;
pub use sheet::{SheetRow, contact_sheet, save_sheet};
pub use still::Still;
pub use strip::{Encoded, strip};
pub use viewer::{RERUN_VERSION, open_viewer};
pub use views::{
    ArmView, Bars, BranchView, Chart, Curve, DatasetView, EpisodeView, EvaluationView, ImaginedView, RealView,
    RecordedView, ScoreChart, ScoreRow,
};
