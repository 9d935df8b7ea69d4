//! The simulated robot itself: a position-controlled pusher and a block on a table with walls.

use rapier2d::prelude::*;

use crate::background::{self, Disc};
use crate::config::{SimConfig, Task};
use crate::scene::{
    self, ARENA_HALF_M, BLOCK_DISC_RADIUS_M, CONTROL_RATE_HZ, PUSHER_RADIUS_M, PUSHER_SPEED_M_PER_S, TEE_BARS,
};

/// Physics steps per control step.
const SUBSTEPS: usize = 10;
/// The pusher closes the gap to its target with this time constant, seconds, unless the speed limit binds.
const SERVO_TIME_S: f32 = 0.03;
/// Mass of the pusher in blocks: heavy enough to push at about four fifths of its free speed, light enough that a
/// block stuck at a wall stops it.
const PUSHER_MASS_RATIO: f32 = 3.0;
/// Solver sweeps per iteration and stiffness of contacts (with a body and with a wall), Hz. Without warm starts the
/// solver's defaults let the pusher squeeze through a block that is stuck at a wall; with these they overlap by
/// millimetres at most.
const SOLVER_SWEEPS: usize = 4;
const CONTACT_STIFFNESS_HZ: (f32, f32) = (120.0, 240.0);
const FRICTION: f32 = 0.4;

/// What followed from one action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// 0 (far) to 1 (at the goal).
    pub reward: f32,
    /// The block is at the goal.
    pub success: bool,
    /// The episode is over because the task is done.
    pub terminated: bool,
    /// The episode is over because its time is up.
    pub truncated: bool,
}

/// One episode of the simulated robot, bit-for-bit deterministic per (configuration, seed, actions).
///
/// Block and pusher have no momentum: velocities are set anew in every physics step, so that what happens next
/// depends on where things are and on nothing else.
pub struct Sim {
    config: SimConfig,
    physics: PhysicsWorld,
    pusher: RigidBodyHandle,
    block: RigidBodyHandle,
    steps: usize,
    background: Vec<Disc>,
}

impl Sim {
    /// Starts an episode with pusher and block at random, well-separated places.
    pub fn new(config: &SimConfig, seed: u64) -> Self {
        let (pusher, block) = scene::start(config.task, seed);
        Self { background: background::discs(config.distractors, seed), ..Self::at(config, pusher, block) }
    }

    /// Starts with pusher and block at given places.
    pub(crate) fn at(config: &SimConfig, pusher: [f32; 2], block: [f32; 3]) -> Self {
        let mut physics = PhysicsWorld { gravity: Vector::ZERO, ..PhysicsWorld::default() };
        let p = &mut physics.integration_parameters;
        p.dt = 1.0 / (CONTROL_RATE_HZ as f32 * SUBSTEPS as f32);
        // Bodies measure centimetres, not metres.
        p.length_unit = 0.2;
        // Nothing is carried from one physics step to the next but positions.
        p.warmstart_coefficient = 0.0;
        p.contact_recycling = false;
        p.num_internal_pgs_iterations = SOLVER_SWEEPS;
        p.contact_softness.natural_frequency = CONTACT_STIFFNESS_HZ.0;
        p.static_contact_softness.natural_frequency = CONTACT_STIFFNESS_HZ.1;

        let (half, thick) = (ARENA_HALF_M, 0.1);
        for (x, y) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0f32)] {
            let at = Vector::new(x * (half + thick), y * (half + thick));
            let size = if x == 0.0 { (half + 2.0 * thick, thick) } else { (thick, half + 2.0 * thick) };
            physics.insert_collider(ColliderBuilder::cuboid(size.0, size.1).translation(at).friction(FRICTION), None);
        }
        let (shape, area) = match config.task {
            Task::Disc => {
                (ColliderBuilder::ball(BLOCK_DISC_RADIUS_M), std::f32::consts::PI * BLOCK_DISC_RADIUS_M.powi(2))
            }
            Task::Tee => {
                let bars = TEE_BARS.map(|(y, hx, hy)| (Pose::translation(0.0, y), SharedShape::cuboid(hx, hy)));
                (ColliderBuilder::compound(bars.to_vec()), TEE_BARS.iter().map(|(_, hx, hy)| 4.0 * hx * hy).sum())
            }
        };
        let pose = Pose::new(Vector::new(block[0], block[1]), block[2]);
        let (block, _) = physics
            .insert(RigidBodyBuilder::dynamic().pose(pose).can_sleep(false), shape.density(1.0).friction(FRICTION));
        let pusher_area = std::f32::consts::PI * PUSHER_RADIUS_M.powi(2);
        let (pusher, _) = physics.insert(
            RigidBodyBuilder::dynamic()
                .translation(Vector::new(pusher[0], pusher[1]))
                .lock_rotations()
                .can_sleep(false),
            ColliderBuilder::ball(PUSHER_RADIUS_M).density(PUSHER_MASS_RATIO * area / pusher_area).friction(FRICTION),
        );
        Self { config: config.clone(), physics, pusher, block, steps: 0, background: Vec::new() }
    }

    /// The settings this episode runs under.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Control steps taken so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What the robot feels: pusher x and y, metres.
    pub fn state(&self) -> [f32; 2] {
        let p = self.physics.bodies[self.pusher].translation();
        [p.x, p.y]
    }

    /// What the camera sees: RGB `[size, size, 3]`.
    pub fn image(&self) -> Vec<u8> {
        let background = self.background.iter().map(|disc| disc.after(self.steps));
        crate::render::picture(self.config.image_size, self.config.task, background, self.state(), self.block_pose())
    }

    /// Truth: block x, y (metres) and angle (radians). Policies have to look at the picture.
    pub fn block_pose(&self) -> [f32; 3] {
        let pose = self.physics.bodies[self.block].position();
        [pose.translation.x, pose.translation.y, scene::angle_of([pose.rotation.cos(), pose.rotation.sin()])]
    }

    /// Truth: where the block belongs, x, y (metres) and angle (radians; of no meaning for the disc).
    pub fn goal_pose(&self) -> [f32; 3] {
        scene::goal_pose(self.config.task)
    }

    /// Moves the pusher towards `action` = target x and y (metres, clamped to the arena) for a tenth of a second.
    ///
    /// A target that is not a number holds the pusher in place. Stepping on after the end is allowed and reports
    /// the end again.
    pub fn step(&mut self, action: [f32; 2]) -> Step {
        let here = self.state();
        let aim = |i: usize| {
            let a: f32 = if action[i].is_nan() { here[i] } else { action[i] };
            a.clamp(-ARENA_HALF_M, ARENA_HALF_M)
        };
        let target = Vector::new(aim(0), aim(1));
        for _ in 0..SUBSTEPS {
            let pusher = &mut self.physics.bodies[self.pusher];
            let velocity = (target - pusher.translation()) / SERVO_TIME_S;
            let excess = velocity.length() / PUSHER_SPEED_M_PER_S;
            pusher.set_linvel(if excess > 1.0 { velocity / excess } else { velocity }, true);
            let block = &mut self.physics.bodies[self.block];
            block.set_linvel(Vector::ZERO, true);
            block.set_angvel(0.0, true);
            self.physics.step();
        }
        self.steps += 1;
        let (reward, success) = scene::judge(self.config.task, self.block_pose());
        let truncated = !success && self.steps >= self.config.max_steps;
        Step { reward, success, terminated: success, truncated }
    }
}

/// Starts the episode of `seed` and takes `actions`: the state from which "what if" is asked of the truth.
pub fn replay(config: &SimConfig, seed: u64, actions: &[[f32; 2]]) -> Sim {
    let mut sim = Sim::new(config, seed);
    for &action in actions {
        sim.step(action);
    }
    sim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn config(task: Task) -> SimConfig {
        SimConfig::new(task)
    }

    #[test]
    fn the_same_seed_and_actions_give_the_same_bits() {
        for task in [Task::Disc, Task::Tee] {
            let mut rng = SplitMix64::new(3);
            let actions: Vec<[f32; 2]> = (0..80).map(|_| [rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)]).collect();
            let (a, b) = (replay(&config(task), 5, &actions), replay(&config(task), 5, &actions));
            assert_eq!(a.block_pose().map(f32::to_bits), b.block_pose().map(f32::to_bits));
            assert_eq!(a.state().map(f32::to_bits), b.state().map(f32::to_bits));
            assert_eq!(a.image(), b.image());
            assert_ne!(a.image(), replay(&config(task), 6, &actions).image());
        }
    }

    #[test]
    fn pushing_moves_the_block_and_letting_go_stops_it() {
        let mut sim = Sim::at(&config(Task::Disc), [-0.3, 0.0], [-0.1, 0.0, 0.0]);
        for _ in 0..5 {
            sim.step([0.3, 0.0]);
        }
        let pushed = sim.block_pose();
        assert!(pushed[0] > 0.0, "the block was pushed to {pushed:?}");
        sim.step([-0.4, 0.0]);
        let released = sim.block_pose();
        assert!((released[0] - pushed[0]).abs() < 0.004, "the block slid on from {pushed:?} to {released:?}");
        for _ in 0..10 {
            sim.step([-0.4, 0.0]);
        }
        assert_eq!(sim.block_pose(), released, "a block that is not pushed does not move");
    }

    #[test]
    fn the_pusher_obeys_its_speed_limit_and_reaches_its_target() {
        let mut sim = Sim::at(&config(Task::Disc), [-0.45, -0.4], [0.2, 0.2, 0.0]);
        let before = sim.state();
        sim.step([0.45, -0.4]);
        let moved = sim.state()[0] - before[0];
        assert!((moved - 0.06).abs() < 1e-4, "moved {moved} m in a tenth of a second");
        for _ in 0..15 {
            sim.step([0.45, -0.4]);
        }
        assert!(scene::distance(sim.state(), [0.45, -0.4]) < 0.005, "{:?}", sim.state());
    }

    #[test]
    fn walls_hold_block_and_pusher() {
        for task in [Task::Disc, Task::Tee] {
            for seed in 0..5 {
                let mut sim = Sim::new(&config(task), seed);
                let mut rng = SplitMix64::new(seed);
                for t in 0..300 {
                    let [x, y, _] = sim.block_pose();
                    // Ram the block, from random sides, into whatever is there.
                    let away = [rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)];
                    sim.step(if t % 30 < 6 { away } else { [2.0 * x - sim.state()[0], 2.0 * y - sim.state()[1]] });
                    let [x, y, _] = sim.block_pose();
                    let [px, py] = sim.state();
                    assert!(x.abs().max(y.abs()) < ARENA_HALF_M, "{task:?} {seed} {t}: block at {x} {y}");
                    let limit = ARENA_HALF_M - PUSHER_RADIUS_M + 0.002;
                    assert!(px.abs().max(py.abs()) < limit, "{task:?} {seed} {t}: pusher at {px} {py}");
                    let [c, s] = scene::unit(sim.block_pose()[2]);
                    let local = [c * (px - x) + s * (py - y), c * (py - y) - s * (px - x)];
                    let gap = scene::block_sdf(task, local) - PUSHER_RADIUS_M;
                    assert!(gap > -0.008, "{task:?} {seed} {t}: pusher {gap} m inside the block");
                }
            }
        }
    }

    #[test]
    fn what_happens_next_depends_on_positions_only() {
        let mut sim = Sim::new(&config(Task::Disc), 2);
        let aim = |sim: &Sim| [sim.block_pose()[0], sim.block_pose()[1]];
        for _ in 0..12 {
            sim.step(aim(&sim));
        }
        let mut fresh = Sim::at(&config(Task::Disc), sim.state(), sim.block_pose());
        for t in 0..5 {
            let action = aim(&sim);
            sim.step(action);
            fresh.step(action);
            let gap = scene::distance(
                [sim.block_pose()[0], sim.block_pose()[1]],
                [fresh.block_pose()[0], fresh.block_pose()[1]],
            );
            assert!(gap < 1e-3, "step {t}: {gap} m apart");
        }
    }

    #[test]
    fn strange_actions_are_survived() {
        let mut sim = Sim::new(&config(Task::Disc), 1);
        let before = sim.state();
        sim.step([f32::NAN, f32::NAN]);
        assert!(scene::distance(before, sim.state()) < 1e-6);
        sim.step([f32::INFINITY, -1e9]);
        assert!(sim.state().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn time_runs_out_as_truncation() {
        let mut sim = Sim::new(&SimConfig { max_steps: 3, ..config(Task::Disc) }, 1);
        let hold = sim.state();
        let steps: Vec<Step> = (0..3).map(|_| sim.step(hold)).collect();
        assert_eq!(steps.iter().map(|s| s.truncated).collect::<Vec<_>>(), vec![false, false, true]);
        assert!(steps.iter().all(|s| !s.terminated));
    }
}
