//! What the verbs do beyond looking: training, rehearsing, judging, serving. Most verbs, and how each opens its run, make it long.

mod again;
mod branching;
mod choosing;
mod comparing;
mod counterfactual;
mod distilling;
mod driving;
mod evaluating;
mod faults;
mod filming;
mod fitting;
mod improver;
mod improving;
mod judge;
mod known;
mod known_truth;
mod learn;
mod more;
mod noting;
mod outsider;
mod planning;
mod ranking;
mod record;
mod reporting;
mod scope;
mod scoring;
mod searching;
mod selecting;
mod serving;
mod training;
mod trial;
mod variant;
mod weighing;
mod workshop;
mod writing;

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;

use crate::args::{Common, Stage};
use crate::config::RunConfig;
use crate::errors::UsageError;
use crate::progress::Progress;
use crate::report::Report;
use crate::run_dir::{OpenRun, RunDir};
use crate::source::{self, Source};
use crate::{config_file, interrupt, output};

pub use again::run_again;
pub use branching::branch;
pub use distilling::distil;
pub use evaluating::evaluate;
pub use more::improve_more;
use reporting::Found;
pub use searching::where_it_went_wrong;
pub use serving::serve;
pub use trial::{Replacing, trial};
use workshop::{Workshop, find_companions, open_data};
pub use writing::Target;

/// The run file of `demo`; every figure about the demo comes from it.
const DEMO_TOML: &str = include_str!("../../../configs/demo.toml");

const ALL: [&str; 5] = ["representation", "dynamics", "policy", "value", "improve"];

/// What `demo` judges in imagination and in truth: the run's policies and worse ones, so that there is a range to tell apart.
const DEMO_POLICIES: [&str; 13] = [
    "random",
    "behaviour",
    "cloned",
    "improved",
    "mean",
    "cloned+noise:0.5",
    "cloned+gain:0.8",
    "improved+noise:0.25",
    "improved+noise:0.5",
    "improved+noise:1",
    "improved+bias:0.2",
    "improved+bias:0.4",
    "improved+gain:0.8",
];

/// The whole loop on the embedded robot.
///
/// # Errors
/// An unwritable run directory, Ctrl-C, a bad `--set`.
pub fn demo(quick: bool, common: &Common) -> Result<()> {
    if let Some(path) = &common.data {
        let path = path.display();
        return Err(UsageError(format!(
            "--data {path}: demo records its own episodes; `rehearsal run --data {path}` learns from those"
        ))
        .into());
    }
    let base: RunConfig = config_file::load_text(RunConfig::default(), Some(("configs/demo.toml", DEMO_TOML)), &[])?;
    let base = if quick { base.quick() } else { base };
    let mut config: RunConfig = config_file::load_over(base, None, &common.sets())?;
    let dir = out_dir(common, if quick { "demo-quick" } else { "demo" });
    config.data.path = dir.join("episodes");
    config.data.image_size = config.demo.sim.image_size;
    let source = Source::local(&config.data.path);
    let plan = Plan { config, dir, source, companions: Vec::new() };
    let (mut run, device, words) = begin(&plan, "demo", common)?;
    let Plan { config, source, .. } = plan;
    collect(&mut run, &config)?;
    let companions = find_companions(&config, &source)?;
    let dataset = open_data(&config, &source, &companions)?;
    let mut workshop = Workshop::new(run, config, dataset, &device, common.minutes)?;
    loop_through(&mut workshop, "demo", &words, &DEMO_POLICIES, true, common)
}

/// Records the demonstrator's episodes as a LeRobot dataset; the loop reads them back like anybody's.
fn collect(run: &mut RunDir, config: &RunConfig) -> Result<()> {
    if run.is_complete("collect") {
        return Ok(());
    }
    run.begin("collect")?;
    let target = config.data.path.clone();
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let episodes = config.demo.episodes;
    let mut progress = Progress::stage("collect", episodes as u64, "episodes");
    let recorded = sim::collect(&config.demo.sim, episodes, config.seed, &mut |done| progress.set(done as u64, ""));
    let mut writer = episodes::LeRobotWriter::create(&target, &sim::spec(&config.demo.sim))?;
    for episode in &recorded {
        interrupt::check()?;
        writer.push(episode)?;
    }
    writer.finish()?;
    progress.set(recorded.len() as u64, "");
    progress.finish();
    run.complete()
}

/// The whole loop on recorded episodes.
///
/// # Errors
/// A dataset that cannot be read, a bad run file, an unwritable run directory, Ctrl-C.
pub fn run(file: Option<&Path>, quick: bool, common: &Common) -> Result<()> {
    let mut workshop = open_workshop(plan(file, quick, common)?, "run", common)?;
    let words = workshop.run.manifest().device.clone();
    loop_through(&mut workshop, "run", &words, &["random", "behaviour", "cloned", "improved"], false, common)
}

/// Every stage in order, the report, the recording.
fn loop_through(
    w: &mut Workshop,
    command: &str,
    device: &str,
    names: &[&str],
    truth: bool,
    common: &Common,
) -> Result<()> {
    if w.run.is_complete("report") {
        output::tell(&format!("{} is complete; --fresh starts over", w.run.root().display()));
        return answer(&Report::load(w.run.root())?, w.run.root(), common);
    }
    // The time goes to what is still to be done.
    let taken = w.taken_over().map_or_else(Vec::new, |taken| taken.stages);
    let among: Vec<&str> = ALL.into_iter().filter(|stage| !taken.iter().any(|taken| taken == stage)).collect();
    w.train_representation(&among)?;
    let embeddings = w.embeddings()?;
    w.train_dynamics(&embeddings, &among)?;
    w.train_policy(&embeddings, &among)?;
    w.train_value(&embeddings, &among)?;
    w.improve(&embeddings, &among)?;
    let names = with_planned(w, names.iter().map(|&name| name.to_owned()).collect());
    judge_and_report(w, &embeddings, (command, device), &names, truth, common)
}

/// The named policies, and the planned one where the run asks for it.
fn with_planned(w: &Workshop, mut names: Vec<String>) -> Vec<String> {
    if w.config.plan.report && !names.iter().any(|name| name == planning::PLANNED) {
        names.push(planning::PLANNED.to_owned());
    }
    names
}

fn judge_and_report(
    w: &mut Workshop,
    embeddings: &world_model::Embeddings,
    (command, device): (&str, &str),
    names: &[String],
    truth: bool,
    common: &Common,
) -> Result<()> {
    w.run.begin("evaluate")?;
    let model = w.model()?;
    let quality = w.quality(&model, embeddings);
    // Before anybody asks for the improved policy: which one that is.
    w.select(&model, embeddings, &quality)?;
    let mut names = names.to_vec();
    names.extend(w.refused());
    let mut judged = w.imagine_all(&model, embeddings, &names, &mut [])?;
    w.fit_all(embeddings, &mut judged, &[])?;
    w.weigh_plans((&model, embeddings), &judged, &quality)?;
    w.save_selected()?;
    w.run.complete()?;
    let minds = w.minds()?;
    let mut counterfactuals = None;
    if truth {
        w.run.begin("truth")?;
        w.drive_all(&minds.model, embeddings, &mut judged)?;
        counterfactuals = Some(w.check_counterfactuals(&minds, embeddings)?);
        w.run.complete()?;
    }
    w.run.begin("report")?;
    w.write_bundle(&minds.model, embeddings)?;
    w.write_outcomes(&judged)?;
    let more = w.more_report(&minds.model, embeddings, &judged, &quality)?;
    let found = Found { quality, slices: w.slices(embeddings), counterfactuals, more, known: Vec::new() };
    let report = w.report(command, device, &judged, found.clone())?;
    let films = w.record(&minds, embeddings, &report)?;
    w.run.complete()?;
    // Once more, so that the report counts the time of its own stage.
    let report = w.report(command, device, &judged, found)?;
    report.save(w.run.root(), &w.pictures(films))?;
    w.run.finish()?;
    answer(&report, w.run.root(), common)
}

fn answer(report: &Report, root: &Path, common: &Common) -> Result<()> {
    if common.json {
        return output::answer_json(report);
    }
    output::answer(&report.to_markdown());
    output::tell(&format!(
        "report     {}\nrecording  {}  (rehearsal view {})\npictures   {}\nbundle     {}  (rehearsal serve {})",
        root.join("report.html").display(),
        root.join("recording.rrd").display(),
        root.display(),
        root.join("contact_sheet.png").display(),
        root.join("bundle").display(),
        root.display()
    ));
    Ok(())
}

/// One stage of training.
///
/// # Errors
/// As [`run`]; a stage that needs another one first.
pub fn train(what: Stage, file: Option<&Path>, common: &Common) -> Result<()> {
    let existing =
        common.out.as_deref().filter(|dir| dir.join("manifest.json").exists() && !common.fresh && file.is_none());
    let mut w = match existing {
        Some(dir) => reopen(dir, common)?,
        None => open_workshop(plan(file, false, common)?, "train", common)?,
    };
    match what {
        Stage::WorldModel => {
            let among = ["representation", "dynamics"];
            w.train_representation(&among)?;
            let embeddings = w.embeddings()?;
            w.train_dynamics(&embeddings, &among)?;
            let model = w.model()?;
            let quality = w.quality(&model, &embeddings);
            let (errors, hints, foresight) = (quality.error_by_horizon, quality.hints, quality.foresight);
            let beaten = errors.iter().filter(|e| e.beats_both_floors()).count();
            if common.json {
                return output::answer_json(&serde_json::json!({
                    "out": w.run.root(), "error_by_horizon": errors, "hints": hints, "foresight": foresight
                }));
            }
            output::answer(&format!(
                "world model in {}: beats both floors at {beaten} of {} (modality, horizon) pairs",
                w.run.root().display(),
                errors.len()
            ));
        }
        Stage::Policy | Stage::Value => {
            let embeddings = w.embeddings()?;
            let name = if what == Stage::Policy { "policy" } else { "value" };
            match what {
                Stage::Policy => w.train_policy(&embeddings, &[name])?,
                _ => w.train_value(&embeddings, &[name])?,
            }
            if common.json {
                return output::answer_json(&serde_json::json!({ "out": w.run.root(), "stage": name }));
            }
            output::answer(&format!("{name} in {}", w.run.root().display()));
        }
    }
    Ok(())
}

/// Improvement in imagination, then the judgement of what came out.
///
/// # Errors
/// A run without world model, policy or values; Ctrl-C.
pub fn improve(dir: &Path, common: &Common) -> Result<()> {
    let mut w = reopen(dir, common)?;
    let embeddings = w.embeddings()?;
    w.improve(&embeddings, &["improve"])?;
    let device = w.run.manifest().device.clone();
    let names = with_planned(&w, w.own_policies());
    judge_and_report(&mut w, &embeddings, ("improve", &device), &names, false, common)
}

/// What `run` and `train` are about to do, before anything is written.
struct Plan {
    config: RunConfig,
    dir: PathBuf,
    source: Source,
    companions: Vec<Source>,
}

/// The file over defaults, or defaults chosen from the dataset; and the datasets, which must be some: a path that is none
/// must not leave a run directory behind.
fn plan(file: Option<&Path>, quick: bool, common: &Common) -> Result<Plan> {
    let sets = common.sets();
    let mut config: RunConfig = config_file::load(file, &sets)?;
    if config.data.path.as_os_str().is_empty() {
        return Err(UsageError("no dataset; name one with --data PATH (or data.path in the run file)".into()).into());
    }
    let dir = out_dir(common, &source::name_of(&config.data.path));
    // A run goes on with the commit that it began with, whatever its branch has become.
    let pinned = RunDir::read_manifest(&dir).ok().filter(|_| !common.fresh).and_then(|m| m.dataset_source);
    let source = Source::find(&config.data.path, pinned.as_deref())?;
    let spec = source.probe(config.data.control_rate())?;
    if file.is_none() {
        config = config_file::load_over(RunConfig::for_dataset(&spec), None, &sets)?;
    }
    if quick {
        config = config_file::load_over(config.quick(), None, &sets)?;
    }
    let companions = find_companions(&config, &source)?;
    Ok(Plan { config, dir, source, companions })
}

fn out_dir(common: &Common, name: &str) -> PathBuf {
    common.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(name))
}

fn begin(plan: &Plan, command: &str, common: &Common) -> Result<(RunDir, Device, String)> {
    // As a dataset: a path that is none must not leave a run directory behind.
    plan.config.pretrained.check()?;
    interrupt::install(interrupt::CHECKPOINT)?;
    let (device, choice) = common.device()?.open()?;
    let words = choice.to_string();
    let run = RunDir::open(&OpenRun {
        dir: &plan.dir,
        config_toml: &config_file::to_toml(&plan.config)?,
        command,
        device: &words,
        dataset_source: plan.source.pinned().as_deref(),
        fresh: common.fresh,
    })?;
    Ok((run, device, words))
}

fn open_workshop(plan: Plan, command: &str, common: &Common) -> Result<Workshop> {
    let (run, device, _) = begin(&plan, command, common)?;
    let dataset = open_data(&plan.config, &plan.source, &plan.companions)?;
    Workshop::new(run, plan.config, dataset, &device, common.minutes)
}

fn reopen(dir: &Path, common: &Common) -> Result<Workshop> {
    interrupt::install(interrupt::CHECKPOINT)?;
    let run = RunDir::reopen(dir)?;
    let sets = &common.sets();
    // What was trained stays what it is; how it is judged and how it plans may be asked anew.
    let open = ["plan.", "evaluate.", "distil.", "distil_plan."];
    if let Some(set) = sets.iter().find(|set| !open.iter().any(|open| set.starts_with(open))) {
        return Err(UsageError(format!(
            "--set {set}: a run keeps the configuration it was made with ({}); here only plan.*, evaluate.*, distil.* and distil_plan.* may be set; `rehearsal run --from {} --set {set}` makes another run of it",
            run.path("run.toml").display(),
            run.root().display()
        ))
        .into());
    }
    let mut config: RunConfig = config_file::load_text(
        RunConfig::default(),
        Some((&run.path("run.toml").display().to_string(), run.config_toml())),
        sets,
    )?;
    // A demo that was moved took its episodes along.
    let own = run.path("episodes");
    if config.demo.episodes > 0 && !config.data.path.exists() && own.exists() {
        config.data.path = own;
    }
    let (device, _) = common.device()?.open()?;
    let source = Source::find(&config.data.path, run.manifest().dataset_source.as_deref())?;
    let companions = find_companions(&config, &source)?;
    let dataset = open_data(&config, &source, &companions)?;
    Workshop::new(run, config, dataset, &device, common.minutes)
}
