//! What the gate says, and of which intervals.

use super::*;

#[test]
fn the_interval_covers_the_mean_and_narrows() {
    let few: Vec<f32> = (0..20).map(|i| (i % 5) as f32).collect();
    let many: Vec<f32> = (0..2000).map(|i| (i % 5) as f32).collect();
    let (mean, [low, high]) = interval(&few, 1000, 0);
    assert!((mean - 2.0).abs() < 1e-9 && low < 2.0 && high > 2.0);
    let (_, [l, h]) = interval(&many, 500, 0);
    assert!(h - l < 0.3 * (high - low));
}

#[test]
fn the_gate_says_go_only_with_evidence_on_known_ground() {
    let with = |value: f32, unsupported: f32| PerStart {
        value: (0..30).map(|i| value + 0.01 * (i % 3) as f32).collect(),
        success: vec![0.5; 30],
        unsupported: vec![unsupported; 30],
        ..PerStart::default()
    };
    let gate = |a: &PerStart, b: &PerStart| gate(a, b, None, 500, 0);
    assert_eq!(gate(&with(0.5, 0.0), &with(0.4, 0.0)).decision, "GO");
    assert_eq!(gate(&with(0.3, 0.0), &with(0.4, 0.0)).decision, "NO-GO");
    assert_eq!(gate(&with(0.5, 0.9), &with(0.4, 0.0)).decision, "ABSTAIN");
    assert_eq!(gate(&with(0.5, 0.0), &with(0.4, 0.9)).decision, "GO", "the worse one is not what will be driven");
    assert_eq!(gate(&with(0.3, 0.0), &with(0.4, 0.9)).decision, "ABSTAIN");
    let three = |value: f32| PerStart {
        value: vec![value; 3],
        success: vec![0.5; 3],
        unsupported: vec![0.0; 3],
        ..PerStart::default()
    };
    assert_eq!(gate(&three(0.5), &three(0.4)).decision, "ABSTAIN");
    assert_eq!(gate(&with(0.4, 0.0), &with(0.4, 0.0)).decision, "ABSTAIN");
    // A model that was off by half a unit here and there has no say about a tenth.
    let imagined: Vec<f32> = (0..40).map(|i| 0.3 + 0.01 * i as f32).collect();
    let recorded = imagined.iter().enumerate().map(|(i, x)| x + [0.5, -0.5][i % 2]).collect();
    let record = TrackRecord { imagined, recorded };
    assert_eq!(super::gate(&with(0.5, 0.0), &with(0.4, 0.0), Some(&record), 500, 0).decision, "ABSTAIN");
}

#[test]
fn what_gains_soon_and_not_in_the_long_run_is_not_believed_where_nothing_succeeds() {
    let with = |value: f32, undiscounted: f32, success: f32| PerStart {
        value: (0..30).map(|i| value + 0.01 * (i % 3) as f32).collect(),
        undiscounted: (0..30).map(|i| undiscounted + (i % 5) as f32).collect(),
        success: vec![success; 30],
        unsupported: vec![0.0; 30],
        ..PerStart::default()
    };
    let clone = with(0.4, 100.0, 0.0);
    let gate = |policy: &PerStart, clone: &PerStart| gate(policy, clone, None, 500, 0);
    assert_eq!(gate(&with(0.5, 120.0, 0.0), &clone).decision, "GO");
    let fell = gate(&with(0.5, 60.0, 0.0), &clone);
    let words = "its undiscounted return to the horizon, -40.0 [-40.0, -40.0], is below the cloned one's.";
    assert!(fell.decision == "ABSTAIN" && fell.why.ends_with(words), "{}", fell.why);
    // Pairs that differ by as much as they gain.
    let mut unclear = with(0.5, 101.0, 0.0);
    unclear.undiscounted.iter_mut().enumerate().for_each(|(i, u)| *u += [30.0, -30.0][i % 2]);
    assert!(gate(&unclear, &clone).why.contains("cannot be told from the cloned one's"));
    // Better policies succeed sooner, and earn less until then.
    assert_eq!(gate(&with(0.5, 60.0, 0.8), &with(0.4, 100.0, 0.3)).decision, "GO");
    // Outcomes that do not know it.
    assert_eq!(gate(&PerStart { undiscounted: Vec::new(), ..with(0.5, 0.0, 0.0) }, &clone).decision, "GO");
    // One member of another opinion, about an interval that is above zero.
    let other = |earned: f32| crate::members::Members(vec![vec![earned; 30], vec![-earned; 30]], Vec::new());
    let told = |earned: f32| {
        let members = [other(0.0), other(0.0), other(earned)];
        gate(
            &PerStart { members, ..with(0.5, 120.0, 0.0) },
            &PerStart { members: [(); 3].map(|()| other(0.0)), ..clone.clone() },
        )
    };
    assert_eq!(told(5.0).decision, "GO");
    assert_eq!(told(25.0).decision, "ABSTAIN", "{}", told(25.0).why);
    // Where nothing ends, no end can be hidden.
    let ending = |share: f32| PerStart { failure: vec![share; 30], ..with(0.5, 60.0, 0.0) };
    assert_eq!(gate(&ending(0.5), &clone).decision, "ABSTAIN");
    assert_eq!(gate(&ending(0.01), &clone).decision, "GO");
}
