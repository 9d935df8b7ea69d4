//! Pushing a disc with feedback: get behind it without touching it, then push, staying on the line to the goal.

use crate::scene::{BLOCK_DISC_RADIUS_M, PUSHER_RADIUS_M, angle_of, distance, unit, wrap_angle};

/// Distance of the centres when they touch, metres.
const TOUCH_M: f32 = BLOCK_DISC_RADIUS_M + PUSHER_RADIUS_M;
/// Radius of the circle on which the pusher goes around the block, metres.
const AROUND_M: f32 = TOUCH_M + 0.05;
/// Largest angle travelled on that circle per action, radians: the chord stays clear of the block.
const AROUND_RAD: f32 = 0.6;
/// The pusher goes in when it is within this angle of right behind, and has to go around again beyond the other.
const ENTER_RAD: f32 = 0.3;
const LEAVE_RAD: f32 = 0.8;
/// How far ahead the target is while pushing, metres: a little more than a step at full speed.
const AHEAD_M: f32 = 0.08;
/// The arena within which targets make sense: the pusher cannot get closer to a wall.
const REACH_M: f32 = 0.46;

/// Target for the pusher, metres.
pub(super) fn push(pusher: [f32; 2], block: [f32; 3], goal: [f32; 3]) -> [f32; 2] {
    let block = [block[0], block[1]];
    let to_goal = angle_of([goal[0] - block[0], goal[1] - block[1]]);
    let behind = wrap_angle(to_goal + std::f32::consts::PI);
    let here = angle_of([pusher[0] - block[0], pusher[1] - block[1]]);
    let off_rad = wrap_angle(behind - here);
    let from_block_m = distance(pusher, block);
    let touching = from_block_m < TOUCH_M + 0.02;
    if off_rad.abs() < if touching { LEAVE_RAD } else { ENTER_RAD } {
        // The point of contact on the line through block and goal, moved ahead: any offset from the line is
        // closed while pushing.
        let [c, s] = unit(to_goal);
        let ahead_m = AHEAD_M.min(distance(block, [goal[0], goal[1]]) + 0.02) - TOUCH_M;
        return [block[0] + ahead_m * c, block[1] + ahead_m * s];
    }
    if touching && off_rad.abs() < 2.0 && from_block_m < TOUCH_M + 0.005 {
        // Slipped off sideways: back out before going around.
        return on_circle(block, here, from_block_m + 0.06);
    }
    let turn = off_rad.clamp(-AROUND_RAD, AROUND_RAD);
    let next = on_circle(block, here + turn, AROUND_M);
    if next[0].abs().max(next[1].abs()) <= REACH_M {
        return next;
    }
    // No room between block and wall this way: the other way around, unless that is blocked as well.
    let other = on_circle(block, here - turn, AROUND_M);
    let blocked = other[0].abs().max(other[1].abs()) > REACH_M;
    let hug = next.map(|x| x.clamp(-REACH_M, REACH_M));
    if blocked || distance(hug, block) > TOUCH_M + 0.015 { hug } else { other }
}

fn on_circle(centre: [f32; 2], angle: f32, radius: f32) -> [f32; 2] {
    let [c, s] = unit(angle);
    [centre[0] + radius * c, centre[1] + radius * s]
}
