//! The embedded robot that stands in for hardware in the demo and in tests: a round pusher on a table, a block,
//! a goal and one camera from above.
//!
//! Everything is deterministic to the bit per (configuration, seed, actions), which is what makes it a judge: to
//! learn what would truly have happened had the robot acted otherwise, [`replay`] the recorded actions up to the
//! fork and go on with others. Contact is quasi-static (a block that is not pushed does not move), so a single
//! picture shows the whole state.
//!
//! Architecture invariant: knows recorded episodes, nothing of models, policies or tensors.

mod background;
mod collect;
mod config;
mod demonstrator;
mod random;
mod render;
mod scene;
mod world;

pub use collect::{EpisodeResult, collect, record, run_policy, spec};
pub use config::{Recording, SimConfig, Task};
pub use demonstrator::Demonstrator;
pub use random::episode_seed;
pub use scene::{ARENA_HALF_M, BLOCK_DISC_RADIUS_M, CONTROL_RATE_HZ, PUSHER_RADIUS_M, PUSHER_SPEED_M_PER_S};
pub use world::{Sim, Step, replay};
