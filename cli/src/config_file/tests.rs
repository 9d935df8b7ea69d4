//! The words a user reads when a run file is wrong, and what the layers do when it is right.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    seed: u64,
    name: String,
    data: Data,
    world_model: Model,
    task: Task,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Data {
    path: Option<String>,
    cameras: Option<Vec<String>>,
    state_keys: Vec<String>,
    extra: BTreeMap<String, f32>,
    strict: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Model {
    Rssm {
        horizon: usize,
        learning_rate: f32,
    },
    Ensemble {
        #[serde(default = "five")]
        members: usize,
    },
}

fn five() -> usize {
    5
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    Disc,
    Tee,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            name: "demo".into(),
            data: Data::default(),
            world_model: Model::Rssm { horizon: 15, learning_rate: 0.1 },
            task: Task::Disc,
        }
    }
}

fn read(file: &str, sets: &[&str]) -> Result<Config, UsageError> {
    let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
    load_text(Config::default(), Some(("run.toml", file)), &sets)
}

fn words(file: &str, sets: &[&str]) -> String {
    read(file, sets).expect_err("this configuration is wrong").0
}

#[test]
fn a_set_beats_the_file_and_the_file_beats_the_default() -> Result<(), UsageError> {
    let config =
        read("seed = 3\n[world_model]\nhorizon = 8\n", &["seed=4", "data.path=../some/data", "data.strict=true"])?;
    assert_eq!(config.seed, 4);
    assert_eq!(config.world_model, Model::Rssm { horizon: 8, learning_rate: 0.1 });
    assert_eq!(config.data.path.as_deref(), Some("../some/data"));
    assert!(config.data.strict);
    Ok(())
}

#[test]
fn values_take_the_type_of_their_key() -> Result<(), UsageError> {
    let config = read(
        "",
        &[
            "name=7",
            "data.path=2024",
            "world_model.learning_rate=1",
            "data.cameras=[\"a\", \"b\"]",
            "data.extra.x=2",
            "task=tee",
        ],
    )?;
    assert_eq!(config.name, "7");
    assert_eq!(config.data.path.as_deref(), Some("2024"));
    assert_eq!(config.world_model, Model::Rssm { horizon: 15, learning_rate: 1.0 });
    assert_eq!(config.data.cameras, Some(vec!["a".into(), "b".into()]));
    assert_eq!(config.data.extra.get("x"), Some(&2.0));
    assert_eq!(config.task, Task::Tee);
    Ok(())
}

#[test]
fn another_kind_brings_its_own_fields() -> Result<(), UsageError> {
    let config = read("[world_model]\nkind = \"ensemble\"\n", &["world_model.members=3"])?;
    assert_eq!(config.world_model, Model::Ensemble { members: 3 });
    assert_eq!(
        words("[world_model]\nkind = \"ensemble\"\nmember = 3\n", &[]),
        "run.toml: unknown key 'world_model.member'; expected one of members; did you mean 'members'?"
    );
    Ok(())
}

#[test]
fn a_misspelt_key_is_answered_with_the_nearest_one() {
    assert_eq!(
        words("[world_model]\nhorizn = 8\n", &[]),
        "run.toml: unknown key 'world_model.horizn'; did you mean 'world_model.horizon'?"
    );
    assert_eq!(
        words("", &["world_modle.horizon=8"]),
        "--set world_modle.horizon=8: unknown key 'world_modle.horizon'; did you mean 'world_model.horizon'?"
    );
    assert_eq!(words("horizon = 8\n", &[]), "run.toml: unknown key 'horizon'; did you mean 'world_model.horizon'?");
    assert_eq!(
        words("", &["data.qqqq=8"]),
        "--set data.qqqq=8: unknown key 'data.qqqq'; the keys of [data] are cameras, extra, path, state_keys, strict"
    );
    assert_eq!(
        words("zzz = 8\n", &[]),
        "run.toml: unknown key 'zzz'; the top-level keys are data, name, seed, task, world_model"
    );
}

#[test]
fn a_wrong_type_says_what_was_found_and_what_is_expected() {
    assert_eq!(
        words("[world_model]\nhorizon = \"eight\"\n", &[]),
        "run.toml: 'world_model.horizon' found the text \"eight\"; expected a whole number"
    );
    assert_eq!(words("", &["seed=1.5"]), "--set seed=1.5: 'seed' found 1.5; expected a whole number");
    assert_eq!(
        words("", &["world_model.learning_rate=inf"]),
        "--set world_model.learning_rate=inf: 'world_model.learning_rate' found inf; expected a number"
    );
    assert_eq!(words("data = 3\n", &[]), "run.toml: 'data' found 3; expected a table");
    assert_eq!(words("", &["seed=-1"]), "--set seed=-1: 'seed' found -1: invalid value: integer `-1`, expected u64");
    assert_eq!(
        words("", &["task=tea"]),
        "--set task=tea: 'task' found the text \"tea\"; expected one of disc, tee; did you mean 'tee'?"
    );
}

#[test]
fn what_is_no_toml_or_no_key_is_said_with_its_place() {
    assert_eq!(words("seed = \n", &[]), "run.toml, line 1: string values must be quoted, expected literal string");
    assert_eq!(words("", &["seed"]), "--set seed: no '='; expected --set KEY=VALUE, e.g. --set seed=1");
    assert_eq!(words("", &[".a=1"]), "--set .a=1: '.a' is no key; expected dotted names, e.g. data.path");
    let missing = load::<Config>(Some(Path::new("no/such/run.toml")), &[]).expect_err("there is no such file");
    assert!(missing.0.starts_with("cannot read the run file no/such/run.toml: "), "{missing}");
}

#[test]
fn a_written_run_file_reads_back_the_same_and_differences_are_named() -> Result<(), UsageError> {
    let config = read("", &["world_model.learning_rate=0.3", "data.path=here"])?;
    let text = to_toml(&config)?;
    assert_eq!(read(&text, &[])?, config);
    assert_eq!(differences(&text, &text)?, Vec::<String>::new());
    let other = to_toml(&read("", &["world_model.learning_rate=0.3", "seed=9"])?)?;
    assert_eq!(differences(&text, &other)?, ["data.path: \"here\" → unset", "seed: 0 → 9"]);
    Ok(())
}
