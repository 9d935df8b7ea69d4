//! What every stage works with: the run directory, the data, and the networks as far as they are trained.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use episodes::{Dataset, OpenOptions, RewardRule};
use policy::FlowPolicy;
use rl::Critic;
use rl::selection::Kept;
use world_model::model::Inputs;
use world_model::representation::Representation;
use world_model::vit::{Features, Vit};
use world_model::{Corpus, Embeddings, WorldModel};

use crate::config::{CompanionConfig, DataConfig, LaterConfig, RunConfig};
use crate::errors::UsageError;
use crate::progress::Progress;
use crate::run_dir::{RunDir, write_atomic};
use crate::source::Source;
use crate::{interrupt, output};

use super::distilling::{DISTILLED, DISTILLED_PLAN};
use super::improver::{restore_policy, values_of};
use super::learn::EXPLORER;
use super::selecting::Selected;
use super::training::restore_module;
use super::variant::LAST;

/// The open run with its data.
pub struct Workshop {
    /// Run directory.
    pub run: RunDir,
    /// Complete configuration.
    pub config: RunConfig,
    /// Recorded episodes.
    pub dataset: Dataset,
    /// The same, as learners see them.
    pub corpus: Corpus,
    /// The pretrained transformer beside the encoder, where one is named.
    pub vit: Option<Vit>,
    /// Device for training.
    pub device: Device,
    /// Seconds to spend on all training; `None` for the configured updates.
    pub budget_s: Option<f64>,
    /// What `improve` returns and why, once that is decided.
    pub selected: Option<Selected>,
}

/// Finds the datasets to learn from beside that at `home`, those recorded later among them, and refuses what metadata say cannot join it.
///
/// # Errors
/// As [`Source::find`], [`Source::probe`] and [`Joining::check`](episodes::Joining::check).
pub fn find_companions(config: &RunConfig, home: &Source) -> Result<Vec<Source>> {
    config.data.check()?;
    let later = config.data.more.iter().map(|later| Source::find(&later.path, None));
    if config.data.with.is_empty() {
        return later.collect();
    }
    let mut spec = home.probe(config.data.control_rate())?;
    if let Some(chosen) = config.data.options().cameras {
        let camera = |key: &String| spec.cameras.iter().find(|camera| camera.key == *key).cloned();
        spec.cameras = chosen.iter().filter_map(camera).collect();
    }
    let find = |with: &CompanionConfig| {
        let source = Source::find(&with.path, None)?;
        let theirs = source.probe(with.options(&config.data).control_rate)?;
        source.named(with.joining().check(&spec, &theirs))?;
        Ok(source)
    };
    config.data.with.iter().map(find).chain(later).collect()
}

/// Reads the dataset of a configuration and, at `companions`, those beside it.
///
/// # Errors
/// As [`Source::open`]; a rule of rewards that makes no sense.
pub fn open_data(config: &RunConfig, source: &Source, companions: &[Source]) -> Result<Dataset> {
    config.data.check()?;
    let mut dataset = source.open(config.data.options())?;
    warn_if_imagined(&dataset);
    dataset.weight = config.data.weight;
    for (with, source) in config.data.with.iter().zip(companions) {
        let (how, options) = (with.joining(), with.options(&config.data));
        let cameras = how.cameras_to_read(&dataset.spec, &source.probe(options.control_rate)?);
        let options = OpenOptions { cameras: Some(cameras), ..source.complete(options)? };
        let theirs = source.open(options)?;
        warn_if_imagined(&theirs);
        dataset.join(theirs, &how)?;
    }
    for (later, source) in config.data.more.iter().zip(companions.iter().skip(config.data.with.len())) {
        go_on(&mut dataset, &config.data, later, source)?;
    }
    Ok(dataset)
}

/// Whoever wants to learn from imagination may; not without being told.
fn warn_if_imagined(dataset: &Dataset) {
    if dataset.is_imagined {
        output::tell(&format!("warning: {}: {}", dataset.spec.source, episodes::IMAGINED));
    }
}

/// Takes in episodes that the robot of `dataset` recorded later.
///
/// # Errors
/// As [`Source::open`] and [`Dataset::go_on`]; no reward where the earlier episodes have one.
pub fn go_on(dataset: &mut Dataset, data: &DataConfig, later: &LaterConfig, source: &Source) -> Result<()> {
    let theirs = source.open(later.options(data, &dataset.spec))?;
    warn_if_imagined(&theirs);
    let reads_column = data.rule().resolve(&dataset.spec).reward == RewardRule::Column;
    if reads_column && !theirs.spec.has_reward {
        return Err(UsageError(format!(
            "{}: no reward was recorded; expected a reward column, as {} has: without it every step would count as worth nothing",
            theirs.spec.source, dataset.spec.source
        ))
        .into());
    }
    Ok(dataset.go_on(theirs, later.weight)?)
}

impl Workshop {
    /// Puts data and configuration together.
    ///
    /// # Errors
    /// The run was begun on other data; a pretrained transformer that cannot be read.
    pub fn new(
        mut run: RunDir,
        config: RunConfig,
        dataset: Dataset,
        device: &Device,
        minutes: Option<f64>,
    ) -> Result<Self> {
        run.set_dataset(&dataset.content_id)?;
        config.check_improving(dataset.spec.cameras.len())?;
        let split = dataset.split(config.data.held_out, config.seed);
        let corpus = {
            let (data, model) = (&config.data, &config.world_model);
            Corpus::joined(&dataset, &data.rules(), &split, config.value.gamma, &model.task)
                .with_state_angles(&dataset, &data.state_angles)?
                .with_hints(&dataset, &data.hint_angles)?
                .with_differences(&dataset, &data.same_axis, &data.seen_from)?
        };
        if corpus.train.iter().all(|&track| corpus.tracks[track].len < 2) {
            return Err(UsageError(format!(
                "{}: none of the {} training episodes has more than one step; expected some in which something follows an action",
                dataset.spec.source,
                corpus.train.len()
            ))
            .into());
        }
        let pretrained = &config.pretrained;
        let largest = dataset.spec.cameras.iter().map(|camera| camera.model_size).max();
        let vit = match largest.filter(|_| !pretrained.path.as_os_str().is_empty()) {
            Some(size) => Some(Vit::load(pretrained, size, device)?),
            None => None,
        };
        let selected = if run.is_complete("improve") { Selected::load(run.root(), &config.evaluate) } else { None };
        // Parameter initialisation is the one user of the device's own generator.
        device.seed(config.seed);
        Ok(Self {
            run,
            config,
            dataset,
            corpus,
            vit,
            device: device.clone().autodiff(),
            budget_s: minutes.map(|m| m * 60.0),
            selected,
        })
    }

    /// Device for inference.
    pub fn inner(&self) -> Device {
        self.device.clone().inner()
    }

    /// Picture sizes of the cameras, pixels.
    pub fn camera_sizes(&self) -> Vec<usize> {
        self.dataset.spec.cameras.iter().map(|c| c.model_size).collect()
    }

    /// Elements of an embedding.
    pub fn embedding_len(&self) -> usize {
        let camera_len = self.config.world_model.representation.camera_len(self.corpus.hint_len());
        self.dataset.spec.cameras.len() * camera_len + self.corpus.state_len
    }

    /// A fresh world model; initialisation depends on the seed alone, not on what was initialised before.
    ///
    /// # Errors
    /// A picture size that the networks cannot take.
    pub fn fresh_model(&self, device: &Device) -> Result<WorldModel> {
        device.seed(self.config.seed);
        let inputs = Inputs {
            camera_sizes: &self.camera_sizes(),
            feature: self.vit.as_ref().map_or(0, |vit| vit.spec().feature_len()),
            hint: self.corpus.hint_len(),
            state: self.corpus.state_len,
            task: self.corpus.task_len,
            differences: &self.corpus.differences,
            action: self.corpus.action_len,
        };
        Ok(WorldModel::of(&self.config.world_model, &inputs, device)?)
    }

    /// A fresh policy.
    pub fn fresh_policy(&self, device: &Device) -> FlowPolicy {
        device.seed(self.config.seed.wrapping_add(1));
        let actions = (self.corpus.action_len, self.corpus.home_action_len());
        FlowPolicy::padded(&self.config.policy, self.embedding_len(), actions, device)
    }

    /// A fresh value ensemble.
    pub fn fresh_critic(&self, device: &Device) -> Critic {
        device.seed(self.config.seed.wrapping_add(2));
        Critic::new(&self.config.value, self.embedding_len(), &self.corpus.returns, device)
    }

    fn finished(&self, stage: &str, verb: &str) -> Result<PathBuf> {
        let root = self.run.root().display();
        if !self.run.is_complete(stage) {
            return Err(UsageError(format!(
                "{root}: stage '{stage}' has not been trained; run `rehearsal {verb} {}{root}` first",
                if verb.starts_with("train") { "--out " } else { "" }
            ))
            .into());
        }
        let checkpoint =
            self.run.last_checkpoint(stage)?.with_context(|| {
            format!("{root}: stage '{stage}' is complete, and its checkpoint in {root}/checkpoints is gone; copy it back, or train anew elsewhere with `rehearsal run {root}/run.toml --out DIR`")
        })?;
        Ok(checkpoint.dir)
    }

    /// The trained representation, for inference.
    ///
    /// # Errors
    /// It is not trained, or its checkpoint does not fit.
    pub fn representation(&self) -> Result<Representation> {
        let fresh = self.fresh_model(&self.inner())?.representation;
        restore_module(fresh, &self.finished("representation", "train world-model")?, "representation")
    }

    /// The trained world model, for inference.
    ///
    /// # Errors
    /// It is not trained, or its checkpoint does not fit.
    pub fn model(&self) -> Result<WorldModel> {
        let mut model = self.fresh_model(&self.inner())?;
        model.representation = self.representation()?;
        model.dynamics = restore_module(model.dynamics, &self.finished("dynamics", "train world-model")?, "dynamics")?;
        Ok(model)
    }

    /// The trained `cloned` policy, what `improve` returned as `improved`, its `candidate` for that, what `distil` made of it, or the
    /// `previous` one that went into the run, for inference.
    ///
    /// # Errors
    /// It is not trained, or its checkpoint does not fit.
    pub fn policy(&self, name: &str) -> Result<FlowPolicy> {
        self.policy_on(name, &self.inner())
    }

    /// The same on any device.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn policy_on(&self, name: &str, device: &Device) -> Result<FlowPolicy> {
        let fresh = self.fresh_policy(device);
        let name = match name {
            "improved" if self.returned_what_went_in() => self.went_in(),
            name => name,
        };
        match (name, self.inherited("improve")) {
            ("previous", Some(dir)) => restore_policy(fresh, &dir, "best", &self.corpus),
            ("previous", None) => Err(self.no_previous().into()),
            ("improved" | "candidate", _) => {
                restore_policy(fresh, &self.finished("improve", "improve")?, "best", &self.corpus)
            }
            (LAST, _) => self.last_copy(fresh, &self.finished("improve", "improve")?),
            (DISTILLED | DISTILLED_PLAN, _) => {
                restore_policy(fresh, &self.finished(name, "distil")?, name, &self.corpus)
            }
            (EXPLORER, _) => restore_module(fresh, &self.finished(EXPLORER, "improve")?, "policy"),
            _ => restore_module(fresh, &self.finished("policy", "train policy")?, "policy"),
        }
    }

    /// The policy that improvement begins with and has to beat: the clone, in a run that goes on the `previous` one.
    pub fn went_in(&self) -> &'static str {
        if self.inherited("improve").is_some() { "previous" } else { "cloned" }
    }

    fn returned_what_went_in(&self) -> bool {
        self.selected.as_ref().is_some_and(|s| s.improvement.kept == Kept::Cloned)
    }

    /// The values of the recorded behaviour.
    ///
    /// # Errors
    /// They are not trained, or their checkpoint does not fit.
    pub fn recorded_critic(&self) -> Result<Critic> {
        restore_module(self.fresh_critic(&self.inner()), &self.finished("value", "train value")?, "slow")
    }

    /// Whether [`Self::critic`] is that of the improved policy.
    pub fn judges_by_improved_values(&self) -> bool {
        let own = self.run.is_complete("improve") && !self.returned_what_went_in();
        own && values_of(self.config.improve.method).0 == "improve"
    }

    /// The values: those of the improved policy where there are some, else those of the recorded behaviour.
    ///
    /// # Errors
    /// They are not trained, or their checkpoint does not fit.
    pub fn critic(&self) -> Result<Critic> {
        let (stage, file) =
            if self.judges_by_improved_values() { values_of(self.config.improve.method) } else { ("value", "slow") };
        restore_module(self.fresh_critic(&self.inner()), &self.finished(stage, "train value")?, file)
    }

    /// What the pretrained transformer, where there is one, sees in every recorded frame: computed once per run and kept in
    /// `features.bin`.
    ///
    /// # Errors
    /// The run directory cannot be written; Ctrl-C.
    pub fn features(&self) -> Result<Option<Features>> {
        let Some(vit) = &self.vit else { return Ok(None) };
        let (len, cameras) = (vit.spec().feature_len(), self.dataset.spec.cameras.len());
        let lens: Vec<usize> = self.corpus.tracks.iter().map(|track| track.len * cameras * len).collect();
        let path = self.run.path("features.bin");
        if let Some(rows) = read_rows(&path, &lens) {
            return Ok(Some(Features { len, cameras, rows }));
        }
        let steps: usize = self.corpus.tracks.iter().map(|track| track.len).sum();
        let mut progress = Progress::stage("pretrained", steps as u64, "steps");
        let mut rows = self.inherited_rows("features.bin", &lens);
        let mut done = 0;
        for track in self.corpus.tracks.iter().skip(rows.len()) {
            interrupt::check()?;
            rows.push(vit.see_track(&self.dataset, track, &self.inner()));
            done += track.len;
            progress.set(done as u64, "");
        }
        progress.finish();
        write_rows(&path, &rows)?;
        Ok(Some(Features { len, cameras, rows }))
    }

    /// Embeddings of every recorded step, computed once per run and kept in `embeddings.bin`.
    ///
    /// # Errors
    /// The representation is not trained, or the run directory cannot be written.
    pub fn embeddings(&self) -> Result<Embeddings> {
        let dim = self.embedding_len();
        let path = self.run.path("embeddings.bin");
        let lens: Vec<usize> = self.corpus.tracks.iter().map(|t| t.len * dim).collect();
        if let Some(rows) = read_rows(&path, &lens) {
            return Ok(Embeddings { dim, rows });
        }
        // What was embedded before is as it was: the encoder is the same.
        let mut rows = self.inherited_rows("embeddings.bin", &lens);
        rows.extend(world_model::representation::embed_from(
            rows.len(),
            &self.representation()?.encoder.valid(),
            (&self.dataset, &self.corpus, self.features()?.as_ref()),
            &self.inner(),
        ));
        let mut embeddings = Embeddings { dim, rows };
        if self.config.world_model.learn_from_hints {
            world_model::hints::learn_from_recorded(&self.corpus, &mut embeddings);
        }
        write_rows(&path, &embeddings.rows)?;
        Ok(embeddings)
    }
}

/// Rows of so many values each, one after the other; `None` where the file does not hold just these.
pub(super) fn read_rows(path: &Path, lens: &[usize]) -> Option<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() == 4 * lens.iter().sum::<usize>())?;
    let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Some(lens.iter().map(|&len| values.by_ref().take(len).collect()).collect())
}

/// Writes what [`read_rows`] reads.
///
/// # Errors
/// The run directory cannot be written.
pub(super) fn write_rows(path: &Path, rows: &[Vec<f32>]) -> Result<()> {
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    write_atomic(path, &bytes)
}
