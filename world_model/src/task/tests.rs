//! Codes of tasks against what can be worked out by hand, and wordings that were never learned.

use super::*;

fn fit(texts: &[&str]) -> TaskEncoder {
    TaskEncoder::fit(texts.iter().copied(), 16).expect("texts that differ")
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

#[test]
fn two_tasks_are_one_element_of_plus_and_minus_one() {
    let encoder = fit(&["push the block to the left", "push the block to the right"]);
    let [left, right] = ["push the block to the left", "PUSH the block, to the right!"].map(|t| encoder.hear(t).code);
    assert_eq!((left.len(), right.len()), (1, 1));
    assert!((left[0].abs() - 1.0).abs() < 1e-6 && (left[0] + right[0]).abs() < 1e-6, "{left:?} {right:?}");
}

#[test]
fn another_wording_with_the_telling_words_means_the_same() {
    let encoder = fit(&["push the block to the left", "push the block to the right"]);
    let code = |text: &str| encoder.hear(text);
    let left = code("push the block to the left").code[0];
    for wording in ["to the left, please", "move the block left", "left", "go left"] {
        let heard = code(wording);
        let ratio = heard.code[0] / left;
        assert!(heard.is_understood, "{wording}: {heard:?}");
        assert!(ratio > 0.4 && ratio < 1.5, "{wording}: {ratio} of what was learned");
        assert_eq!(heard.nearest, "push the block to the left");
    }
    // Too far to be sure of; what it is nearest to is right all the same.
    let far = code("shove the block leftwards");
    assert!(!far.is_understood && far.code[0] == left, "{far:?}");
}

#[test]
fn what_is_unlike_all_or_tells_nothing_is_the_nearest_and_not_understood() {
    let encoder = fit(&["push the block to the left", "push the block to the right"]);
    for text in ["open the drawer and fetch me a beer", "", "push the block", "fold a towel"] {
        let heard = encoder.hear(text);
        assert!(!heard.is_understood, "{text}: {heard:?}");
        assert_eq!(heard.code, encoder.hear(heard.nearest).code);
    }
}

#[test]
fn who_is_put_on_whom_and_every_one_of_many_tasks_is_told_apart() {
    let order = fit(&["put red on blue", "put blue on red"]);
    assert!(distance(&order.hear("put red on blue").code, &order.hear("put blue on red").code) > 1.0);
    let grid: Vec<String> = ["red", "green", "blue", "yellow"]
        .iter()
        .flat_map(|colour| ["left", "right", "up"].map(|way| format!("push the {colour} cube {way}")))
        .collect();
    let all = fit(&grid.iter().map(String::as_str).collect::<Vec<_>>());
    // Four colours differ in three directions, three ways in two: combinations add none, so an unseen one is told too.
    assert_eq!(all.code_len(), 5);
    for (i, a) in grid.iter().enumerate() {
        for b in &grid[..i] {
            assert!(distance(&all.hear(a).code, &all.hear(b).code) > 0.5, "{a} and {b}");
        }
    }
    let learned: Vec<&str> = grid.iter().map(String::as_str).filter(|text| *text != "push the blue cube up").collect();
    let heard = fit(&learned);
    let unseen = heard.hear("push the blue cube up");
    assert!(unseen.is_understood);
    let mut by_distance: Vec<&&str> = learned.iter().collect();
    by_distance.sort_by(|a, b| {
        let to = |text: &str| distance(&heard.hear(text).code, &unseen.code);
        to(a).total_cmp(&to(b))
    });
    assert!(by_distance[..5].iter().all(|text| text.contains("blue") || text.contains("up")), "{by_distance:?}");
    let few = TaskEncoder::fit(grid.iter().map(String::as_str), 3).expect("texts that differ");
    assert_eq!(few.code_len(), 3);
}

#[test]
fn codes_have_mean_zero_and_variance_one_and_are_uncorrelated() {
    let texts = ["open the drawer", "close the drawer", "lift the mug", "wipe the table", "stack two mugs"];
    let encoder = fit(&texts);
    let codes: Vec<Vec<f32>> = texts.iter().map(|t| encoder.hear(t).code).collect();
    let d = encoder.code_len();
    assert_eq!(d, 4);
    for i in 0..d {
        for j in 0..=i {
            let covariance = codes.iter().map(|c| c[i] * c[j]).sum::<f32>() / texts.len() as f32;
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((covariance - expected).abs() < 0.02, "elements {i} and {j}: {covariance}");
        }
        assert!(codes.iter().map(|c| c[i]).sum::<f32>().abs() < 1e-4);
    }
    assert_eq!(encoder.hear("lifting a mug").nearest, "lift the mug");
}

#[test]
fn texts_alone_bring_the_encoder_back_and_too_few_are_refused_in_words() {
    let encoder = fit(&["左に押す", "右に押す", "push up"]);
    let json = serde_json::to_string(&encoder).expect("text");
    assert!(json.len() < 100, "{json}");
    assert_eq!(serde_json::from_str::<TaskEncoder>(&json).expect("an encoder"), encoder);
    assert!(TaskEncoder::fit(["Push it", "push it!", ""], 16).is_none());
    let error = serde_json::from_str::<TaskEncoder>(r#"{"texts": ["one"], "elements": 4}"#).expect_err("one text");
    assert!(error.to_string().contains("1 task texts in 4 elements; expected two that differ"), "{error}");
}
