//! The recording: real against imagined video, branches, values, disagreement, training curves; and a contact sheet.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use burn::tensor::Tensor;
use policy::FlowPolicy;
use rl::Critic;
use rollouts::branch::{Arm, Branch, ForkOptions, fork};
use rollouts::imagine::split_chunk;
use viz::{Curve, EpisodeView, Frame, ImaginedView, Recorder, SheetRow};
use world_model::vision::{floats, to_blocks, to_frames};
use world_model::{Embeddings, WorldModel, noise};

use super::evaluating::evaluation_view;
use super::filming::sheet_rows;
use super::workshop::Workshop;
use crate::report::{Film, Pictures, Report};
use crate::{args, live};

/// Networks that a branch may ask.
pub struct Minds {
    /// World model.
    pub model: WorldModel,
    /// Values.
    pub critic: Critic,
    /// Policies by name.
    pub policies: BTreeMap<String, FlowPolicy>,
}

impl Workshop {
    /// Everything that is trained.
    ///
    /// # Errors
    /// The world model or the values are not trained.
    pub fn minds(&self) -> Result<Minds> {
        let mut policies = BTreeMap::new();
        for (name, stage) in [("cloned", "policy"), ("improved", "improve")] {
            if self.run.is_complete(stage) {
                policies.insert(name.to_owned(), self.policy(name)?);
            }
        }
        Ok(Minds { model: self.model()?, critic: self.critic()?, policies })
    }

    /// Paints embeddings `[N, E]` as pictures of one camera, over the picture recorded at (track, step).
    pub(super) fn painter<'a>(
        &self,
        model: &'a WorldModel,
        camera: usize,
        (track, step): (usize, usize),
        embeddings: &Embeddings,
    ) -> impl Fn(&Tensor<2>) -> Vec<Frame> + use<'a> {
        let device = self.inner();
        let size = self.dataset.spec.cameras[camera].model_size;
        let picture = self.dataset.frame(camera, self.corpus.tracks[track].episode, step);
        let blocks = to_blocks([picture].into_iter(), size, &device);
        let e_reference = embeddings.gather(&[(track, step)], &device);
        move |e| {
            let ([n, width], [_, m, v]) = (e.dims(), blocks.dims());
            let (like, from) = (e_reference.clone().expand([n, width]), blocks.clone().expand([n, m, v]));
            let painted = model.representation.decode(camera, e.clone(), like, from);
            to_frames(painted, size).into_iter().map(|rgb| Frame { size, rgb }).collect()
        }
    }

    pub(super) fn real_frames(&self, camera: usize, track: usize, steps: std::ops::Range<usize>) -> Vec<Frame> {
        let size = self.dataset.spec.cameras[camera].model_size;
        let episode = self.corpus.tracks[track].episode;
        steps.map(|t| Frame { size, rgb: self.dataset.frame(camera, episode, t).to_vec() }).collect()
    }

    fn state_names(&self) -> Vec<String> {
        self.dataset.spec.state.iter().flat_map(|f| f.names.clone()).collect()
    }

    /// Raw state of embeddings `[N, E]`, as the robot has it.
    pub(super) fn state_rows(&self, e: &Tensor<2>) -> Vec<Vec<f32>> {
        let (dim, s) = (e.dims()[1], self.corpus.state_len);
        let angles = &self.corpus.state_angles;
        floats(e.clone())
            .chunks_exact(dim)
            .map(|row| {
                let mut raw = vec![0.0; s];
                self.corpus.state_normaliser.denormalise(&row[dim - s..], &mut raw);
                raw.truncate(angles.spread_len());
                angles.gather(&raw)
            })
            .collect()
    }

    /// Imagines one arm of a comparison.
    ///
    /// # Errors
    /// A policy that is not there, a file of actions that does not fit.
    pub fn imagine_arm(
        &self,
        minds: &Minds,
        embeddings: &Embeddings,
        arm: &args::Arm,
        options: &ForkOptions,
    ) -> Result<Branch> {
        let (a, receding) = (self.corpus.action_len, self.config.policy.receding());
        let value = |e: &Tensor<2>| minds.critic.cautious(e);
        let device = self.inner();
        let go = |arm: &Arm<'_>| fork(&minds.model, (&self.corpus, embeddings), arm, options, &value, &device);
        Ok(match arm {
            args::Arm::Logged => go(&Arm::Logged),
            args::Arm::Scaled(factor) => go(&Arm::Scaled(*factor)),
            args::Arm::Hold => go(&Arm::Hold),
            args::Arm::File(path) => go(&Arm::Given(self.actions_from(path)?)),
            args::Arm::Cloned | args::Arm::Improved | args::Arm::Draw(..) => {
                let name = arm.network().unwrap_or_default();
                let Some(policy) = minds.policies.get(name) else {
                    let root = self.run.root().display();
                    return Err(crate::errors::UsageError(format!(
                        "{root} has no {name} policy yet; leave the arm '{arm}' out, or train it first"
                    ))
                    .into());
                };
                // One way to act has noise of its own, the same in every draw of the world's.
                let number = if let args::Arm::Draw(_, number) = arm { Some(*number as u64) } else { None };
                let own = number.map(|number| {
                    let key = number << 48 | (options.track as u64) << 24 | options.step as u64;
                    RefCell::new(noise::generator(options.seed, "branch-draw", key))
                });
                let last = RefCell::new(None);
                let act = |e: &Tensor<2>, rng: &mut rand::rngs::StdRng| {
                    let (rows, width) = (e.dims()[0], policy.noise_len());
                    let noise = match &own {
                        Some(own) => {
                            noise::normal([1, width], &mut own.borrow_mut(), &e.device()).expand([rows, width])
                        }
                        None => noise::normal([rows, width], rng, &e.device()),
                    };
                    let chunk = receding.go_on(&mut last.borrow_mut(), policy.act(e.clone(), noise), a);
                    split_chunk(&chunk, a, receding.execute)
                };
                go(&Arm::Policy(&act))
            }
        })
    }

    fn actions_from(&self, path: &std::path::Path) -> Result<Vec<f32>> {
        let (a, padded) = (self.dataset.spec.action_len(), self.corpus.action_len);
        let wrong = |found: String| {
            crate::errors::UsageError(format!(
                "{}: {found}; expected rows of {a} comma-separated numbers, raw units, one row per step",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut out = Vec::new();
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            let row: Result<Vec<f32>, _> = line.split(',').map(|v| v.trim().parse::<f32>()).collect();
            let mut row = row.map_err(|e| wrong(format!("line {}: {e}", i + 1)))?;
            if row.len() != a || row.iter().any(|v| !v.is_finite()) {
                return Err(wrong(format!("line {} has {} numbers", i + 1, row.len())).into());
            }
            let start = out.len();
            row.resize(padded, 0.0);
            out.resize(start + padded, 0.0);
            self.corpus.action_normaliser.normalise(&row, &mut out[start..]);
        }
        if out.is_empty() {
            return Err(wrong("no rows".into()).into());
        }
        Ok(out)
    }

    /// A recorded episode with its values.
    fn episode_view(&self, minds: &Minds, embeddings: &Embeddings, track: usize) -> EpisodeView {
        let t = &self.corpus.tracks[track];
        let episode = &self.dataset.episodes[t.episode];
        let (s, a) = (self.dataset.spec.state_len(), self.dataset.spec.action_len());
        let at: Vec<(usize, usize)> = (0..t.len).map(|i| (track, i)).collect();
        EpisodeView {
            name: format!("episode {}", episode.index),
            fps: self.dataset.spec.control_rate_hz,
            cameras: (0..self.dataset.spec.cameras.len())
                .map(|c| (self.dataset.spec.cameras[c].key.clone(), self.real_frames(c, track, 0..t.len)))
                .collect(),
            state: (0..t.len).map(|i| episode.state_at(i, s).to_vec()).collect(),
            state_names: self.state_names(),
            action: (0..t.len).map(|i| episode.action_at(i, a).to_vec()).collect(),
            action_names: self.dataset.spec.action.names.clone(),
            reward: t.reward.clone(),
            value: floats(minds.critic.mean(&embeddings.gather(&at, &self.inner()))),
        }
    }

    /// Real against imagined from (track, step), with the recorded actions.
    fn imagined_view(&self, minds: &Minds, embeddings: &Embeddings, options: &ForkOptions) -> Result<ImaginedView> {
        let branch = self.imagine_arm(minds, embeddings, &args::Arm::Logged, options)?;
        let (track, step, h) = (options.track, options.step, options.horizon);
        let path = Tensor::cat(branch.imagined.latents.iter().map(|l| l.e.clone().narrow(0, 0, 1)).collect(), 0);
        let episode = &self.dataset.episodes[self.corpus.tracks[track].episode];
        let real = step + 1..step + h + 1;
        Ok(ImaginedView {
            name: format!("episode {} from step {step}", episode.index),
            fps: self.dataset.spec.control_rate_hz,
            cameras: (0..self.dataset.spec.cameras.len())
                .map(|c| {
                    let imagined = self.painter(&minds.model, c, (track, step), embeddings)(&path);
                    (self.dataset.spec.cameras[c].key.clone(), self.real_frames(c, track, real.clone()), imagined)
                })
                .collect(),
            state_real: real.map(|t| episode.state_at(t, self.dataset.spec.state_len()).to_vec()).collect(),
            state_imagined: self.state_rows(&path),
            state_names: self.state_names(),
            disagreement: branch.series(|p| &p.disagreement),
        })
    }

    /// Training curves from `metrics.jsonl`.
    fn curves(&self) -> Vec<Curve> {
        let mut curves: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
        let text = std::fs::read_to_string(self.run.path("metrics.jsonl")).unwrap_or_default();
        for line in text.lines() {
            let Ok(serde_json::Value::Object(map)) = serde_json::from_str(line) else {
                continue;
            };
            let (Some(stage), Some(step)) =
                (map.get("stage").and_then(|s| s.as_str()), map.get("step").and_then(|s| s.as_u64()))
            else {
                continue;
            };
            for (key, value) in &map {
                if let (false, Some(value)) = (key == "stage" || key == "step", value.as_f64()) {
                    curves.entry(format!("{stage}/{key}")).or_default().push((step, value));
                }
            }
        }
        curves.into_iter().map(|(name, points)| Curve { name, unit: String::new(), points }).collect()
    }

    /// What `report.html` shows beside the report: the films and the training curves.
    pub fn pictures(&self, films: Vec<Film>) -> Pictures {
        let points = |c: Curve| (c.name, c.points.into_iter().map(|(update, v)| (update as f64, v)).collect());
        Pictures { films, curves: self.curves().into_iter().map(points).collect() }
    }

    /// Writes `recording.rrd` and `contact_sheet.png`; returns the films that are on both.
    ///
    /// # Errors
    /// The run directory cannot be written.
    pub fn record(&self, minds: &Minds, embeddings: &Embeddings, report: &Report) -> Result<Vec<Film>> {
        let (path, name) = (self.run.path("recording.rrd"), self.run.root().display().to_string());
        let mut recorder = Recorder::shown(&path, "rehearsal", &name, live::viewer())?;
        let measures = self.measures(minds, embeddings, self.config.quality.horizon)?;
        let mut films = Vec::new();
        for (i, options) in self.shown().into_iter().enumerate() {
            if i == 0 {
                recorder.episode(&self.episode_view(minds, embeddings, options.track))?;
            }
            recorder.imagined(&self.imagined_view(minds, embeddings, &options)?)?;
            let futures = self.futures(minds, embeddings, &options, &measures)?;
            recorder.branches(&futures)?;
            films.extend(self.film(&futures, &options));
        }
        let rows: Vec<SheetRow> = films.iter().flat_map(sheet_rows).collect();
        if !rows.is_empty() {
            viz::save_sheet(&self.run.path("contact_sheet.png"), &rows, 2)?;
        }
        recorder.evaluation(&evaluation_view(report, rows))?;
        recorder.curves(&self.curves())?;
        recorder.text("report", &report.to_markdown())?;
        recorder.finish()?;
        Ok(films)
    }
}

/// Eight of so many steps, from the first to the last.
pub(super) fn moments(horizon: usize) -> impl Iterator<Item = usize> {
    (0..8).map(move |k| k * horizon.saturating_sub(1) / 7)
}

/// The pictures of [`moments`]: the same steps whatever there is a picture of; where they end early the last one stays.
pub(super) fn strip(frames: &[Frame], horizon: usize) -> Vec<Frame> {
    let Some(last) = frames.len().checked_sub(1) else { return Vec::new() };
    moments(horizon).map(|step| frames[step.min(last)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_shows_the_same_steps_of_whatever_is_beside_each_other() {
        let frames = |n: u8| (0..n).map(|i| Frame { size: 1, rgb: vec![i; 3] }).collect::<Vec<Frame>>();
        let steps = |n: u8, horizon| strip(&frames(n), horizon).iter().map(|f| f.rgb[0]).collect::<Vec<u8>>();
        assert_eq!(steps(20, 20), [0, 2, 5, 8, 10, 13, 16, 19]);
        assert_eq!(steps(9, 20), [0, 2, 5, 8, 8, 8, 8, 8]);
        assert_eq!(steps(1, 1), [0; 8]);
        assert!(steps(0, 20).is_empty());
    }
}
