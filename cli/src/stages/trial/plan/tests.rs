//! A small plan, and how plans are written.

use super::*;

/// Two starts, four pairs: 1 clone first at 7, 2 improved first at 9, 3 and 4 clone first at 9.
pub fn small() -> Plan {
    let start = |episode, from: f64, to: f64, unsupported_share| Start {
        episode,
        from: Score { success: from, return_: from },
        to: Score { success: to, return_: to },
        unsupported_share,
        believed_steps: Some(20.0),
    };
    let pair = |start, first: &str| Pair { start, first: first.into() };
    Plan {
        config_hash: String::new(),
        format_version: FORMAT,
        from: "cloned".into(),
        to: "improved".into(),
        seed: 0,
        alpha: 0.05,
        held_out: true,
        starts: vec![start(7, 0.2, 0.8, 0.1), start(9, 0.4, 0.3, 0.0)],
        pairs: vec![pair(7, "cloned"), pair(9, "improved"), pair(9, "cloned"), pair(9, "cloned")],
        needed: vec![NeededRow {
            success_gain: 0.25,
            without_model: Needed { half: Some(20), four_of_five: None },
            with_model: Needed { half: Some(15), four_of_five: Some(40) },
        }],
        look_first: look_first(&[start(7, 0.2, 0.8, 0.1), start(9, 0.4, 0.3, 0.0)]),
    }
}

#[test]
fn the_table_to_fill_in_has_both_policies_of_every_pair() {
    let template = small().template();
    let lines: Vec<&str> = template.lines().collect();
    assert_eq!(
        lines[..5],
        ["trial,start,policy,success,return", "1,7,cloned,,", "2,7,improved,,", "3,9,improved,,", "4,9,cloned,,"]
    );
    assert_eq!(lines.len(), 9);
}

#[test]
fn what_is_imagined_worst_and_what_is_guessed_is_looked_at_first() {
    let looks = small().look_first;
    assert_eq!(looks[0], Look { episode: 9, why: "imagined worse, return -0.100".into() });
    let why = "imagined to gain least, return +0.600; 10 % of its imagined steps are unsupported";
    assert_eq!((looks[1].episode, looks[1].why.as_str(), looks.len()), (7, why, 2));
}

#[test]
fn the_plan_in_words() {
    let text = small().words(Path::new("runs/demo"), Path::new("runs/demo/trials/trials.csv"), "episodes");
    for line in [
        "# Trials of improved in place of cloned",
        "From 2 held-out starts, success is imagined 30 % for cloned and 55 % for improved. Trials come in pairs: both policies from the same start.",
        "| +25 points | 20, more than 200 | 15, 40 |",
        "- episode 9: imagined worse, return -0.100",
        "What a start looks like: `rehearsal inspect episodes --rrd starts.rrd --episodes 9,7`.",
        "| 2 | 9 | improved | cloned |",
        "And so on in runs/demo/trials/trials.csv, which holds 4 pairs.",
    ] {
        assert!(text.lines().any(|l| l == line), "'{line}' is not in:\n{text}");
    }
}

#[test]
fn a_table_with_anything_in_it_is_begun() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join(RESULTS);
    assert!(!is_begun(&file));
    std::fs::write(&file, small().template())?;
    assert!(!is_begun(&file));
    std::fs::write(&file, small().template().replacen("cloned,,", "cloned,0,", 1))?;
    assert!(is_begun(&file));
    std::fs::write(&file, "something else")?;
    assert!(is_begun(&file), "what cannot be read is not overwritten");
    Ok(())
}
