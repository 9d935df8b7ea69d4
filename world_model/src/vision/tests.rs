use super::*;
use burn::tensor::activation::{relu, sigmoid};

#[test]
fn blocks_and_back_is_the_same_picture() {
    let size = 48;
    let frame: Vec<u8> = (0..size * size * 3).map(|i| (i * 7 % 251) as u8).collect();
    let blocks = to_blocks([frame.as_slice()].into_iter(), size, &Device::default());
    assert_eq!(blocks.dims(), [1, 9, 768]);
    assert_eq!(to_frames(blocks, size), vec![frame]);
}

#[test]
fn pixels_lie_row_by_row() {
    let size = 32;
    let frame: Vec<u8> = (0..size * size * 3).map(|i| (i * 7 % 251) as u8).collect();
    let blocks = to_blocks([frame.as_slice()].into_iter(), size, &Device::default());
    let expected: Vec<f32> = frame.iter().map(|&v| f32::from(v) / 255.0 - 0.5).collect();
    assert_eq!(floats(pixels(blocks)), expected);
}

#[test]
fn the_decoder_is_one_layer_over_everything_laid_side_by_side() {
    let device = Device::default();
    device.seed(4);
    let config = VisionConfig { keypoints: 3, global: 5, width: 7, state_points: 2, ..VisionConfig::default() };
    let (decoder, rows) = (PatchDecoder::new(&config, 2, &device), 2 * PATCHES);
    let mut rng = crate::noise::generator(0, "decoder", 0);
    let [shown, in_reference] = [(); 2].map(|()| Shown {
        camera: crate::noise::normal([2, config.embedding()], &mut rng, &device),
        state: crate::noise::normal([2, 2], &mut rng, &device),
    });
    let reference = crate::noise::uniform([2, 1, BLOCK_VALUES], &mut rng, &device) - 0.5;
    let painted = floats(decoder.forward(&shown, &in_reference, reference.clone()));

    let centres = patch_centres(1, &device);
    let patches = reference.reshape([2, PATCHES, PATCH_VALUES]);
    let parts = vec![decoder.around(&shown, &centres), decoder.around(&in_reference, &centres), patches.clone()];
    let rest = |x: Shown| Tensor::cat(vec![x.camera.narrow(1, 6, 5), x.state], 1);
    let global = Tensor::cat(vec![rest(shown), rest(in_reference)], 1);
    let global = decoder.global.forward(global).unsqueeze_dim::<3>(1);
    let features = relu(decoder.near.forward(Tensor::cat(parts, 2)) + global);
    let out = decoder.paint.forward(relu(decoder.mix.forward(features))).reshape([rows, PATCH_VALUES + 16]);
    let gate = sigmoid(out.clone().narrow(1, PATCH_VALUES, 16) - 1.0).reshape([rows, 16, 1]);
    let patches = patches.reshape([rows, 16, 3]);
    let paint = out.narrow(1, 0, PATCH_VALUES).reshape([rows, 16, 3]);
    let plain = floats(patches.clone() + gate * (paint - patches));
    let most = painted.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most < 1e-5 && painted.len() == plain.len(), "differs by {most}");
}

#[test]
fn the_state_alone_moves_what_is_painted_and_may_be_missing() {
    let device = Device::default();
    device.seed(4);
    let config = VisionConfig { state_points: 4, ..VisionConfig::default() };
    let reference = crate::noise::uniform([1, 1, BLOCK_VALUES], &mut crate::noise::generator(0, "state", 0), &device);
    let painted = |decoder: &PatchDecoder, state: &[f32]| {
        let shown = |state: &[f32]| Shown {
            camera: Tensor::zeros([1, config.embedding()], &device),
            state: Tensor::from_data(TensorData::new(state.to_vec(), [1, state.len()]), &device),
        };
        floats(decoder.forward(&shown(state), &shown(&vec![0.0; state.len()]), reference.clone()))
    };
    let decoder = PatchDecoder::new(&config, 2, &device);
    assert_ne!(painted(&decoder, &[0.5, -0.5]), painted(&decoder, &[-0.5, 0.5]));
    let stateless = PatchDecoder::new(&config, 0, &device);
    assert!(painted(&stateless, &[]).iter().all(|v| v.is_finite()));
}

#[test]
fn what_makes_policies_worse_is_off_unless_asked_for() {
    let config = VisionConfig::default();
    assert!(config.state_points == 0 && !config.surroundings, "docs/LOG.md, 2026-11-25: {config:?}");
}

#[test]
fn a_picture_that_is_no_multiple_of_a_block_is_refused_in_words() {
    let message = blocks(50).expect_err("50 is no multiple of 16").to_string();
    assert!(message.contains("data.image_size = 50") && message.contains("16"), "{message}");
}
