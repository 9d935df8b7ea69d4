//! Recorded robot episodes, in and out.
//!
//! Data enters here once: [`dataset::Dataset::open`] reads a LeRobot dataset (v2.1 or v3.0) or HDF5 files, decodes every
//! camera into a memory-mapped cache at model resolution, leaves out what is broken and says exactly what it
//! left out. Everything downstream sees plain vectors and pixels.
//!
//! Architecture invariant: no tensors, no models, no printing.

pub mod companion;
pub mod convert;
pub mod dataset;
pub mod episode;
mod error;
pub mod frames;
pub mod guard;
mod hdf5;
mod holes;
pub mod inspect;
pub mod lerobot;
mod lock;
pub mod normaliser;
pub mod originals;
pub mod outcome;
pub mod spec;
pub mod split;
mod survey;
pub mod video;
pub mod window;
pub mod writer;

pub use companion::{Companion, Joining};
pub use convert::{Converted, Destination, Kept, KeptCamera, convert};
pub use dataset::{ALL, ControlRate, Dataset, OpenOptions, Progress, Timing, probe};
pub use episode::{Episode, RecordedEpisode};
pub use error::Error;
pub use inspect::{Inspection, inspect};
pub use normaliser::Normaliser;
pub use originals::{Original, originals};
pub use outcome::{Labels, Outcome, OutcomeRule, RewardRule};
pub use spec::{CameraFeature, DatasetSpec, Skipped, VectorFeature};
pub use split::Split;
pub use window::{Window, WindowSampler};
pub use writer::{LeRobotWriter, Origin, Pictures, imagined::SENTENCE as IMAGINED};
