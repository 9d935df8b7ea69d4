//! The recording file: opened under a temporary name, filled view by view, renamed when complete.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rerun::blueprint::{BlueprintActivation, BlueprintOpts, ContainerLike};
use rerun::sink::FileSink;
use rerun::{RecordingStream, TextDocument};

use crate::layout::{Layout, Section};
use crate::live::{self, Live, Tee};
use crate::recorded::FirstLook;
use crate::{
    BranchView, Curve, DatasetView, EpisodeView, Error, EvaluationView, ImaginedView, RecordedView, branches, charts,
    curves, episode, evaluation, imagined, layout, recorded, series,
};

/// Longest time to wait for a slow disk when a recording is finished.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(600);

/// Frames per second at which an episode plays whose rate nobody knows.
const UNKNOWN_FPS: f64 = 10.0;

/// A recording being written. Dropping it without [`Recorder::finish`] leaves nothing behind.
#[derive(Debug)]
pub struct Recorder {
    rec: Option<RecordingStream>,
    layout: Layout,
    first_look: Option<FirstLook>,
    path: PathBuf,
    partial: PathBuf,
}

impl Recorder {
    /// Starts a recording that will appear at `path` when it is finished.
    ///
    /// The viewer remembers its layout per `app` and merges files of equal `recording_id`.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be made, [`Error::Recording`] when the file cannot.
    pub fn create(path: &Path, app: &str, recording_id: &str) -> Result<Recorder, Error> {
        Recorder::shown(path, app, recording_id, None)
    }

    /// [`Recorder::create`], and shown in a running viewer at the same time, where there is one.
    ///
    /// # Errors
    /// As there; a viewer that is lost is none.
    pub fn shown(path: &Path, app: &str, recording_id: &str, live: Option<&Live>) -> Result<Recorder, Error> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| Error::File { source, path: folder.to_owned() })?;
        }
        let partial = partial_name(path);
        let file = FileSink::new(&partial).map_err(|error| Error::recording("the first bytes", error))?;
        let sink = match live {
            Some(live) => live.sink(Some(file)),
            None => Box::new(Tee::file_alone(file)),
        };
        let rec = live::stream(app, recording_id, sink)?;
        Ok(Recorder { rec: Some(rec), layout: Layout::default(), first_look: None, path: path.to_owned(), partial })
    }

    fn rec(&self) -> Result<&RecordingStream, Error> {
        self.rec.as_ref().ok_or_else(|| Error::recording("more", "it is finished already"))
    }

    /// Adds a lived episode: its frames, state, action, reward and value.
    ///
    /// # Errors
    /// [`Error::Frame`], [`Error::Row`] or [`Error::Fps`] when the view contradicts itself,
    /// [`Error::Recording`] when it cannot be written. So for all views.
    pub fn episode(&mut self, view: &EpisodeView) -> Result<(), Error> {
        let shown = episode::record(self.rec()?, view)?;
        self.layout.add(Section::Episodes, &view.name, shown, Some(view.fps));
        Ok(())
    }

    /// Adds an episode of a dataset: its pictures, state, action, reward, success and interventions.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn recorded(&mut self, view: &RecordedView) -> Result<(), Error> {
        let (shown, first_look) = recorded::record(self.rec()?, view)?;
        let title = if view.note.is_empty() { view.name.clone() } else { format!("{}: {}", view.name, view.note) };
        self.layout.add(Section::Episodes, &title, shown, view.fps.or(Some(UNKNOWN_FPS)));
        self.first_look.get_or_insert(first_look);
        Ok(())
    }

    /// Adds a dataset as a whole: its pages and charts beside the first episode that was added before.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn dataset(&mut self, view: &DatasetView) -> Result<(), Error> {
        let mut pages = Vec::new();
        for (name, markdown) in &view.pages {
            pages.push(self.page(name, markdown)?);
        }
        let charts = charts::record(self.rec()?, &view.charts)?;
        let first_look = self.first_look.take().map_or_else(Vec::new, FirstLook::into_views);
        let shown = layout::pages_beside_charts(pages, first_look, charts);
        self.layout.add(Section::Dataset, "dataset", shown, None);
        for (title, group) in &view.groups {
            let shown = layout::grid(charts::record(self.rec()?, group)?);
            self.layout.add(Section::Distributions, title, shown, None);
        }
        Ok(())
    }

    /// Adds real against imagined: frames side by side with their difference, states on one plot, errors
    /// and disagreement per step of the horizon.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn imagined(&mut self, view: &ImaginedView) -> Result<(), Error> {
        let shown = imagined::record(self.rec()?, view)?;
        self.layout.add(Section::Imagined, &view.name, shown, Some(view.fps));
        Ok(())
    }

    /// Adds imagined futures of one moment: what was recorded beside frames per arm and where its draws disagree, the arms' lines on
    /// shared plots, a table and a verdict.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn branches(&mut self, view: &BranchView) -> Result<(), Error> {
        let shown = branches::record(self.rec()?, view)?;
        self.layout.add(Section::Branches, &view.name, shown, Some(view.fps));
        Ok(())
    }

    /// Adds policies judged side by side: scores with their intervals, the verdict, film strips.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn evaluation(&mut self, view: &EvaluationView) -> Result<(), Error> {
        let shown = evaluation::record(self.rec()?, view)?;
        self.layout.add(Section::Evaluation, "evaluation", shown, None);
        Ok(())
    }

    /// Adds training curves on the timeline `update`. May be called once or per stage.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn curves(&mut self, curves: &[Curve]) -> Result<(), Error> {
        for (name, shown) in curves::record(self.rec()?, curves)? {
            self.layout.add(Section::Curves, &name, shown, None);
        }
        Ok(())
    }

    /// Adds a page of markdown, such as the report.
    ///
    /// # Errors
    /// As [`Recorder::episode`].
    pub fn text(&mut self, name: &str, markdown: &str) -> Result<(), Error> {
        let page = self.page(name, markdown)?;
        self.layout.add(Section::Text, name, page, None);
        Ok(())
    }

    fn page(&self, name: &str, markdown: &str) -> Result<ContainerLike, Error> {
        let at = series::path(&["text", name]);
        let page = TextDocument::from_markdown(markdown);
        self.rec()?.log_static(at.clone(), &page).map_err(|error| Error::recording(name, error))?;
        Ok(layout::page(name, at))
    }

    /// Writes the layout made from what was added, completes the file and gives it its name; returns that.
    ///
    /// # Errors
    /// [`Error::Recording`] or [`Error::File`] when the file could not be completed; it is then removed.
    pub fn finish(mut self) -> Result<PathBuf, Error> {
        let blueprint = std::mem::take(&mut self.layout).into_blueprint();
        let rec = self.rec()?;
        rec.send_blueprint_opts(&BlueprintOpts { blueprint, activation: BlueprintActivation::default() })
            .map_err(|error| Error::recording("the layout", error))?;
        rec.flush_with_timeout(FLUSH_TIMEOUT).map_err(|error| Error::recording("the last bytes", error))?;
        rec.finalize_deferred_sinks();
        self.rec = None;
        fs::rename(&self.partial, &self.path).map_err(|source| Error::File { source, path: self.path.clone() })?;
        Ok(self.path.clone())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(rec) = self.rec.take() {
            rec.finalize_deferred_sinks();
            drop(rec);
        }
        // After a successful finish the file is no longer there, which is what is wanted.
        _ = fs::remove_file(&self.partial);
    }
}

/// The name a file has until it is complete, in the same folder so that renaming is one step.
pub(crate) fn partial_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}
