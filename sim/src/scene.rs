//! Geometry and rules of the table: sizes, goals, start poses, distances to shapes, reward and success.
//!
//! The arena is the square `[-0.5, 0.5]²` metres, x to the right and y up in the picture. A pose is
//! `[x, y, angle]`, metres and radians.

use std::f32::consts::PI;

use rapier2d::na::ComplexField;

use crate::config::Task;
use crate::random::SplitMix64;

/// Half the side of the arena, metres.
pub const ARENA_HALF_M: f32 = 0.5;
/// Rate of control and recording, Hz.
pub const CONTROL_RATE_HZ: f64 = 10.0;
/// Radius of the pusher, metres.
pub const PUSHER_RADIUS_M: f32 = 0.04;
/// Top speed of the pusher, metres per second: it crosses the arena in about 1.7 s.
pub const PUSHER_SPEED_M_PER_S: f32 = 0.6;
/// Radius of the disc and of its goal, metres.
pub const BLOCK_DISC_RADIUS_M: f32 = 0.09;

/// The disc is home when its centre is this close to the goal's centre, metres.
const DISC_TOLERANCE_M: f32 = 0.05;
/// The T is home when it is this close in position, metres, and angle, radians.
const TEE_TOLERANCE_M: f32 = 0.04;
const TEE_TOLERANCE_RAD: f32 = 0.2;
/// Distance over which the reward falls from 1 to 0, metres: about the largest distance there is.
const REWARD_SCALE_M: f32 = 0.75;

/// The two bars of the T around its centre of mass: `(centre y, half width, half height)`, metres.
pub(crate) const TEE_BARS: [(f32, f32, f32); 2] = [(0.046, 0.12, 0.035), (-0.069, 0.035, 0.08)];

/// Radius of the smallest circle around the centre of mass that holds the whole block, metres.
pub(crate) fn block_radius(task: Task) -> f32 {
    match task {
        Task::Disc => BLOCK_DISC_RADIUS_M,
        Task::Tee => 0.154,
    }
}

/// Where the block belongs.
pub(crate) fn goal_pose(task: Task) -> [f32; 3] {
    match task {
        Task::Disc => [0.1, 0.1, 0.0],
        Task::Tee => [0.0, 0.0, -PI / 4.0],
    }
}

/// Pusher position and block pose at the start of an episode: apart from each other, from the walls (there is room
/// to get behind the block on every side) and from the goal.
pub(crate) fn start(task: Task, seed: u64) -> ([f32; 2], [f32; 3]) {
    let mut rng = SplitMix64::new(seed);
    let goal = goal_pose(task);
    let (reach, from_goal) = match task {
        Task::Disc => (0.30, 0.18),
        Task::Tee => (0.25, 0.10),
    };
    let block = loop {
        let p = [rng.uniform(-reach, reach), rng.uniform(-reach, reach)];
        if distance(p, [goal[0], goal[1]]) >= from_goal {
            let angle = match task {
                Task::Disc => 0.0,
                Task::Tee => rng.uniform(-PI, PI),
            };
            break [p[0], p[1], angle];
        }
    };
    let clearance = block_radius(task) + PUSHER_RADIUS_M + 0.03;
    let pusher = loop {
        let p = [rng.uniform(-0.44, 0.44), rng.uniform(-0.44, 0.44)];
        if distance(p, [block[0], block[1]]) >= clearance {
            break p;
        }
    };
    (pusher, block)
}

/// Reward in 0 to 1 and success for a block pose. The reward falls evenly with the distance from the success region
/// and is 1 exactly inside it.
pub(crate) fn judge(task: Task, block: [f32; 3]) -> (f32, bool) {
    let goal = goal_pose(task);
    let distance_m = distance([block[0], block[1]], [goal[0], goal[1]]);
    let miss = match task {
        Task::Disc => (distance_m - DISC_TOLERANCE_M).max(0.0) / REWARD_SCALE_M,
        Task::Tee => {
            let angle = wrap_angle(block[2] - goal[2]).abs();
            let by_position = (distance_m - TEE_TOLERANCE_M).max(0.0) / REWARD_SCALE_M;
            let by_angle = (angle - TEE_TOLERANCE_RAD).max(0.0) / (PI - TEE_TOLERANCE_RAD);
            0.5 * (by_position + by_angle)
        }
    };
    ((1.0 - miss).max(0.0), miss == 0.0)
}

/// Signed distance from `p` (in the block's own frame) to the outline of the block, metres, negative inside.
pub(crate) fn block_sdf(task: Task, p: [f32; 2]) -> f32 {
    match task {
        Task::Disc => distance(p, [0.0, 0.0]) - BLOCK_DISC_RADIUS_M,
        Task::Tee => {
            let bar = |(y, hx, hy): (f32, f32, f32)| {
                let (dx, dy) = (p[0].abs() - hx, (p[1] - y).abs() - hy);
                distance([dx.max(0.0), dy.max(0.0)], [0.0, 0.0]) + dx.max(dy).min(0.0)
            };
            bar(TEE_BARS[0]).min(bar(TEE_BARS[1]))
        }
    }
}

pub(crate) fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    let (dx, dy) = (a[0] - b[0], a[1] - b[1]);
    (dx * dx + dy * dy).sqrt()
}

/// The same angle in `[-π, π)`.
pub(crate) fn wrap_angle(a: f32) -> f32 {
    (a + PI).rem_euclid(2.0 * PI) - PI
}

/// `[cos, sin]` from the bundled maths library, whose last bit is the same on every platform.
pub(crate) fn unit(angle: f32) -> [f32; 2] {
    [ComplexField::cos(angle), ComplexField::sin(angle)]
}

/// Direction of `v`, radians, with the same last bit on every platform.
pub(crate) fn angle_of(v: [f32; 2]) -> f32 {
    rapier2d::na::RealField::atan2(v[1], v[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reward_falls_with_distance_and_is_one_exactly_at_success() {
        for task in [Task::Disc, Task::Tee] {
            let goal = goal_pose(task);
            assert_eq!(judge(task, goal), (1.0, true));
            let mut last = 1.0;
            for i in 0..60 {
                let (reward, success) = judge(task, [goal[0] - 0.01 * i as f32, goal[1], goal[2]]);
                assert!(reward <= last && (0.0..=1.0).contains(&reward), "{task:?} at {i} cm: {reward}");
                assert_eq!(success, reward == 1.0);
                last = reward;
            }
        }
        assert!(judge(Task::Tee, [0.0, 0.0, -PI / 4.0 + 0.19]).1);
        assert!(!judge(Task::Tee, [0.0, 0.0, -PI / 4.0 + 0.21]).1);
        assert_eq!(judge(Task::Disc, [-0.5, -0.5, 0.0]).0, judge(Task::Disc, [-0.5, -0.5, 3.0]).0);
    }

    #[test]
    fn starts_have_clearance() {
        for task in [Task::Disc, Task::Tee] {
            for seed in 0..500 {
                let (pusher, block) = start(task, seed);
                let at = [block[0], block[1]];
                assert!(!judge(task, block).1, "{task:?} seed {seed} starts solved");
                assert!(distance(pusher, at) > block_radius(task) + PUSHER_RADIUS_M);
                let to_wall = ARENA_HALF_M - at[0].abs().max(at[1].abs()) - block_radius(task);
                assert!(to_wall > 2.0 * PUSHER_RADIUS_M, "{task:?} seed {seed}: {to_wall} m to the wall");
            }
        }
    }

    #[test]
    fn the_circle_holds_the_whole_t_and_its_centre_is_the_centre_of_mass() {
        for (y, hx, hy) in TEE_BARS {
            let corner = distance([hx, y.abs() + hy], [0.0, 0.0]);
            assert!(corner <= block_radius(Task::Tee), "{corner}");
        }
        let moment: f32 = TEE_BARS.iter().map(|(y, hx, hy)| y * hx * hy).sum();
        assert!(moment.abs() < 1e-6, "{moment}");
    }
}
