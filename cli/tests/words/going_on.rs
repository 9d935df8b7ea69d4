//! What `improve --more` wants, and how a run goes on from another.

use super::*;

#[test]
fn going_on_wants_a_finished_run_and_labels_want_new_episodes() -> Result<(), Error> {
    let expected =
        "error: nowhere: there is no manifest.json; expected a finished run to go on from, with an improved policy";
    assert_eq!(failure(&["improve", "nowhere", "--more", "new"])?, (2, expected.to_owned()));
    let (code, words) = failure(&["improve", "nowhere", "--labels", "new.csv"])?;
    assert!(code == 2 && words.contains("--more <DATASET>"), "{words}");
    Ok(())
}

/// Every file below a directory, and what it holds.
fn contents(dir: &Path) -> Result<std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>, Error> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            found.insert(path.clone(), std::fs::read(&path)?);
        }
    }
    Ok(found)
}

#[test]
#[ignore = "goes on from the run named by REHEARSAL_RUN; .ci/run makes one with demo --quick"]
fn a_run_that_goes_on_stands_alone_survives_a_kill_and_leaves_the_old_one_as_it_was() -> Result<(), Error> {
    let run = std::path::absolute(std::env::var("REHEARSAL_RUN")?)?;
    let (old, new) = (run.display().to_string(), run.join("episodes").display().to_string());
    let before = contents(&run)?;
    let dir = tempfile::tempdir()?;
    let at = |out: &str| -> Vec<String> {
        let words = ["improve", &old, "--more", &new, "--out", out, "--json"];
        let sets = ["more.updates=0.05", "evaluate.starts=8", "improve.starts=8"].map(|set| ["--set", set]);
        words.into_iter().chain(sets.into_iter().flatten()).map(str::to_owned).collect()
    };
    fn words(args: &[String]) -> Vec<&str> {
        args.iter().map(String::as_str).collect()
    }
    let whole = rehearsal(dir.path(), &words(&at("whole")))?;
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let mut killed =
        Command::new(env!("CARGO_BIN_EXE_rehearsal")).args(at("killed")).current_dir(dir.path()).spawn()?;
    let log = dir.path().join("killed/events.log");
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("policy: begun")) && killed.try_wait()?.is_none()
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.kill()?;
    killed.wait()?;
    let continued = rehearsal(dir.path(), &words(&at("killed")))?;
    assert!(continued.status.success(), "{}", String::from_utf8_lossy(&continued.stderr));
    let metrics = |out: &str| std::fs::read(dir.path().join(out).join("metrics.jsonl"));
    assert!(metrics("whole")? == metrics("killed")?, "a killed run ends with other numbers");
    assert!(contents(&run)? == before, "the old run was changed");
    let report: serde_json::Value = serde_json::from_slice(&whole.stdout)?;
    let policies = report["policies"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = policies.iter().filter_map(|p| p["name"].as_str()).collect();
    // The copy is judged beside them where it was not returned; of a run as short as this one it depends on the machine's rounding.
    let mut expected = vec!["random", "behaviour", "cloned", "previous", "improved"];
    if report["improvement"]["kept"] == "cloned" {
        expected.push("candidate");
    }
    assert_eq!(names, expected);
    let more = &report["more"];
    assert_eq!(
        (&more["share"], &more["recorded"][0], &more["foreseen"][0]["on"]),
        (&0.5.into(), &more["recorded"][1], &"earlier".into())
    );
    // What came of it is a run: the next episodes go on from there, and its episodes can be asked about.
    let first = more["first_episode"].as_u64().unwrap_or(0).to_string();
    let branch = ["branch", "whole", "--episode", &first, "--step", "0", "--arms", "logged,improved"];
    let branch = rehearsal(dir.path(), &branch)?;
    assert!(branch.status.success(), "{}", String::from_utf8_lossy(&branch.stderr));
    let again = ["improve", "whole", "--more", &new, "--set", "more.updates=0.01"];
    let again = rehearsal(dir.path(), &again)?;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let toml = std::fs::read_to_string(dir.path().join("whole-more/run.toml"))?;
    assert!(toml.matches("[[data.more]]").count() == 2 && toml.contains("weight = 2.0"), "{toml}");
    Ok(())
}

#[test]
fn taking_over_wants_a_run_and_something_that_is_otherwise() -> Result<(), Error> {
    let expected = "error: nowhere: there is no manifest.json; expected a run of demo, run or train to take trained stages over from";
    assert_eq!(failure(&["run", "--from", "nowhere", "--set", "improve.leash=0.3"])?, (2, expected.to_owned()));
    let (code, words) = failure(&["run", "run.toml", "--from", "nowhere"])?;
    assert!(code == 2 && words.contains("cannot be used with '--from <RUN>'"), "{words}");
    let (code, words) = failure(&["run", "--from", "nowhere", "--data", "new"])?;
    assert!(code == 2 && words.starts_with("error: --data new: --from takes over a run with its data"), "{words}");
    Ok(())
}

#[test]
#[ignore = "takes over from the run named by REHEARSAL_RUN; .ci/run makes one with demo --quick"]
fn a_run_takes_over_what_a_change_leaves_as_it_was() -> Result<(), Error> {
    let run = std::path::absolute(std::env::var("REHEARSAL_RUN")?)?;
    let (old, before) = (run.display().to_string(), contents(&run)?);
    let dir = tempfile::tempdir()?;
    let begin = ["run", "--from", &old, "--out", "new", "--json"];
    let failed = |set: &str| -> Result<String, Error> {
        let out = rehearsal(dir.path(), &[&begin[..], &["--set", set]].concat())?;
        assert_eq!(out.status.code(), Some(2));
        Ok(String::from_utf8(out.stderr)?)
    };
    assert!(failed("improve.candidates=12")?.contains("nothing is set otherwise than there"));
    assert!(failed("seed=5")?.contains("seed: 0 → 5: every stage learns from it"));
    assert!(!dir.path().join("new").exists(), "a refusal leaves nothing behind");
    let sets = ["improve.copies=2", "improve.updates=2", "improve.judge_every=1", "evaluate.fqe.updates=0"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let new = rehearsal(dir.path(), &[&begin[..], &sets].concat())?;
    assert!(new.status.success(), "{}", String::from_utf8_lossy(&new.stderr));
    let report: serde_json::Value = serde_json::from_slice(&new.stdout)?;
    let notes = report["notes"].to_string();
    assert!(notes.contains("as it was there: representation, dynamics, policy, value."), "{notes}");
    let now = contents(&dir.path().join("new"))?;
    for stage in ["representation", "dynamics", "policy", "value"] {
        let files = |all: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| -> Vec<Vec<u8>> {
            let of_stage = |path: &Path| path.components().any(|part| part.as_os_str() == stage);
            let weights = all.iter().filter(|(path, _)| of_stage(path) && path.extension().is_some_and(|e| e == "bpk"));
            weights.map(|(_, bytes)| bytes.clone()).collect()
        };
        // The old run keeps the checkpoint before its last one, too.
        let (now, before) = (files(&now), files(&before));
        assert!(!now.is_empty() && now.iter().all(|weights| before.contains(weights)), "{stage}");
    }
    // Two updates of the first copy, two of the second.
    let metrics = std::fs::read_to_string(dir.path().join("new/metrics.jsonl"))?;
    let copies: Vec<f64> = metrics
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["copy"].as_f64())
        .collect();
    assert_eq!(copies, [1.0, 1.0, 2.0, 2.0]);
    assert!(metrics.contains("\"stage\":\"dynamics\""), "the curves are taken over, too");
    assert!(contents(&run)? == before, "the old run was changed");
    Ok(())
}
