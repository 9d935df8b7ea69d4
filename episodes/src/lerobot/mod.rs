//! Reading LeRobot datasets (v2.0, v2.1, v3.0): metadata, rows, pictures, and an account of what is broken.
//!
//! `info` and `features` say what the dataset promises, `listing` which episodes it claims to hold; `collect` reads
//! their rows and lets `check` judge them; `survey` puts that together; `cameras` and `images` fetch the pictures of those that are sound.
//! Whatever is left out on the way goes through `crate::holes`. The door is [`crate::dataset`].

mod blocks;
mod cameras;
mod check;
mod collect;
mod columns;
pub(crate) mod features;
mod images;
pub(crate) mod info;
pub(crate) mod listing;
mod needs;
pub(crate) mod rows;
pub(crate) mod survey;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use needs::Needs;
