//! How far the model can be believed: open-loop error by horizon on held-out episodes, against two floors.
//!
//! Floors: *copy-last* (nothing changes after the last real observation) and *shuffled actions* (the same model fed the
//! actions of another episode): a model that loses to the first predicts nothing, one that ties with the second ignores actions.

use burn::tensor::{Device, Tensor, TensorData};
use episodes::Dataset;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::agreement::mean;
use crate::corpus::{Corpus, Embeddings};
use crate::model::WorldModel;
use crate::noise;
use crate::picture::{psnr_db, ssim};
use crate::train::latents_at;
use crate::vision::{floats, to_blocks, to_frames};

/// Error at one horizon, mean squared in normalised units (state: standard deviations of the data; cameras: full range = 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonError {
    /// `state` or a camera's name.
    pub modality: String,
    /// Control steps after the last real observation.
    pub h: usize,
    /// The model.
    pub model: f64,
    /// Floor: the last observation, unchanged.
    pub copy_last: f64,
    /// Floor: the model with another episode's actions.
    pub shuffled_actions: f64,
    /// Likeness of the pictures where something moved; `None` for the state, or where nothing did.
    pub likeness: Option<Likeness>,
}

impl HorizonError {
    /// Whether the model beats both floors.
    pub fn beats_both_floors(&self) -> bool {
        self.model < self.copy_last && self.model < self.shuffled_actions
    }
}

/// How alike imagined and recorded pictures are, mean over starts whose picture has changed by then (PSNR of the copy below 40 dB).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Pictures compared.
    pub pictures: usize,
    /// Peak signal-to-noise ratio of the model and of the last picture unchanged, decibels.
    pub psnr_db: [f64; 2],
    /// Structural similarity of the two.
    pub ssim: [f64; 2],
}

/// A copy that is this like the truth has not moved, decibels.
const UNMOVED_DB: f64 = 40.0;

fn likeness(imagined: &[Vec<u8>], copied: &[&[u8]], truth: &[&[u8]], size: usize) -> Option<Likeness> {
    let rows: Vec<[f64; 4]> = imagined
        .iter()
        .zip(copied)
        .zip(truth)
        .filter(|((_, copied), truth)| psnr_db(copied, truth) < UNMOVED_DB)
        .map(|((imagined, copied), truth)| {
            let [a, b] = [imagined.as_slice(), copied].map(|x| (psnr_db(x, truth), ssim(x, truth, size)));
            [a.0, b.0, a.1, b.1]
        })
        .collect();
    let column = |i: usize| mean(rows.iter().map(|r| r[i]));
    (!rows.is_empty()).then(|| Likeness {
        pictures: rows.len(),
        psnr_db: [column(0), column(1)],
        ssim: [column(2), column(3)],
    })
}

/// How the report is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Largest horizon, control steps.
    pub horizon: usize,
    /// Starts drawn from held-out episodes.
    pub starts: usize,
    /// Recorded steps observed before imagination.
    pub context: usize,
    /// Squared error of the embedding up to which imagination counts as true, as a share of what copying gets wrong at the
    /// largest horizon.
    pub tolerance: f64,
    /// Share of the starts that the trust horizon must not overrate.
    pub confidence: f64,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { horizon: 20, starts: 256, context: 3, tolerance: 0.5, confidence: 0.9 }
    }
}

/// Open-loop errors on held-out tracks at horizons 1, 2, 4, … and the largest.
pub fn error_by_horizon(
    model: &WorldModel,
    data: (&Dataset, &Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> Vec<HorizonError> {
    let (dataset, corpus, embeddings) = data;
    let horizon = config.horizon;
    let mut rng = noise::generator(seed, "quality", 0);
    let usable: Vec<usize> = corpus.held_out.iter().copied().filter(|&t| corpus.tracks[t].len > horizon).collect();
    if usable.is_empty() {
        return Vec::new();
    }
    let draw = |rng: &mut rand::rngs::StdRng| -> Vec<(usize, usize)> {
        (0..config.starts)
            .map(|_| {
                let track = usable[rng.random_range(0..usable.len())];
                (track, rng.random_range(0..corpus.tracks[track].len - horizon))
            })
            .collect()
    };
    let starts = draw(&mut rng);
    let others = draw(&mut rng);
    let rows = starts.len();
    let latent = latents_at(model, (corpus, embeddings), &starts, config.context, &mut rng, device);
    let actions_from = |from: &[(usize, usize)], i: usize| -> Tensor<2> {
        let a = corpus.action_len;
        let values: Vec<f32> =
            from.iter().flat_map(|&(t, s)| corpus.tracks[t].action[(s + i) * a..(s + i + 1) * a].to_vec()).collect();
        Tensor::from_data(TensorData::new(values, [rows, a]), device)
    };
    let reported = |h: usize| h.is_power_of_two() || h.is_multiple_of(5) || h == horizon;
    let (mut real, mut shuffled) = (latent.clone(), latent.clone());
    let frames_at = |camera: usize, i: usize| -> Vec<&[u8]> {
        starts.iter().map(|&(t, s)| dataset.frame(camera, corpus.tracks[t].episode, s + i)).collect()
    };
    let pictures_at = |camera: usize, i: usize| {
        to_blocks(frames_at(camera, i).into_iter(), dataset.spec.cameras[camera].model_size, device)
    };
    let references: Vec<Tensor<3>> = (0..dataset.spec.cameras.len()).map(|c| pictures_at(c, 0)).collect();
    let mse = |a: Tensor<2>, b: Tensor<2>| f64::from((a - b).square().mean().into_scalar::<f32>());
    let mse3 = |a: Tensor<3>, b: Tensor<3>| f64::from((a - b).square().mean().into_scalar::<f32>());
    let own = dataset.spec.state_len();
    let state_of = |e: Tensor<2>| e.narrow(1, embeddings.dim - corpus.state_len, own);
    let mut out = Vec::new();
    for h in 1..=horizon {
        let noise = model.draw_noise(rows, &mut rng, device);
        real = model.imagine(&real, actions_from(&starts, h - 1), noise.clone()).0;
        shuffled = model.imagine(&shuffled, actions_from(&others, h - 1), noise).0;
        if !reported(h) {
            continue;
        }
        let ahead: Vec<(usize, usize)> = starts.iter().map(|&(t, s)| (t, s + h)).collect();
        let truth = embeddings.gather(&ahead, device);
        if own > 0 {
            out.push(HorizonError {
                modality: "state".into(),
                h,
                model: mse(state_of(real.e.clone()), state_of(truth.clone())),
                copy_last: mse(state_of(latent.e.clone()), state_of(truth.clone())),
                shuffled_actions: mse(state_of(shuffled.e.clone()), state_of(truth)),
                likeness: None,
            });
        }
        for (c, camera) in dataset.spec.cameras.iter().enumerate() {
            let shown =
                |e: &Tensor<2>| model.representation.decode(c, e.clone(), latent.e.clone(), references[c].clone());
            let truth = pictures_at(c, h);
            let imagined = shown(&real.e);
            let size = camera.model_size;
            out.push(HorizonError {
                modality: camera.key.clone(),
                h,
                likeness: likeness(&to_frames(imagined.clone(), size), &frames_at(c, 0), &frames_at(c, h), size),
                model: mse3(imagined, truth.clone()),
                copy_last: mse3(references[c].clone(), truth.clone()),
                shuffled_actions: mse3(shown(&shuffled.e), truth),
            });
        }
    }
    out
}

/// Mean disagreement at each imagined step on held-out data, and its 95th percentile: beyond it the model is guessing.
pub fn held_out_disagreement(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> f32 {
    let (corpus, embeddings) = data;
    let tracks = corpus.judged_on();
    let mut rng = noise::generator(seed, "disagreement", 0);
    let starts: Vec<(usize, usize)> = (0..config.starts)
        .map(|_| {
            let track = tracks[rng.random_range(0..tracks.len())];
            (track, rng.random_range(0..corpus.tracks[track].len))
        })
        .collect();
    let mut latent = latents_at(model, (corpus, embeddings), &starts, config.context, &mut rng, device);
    let mut all = Vec::new();
    for i in 0..config.horizon {
        let mut action = Vec::new();
        for &(track, t) in &starts {
            let t = (t + i).min(corpus.tracks[track].len - 1);
            corpus.action_chunk(track, t, 1, &mut action);
        }
        let action = Tensor::from_data(TensorData::new(action, [starts.len(), corpus.action_len]), device);
        let noise = model.draw_noise(starts.len(), &mut rng, device);
        let (next, prediction) = model.imagine(&latent, action, noise);
        all.extend(floats(prediction.disagreement));
        latent = next;
    }
    all.sort_by(f32::total_cmp);
    all.get(all.len() * 95 / 100).copied().unwrap_or(0.0)
}
