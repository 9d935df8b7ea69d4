//! Begin, kill, continue, change: what a run directory promises.

use std::fs;

use super::*;

const CONFIG: &str = "seed = 0\n\n[world_model]\nhorizon = 15\n";

fn open(dir: &Path, config_toml: &str, fresh: bool) -> Result<RunDir> {
    RunDir::open(&OpenRun { dir, config_toml, command: "demo", device: "cpu", dataset_source: None, fresh })
}

fn train(run: &mut RunDir, stage: &str, steps: std::ops::Range<u64>, checkpoint_every: u64) -> Result<()> {
    for step in steps {
        run.metric(stage, step, &serde_json::json!({ "loss": 1.0 / (step + 1) as f64 }))?;
        if (step + 1) % checkpoint_every == 0 {
            run.checkpoint(step + 1, |dir| Ok(fs::write(dir.join("weights"), step.to_string())?))?;
        }
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        fs::read_dir(dir)?.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

#[test]
fn a_killed_run_continues_to_the_same_bytes() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let (undisturbed, killed) = (temp.path().join("a"), temp.path().join("b"));

    let mut run = open(&undisturbed, CONFIG, false)?;
    assert_eq!(run.begin("model")?, None);
    train(&mut run, "model", 0..10, 4)?;
    run.complete()?;
    drop(run);

    let mut run = open(&killed, CONFIG, false)?;
    run.begin("model")?;
    train(&mut run, "model", 0..7, 4)?;
    drop(run); // killed at step 7: no complete(), no pause()
    let mut run = open(&killed, CONFIG, false)?;
    let checkpoint = run.begin("model")?.expect("a checkpoint was written at step 4");
    assert_eq!(checkpoint.resume.step, 4);
    assert_eq!(fs::read_to_string(checkpoint.dir.join("weights"))?, "3");
    train(&mut run, "model", 4..10, 4)?;
    run.complete()?;
    assert!(run.is_complete("model"));

    let metrics = |dir: &Path| fs::read_to_string(dir.join("metrics.jsonl"));
    assert_eq!(metrics(&killed)?, metrics(&undisturbed)?);
    assert_eq!(metrics(&killed)?.lines().next(), Some(r#"{"loss":1.0,"stage":"model","step":0}"#));
    Ok(())
}

#[test]
fn a_stage_killed_before_its_first_checkpoint_begins_again() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path(), CONFIG, false)?;
    run.begin("model")?;
    train(&mut run, "model", 0..2, 2)?;
    run.complete()?;
    run.begin("policy")?;
    train(&mut run, "policy", 0..3, 100)?;
    drop(run);
    let mut run = open(temp.path(), CONFIG, false)?;
    assert!(run.is_complete("model") && !run.is_complete("policy"));
    assert_eq!(run.begin("policy")?, None);
    assert_eq!(fs::read_to_string(temp.path().join("metrics.jsonl"))?.lines().count(), 2);
    Ok(())
}

#[test]
fn old_checkpoints_go_and_unfinished_ones_are_swept() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path(), CONFIG, false)?;
    run.begin("model")?;
    train(&mut run, "model", 0..10, 3)?;
    let stage_dir = temp.path().join("checkpoints/model");
    assert_eq!(names(&stage_dir)?, ["last", "step_00000006", "step_00000009"]);
    assert_eq!(fs::read_to_string(stage_dir.join("last"))?, "step_00000009\n");

    fs::create_dir(stage_dir.join(".tmp-step_00000012"))?;
    fs::remove_file(stage_dir.join("last"))?;
    assert_eq!(run.last_checkpoint("model")?.map(|c| c.resume.step), Some(9));
    train(&mut run, "model", 10..12, 3)?;
    assert_eq!(names(&stage_dir)?, ["last", "step_00000009", "step_00000012"]);
    Ok(())
}

#[test]
fn another_configuration_is_refused_and_named() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path(), CONFIG, false)?;
    run.begin("model")?;
    drop(run);
    let changed = CONFIG.replace("15", "8");
    let error = open(temp.path(), &changed, false).expect_err("the horizon changed");
    assert!(error.is::<UsageError>());
    assert_eq!(
        error.to_string().replace(&temp.path().display().to_string(), "DIR"),
        "DIR was begun with another configuration (world_model.horizon: 15 → 8); continue it as it was begun, \
         choose another directory with --out DIR, or add --fresh to start it over"
    );
    fs::create_dir(temp.path().join("checkpoints"))?;
    let run = open(temp.path(), &changed, true)?;
    assert_eq!(run.config_toml(), changed);
    assert!(!temp.path().join("checkpoints").exists());
    Ok(())
}

#[test]
fn what_no_stage_has_begun_is_not_in_the_way_of_another_configuration() -> Result<()> {
    let temp = tempfile::tempdir()?;
    drop(open(temp.path(), CONFIG, false)?);
    let changed = CONFIG.replace("15", "8");
    assert_eq!(open(temp.path(), &changed, false)?.config_toml(), changed);
    Ok(())
}

#[test]
fn two_processes_do_not_share_a_directory() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let first = open(temp.path(), CONFIG, false)?;
    let error = open(temp.path(), CONFIG, false).expect_err("the first still holds it").to_string();
    assert!(error.contains(&format!("is in use by another rehearsal (process {})", std::process::id())), "{error}");
    drop(first);
    open(temp.path(), CONFIG, false)?;
    Ok(())
}

#[test]
fn a_strangers_directory_and_another_format_are_refused() -> Result<()> {
    let temp = tempfile::tempdir()?;
    fs::write(temp.path().join("thesis.tex"), "")?;
    let error = open(temp.path(), CONFIG, true).expect_err("it holds a thesis").to_string();
    assert!(error.contains("is no run directory and not empty (it holds 'thesis.tex')"), "{error}");
    assert!(RunDir::reopen(temp.path()).is_err());

    let run = temp.path().join("run");
    drop(open(&run, CONFIG, false)?);
    let manifest = fs::read_to_string(run.join("manifest.json"))?;
    fs::write(run.join("manifest.json"), manifest.replace("\"format_version\": 4", "\"format_version\": 9"))?;
    let error = RunDir::reopen(&run).expect_err("version 9 is unknown").to_string();
    assert!(error.contains("format version 9; this rehearsal reads version 4"), "{error}");
    Ok(())
}

#[test]
fn other_data_is_refused() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let mut run = open(temp.path(), CONFIG, false)?;
    run.set_dataset("aaaa")?;
    run.set_dataset("aaaa")?;
    assert!(run.set_dataset("bbbb").is_err());
    Ok(())
}

#[test]
fn a_path_that_cannot_be_a_directory_is_one_clear_message() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let file = temp.path().join("file");
    fs::write(&file, "")?;
    let error = open(&file.join("run"), CONFIG, false).expect_err("a file is no directory").to_string();
    assert!(error.starts_with("cannot write ") && error.ends_with("choose another place with --out DIR"), "{error}");
    Ok(())
}
