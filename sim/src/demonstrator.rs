//! Demonstrators of mixed quality, who may read the block's true pose.
//!
//! About a quarter of the episodes are competent. The others show habits that differ in what is *done*, so that
//! data from both can be told apart and improved upon: pushing somewhere else, wandering about, ramming the block
//! from whatever side, giving up. All of them touch the block a lot: good for learning what pushing does.

mod disc;
mod tee;

use crate::config::{Recording, Task};
use crate::random::SplitMix64;
use crate::scene::{self, ARENA_HALF_M, PUSHER_RADIUS_M, distance, unit};
use crate::world::Sim;

/// Share of competent episodes among [`Demonstrator::new`].
const COMPETENT_SHARE: f32 = 0.25;
/// Standard deviation of the noise on every target, metres.
const COMPETENT_NOISE_M: f32 = 0.01;
const SLOPPY_NOISE_M: f32 = 0.02;
/// Sloppy demonstrators follow their habit in this share of their stretches and another one otherwise.
const HABIT_SHARE: f32 = 0.7;

/// What a sloppy demonstrator tends to do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// Pushes neatly, to a place 15 to 30 cm beside the goal.
    WrongGoal,
    /// Drives between random places.
    Wander,
    /// Drives straight at the block and on, whatever side that is.
    Ram,
    /// Starts well, then stops moving for a while.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Skill {
    Competent,
    Sloppy(Habit),
    Random,
}

/// What is being done at the moment.
#[derive(Clone, Debug)]
enum Stretch {
    /// Push the block to a pose `[x, y, angle]`.
    PushTo([f32; 3]),
    /// Drive to a place.
    DriveTo([f32; 2]),
    /// Drive through the block, aiming this far beside its centre, metres; where there is room behind the block
    /// at first, until there is none.
    Ram { beside_m: f32, until_wall: bool },
    /// Stay at a place.
    Stay([f32; 2]),
}

/// Someone at the controls, with a temperament drawn from a seed.
#[derive(Clone, Debug)]
pub struct Demonstrator {
    skill: Skill,
    rng: SplitMix64,
    stretch: Option<Stretch>,
    steps_left: usize,
    tee: tee::Pusher,
}

impl Demonstrator {
    /// One of the mixed crowd: competent with probability a quarter, else with one of the sloppy habits.
    pub fn new(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed);
        let skill = if rng.uniform(0.0, 1.0) < COMPETENT_SHARE {
            Skill::Competent
        } else {
            Skill::Sloppy(match rng.uniform(0.0, 1.0) {
                x if x < 0.45 => Habit::WrongGoal,
                x if x < 0.65 => Habit::Wander,
                x if x < 0.9 => Habit::Ram,
                _ => Habit::GiveUp,
            })
        };
        Self::with(skill, rng)
    }

    /// Whoever the recordings of this configuration are made of.
    pub fn of(recording: Recording, seed: u64) -> Self {
        match recording {
            Recording::Mixed | Recording::ShuffledOutcomes => Self::new(seed),
            Recording::RandomActions => Self::random(seed),
        }
    }

    /// Someone who knows how: goes around the block, pushes it home, corrects on the way.
    pub fn competent(seed: u64) -> Self {
        Self::with(Skill::Competent, SplitMix64::new(seed))
    }

    /// The floor to compare with: every action uniform over the arena.
    pub fn random(seed: u64) -> Self {
        Self::with(Skill::Random, SplitMix64::new(seed))
    }

    fn with(skill: Skill, rng: SplitMix64) -> Self {
        Self { skill, rng, stretch: None, steps_left: 0, tee: tee::Pusher::default() }
    }

    /// Whether this is one of the competent ones.
    pub fn is_competent(&self) -> bool {
        self.skill == Skill::Competent
    }

    /// The next action: target pusher x and y, metres, inside the arena.
    pub fn act(&mut self, sim: &Sim) -> [f32; 2] {
        let (aim, noise_m) = match self.skill {
            Skill::Competent => (self.push(sim, sim.goal_pose()), COMPETENT_NOISE_M),
            Skill::Sloppy(habit) => (self.sloppy(sim, habit), SLOPPY_NOISE_M),
            Skill::Random => {
                let mut place = || self.rng.uniform(-ARENA_HALF_M, ARENA_HALF_M);
                return [place(), place()];
            }
        };
        aim.map(|x| (x + noise_m * self.rng.gaussian()).clamp(-ARENA_HALF_M, ARENA_HALF_M))
    }

    fn push(&mut self, sim: &Sim, goal: [f32; 3]) -> [f32; 2] {
        match sim.config().task {
            Task::Disc => disc::push(sim.state(), sim.block_pose(), goal),
            Task::Tee => self.tee.push(sim, goal, &mut self.rng),
        }
    }

    fn sloppy(&mut self, sim: &Sim, habit: Habit) -> [f32; 2] {
        let block = sim.block_pose();
        let arrived = match &self.stretch {
            Some(Stretch::PushTo(goal)) => distance([block[0], block[1]], [goal[0], goal[1]]) < 0.04,
            Some(Stretch::DriveTo(place)) => distance(sim.state(), *place) < 0.03,
            Some(Stretch::Ram { until_wall, .. }) => *until_wall && near_wall(sim),
            Some(Stretch::Stay(_)) => false,
            None => true,
        };
        if arrived || self.steps_left == 0 {
            self.begin_stretch(sim, habit);
        }
        self.steps_left -= 1;
        match self.stretch.clone() {
            Some(Stretch::PushTo(goal)) => self.push(sim, goal),
            Some(Stretch::Ram { beside_m, .. }) => through([block[0], block[1]], sim.state(), beside_m),
            Some(Stretch::DriveTo(place) | Stretch::Stay(place)) => place,
            None => sim.state(),
        }
    }

    fn begin_stretch(&mut self, sim: &Sim, habit: Habit) {
        // Giving up comes in pairs: a good start, then a rest.
        let rest = habit == Habit::GiveUp && matches!(self.stretch, Some(Stretch::PushTo(_)));
        // A block rammed to a wall is fetched before it is rammed on, or it would soon be stuck in a corner.
        let near_wall = near_wall(sim);
        let fetch = near_wall && !matches!(self.stretch, Some(Stretch::PushTo(_)));
        let rng = &mut self.rng;
        let goal = sim.goal_pose();
        let now = match rng.uniform(0.0, 1.0) {
            x if x < HABIT_SHARE => habit,
            _ => [Habit::WrongGoal, Habit::Wander, Habit::Ram][rng.integer(0, 3)],
        };
        let now = if now == Habit::Ram && fetch { Habit::WrongGoal } else { now };
        self.tee = tee::Pusher::default();
        let (stretch, steps) = match now {
            _ if rest => (Stretch::Stay(sim.state()), rng.integer(25, 60)),
            Habit::GiveUp => (Stretch::PushTo(goal), rng.integer(4, 10)),
            Habit::WrongGoal => (Stretch::PushTo(beside(goal, sim.block_pose(), rng)), rng.integer(20, 40)),
            Habit::Wander => {
                let place = [rng.uniform(-0.44, 0.44), rng.uniform(-0.44, 0.44)];
                (Stretch::DriveTo(place), rng.integer(8, 20))
            }
            Habit::Ram => {
                let beside_m = rng.uniform(-0.05, 0.05);
                (Stretch::Ram { beside_m, until_wall: !near_wall }, rng.integer(8, 20))
            }
        };
        self.stretch = Some(stretch);
        self.steps_left = steps;
    }
}

/// Whether a wall leaves no room for the pusher to get behind the block.
fn near_wall(sim: &Sim) -> bool {
    let [x, y, _] = sim.block_pose();
    let reach = ARENA_HALF_M - scene::block_radius(sim.config().task) - 2.0 * PUSHER_RADIUS_M;
    x.abs().max(y.abs()) > reach - 0.01
}

/// A place 15 to 30 cm from the goal, within pushing reach, at another angle, and (for a number of tries) such that
/// the straight way from the block does not lead over the goal.
fn beside(goal: [f32; 3], block: [f32; 3], rng: &mut SplitMix64) -> [f32; 3] {
    let mut tries = 0;
    loop {
        tries += 1;
        let [c, s] = unit(rng.uniform(0.0, std::f32::consts::TAU));
        let off_m = rng.uniform(0.15, 0.30);
        let place = [goal[0] + off_m * c, goal[1] + off_m * s, goal[2] + rng.uniform(-1.5, 1.5)];
        let within_reach = place[0].abs().max(place[1].abs()) < 0.36;
        let from_way_m = distance_to_segment([goal[0], goal[1]], [block[0], block[1]], [place[0], place[1]]);
        if within_reach && (from_way_m > 0.1 || tries > 30) {
            return place;
        }
    }
}

/// Distance of `p` from the straight line between `a` and `b`, metres.
fn distance_to_segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (ab, ap) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length2 = (ab[0] * ab[0] + ab[1] * ab[1]).max(1e-12);
    let along = ((ap[0] * ab[0] + ap[1] * ab[1]) / length2).clamp(0.0, 1.0);
    distance(p, [a[0] + along * ab[0], a[1] + along * ab[1]])
}

/// A target beyond the block as seen from the pusher, `beside_m` to the left of its centre.
fn through(block: [f32; 2], pusher: [f32; 2], beside_m: f32) -> [f32; 2] {
    let [c, s] = unit(scene::angle_of([block[0] - pusher[0], block[1] - pusher[1]]));
    [block[0] + 0.1 * c - beside_m * s, block[1] + 0.1 * s + beside_m * c]
}
