//! Labels, interventions and the cache: what holds for every dataset holds for these.

use super::*;
use crate::frames::cache_entries;
use crate::inspect::inspect;
use crate::outcome::{OutcomeRule, RewardRule};

/// Three demonstrations that end rewarded, and labels for them.
fn labelled(made: &Made, text: &str) -> Result<OpenOptions, Box<dyn std::error::Error>> {
    let demos = [("demo_0", 0.0, true), ("demo_1", 9.0, true), ("demo_2", 50.0, true)];
    let path = made.write("low.hdf5", robomimic(&demos)?)?;
    let labels = made.path("labels.csv");
    std::fs::write(&labels, text)?;
    Ok(OpenOptions { labels: Some(labels), control_rate: ControlRate::Recorded, ..made.options(&path) })
}

#[test]
fn labels_take_the_place_of_what_hdf5_files_say_of_success() -> Outcome {
    let made = Made::new()?;
    let options = labelled(&made, "episode,success\n0,no\n1,yes\n")?;
    let dataset = open(&options)?;
    let ends: Vec<_> = dataset.episodes.iter().map(|e| (e.index, e.succeeded(), e.terminated, e.truncated)).collect();
    // The first ended because it was rewarded, which the label denies: nothing says any more that it ended.
    assert_eq!(ends, [(0, Some(false), false, true), (1, Some(true), true, false)]);
    assert_eq!(dataset.episodes[1].success.as_deref(), Some([false, false, false, true].as_slice()));
    let skipped: Vec<String> = dataset.skipped.iter().map(|s| format!("{}: {}", s.what, s.why)).collect();
    assert_eq!(skipped, ["episode 2: no label (data.labels)"]);
    assert_eq!(dataset.frame(0, 1, 3), [30, 7, 0].repeat(4));

    let rule = OutcomeRule { labels: options.labels.clone(), step_cost: 0.5, ..OutcomeRule::default() };
    let report = inspect(&dataset, &rule);
    assert_eq!((report.success.map(|s| s.episodes), report.timing), (Some(1), None));
    assert!(report.reward_rule.contains("labelled per episode in") && report.reward_rule.contains("costs 0.5"));
    let resolved = rule.resolve(&dataset.spec);
    assert_eq!(resolved.reward, RewardRule::Column);
    assert_eq!(resolved.apply(&dataset.episodes[1]).reward, [-0.5, -0.5, -0.5, 0.5]);

    // Another label is another dataset, but costs no other decoding.
    assert_ne!(open(&OpenOptions { labels: None, ..options.clone() })?.content_id, dataset.content_id);
    let entries = cache_entries(&options.cache_dir)?;
    let path = options.path.canonicalize()?.display().to_string();
    assert_eq!(entries.iter().map(|entry| entry.dataset.as_deref()).collect::<Vec<_>>(), [Some(path.as_str())]);

    let refusal = open(&OpenOptions { strict: true, ..options }).expect_err("strict").to_string();
    assert!(refusal.contains("episode 2 (no label (data.labels))"), "{refusal}");
    Ok(())
}

#[test]
fn a_label_file_for_all_serves_a_filter_key_and_unknown_episodes_are_named() -> Outcome {
    let made = Made::new()?;
    let options = labelled(&made, "episode,success\n0,1\n1,0\n2,0\n")?;
    let few = open(&OpenOptions { filter_key: Some("few".to_owned()), ..options })?;
    assert_eq!((few.episodes.len(), few.episodes[0].index, few.episodes[0].succeeded()), (1, 2, Some(false)));
    let options = labelled(&made, "episode,success\n0,1\n3,1\n")?;
    let words = open(&options).expect_err("no such episode").to_string();
    assert!(words.ends_with("labels.csv: line 3 labels episode 3; expected an episode that the dataset lists"));
    Ok(())
}

#[test]
fn a_filter_key_changes_no_episodes_number() -> Outcome {
    let made = Made::new()?;
    for name in ["a_1.hdf5", "a_2.hdf5"] {
        made.write(name, robomimic(&[("demo_0", 0.0, true), ("demo_1", 9.0, true)])?)?;
    }
    let options = OpenOptions { control_rate: ControlRate::Recorded, ..made.options(&made.path("")) };
    let indices = |options: &OpenOptions| -> Result<Vec<usize>, crate::Error> {
        Ok(open(options)?.episodes.iter().map(|episode| episode.index).collect())
    };
    assert_eq!(indices(&options)?, [0, 1, 2, 3]);
    assert_eq!(indices(&OpenOptions { filter_key: Some("few".to_owned()), ..options })?, [1, 3]);
    Ok(())
}

#[test]
fn labels_and_interventions_are_converted() -> Outcome {
    let made = Made::new()?;
    let mut file = FileBuilder::new();
    let mut data = file.create_group("data");
    for name in ["demo_0", "demo_1", "demo_2"] {
        let mut demo = data.create_group(name);
        numbers(&mut demo, "actions", &count_up(0.0, LEN, 2), 2);
        if name != "demo_1" {
            flags(&mut demo, "intervention", &[false, true, true, false])?;
        }
        let mut obs = demo.create_group("obs");
        numbers(&mut obs, "eef_pos", &count_up(0.0, LEN, 3), 3);
        demo.add_group(obs.finish());
        data.add_group(demo.finish());
    }
    file.add_group(data.finish());
    let path = made.write("low.hdf5", file)?;
    let labels = made.path("labels.csv");
    std::fs::write(&labels, "episode,success\n1,1\n2,0\n")?;
    let options = OpenOptions { labels: Some(labels), ..made.options(&path) };
    let report = inspect(&open(&options)?, &OutcomeRule::default()).intervention.ok_or("not reported")?;
    assert_eq!((report.episodes, report.steps, report.step_share), (1, 2, 0.5));

    let out = made.path("out");
    let to = crate::Destination { path: &out, append: false, pictures: crate::Pictures::Embedded };
    let converted = crate::convert(&options, &to, &|| false, &mut |_| {})?;
    assert_eq!((converted.episodes, converted.skipped.len()), (2, 1));
    let state_keys = vec![crate::ALL.to_owned()];
    let dataset = open(&OpenOptions { control_rate: ControlRate::Recorded, state_keys, ..made.options(&out) })?;
    let kept: Vec<_> = dataset.episodes.iter().map(|e| (e.succeeded(), e.terminated, e.intervention.clone())).collect();
    let none = Some(vec![false; LEN]);
    assert_eq!(
        kept,
        [(Some(true), true, none), (Some(false), false, Some(vec![false, true, true, false]))],
        "the first was the second of three"
    );
    Ok(())
}
