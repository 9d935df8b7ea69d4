//! What `evaluate` says of policies from elsewhere, beside a finished run.

use super::*;

/// Weights of one layer from two numbers to two, as safetensors.
fn layer(rows: [[f32; 2]; 2]) -> Vec<u8> {
    let header = r#"{"0.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(rows.iter().flatten().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[test]
#[ignore = "judges the run named by REHEARSAL_RUN; .ci/run makes one with demo --quick"]
fn networks_action_sequences_and_scripts_are_judged_beside_the_runs_own() -> Result<(), Error> {
    let (run, dir) = (std::env::var("REHEARSAL_RUN")?, tempfile::tempdir()?);
    // The robot's actions are places to go to: one that answers with where it is stays there.
    let (stay, odd) = (dir.path().join("stay.safetensors"), dir.path().join("odd.npz"));
    std::fs::write(&stay, layer([[1.0, 0.0], [0.0, 1.0]]))?;
    std::fs::write(&odd, "nothing")?;
    let (stay, odd, log) =
        (format!("stay={}", stay.display()), format!("odd={}", odd.display()), format!("log={run}/episodes"));
    let evaluate = ["evaluate", &run, "--policies", "cloned,logged,hold,idle", "--set", "evaluate.fqe.updates=20"];
    let outside = ["--json", "--policy", &stay, "--policy", &log, "--policy", "still=hold"];
    let judged = rehearsal(Path::new("."), &[&evaluate[..], &outside].concat())?;
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let report: serde_json::Value = serde_json::from_slice(&judged.stdout)?;
    let policies = report["policies"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        policies.iter().map(|p| p["name"].clone()).collect::<Vec<_>>(),
        ["cloned", "logged", "hold", "idle", "stay", "log", "still"]
    );
    let of = |name: &str, field: &str| {
        policies
            .iter()
            .find(|p| p["name"] == name)
            .and_then(|p| p.pointer(field)?.as_f64())
            .ok_or(format!("{name}{field}"))
    };
    assert_eq!(of("still", "/return")?, of("hold", "/return")?, "the same under another name");
    // The run's own episodes, by their numbers: what `logged` replays.
    assert!((of("log", "/return")? - of("logged", "/return")?).abs() < 1e-4);
    assert!(
        report["notes"].to_string().contains("action sequences are numbered as held-out episodes"),
        "{}",
        report["notes"]
    );
    assert!(of("stay", "/estimators/fitted_q/return").is_ok() && of("log", "/estimators/fitted_q/return").is_err());
    assert!(of("stay", "/success")? <= of("cloned", "/success")? + 0.05, "nobody succeeds by standing still");
    assert!(of("cloned", "/trust/believed_share")? > 0.0 && of("cloned", "/imagined/undiscounted")? > 0.0);
    assert!(report.pointer("/world_model/optimism/other_actions/all/success").is_some());
    let refused = rehearsal(Path::new("."), &["evaluate", &run, "--policy", &odd])?;
    let words = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(2));
    let nowhere = String::from_utf8(rehearsal(Path::new("."), &["evaluate", &run, "--policy", "a=nowhere"])?.stderr)?;
    assert!(
        nowhere.contains("error: policy 'a': there is no nowhere; expected a bundle, a run, a dataset, "),
        "{nowhere}"
    );
    let table = dir.path().join("k.csv");
    std::fs::write(&table, "policy,return\ncloned,31\n")?;
    let (table, file) = (format!("log={}", table.display()), table.display().to_string());
    let told = String::from_utf8(rehearsal(Path::new("."), &["evaluate", &run, "--policy", &table])?.stderr)?;
    assert!(told.contains("policy 'log': ") && told.contains("k.csv is a file of another kind; expected"), "{told}");
    let sum = rehearsal(Path::new("."), &["evaluate", &run, "--known", &file])?;
    let words_of_sum = String::from_utf8(sum.stderr)?;
    assert!(
        sum.status.code() == Some(2) && words_of_sum.contains("policy cloned has return 31; expected 0 to 1: "),
        "{words_of_sum}"
    );
    assert!(words.trim_end().ends_with("numpy.savez wrote") && words.contains("odd.npz: no zip archive"), "{words}");
    Ok(())
}

#[test]
#[ignore = "judges the run named by REHEARSAL_RUN; .ci/run makes one with demo --quick"]
fn a_bundle_asked_in_painted_pictures_is_judged_like_the_policy_it_holds() -> Result<(), Error> {
    let run = std::env::var("REHEARSAL_RUN")?;
    let own = format!("own={run}#cloned");
    let output = rehearsal(Path::new("."), &["evaluate", &run, "--policies", "cloned", "--policy", &own, "--json"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let policies = report["policies"].as_array().cloned().unwrap_or_default();
    let returns: Vec<f64> = policies.iter().filter_map(|p| p["imagined"]["return"].as_f64()).collect();
    assert_eq!(policies.iter().map(|p| p["name"].clone()).collect::<Vec<_>>(), ["cloned", "own"]);
    assert!((returns[0] - returns[1]).abs() < 0.15, "the same policy is worth {returns:?}");
    assert_eq!(report["comparisons"][0]["policy"], "own");
    Ok(())
}
