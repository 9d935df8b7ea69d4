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
