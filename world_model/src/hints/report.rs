//! What cameras tell of hints, and what the model foresees of them, in the units of the recording.

use burn::tensor::{Device, Tensor, TensorData};
use episodes::DatasetSpec;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Embeddings};
use crate::model::WorldModel;
use crate::noise;
use crate::quality::QualityConfig;
use crate::train::latents_at;
use crate::vision::floats;

/// Absolute errors of one element of the hints, over starts from held-out episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HintError {
    /// The camera that tells it.
    pub camera: String,
    /// Name of the element.
    pub element: String,
    /// It is an angle, radians; otherwise its units are the recording's.
    pub is_angle: bool,
    /// Control steps after the last picture; 0: what the camera tells of the picture itself.
    pub h: usize,
    /// Starts: all for `h` 0, beyond it those after which the hint has changed.
    pub starts: usize,
    /// Median and 90th percentile of the model.
    pub model: [f64; 2],
    /// The same of what was true at the start, unchanged.
    pub unchanged: [f64; 2],
}

/// Steps ahead that are reported.
const AHEAD: [usize; 6] = [0, 1, 4, 8, 16, 32];

/// Change of a code that counts as one: some pixels of a hundred, a degree.
const CHANGED: f32 = 0.02;

fn percentiles(mut errors: Vec<f32>) -> [f64; 2] {
    errors.sort_by(f32::total_cmp);
    [0.5, 0.9].map(|share| {
        let at = ((errors.len() as f64 * share) as usize).min(errors.len().saturating_sub(1));
        errors.get(at).map_or(f64::NAN, |&error| f64::from(error))
    })
}

/// Errors at every horizon that enough held-out starts reach; none without hints or held-out episodes.
pub fn hint_errors(
    model: &WorldModel,
    data: (&DatasetSpec, &Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> Vec<HintError> {
    /// Fewer starts tell no percentile.
    const FEWEST: usize = 8;
    let (spec, corpus, embeddings) = data;
    let Some(code) = &corpus.hints else { return Vec::new() };
    let (width, len) = (code.code_len(), |track: usize| corpus.tracks[track].len);
    let last = AHEAD[AHEAD.len() - 1];
    let longest = corpus.held_out.iter().map(|&t| len(t)).max().unwrap_or(0);
    let reach = last.min(longest.saturating_sub(1));
    let usable: Vec<usize> = corpus.held_out.iter().copied().filter(|&t| len(t) > reach).collect();
    if usable.is_empty() {
        return Vec::new();
    }
    let mut rng = noise::generator(seed, "hint errors", 0);
    let starts: Vec<(usize, usize)> = (0..config.starts)
        .map(|_| {
            let track = usable[rng.random_range(0..usable.len())];
            (track, rng.random_range(0..len(track) - reach))
        })
        .collect();
    let recorded = |i: usize, h: usize| {
        let (track, t) = starts[i];
        &corpus.tracks[track].hint[(t + h) * width..(t + h + 1) * width]
    };
    let changed = |i: usize, h: usize| recorded(i, 0).iter().zip(recorded(i, h)).any(|(a, b)| (a - b).abs() > CHANGED);
    let mut latent = latents_at(model, (corpus, embeddings), &starts, config.context, &mut rng, device);
    let names: Vec<&String> = spec.hints.iter().flat_map(|hint| &hint.names).collect();
    let mut out = Vec::new();
    for h in 0..=reach {
        if h > 0 {
            let mut action = Vec::new();
            starts.iter().for_each(|&(track, t)| corpus.action_chunk(track, t + h - 1, 1, &mut action));
            let action = Tensor::from_data(TensorData::new(action, [starts.len(), corpus.action_len]), device);
            let noise = model.draw_noise(starts.len(), &mut rng, device);
            latent = model.imagine(&latent, action, noise).0;
        }
        let counted: Vec<usize> = (0..starts.len()).filter(|&i| h == 0 || changed(i, h)).collect();
        if !AHEAD.contains(&h) || counted.len() < FEWEST {
            continue;
        }
        let e = floats(latent.e.clone());
        for (camera, about) in spec.cameras.iter().enumerate() {
            let rows: Vec<[Vec<f32>; 3]> = counted
                .iter()
                .map(|&i| {
                    let told = &e[i * embeddings.dim + camera * width..][..width];
                    [told, recorded(i, 0), recorded(i, h)].map(|row| code.decode(row))
                })
                .collect();
            for (k, name) in names.iter().enumerate() {
                let errors =
                    |of: usize| percentiles(rows.iter().map(|r| code.angles.apart(k, r[of][k], r[2][k])).collect());
                out.push(HintError {
                    camera: about.key.clone(),
                    element: (*name).clone(),
                    is_angle: code.angles.is_angle(k),
                    h,
                    starts: counted.len(),
                    model: errors(0),
                    unchanged: errors(1),
                });
            }
        }
    }
    out
}
