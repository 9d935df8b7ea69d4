//! Episodes that nobody recorded: marked as such in every row, so that no trainer takes them for facts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::io;
use crate::Error;

/// The column that says so of every step; its presence says so of the dataset.
pub(crate) const IS_IMAGINED: &str = "is_imagined";
pub(super) const DOUBT: &str = "imagined.doubt";
pub(super) const FROM_EPISODE: &str = "imagined.from_episode";
pub(super) const FROM_STEP: &str = "imagined.from_step";

/// What is said of them wherever there is room for a sentence.
pub const SENTENCE: &str =
    "Imagined by a world model, not recorded: these episodes add no new facts about the robot or its surroundings.";

/// Where an imagined episode of `T` steps begins, and how far its steps can be believed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// `episode_index` of the recorded episode that it leaves.
    pub from_episode: usize,
    /// The step of that episode at which it leaves it: its first observation is the recorded one there.
    pub from_step: usize,
    /// `[T]`, the squared error of the embedding to expect of each imagined step.
    pub doubt: Vec<f32>,
}

/// Adds the sentence to `info.json`'s fields and writes a page with it beside them.
pub(super) fn declare(dir: &Path, info: &mut Value) -> Result<(), Error> {
    info["imagined"] = SENTENCE.into();
    let page = format!(
        "# Imagined episodes\n\n{SENTENCE}\n\n\
         - `{IS_IMAGINED}` is true at every step.\n\
         - `{FROM_EPISODE}` and `{FROM_STEP}` name the recorded moment at which an episode begins; its first observation is the \
         recorded one, all others, and all rewards and successes, are the model's.\n\
         - `{DOUBT}` is the squared error of the embedding to expect of each step: weight or cut by it.\n"
    );
    let path = dir.join("README.md");
    fs::write(&path, page).map_err(io("cannot write", &path))
}
