//! What `branch` says, and what it writes for other trainers.

use super::*;

#[test]
fn imagined_episodes_are_written_where_nothing_is_and_several_draws_have_a_number() -> Result<(), Error> {
    let fork = ["branch", "nowhere", "--episode", "0", "--step", "0"];
    let with = |more: &[&'static str]| failure(&[fork.as_slice(), more].concat());
    let expected = "error: --write .: already exists; expected a path that does not exist yet";
    assert_eq!(with(&["--write", "."])?, (2, expected.to_owned()));
    let expected = "error: --write: the logged replay alone is no alternative; name others with --arms";
    assert_eq!(with(&["--write", "new", "--arms", "logged"])?, (2, expected.to_owned()));
    assert!(with(&["--beyond-trust"])?.1.contains("--write <DIR>"));
    let (code, words) = with(&["--arms", "improved:0"])?;
    assert!(code == 2 && words.contains("'0' is no number of draws; expected 1 to 64, as in improved:8"), "{words}");
    Ok(())
}

#[test]
fn a_search_compares_two_arms_and_says_so_before_it_reads_the_run() -> Result<(), Error> {
    let search = ["branch", "nowhere", "--where-it-went-wrong", "--arms", "logged,improved,hold"];
    let expected = "error: --where-it-went-wrong compares two arms, got 3; expected e.g. --arms logged,improved";
    assert_eq!(failure(&search)?, (2, expected.to_owned()));
    Ok(())
}

#[test]
fn a_viewer_that_is_not_there_is_told_once_and_holds_nothing_up() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let output = rehearsal(dir.path(), &["doctor", "--rerun-connect=rerun+http://127.0.0.1:1/proxy"])?;
    let words = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && String::from_utf8(output.stdout)?.starts_with("rehearsal 0."));
    assert!(words.starts_with("warning: no rerun viewer at rerun+http://127.0.0.1:1/proxy ("), "{words}");
    assert!(words.ends_with("; going on without it\n") && words.lines().count() == 1, "{words}");
    Ok(())
}

#[test]
#[ignore = "branches the run named by REHEARSAL_RUN; .ci/run makes one with demo --quick"]
fn branches_are_ranked_checked_and_written_as_imagined() -> Result<(), Error> {
    let run = std::path::absolute(std::env::var("REHEARSAL_RUN")?)?.display().to_string();
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("frames");
    let fork = ["branch", &run, "--episode", "0", "--step", "2", "--horizon", "8", "--arms", "improved:2,hold"];
    let more = ["--write", "imagined", "--beyond-trust", "--json"];
    let output = rehearsal(dir.path(), &[fork.as_slice(), &more].concat())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let arms = answer["arms"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<&str> = arms.iter().filter_map(|arm| arm["arm"].as_str()).collect();
    let rank = |arm: &serde_json::Value| arm["probability_better"].as_f64().unwrap_or(0.5);
    assert!(arms.is_sorted_by(|a, b| rank(a) >= rank(b)), "{arms:?}");
    names.sort_unstable();
    assert_eq!(names, ["hold", "improved#1", "improved#2", "logged"]);
    assert!(answer["logged_replay"]["state_error_sd"].as_f64().is_some_and(f64::is_finite), "{answer}");
    assert_eq!(answer["written"]["episodes"], 3);

    let options = episodes::OpenOptions {
        path: dir.path().join("imagined"),
        cache_dir: cache.clone(),
        image_size: 16,
        ..episodes::OpenOptions::default()
    };
    let dataset = episodes::Dataset::open(&options, &mut |_| ())?;
    assert_eq!((dataset.is_imagined, dataset.episodes.len(), dataset.skipped.len()), (true, 3, 0));
    let steps: usize = dataset.episodes.iter().map(|episode| episode.len).sum();
    assert_eq!(answer["written"]["steps"], steps);
    let first = |episode: &episodes::Episode| episode.state_at(0, dataset.spec.state_len()).to_vec();
    assert_eq!(first(&dataset.episodes[0]), first(&dataset.episodes[2]), "all leave the same recorded moment");
    let inspect = Command::new(env!("CARGO_BIN_EXE_rehearsal"))
        .args(["inspect", "imagined"])
        .current_dir(dir.path())
        .env("REHEARSAL_CACHE", &cache)
        .output()?;
    assert!(String::from_utf8(inspect.stdout)?.contains(episodes::IMAGINED));
    Ok(())
}
