//! How far the model can be believed: open-loop error by horizon on held-out episodes, against two floors.
//!
//! At horizons 1, 2, 4, … 64. Floors: *copy-last* (nothing changes after the last real observation) and *shuffled actions* (the same model fed the
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
    /// `state`, `hints` (as the cameras tell them) or a camera's name.
    pub modality: String,
    /// Control steps after the last real observation.
    pub h: usize,
    /// Starts whose episode is long enough.
    #[serde(default)]
    pub starts: usize,
    /// The model.
    pub model: f64,
    /// Floor: the last observation, unchanged.
    pub copy_last: f64,
    /// Floor: the model with another episode's actions.
    pub shuffled_actions: f64,
    /// Cameras: the picture repainted from the embedding that was really seen, what a perfect imagination would be left with.
    #[serde(default)]
    pub repainted: Option<f64>,
    /// Likeness of the pictures where something moved; `None` for the state, or where nothing did.
    pub likeness: Option<Likeness>,
}

impl HorizonError {
    /// Whether the model beats both floors.
    pub fn beats_both_floors(&self) -> bool {
        self.model < self.copy_last && self.model < self.shuffled_actions
    }

    /// Error with the actions of another episode over error with the right ones; 1 where actions are ignored.
    pub fn wrong_over_right(&self) -> f64 {
        self.shuffled_actions / self.model.max(f64::MIN_POSITIVE)
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

/// Of (imagined, copied, recorded) pictures.
fn likeness<'a>(pictures: impl Iterator<Item = (&'a [u8], &'a [u8], &'a [u8])>, size: usize) -> Option<Likeness> {
    let rows: Vec<[f64; 4]> = pictures
        .filter(|(_, copied, truth)| psnr_db(copied, truth) < UNMOVED_DB)
        .map(|(imagined, copied, truth)| {
            let [a, b] = [imagined, copied].map(|x| (psnr_db(x, truth), ssim(x, truth, size)));
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
    /// Largest horizon that verdict and trust look at, control steps.
    pub horizon: usize,
    /// Largest horizon of the table of errors, control steps, as far as held-out episodes are long enough.
    pub error_horizon: usize,
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
        Self { horizon: 20, error_horizon: 64, starts: 256, context: 3, tolerance: 0.5, confidence: 0.9 }
    }
}

/// Fewest starts with which an error is reported.
const FEWEST_STARTS: usize = 8;

/// Squared errors of rows `[N, …]`, mean over everything but `N`.
fn by_row<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Vec<f32> {
    floats((a.clone() - b.clone()).square().flatten::<2>(1, D - 1).mean_dim(1))
}

/// Open-loop errors on held-out tracks at horizons 1, 2, 4, … up to the largest, and at that of the verdict.
///
/// Starts have [`QualityConfig::horizon`] steps before them, or as many as the longest track has; further ahead those count
/// whose episode goes on so long.
pub fn error_by_horizon(
    model: &WorldModel,
    data: (&Dataset, &Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> Vec<HorizonError> {
    let (dataset, corpus, embeddings) = data;
    let mut rng = noise::generator(seed, "quality", 0);
    let len = |track: usize| corpus.tracks[track].len;
    let longest = corpus.held_out.iter().map(|&t| len(t)).max().unwrap_or(0).saturating_sub(1);
    let horizon = config.horizon.min(longest);
    if horizon == 0 {
        return Vec::new();
    }
    let usable: Vec<usize> = corpus.held_out.iter().copied().filter(|&t| len(t) > horizon).collect();
    let draw = |rng: &mut rand::rngs::StdRng| -> Vec<(usize, usize)> {
        (0..config.starts)
            .map(|_| {
                let track = usable[rng.random_range(0..usable.len())];
                (track, rng.random_range(0..len(track) - horizon))
            })
            .collect()
    };
    let starts = draw(&mut rng);
    let others = draw(&mut rng);
    let rows = starts.len();
    let latent = latents_at(model, (corpus, embeddings), &starts, config.context, &mut rng, device);
    let actions_from = |from: &[(usize, usize)], i: usize| -> Tensor<2> {
        let a = corpus.action_len;
        let values: Vec<f32> = from
            .iter()
            .map(|&(t, s)| (t, (s + i) % len(t)))
            .flat_map(|(t, s)| corpus.tracks[t].action[s * a..(s + 1) * a].to_vec())
            .collect();
        Tensor::from_data(TensorData::new(values, [rows, a]), device)
    };
    let reported = |h: usize| h.is_power_of_two() || h == horizon;
    let (mut real, mut shuffled) = (latent.clone(), latent.clone());
    let ahead =
        |i: usize| -> Vec<(usize, usize)> { starts.iter().map(|&(t, s)| (t, (s + i).min(len(t) - 1))).collect() };
    let frames_at = |camera: usize, i: usize| -> Vec<&[u8]> {
        ahead(i).into_iter().map(|(t, s)| dataset.frame(camera, corpus.tracks[t].episode, s)).collect()
    };
    let pictures_at = |camera: usize, i: usize| {
        to_blocks(frames_at(camera, i).into_iter(), dataset.spec.cameras[camera].model_size, device)
    };
    let references: Vec<Tensor<3>> = (0..dataset.spec.cameras.len()).map(|c| pictures_at(c, 0)).collect();
    let cameras = embeddings.dim - corpus.state_len;
    let hints = if corpus.hints.is_some() { cameras } else { 0 };
    let vectors = [("state", cameras, corpus.parts[0].state_len), ("hints", 0, hints)];
    let mut out = Vec::new();
    for h in 1..=config.error_horizon.max(horizon).min(longest) {
        let noise = model.draw_noise(rows, &mut rng, device);
        real = model.imagine(&real, actions_from(&starts, h - 1), noise.clone()).0;
        shuffled = model.imagine(&shuffled, actions_from(&others, h - 1), noise).0;
        let long_enough: Vec<usize> = (0..rows).filter(|&i| starts[i].1 + h < len(starts[i].0)).collect();
        if !reported(h) || long_enough.len() < FEWEST_STARTS.min(rows) {
            continue;
        }
        let over = |each: Vec<f32>| mean(long_enough.iter().map(|&i| each[i]));
        let truth = embeddings.gather(&ahead(h), device);
        for (modality, start, len) in vectors.into_iter().filter(|(.., len)| *len > 0) {
            let part = |e: &Tensor<2>| e.clone().narrow(1, start, len);
            let against = |e: &Tensor<2>| over(by_row(&part(e), &part(&truth)));
            out.push(HorizonError {
                modality: modality.into(),
                h,
                starts: long_enough.len(),
                model: against(&real.e),
                copy_last: against(&latent.e),
                shuffled_actions: against(&shuffled.e),
                repainted: None,
                likeness: None,
            });
        }
        for (c, camera) in dataset.spec.cameras.iter().enumerate() {
            let shown =
                |e: &Tensor<2>| model.representation.decode(c, e.clone(), latent.e.clone(), references[c].clone());
            let seen = pictures_at(c, h);
            let picture = shown(&real.e);
            let size = camera.model_size;
            let painted = to_frames(picture.clone(), size);
            let (copied, recorded) = (frames_at(c, 0), frames_at(c, h));
            let of = |i: usize| (painted[i].as_slice(), copied[i], recorded[i]);
            out.push(HorizonError {
                modality: camera.key.clone(),
                h,
                starts: long_enough.len(),
                likeness: likeness(long_enough.iter().map(|&i| of(i)), size),
                model: over(by_row(&picture, &seen)),
                copy_last: over(by_row(&references[c], &seen)),
                shuffled_actions: over(by_row(&shown(&shuffled.e), &seen)),
                repainted: Some(over(by_row(&shown(&truth), &seen))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::tests::{open, record};
    use crate::model::WorldModelConfig;
    use episodes::{RewardRule, split};

    #[test]
    fn the_table_goes_as_far_as_held_out_episodes_do_and_says_on_how_many_starts() -> Result<(), episodes::Error> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let device = Device::default();
        // Eight episodes of six steps; every element of the state grows by 1 a step.
        record(&dir.path().join("home"), (2, 1), None, (8, 1.0, 0.5))?;
        let dataset = open(&dir.path().join("home"), dir.path())?;
        let corpus = Corpus::new(&dataset, RewardRule::Column, &split::split(8, 0.25, 0), 0.9);
        let embeddings = Embeddings { dim: 2, rows: corpus.tracks.iter().map(|t| t.state.clone()).collect() };
        let model = WorldModel::new(&WorldModelConfig::default(), &[], 2, 1, &device).expect("no cameras, no sizes");
        let table = |horizon: usize| {
            let config = QualityConfig { horizon, starts: 64, context: 1, ..QualityConfig::default() };
            error_by_horizon(&model, (&dataset, &corpus, &embeddings), &config, 0, &device)
        };
        let of = |rows: &[HorizonError]| rows.iter().map(|e| (e.h, e.starts)).collect::<Vec<_>>();
        assert_eq!(of(&table(20)), [(1, 64), (2, 64), (4, 64), (5, 64)]);
        let rows = table(2);
        assert_eq!(of(&rows)[..2], [(1, 64), (2, 64)]);
        // Of the starts 0 to 3 only 0 and 1 see the fourth step from there.
        assert!(rows[2].h == 4 && (8..60).contains(&rows[2].starts) && rows.len() == 3, "{rows:?}");
        let std = f64::from(corpus.state_normaliser.std[0]);
        for row in &rows {
            assert!((row.copy_last - (row.h as f64 / std).powi(2)).abs() < 1e-4 * row.copy_last, "{row:?}");
            assert!(row.likeness.is_none() && row.repainted.is_none() && row.wrong_over_right() > 0.0);
        }
        Ok(())
    }
}
