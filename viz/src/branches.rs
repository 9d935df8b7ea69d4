//! Several futures of one moment.

use rerun::blueprint::ContainerLike;
use rerun::components::MarkerShape;
use rerun::{EntityPath, RecordingStream, SeriesPoints, TextDocument};

use crate::layout::{self, BranchParts, Plot};
use crate::series::{self, Track, path};
use crate::{ArmView, BRIGHTEST_SPREAD, BranchView, Error};

/// A series of an arm: entity name, title of the plot it shares with the other arms, and where it is.
type Quantity = (&'static str, &'static str, fn(&ArmView) -> &Vec<f32>);

const MORE: [Quantity; 2] = [
    ("success_probability", "success probability", |arm| &arm.success_probability),
    ("next.reward", "reward", |arm| &arm.reward),
];

/// Of lines that are no arm's: what was recorded, and limits.
const GREY: u32 = 0x9090_90FF;
/// Width of a band's edges, points; lines have more.
const THIN: f32 = 0.7;

/// A view being sent: where it goes, on the steps of actions and of what they lead to.
struct Sender<'r> {
    rec: &'r RecordingStream,
    view: &'r BranchView,
    acted: Track<'r>,
    seen: Track<'r>,
}

pub(crate) fn record(rec: &RecordingStream, view: &BranchView) -> Result<ContainerLike, Error> {
    let track = |first| Track::new(rec, &view.name, view.fps, first);
    let sender = Sender { rec, view, acted: track(view.fork_step)?, seen: track(view.fork_step + 1)? };
    let mut plots = vec![sender.values()?, sender.doubt()?];
    let mut more = vec![sender.disagreement()?];
    for (entity, title, of) in MORE {
        let mut lines = sender.lines(&sender.acted, entity, of)?;
        if entity == "next.reward" {
            let real = sender.at("real", entity);
            sender.acted.line(&real, &view.real.reward, "recorded", Some(GREY))?;
            lines.extend((!view.real.reward.is_empty()).then_some(real));
        }
        let is_empty = lines.is_empty();
        more.push(Plot::new(title, lines, is_empty));
    }
    plots.push(more.remove(1));
    let parts = BranchParts {
        alternatives: sender.pictures()?,
        actions: sender.actions()?,
        plots,
        more,
        table: sender.page("table", &view.table)?,
        verdict: sender.page("verdict", &view.verdict)?,
    };
    Ok(layout::branches(parts))
}

impl Sender<'_> {
    fn at(&self, arm: &str, name: &str) -> EntityPath {
        path(&["branches", &self.view.name, arm, name])
    }

    /// Arms with their colours.
    fn arms(&self) -> impl Iterator<Item = (u32, &ArmView)> {
        self.view.arms.iter().enumerate().map(|(index, arm)| (series::colour(index), arm))
    }

    /// Per alternative a row for each camera: real, imagined as logged, imagined otherwise, where the draws disagree.
    fn pictures(&self) -> Result<Vec<(String, Vec<ContainerLike>)>, Error> {
        for (name, frames) in &self.view.real.cameras {
            self.seen.frames(&self.at("real", &series::camera_entity(name)), frames)?;
        }
        for arm in &self.view.arms {
            for (name, frames) in &arm.cameras {
                self.seen.frames(&self.at(&arm.name, &series::camera_entity(name)), frames)?;
            }
            for (name, frames) in &arm.spread {
                self.seen.frames(&self.spread_of(arm, name), frames)?;
            }
        }
        let logged = self.view.arms.iter().find(|arm| arm.is_logged);
        let only = self.view.arms.iter().all(|arm| arm.is_logged);
        let shown = self.view.arms.iter().filter(|arm| only || !arm.is_logged);
        Ok(shown.map(|arm| (arm.name.clone(), self.row(arm, logged.filter(|_| !only)))).collect())
    }

    fn row(&self, arm: &ArmView, logged: Option<&ArmView>) -> Vec<ContainerLike> {
        let mut row = Vec::new();
        for (name, _) in &arm.cameras {
            let entity = series::camera_entity(name);
            let has = |cameras: &[(String, _)]| cameras.iter().any(|(other, _)| other == name);
            if has(&self.view.real.cameras) {
                row.push(layout::picture(&format!("real: {name}"), self.at("real", &entity)));
            }
            if let Some(logged) = logged.filter(|logged| has(&logged.cameras)) {
                row.push(layout::picture("imagined, logged actions", self.at(&logged.name, &entity)));
            }
            row.push(layout::picture(&format!("imagined, {}", arm.name), self.at(&arm.name, &entity)));
            if has(&arm.spread) {
                let title = format!(
                    "disagreement, {}: spread over {} draws, yellow from {BRIGHTEST_SPREAD} of 255 on",
                    arm.name, self.view.draws
                );
                row.push(layout::picture(&title, self.spread_of(arm, name)));
            }
        }
        row
    }

    fn spread_of(&self, arm: &ArmView, camera: &str) -> EntityPath {
        path(&["branches", &self.view.name, &arm.name, "spread", &series::camera_entity(camera)])
    }

    fn lines(&self, track: &Track<'_>, entity: &str, of: fn(&ArmView) -> &Vec<f32>) -> Result<Vec<EntityPath>, Error> {
        let mut lines = Vec::new();
        for (colour, arm) in self.arms().filter(|(_, arm)| !of(arm).is_empty()) {
            let line = self.at(&arm.name, entity);
            track.line(&line, of(arm), &arm.name, Some(colour))?;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Mean values, and thin lines between which four draws of five lie.
    fn values(&self) -> Result<Plot, Error> {
        let mut lines = self.lines(&self.seen, "value", |arm| &arm.value)?;
        for (colour, arm) in self.arms() {
            for (edge, values) in ["low", "high"].iter().zip(&arm.value_band).filter(|(_, values)| !values.is_empty()) {
                let line = path(&["branches", &self.view.name, &arm.name, "value", edge]);
                self.seen.thin_line(&line, values, &arm.name, colour, THIN)?;
                lines.push(line);
            }
        }
        let is_empty = lines.is_empty();
        Ok(Plot::new("value, 10 to 90 % of draws", lines, is_empty))
    }

    /// Summed doubt; a cross where it spends the budget: the trust horizon.
    fn doubt(&self) -> Result<Plot, Error> {
        let mut lines = self.lines(&self.acted, "doubt", |arm| &arm.doubt)?;
        let is_empty = lines.is_empty();
        if let Some(budget) = self.view.doubt_budget.filter(|budget| budget.is_finite() && !is_empty) {
            lines.push(self.limit("doubt", budget)?);
            for (colour, arm) in self.arms() {
                let Some(step) = arm.doubt.iter().position(|doubt| *doubt >= budget) else { continue };
                let mark = self.at(&arm.name, "trust_horizon");
                let looks = SeriesPoints::new()
                    .with_names([format!("{}: trust ends", arm.name)])
                    .with_markers([MarkerShape::Cross])
                    .with_marker_sizes([8.0])
                    .with_colors([colour]);
                self.acted.point(&mark, step, f64::from(arm.doubt[step]), &looks)?;
                lines.push(mark);
            }
        }
        Ok(Plot::new("doubt (cross: trust ends)", lines, is_empty))
    }

    fn disagreement(&self) -> Result<Plot, Error> {
        let mut lines = self.lines(&self.acted, "disagreement", |arm| &arm.disagreement)?;
        let is_empty = lines.is_empty();
        if let Some(limit) = self.view.disagreement_limit.filter(|limit| limit.is_finite() && !is_empty) {
            lines.push(self.limit("disagreement", limit)?);
        }
        Ok(Plot::new("disagreement", lines, is_empty))
    }

    fn limit(&self, of: &str, at: f32) -> Result<EntityPath, Error> {
        let steps = self.view.arms.iter().map(|arm| arm.doubt.len().max(arm.disagreement.len())).max().unwrap_or(0);
        let line = self.at("limit", of);
        self.acted.line(&line, &vec![at; steps], "limit", Some(GREY))?;
        Ok(line)
    }

    /// Actions of each arm; one plot per alternative, beside those that were logged.
    fn actions(&self) -> Result<Vec<(String, Plot)>, Error> {
        let mut logged = None;
        for arm in self.view.arms.iter().filter(|arm| !arm.action.is_empty()) {
            let entity = self.at(&arm.name, "action");
            self.acted.rows(&entity, &arm.action, &self.view.action_names, &format!("{} ", arm.name))?;
            if arm.is_logged {
                logged = Some(entity);
            }
        }
        let others = self.view.arms.iter().filter(|arm| !arm.is_logged && !arm.action.is_empty());
        let plot = |arm: &ArmView| {
            let lines = logged.iter().cloned().chain([self.at(&arm.name, "action")]).collect();
            (arm.name.clone(), Plot::new(&format!("action: logged and {}", arm.name), lines, false))
        };
        Ok(others.map(plot).collect())
    }

    fn page(&self, name: &str, markdown: &str) -> Result<Option<ContainerLike>, Error> {
        if markdown.is_empty() {
            return Ok(None);
        }
        let at = path(&["branches", &self.view.name, name]);
        let page = TextDocument::from_markdown(markdown);
        self.rec.log_static(at.clone(), &page).map_err(|error| Error::recording(&self.view.name, error))?;
        Ok(Some(layout::page(name, at)))
    }
}
