//! `report.html`: one story, in order, with nothing of it fetched.

use super::*;
use crate::report::html::{Pictures, page};

pub(super) fn plain(report: &Report) -> Result<String> {
    page(report, &Pictures::default())
}

#[test]
fn the_page_stands_alone_and_shows_every_policy() -> Result<()> {
    let frames = vec![viz::Frame { size: 2, rgb: vec![7; 12] }; 2];
    let row = |label: &str, return_| FilmRow { label: label.into(), return_, success: 0.75, frames: frames.clone() };
    let film = Film {
        episode: 9,
        step: 39,
        rate_hz: 10.0,
        camera: "observation.image".into(),
        moments: vec![1, 20],
        rows: vec![row("recorded", None), row("improved", Some(0.8))],
    };
    let curves = [("dynamics/loss".to_owned(), vec![(20.0, 1.0), (40.0, 0.5)])].into();
    let page = page(&demo(), &Pictures { films: vec![film], curves })?;
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"));
    assert!(page.contains("<section class=\"verdict go\"><strong>GO</strong>"));
    // Imagined: four policies in two drawings and two scatters, three with a second estimate; the gain by two estimators, and on two groups
    // of more than one start.
    assert_eq!(page.matches("<circle").count(), 8 + 8 + 3 + 2 + 2);
    assert_eq!(page.matches("<rect").count(), 8, "the truth in two drawings");
    // Two modalities with three lines, two of PSNR; one training curve.
    assert_eq!(page.matches("<polyline").count(), 9);
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 2);
    assert!(page.contains("imagined from 30 held-out starts, 100 true episodes each"));
    assert!(page.contains("control steps ahead, 10 per second"));
    assert!(!page.contains("http://") && !page.contains("https://"), "a page that fetches something");
    Ok(())
}

#[test]
fn the_page_tells_one_story_from_top_to_bottom() -> Result<()> {
    let mut report = demo();
    report.warnings = vec!["dynamics: actions are ignored: <look>".into()];
    let page = plain(&report)?;
    let order = ["warnings", "improve", "policies", "judge", "scope", "world-model", "data", "costs", "notes"];
    let mut last = page.find("<nav").expect("there are contents");
    for id in order {
        assert!(page.contains(&format!("<a href=\"#{id}\">")), "no link to {id}");
        let here = page.find(&format!("<section id=\"{id}\">")).expect(id);
        assert!(here > last, "{id} comes too early");
        last = here;
    }
    // Neither films nor curves: no section, no link, no picture.
    assert!(!page.contains("films") && !page.contains("id=\"training\"") && !page.contains("<img"));
    assert!(page.contains("<li>dynamics: actions are ignored: &lt;look&gt;</li>"));
    assert!(page.contains("<li>start 1: block_x 0.310, block_y &lt;0.2.</li>"));
    assert!(page.contains("<h2>What leaves <code>improve</code>: the improved policy</h2>"));
    assert!(page.contains("<h3>Counterfactuals</h3>") && page.matches("Pearson's r").count() == 1);
    // What report.md says with signs stands here as what it is.
    let words = page.split("<pre>").next().unwrap_or_default();
    assert!(!words.contains("| ") && !words.contains("**") && !words.contains("## "));
    Ok(())
}

#[test]
fn nothing_is_said_twice() -> Result<()> {
    let mut report = demo();
    let why = "The cloned policy is returned: the interval of the gain reaches below zero.";
    report.verdict = Verdict { decision: Decision::Abstain, why: why.into() };
    if let Some(i) = &mut report.improvement {
        (i.kept, i.why) = (Kept::Cloned, why.into());
    }
    let page = plain(&report)?;
    assert_eq!(page.matches(why).count(), 1);
    assert!(page.contains("verdict abstain") && page.contains(": the cloned policy, unchanged</h2>"));
    for sentence in report.to_markdown().lines().filter(|line| line.len() > 60 && line.starts_with("- ")) {
        let sentence = super::super::drawing::escaped(&sentence[2..]);
        assert!(page.matches(&sentence).count() <= 1, "twice: {sentence}");
    }
    Ok(())
}

#[test]
fn known_outcomes_are_drawn_beside_imagined_ones_and_against_them() -> Result<()> {
    let mut report = demo();
    known(&mut report);
    let page = plain(&report)?;
    assert!(page.contains("<span class=\"key truth\"></span>known") && !page.contains("against true"));
    // Two rates and two returns are known.
    assert_eq!(page.matches("<rect").count(), 2 + 2);
    assert!(page.contains("<strong>Success, imagined against known</strong> of 2 policies; "));
    assert!(
        page.contains("aria-label=\"imagined success, share of episodes against known success, share of episodes, ")
    );
    report.policies.iter_mut().for_each(|p| p.known = None);
    assert!(!plain(&report)?.contains("imagined against known"));
    Ok(())
}

#[test]
fn whole_episodes_judge_imagination_where_no_outcome_of_a_policy_is_known() -> Result<()> {
    let mut report = demo();
    report.policies.iter_mut().for_each(|p| p.truth = None);
    report.scorecard = None;
    if let Some(whole) = &mut report.world_model.whole_episodes {
        whole.value = rl::TrackRecord { imagined: vec![0.5, 1.0, 0.2], recorded: vec![0.4, 1.0, 0.1] };
    }
    let page = plain(&report)?;
    assert!(page.contains("<strong>Return, imagined against recorded</strong> of 3 held-out episodes"));
    assert!(page.contains("<h2>Is the judge to be believed?</h2>"));
    Ok(())
}
