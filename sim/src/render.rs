//! The camera: a small antialiased rasteriser over signed distances, straight down onto the arena.

use crate::background::Disc;
use crate::config::Task;
use crate::scene::{self, ARENA_HALF_M, PUSHER_RADIUS_M};

const TABLE: [f32; 3] = [244.0, 242.0, 236.0];
const GOAL: [f32; 3] = [112.0, 200.0, 120.0];
const BLOCK: [f32; 3] = [104.0, 110.0, 122.0];
const PUSHER: [f32; 3] = [44.0, 98.0, 222.0];

/// RGB picture `[size, size, 3]` of the arena; the first row is y = +0.5 m. Background below goal below block below pusher.
pub(crate) fn picture(
    size: usize,
    task: Task,
    background: impl Iterator<Item = Disc>,
    pusher: [f32; 2],
    block: [f32; 3],
) -> Vec<u8> {
    let mut canvas = Canvas { size, pixels: vec![TABLE; size * size] };
    let disc = |radius_m: f32| move |x: f32, y: f32| (x * x + y * y).sqrt() - radius_m;
    for Disc { centre, radius_m, colour, .. } in background {
        canvas.fill(centre, radius_m, colour, disc(radius_m));
    }
    let radius = scene::block_radius(task);
    for (pose, colour) in [(scene::goal_pose(task), GOAL), (block, BLOCK)] {
        let [c, s] = scene::unit(pose[2]);
        canvas.fill([pose[0], pose[1]], radius, colour, |x, y| scene::block_sdf(task, [c * x + s * y, c * y - s * x]));
    }
    canvas.fill(pusher, PUSHER_RADIUS_M, PUSHER, disc(PUSHER_RADIUS_M));
    canvas.pixels.iter().flatten().map(|&v| (v + 0.5) as u8).collect()
}

struct Canvas {
    size: usize,
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    /// Paints the shape around `centre` (metres) whose signed distance is `sdf(dx, dy)` and which lies within
    /// `radius`. A pixel is covered in proportion to how far its centre is inside, over one pixel's width.
    fn fill(&mut self, centre: [f32; 2], radius: f32, colour: [f32; 3], sdf: impl Fn(f32, f32) -> f32) {
        let pixel_m = 2.0 * ARENA_HALF_M / self.size as f32;
        let span = |low_m: f32, high_m: f32| {
            let clip = |m: f32| (m / pixel_m).clamp(0.0, self.size as f32) as usize;
            clip(low_m - pixel_m)..clip(high_m + 2.0 * pixel_m)
        };
        let columns = span(centre[0] - radius + ARENA_HALF_M, centre[0] + radius + ARENA_HALF_M);
        let rows = span(ARENA_HALF_M - centre[1] - radius, ARENA_HALF_M - centre[1] + radius);
        for row in rows {
            let y = ARENA_HALF_M - (row as f32 + 0.5) * pixel_m - centre[1];
            for column in columns.clone() {
                let x = (column as f32 + 0.5) * pixel_m - ARENA_HALF_M - centre[0];
                let cover = (0.5 - sdf(x, y) / pixel_m).clamp(0.0, 1.0);
                if cover > 0.0 {
                    for (below, above) in self.pixels[row * self.size + column].iter_mut().zip(colour) {
                        *below += cover * (above - *below);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(size: usize, task: Task, pusher: [f32; 2], block: [f32; 3]) -> Vec<u8> {
        picture(size, task, std::iter::empty(), pusher, block)
    }

    fn pixel(image: &[u8], size: usize, x: f32, y: f32) -> [u8; 3] {
        let column = ((x + ARENA_HALF_M) * size as f32) as usize;
        let row = ((ARENA_HALF_M - y) * size as f32) as usize;
        let i = (row * size + column) * 3;
        [image[i], image[i + 1], image[i + 2]]
    }

    #[test]
    fn everything_is_where_it_should_be() {
        for size in [48, 96] {
            let image = draw(size, Task::Disc, [-0.3, 0.2], [0.25, -0.3, 0.0]);
            assert_eq!(image.len(), size * size * 3);
            assert_eq!(pixel(&image, size, -0.3, 0.2), PUSHER.map(|v| v as u8));
            assert_eq!(pixel(&image, size, 0.25, -0.3), BLOCK.map(|v| v as u8));
            assert_eq!(pixel(&image, size, 0.1, 0.1), GOAL.map(|v| v as u8));
            assert_eq!(pixel(&image, size, -0.4, -0.4), TABLE.map(|v| v as u8));
        }
        // A T turned by a quarter: its stem (local -y) points to +x.
        let turned = draw(96, Task::Tee, [-0.4, 0.4], [0.0, -0.25, std::f32::consts::FRAC_PI_2]);
        assert_eq!(pixel(&turned, 96, 0.13, -0.25), BLOCK.map(|v| v as u8));
        assert_eq!(pixel(&turned, 96, -0.046, -0.15), BLOCK.map(|v| v as u8));
    }

    #[test]
    fn the_background_is_below_everything() {
        let discs = crate::background::discs(200, 1).into_iter();
        let image = picture(48, Task::Disc, discs, [-0.3, 0.2], [0.25, -0.3, 0.0]);
        assert_eq!(pixel(&image, 48, -0.3, 0.2), PUSHER.map(|v| v as u8));
        assert_eq!(pixel(&image, 48, 0.25, -0.3), BLOCK.map(|v| v as u8));
        assert_eq!(pixel(&image, 48, 0.1, 0.1), GOAL.map(|v| v as u8));
        assert_ne!(pixel(&image, 48, -0.4, -0.4), TABLE.map(|v| v as u8));
    }

    #[test]
    fn less_than_a_pixel_of_motion_shows() {
        let a = draw(48, Task::Disc, [0.0, -0.3], [-0.2, 0.0, 0.0]);
        let b = draw(48, Task::Disc, [0.005, -0.3], [-0.2, 0.0, 0.0]);
        assert_ne!(a, b);
    }

    #[test]
    fn shapes_outside_the_arena_do_not_panic() {
        draw(48, Task::Disc, [0.7, -0.7], [-0.9, 0.9, 0.0]);
        draw(1, Task::Tee, [0.5, 0.5], [0.5, -0.5, 1.0]);
        assert!(draw(0, Task::Disc, [0.0, 0.0], [0.0, 0.0, 0.0]).is_empty());
    }
}
