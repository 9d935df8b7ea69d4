//! Camera dropout: with several cameras, some rows of a batch are learned from as if one camera were black.
//!
//! A camera that fails on the robot, or that a client does not have, is a black picture; a model and a policy that have never
//! seen one act on nonsense. Every camera has its own part of the embedding, so a black camera is that part of the embedding of a
//! black picture, and nothing is encoded again. A camera that is black stays black, which is what the dynamics are to foresee.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::representation::{Encoder, Seen};
use crate::vision::{floats, to_blocks};
use crate::vit::Vit;

/// What to do to a batch of embeddings.
#[derive(Clone, Debug)]
pub struct CameraDropout {
    /// Share of rows in which one camera, any of them, is black.
    share: f32,
    /// Elements of one camera's part of the embedding.
    width: usize,
    /// The cameras' parts of the embedding of black pictures, one after another.
    black: Vec<f32>,
}

impl CameraDropout {
    /// Of `share` of the rows, 0 to 1; `None` where that is none, or with fewer than two cameras: without its only one a robot
    /// is blind. `vit` gives the features of black pictures, where the encoder was trained with some.
    pub fn new(
        share: f32,
        (encoder, vit): (&Encoder, Option<&Vit>),
        camera_sizes: &[usize],
        state_len: usize,
        device: &Device,
    ) -> Option<Self> {
        if share <= 0.0 || camera_sizes.len() < 2 {
            return None;
        }
        let seen = camera_sizes.iter().map(|&size| {
            let frame = vec![0; size * size * 3];
            Seen {
                picture: to_blocks([frame.as_slice()].into_iter(), size, device),
                feature: vit.map(|vit| vit.see(&[&frame], size, device)),
            }
        });
        let mut black = floats(encoder.encode(seen.collect(), Tensor::zeros([1, state_len], device)));
        black.truncate(black.len() - state_len);
        Some(Self { share, width: black.len() / camera_sizes.len(), black })
    }

    /// Embeddings `[B, T, E]`, of which some rows have lost a camera at all times.
    pub fn apply(&self, e: Tensor<3>, rng: &mut StdRng) -> Tensor<3> {
        let ([rows, _, elements], device) = (e.dims(), e.device());
        let cameras = self.black.len() / self.width;
        let (mut kept, mut added) = (vec![1.0; rows * elements], vec![0.0; rows * elements]);
        for row in 0..rows {
            if rng.random::<f32>() >= self.share {
                continue;
            }
            let lost = rng.random_range(0..cameras) * self.width;
            for i in lost..lost + self.width {
                kept[row * elements + i] = 0.0;
                added[row * elements + i] = self.black[i];
            }
        }
        let per_row = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [rows, 1, elements]), &device);
        e * per_row(kept) + per_row(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise;
    use crate::vision::VisionConfig;

    #[test]
    fn a_row_loses_one_camera_at_all_times_and_nothing_else() {
        let device = Device::default();
        let vision = VisionConfig { keypoints: 1, global: 1, ..VisionConfig::default() };
        let encoder = Encoder::new(&vision, &[16, 16], &device).expect("16 is a block");
        let of = |share: f32, sizes: &[usize]| CameraDropout::new(share, (&encoder, None), sizes, 2, &device);
        assert!(of(0.0, &[16, 16]).is_none() && of(0.5, &[16]).is_none());
        let dropout = of(0.5, &[16, 16]).expect("two cameras");
        let black = dropout.black.clone();
        assert_eq!((black.len(), dropout.width), (6, 3));
        // 400 rows of two moments: three elements of each camera, two of the state.
        let e = floats(dropout.apply(Tensor::full([400, 2, 8], 9.0, &device), &mut noise::generator(0, "lost", 0)));
        let mut lost = [0usize; 3];
        for row in e.chunks_exact(16) {
            assert_eq!(row[..8], row[8..], "both moments");
            assert_eq!(row[6..8], [9.0, 9.0], "the state stays");
            let is_black = [0, 3].map(|at| row[at..at + 3] == black[at..at + 3]);
            let is_seen = [0, 3].map(|at| row[at..at + 3] == [9.0; 3]);
            assert!((0..2).all(|camera| is_black[camera] != is_seen[camera]) && is_black != [true; 2], "{row:?}");
            lost[usize::from(is_black[0]) + 2 * usize::from(is_black[1])] += 1;
        }
        // Half of the rows, a quarter each camera; four standard errors are 40 and 35.
        assert!(lost[0].abs_diff(200) < 40 && lost[1].abs_diff(100) < 35, "{lost:?}");
    }
}
