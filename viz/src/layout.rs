//! The viewer's layout, made from what was added: one tab per kind of result, inside it one per item.

use std::collections::BTreeMap;

use rerun::EntityPath;
use rerun::blueprint::components::{LoopMode, PanelState};
use rerun::blueprint::{
    BarChartView, Blueprint, BlueprintPanel, ContainerLike, Grid, Horizontal, SelectionPanel, Spatial2DView, Tabs,
    TextDocumentView, TimePanel, TimeSeriesView, Vertical,
};

use crate::series::{FRAME_INDEX, UPDATE};

/// Real, as logged, otherwise, where the draws disagree.
const PICTURES_IN_A_ROW: u32 = 4;

/// Kinds of results, in the order of their tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Dataset,
    Evaluation,
    Text,
    Branches,
    Imagined,
    Episodes,
    Distributions,
    Curves,
}

impl Section {
    fn title(self) -> &'static str {
        match self {
            Section::Dataset => "Dataset",
            Section::Evaluation => "Evaluation",
            Section::Text => "Report",
            Section::Branches => "What if",
            Section::Imagined => "Real and imagined",
            Section::Episodes => "Episodes",
            Section::Distributions => "Distributions",
            Section::Curves => "Training",
        }
    }
}

/// What was added so far.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    sections: BTreeMap<Section, Vec<(String, ContainerLike)>>,
    fps: Option<f64>,
}

impl Layout {
    /// Adds one item; the first rate given becomes the speed of playing.
    pub(crate) fn add(&mut self, section: Section, name: &str, shown: ContainerLike, fps: Option<f64>) {
        self.fps = self.fps.or(fps);
        self.sections.entry(section).or_default().push((name.to_owned(), shown));
    }

    pub(crate) fn into_blueprint(self) -> Blueprint {
        let (time, curves_title) = match self.fps {
            // A plot shows the timeline chosen in the time panel; curves have one of their own.
            Some(fps) => (
                TimePanel::new().with_timeline(FRAME_INDEX).with_fps(fps).with_loop_mode(LoopMode::All),
                format!("Training (choose timeline: {UPDATE})"),
            ),
            None if self.sections.contains_key(&Section::Curves) => {
                (TimePanel::new().with_timeline(UPDATE), Section::Curves.title().to_owned())
            }
            None => (TimePanel::new().with_state(PanelState::Hidden), String::new()),
        };
        // What there is to see needs the room; play and the timeline's handle stay in sight.
        let time = if self.fps.is_some() { time.with_state(PanelState::Collapsed) } else { time };
        let tabs = self.sections.into_iter().map(|(section, items)| match section {
            // Plots beside each other; pages have their name already.
            Section::Curves => Grid::new(unnamed(items)).with_name(curves_title.as_str()).into(),
            Section::Text => Tabs::new(unnamed(items)).with_name(section.title()).into(),
            Section::Dataset | Section::Evaluation => Vertical::new(unnamed(items)).with_name(section.title()).into(),
            _ => Tabs::new(items.into_iter().map(|(name, item)| Vertical::new([item]).with_name(name).into()))
                .with_name(section.title())
                .into(),
        });
        Blueprint::new(Tabs::new(tabs))
            .with_auto_views(false)
            .with_time_panel(time)
            .with_blueprint_panel(BlueprintPanel::from_state(PanelState::Collapsed))
            .with_selection_panel(SelectionPanel::from_state(PanelState::Collapsed))
    }
}

fn unnamed(items: Vec<(String, ContainerLike)>) -> impl Iterator<Item = ContainerLike> {
    items.into_iter().map(|(_, item)| item)
}

/// A plot of several entities.
pub(crate) struct Plot {
    title: String,
    lines: Vec<EntityPath>,
    is_empty: bool,
}

impl Plot {
    pub(crate) fn new(title: &str, lines: Vec<EntityPath>, is_empty: bool) -> Plot {
        Plot { title: title.to_owned(), lines, is_empty }
    }
}

/// The view of one camera.
pub(crate) fn picture(title: &str, entity: EntityPath) -> ContainerLike {
    Spatial2DView::new(title).with_origin(entity).into()
}

/// The view of a drawing of several parts.
pub(crate) fn drawing(title: &str, root: EntityPath) -> ContainerLike {
    Spatial2DView::new(title).with_contents([format!("+ {root}/**")]).into()
}

/// The view of a page of text.
pub(crate) fn page(title: &str, entity: EntityPath) -> ContainerLike {
    TextDocumentView::new(title).with_origin(entity).into()
}

/// The view of a plot.
pub(crate) fn plot(plot: Plot) -> ContainerLike {
    TimeSeriesView::new(plot.title).with_contents(plot.lines.iter().map(|line| format!("+ {line}"))).into()
}

/// The view of a bar chart.
pub(crate) fn chart(title: &str, bars: &[EntityPath]) -> ContainerLike {
    BarChartView::new(title).with_contents(bars.iter().map(|bars| format!("+ {bars}"))).into()
}

/// Views side by side in rows of equal length, about as wide as high.
pub(crate) fn grid(views: Vec<ContainerLike>) -> ContainerLike {
    let columns = (views.len() as f64).sqrt().ceil().max(1.0);
    Grid::new(views).with_grid_columns(columns as u32).into()
}

/// What the view of a branch is made of.
pub(crate) struct BranchParts {
    /// Per alternative its name and its pictures, the first in front.
    pub(crate) alternatives: Vec<(String, Vec<ContainerLike>)>,
    /// Per alternative its name and its actions beside those that were logged.
    pub(crate) actions: Vec<(String, Plot)>,
    pub(crate) plots: Vec<Plot>,
    /// Behind each other, to choose from.
    pub(crate) more: Vec<Plot>,
    pub(crate) table: Option<ContainerLike>,
    pub(crate) verdict: Option<ContainerLike>,
}

/// Pictures on top, a tab per alternative; plots in a row below them; verdict and table at the bottom.
pub(crate) fn branches(parts: BranchParts) -> ContainerLike {
    let BranchParts { alternatives, actions, plots, more, table, verdict } = parts;
    let pictures = alternatives.into_iter().filter(|(_, pictures)| !pictures.is_empty());
    let pictures: Vec<ContainerLike> = pictures
        .map(|(name, pictures)| Grid::new(pictures).with_grid_columns(PICTURES_IN_A_ROW).with_name(name).into())
        .collect();
    let of = |plots: Vec<Plot>| plots.into_iter().filter(|one| !one.is_empty).map(plot).collect::<Vec<_>>();
    let tabs = |views: Vec<ContainerLike>| (!views.is_empty()).then(|| Tabs::new(views).into());
    let mut row = of(plots);
    row.extend(tabs(of(actions.into_iter().map(|(_, plot)| plot).collect())));
    row.extend(tabs(of(more)));
    let pages: Vec<ContainerLike> = verdict.into_iter().chain(table).collect();
    let rows = [
        (tabs(pictures), 5.0),
        ((!row.is_empty()).then(|| Horizontal::new(row).into()), 4.0),
        ((!pages.is_empty()).then(|| Horizontal::new(pages).with_column_shares(vec![2.0, 3.0]).into()), 3.0),
    ];
    let (rows, shares): (Vec<ContainerLike>, Vec<f32>) =
        rows.into_iter().filter_map(|(row, share)| Some((row?, share))).unzip();
    Vertical::new(rows).with_row_shares(shares).into()
}

/// The verdict above the scores, film strips beside them.
pub(crate) fn evaluation(
    verdict: ContainerLike,
    charts: Vec<ContainerLike>,
    strips: Option<ContainerLike>,
) -> ContainerLike {
    let shares: Vec<f32> = std::iter::once(1.0).chain(charts.iter().map(|_| 2.0)).collect();
    let scores = Vertical::new(std::iter::once(verdict).chain(charts)).with_row_shares(shares).into();
    match strips {
        Some(strips) => Horizontal::new([scores, strips]).with_column_shares(vec![3.0, 2.0]).into(),
        None => scores,
    }
}

/// Pages on the left; what there is to see first and the charts on the right, one above the other.
pub(crate) fn pages_beside_charts(
    pages: Vec<ContainerLike>,
    first_look: Vec<ContainerLike>,
    charts: Vec<ContainerLike>,
) -> ContainerLike {
    let right: Vec<ContainerLike> =
        [first_look, charts].into_iter().filter(|views| !views.is_empty()).map(grid).collect();
    let left = (!pages.is_empty()).then(|| Tabs::new(pages).into());
    let right = (!right.is_empty()).then(|| Vertical::new(right).into());
    Horizontal::new(left.into_iter().chain(right)).into()
}

/// Pictures in a grid above plots (and a page) in a row; parts without data are left out.
pub(crate) fn pictures_over_plots(
    pictures: Vec<ContainerLike>,
    columns: Option<usize>,
    plots: impl IntoIterator<Item = Plot>,
    page: Option<ContainerLike>,
) -> ContainerLike {
    let below: Vec<ContainerLike> = plots.into_iter().filter(|one| !one.is_empty).map(plot).chain(page).collect();
    let columns = columns.unwrap_or(pictures.len()).max(1);
    match (pictures.is_empty(), below.is_empty()) {
        (true, _) => Grid::new(below).into(),
        (false, true) => Grid::new(pictures).with_grid_columns(columns as u32).into(),
        (false, false) => {
            let above = Grid::new(pictures).with_grid_columns(columns as u32).into();
            Vertical::new([above, Horizontal::new(below).into()]).with_row_shares(vec![3.0, 2.0]).into()
        }
    }
}
