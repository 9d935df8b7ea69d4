//! Pushing a T by trying pushes out in the simulator: privileged, greedy, good enough.

use crate::config::Task;
use crate::random::SplitMix64;
use crate::scene::{PUSHER_RADIUS_M, angle_of, block_radius, distance, unit, wrap_angle};
use crate::world::Sim;

/// Directions from which pushes are tried, and how far beside the centre, metres.
const DIRECTIONS: usize = 12;
const BESIDE_M: [f32; 5] = [-0.10, -0.05, 0.0, 0.05, 0.10];
/// Longest push, control steps.
const PUSH_STEPS: usize = 8;
/// How far the target moves per step of a push, metres.
const STRIDE_M: f32 = 0.05;
/// An angle error of one radian weighs as much as this distance, metres.
const RADIAN_M: f32 = 0.12;
/// The pusher cannot get closer to a wall than this coordinate, metres.
const REACH_M: f32 = 0.455;
/// Room left to the block while going around it, metres.
const ROOM_M: f32 = 0.02;
/// A place not reached after this many control steps is given up.
const PATIENCE_STEPS: usize = 25;

/// A straight push: drive to `from`, then `steps` strides along `along`, then back off.
#[derive(Clone, Debug)]
struct Push {
    from: [f32; 2],
    along: [f32; 2],
    steps: usize,
    /// Which way around the block to `from`: 1 against the clock, -1 with it.
    turn: f32,
    waited: usize,
    /// Strides taken; none yet on the way to `from`.
    taken: Option<usize>,
}

/// Executes pushes one after the other, planning each when the last is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Pusher {
    push: Option<Push>,
    back_off: Option<[f32; 2]>,
}

impl Pusher {
    /// Target for the pusher, metres, on the way to bringing the block to `goal`.
    pub(super) fn push(&mut self, sim: &Sim, goal: [f32; 3], rng: &mut SplitMix64) -> [f32; 2] {
        let (here, block) = (sim.state(), sim.block_pose());
        let centre = [block[0], block[1]];
        if let Some(place) = self.back_off {
            if distance(here, place) > 0.03 && distance(here, centre) < around_m() {
                return place;
            }
            self.back_off = None;
        }
        let mut push = match self.push.take() {
            Some(push) if push.waited < PATIENCE_STEPS => push,
            _ => plan(sim, goal, rng),
        };
        push.waited += usize::from(push.taken.is_none());
        if push.taken.is_none() && distance(here, push.from) < 0.025 {
            push.taken = Some(0);
        }
        let target = match push.taken {
            None => around(here, centre, &push),
            Some(taken) => {
                push.taken = Some(taken + 1);
                stride(&push, taken + 1)
            }
        };
        if push.taken == Some(push.steps) {
            self.back_off = Some(stride_f(&push, -1.0));
        } else {
            self.push = Some(push);
        }
        target
    }
}

fn around_m() -> f32 {
    block_radius(Task::Tee) + PUSHER_RADIUS_M + ROOM_M
}

fn stride(push: &Push, taken: usize) -> [f32; 2] {
    stride_f(push, taken as f32)
}

fn stride_f(push: &Push, strides: f32) -> [f32; 2] {
    [push.from[0] + strides * STRIDE_M * push.along[0], push.from[1] + strides * STRIDE_M * push.along[1]]
}

/// The push that leaves the block closest to `goal`, of all tried; a random one if none helps.
fn plan(sim: &Sim, goal: [f32; 3], rng: &mut SplitMix64) -> Push {
    let block = sim.block_pose();
    let phase = rng.uniform(0.0, std::f32::consts::TAU);
    let mut candidates = Vec::new();
    for i in 0..DIRECTIONS {
        let [c, s] = unit(phase + std::f32::consts::TAU * i as f32 / DIRECTIONS as f32);
        for beside_m in BESIDE_M {
            let out_m = around_m();
            let from = [block[0] + out_m * c - beside_m * s, block[1] + out_m * s + beside_m * c];
            if from[0].abs().max(from[1].abs()) <= REACH_M {
                candidates.push(Push { from, along: [-c, -s], steps: PUSH_STEPS, turn: 0.0, waited: 0, taken: None });
            }
        }
    }
    let mut best: Option<(f32, Push)> = None;
    for push in &candidates {
        let (cost, steps) = try_out(sim, push, block, goal);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, Push { steps, ..push.clone() }));
        }
    }
    let mut push = match best {
        Some((cost, push)) if cost < error(block, goal) - 0.005 => push,
        _ if candidates.is_empty() => {
            let [c, s] = unit(angle_of([sim.state()[0] - block[0], sim.state()[1] - block[1]]));
            Push { from: sim.state(), along: [-c, -s], steps: PUSH_STEPS, turn: 0.0, waited: 0, taken: None }
        }
        _ => candidates.swap_remove(rng.integer(0, candidates.len())),
    };
    push.turn = way_around(sim.state(), [block[0], block[1]], push.from);
    push
}

/// Smallest error on the way of a push, with the number of strides at which it is reached.
fn try_out(sim: &Sim, push: &Push, block: [f32; 3], goal: [f32; 3]) -> (f32, usize) {
    let mut trial = Sim::at(sim.config(), push.from, block);
    let mut best = (f32::INFINITY, 1);
    for taken in 1..=PUSH_STEPS {
        trial.step(stride(push, taken));
        let cost = error(trial.block_pose(), goal) + 0.002 * taken as f32;
        if cost < best.0 {
            best = (cost, taken);
        }
    }
    best
}

fn error(block: [f32; 3], goal: [f32; 3]) -> f32 {
    distance([block[0], block[1]], [goal[0], goal[1]]) + RADIAN_M * wrap_angle(block[2] - goal[2]).abs()
}

/// Angle of `p` as seen from `centre`, radians.
fn bearing(centre: [f32; 2], p: [f32; 2]) -> f32 {
    angle_of([p[0] - centre[0], p[1] - centre[1]])
}

fn on_circle(centre: [f32; 2], angle: f32) -> [f32; 2] {
    let [c, s] = unit(angle);
    let radius = around_m() + 0.02;
    [centre[0] + radius * c, centre[1] + radius * s]
}

/// The shorter way around the block unless a wall is in the way there and not on the other: 1 or -1.
fn way_around(here: [f32; 2], centre: [f32; 2], to: [f32; 2]) -> f32 {
    let off_rad = wrap_angle(bearing(centre, to) - bearing(centre, here));
    let short = if off_rad < 0.0 { -1.0 } else { 1.0 };
    let free = |turn: f32, span_rad: f32| {
        (0..=(span_rad / 0.2) as usize).all(|i| {
            let p = on_circle(centre, bearing(centre, here) + turn * 0.2 * i as f32);
            p[0].abs().max(p[1].abs()) <= REACH_M
        })
    };
    let long_span_rad = std::f32::consts::TAU - off_rad.abs();
    if free(short, off_rad.abs()) || !free(-short, long_span_rad) { short } else { -short }
}

/// Next target on the way to `push.from`, on a circle around the block unless it is right ahead.
fn around(here: [f32; 2], centre: [f32; 2], push: &Push) -> [f32; 2] {
    let off_rad = wrap_angle(bearing(centre, push.from) - bearing(centre, here));
    if off_rad.abs() < 0.5 {
        return push.from;
    }
    on_circle(centre, bearing(centre, here) + push.turn * 0.45).map(|x| x.clamp(-REACH_M, REACH_M))
}
