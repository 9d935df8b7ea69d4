use super::*;
use crate::Error;
use crate::angles::Angles;
use crate::vision::floats;
use burn::tensor::Device;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A hint of mean 10 and deviation 2, a state of mean 4 and deviation 1, a task of one element.
fn differences() -> Differences {
    let axis = vec![Place::Hint(0), Place::State(1)];
    let element = |place| match place {
        Place::Hint(_) => Element { place, mean: 10.0, std: 2.0 },
        Place::State(_) => Element { place, mean: 4.0, std: 1.0 },
        Place::Action(_) => Element { place, mean: 0.0, std: 3.0 },
    };
    // 3, 7: mean 5, deviation 2.
    Differences::fit((&[axis], &[]), (3, 1), element, |_| vec![vec![8.0, 5.0], vec![12.0, 5.0]])
}

#[test]
fn a_difference_by_hand_in_rows_and_tensors() {
    let d = differences();
    assert_eq!((d.len(), d.is_empty()), (1, false));
    // [hint | state 0, state 1 | difference | task]; raw 10 + 2·0.5 = 11 from 4 - 1 = 3, in deviations of 2.
    let mut row = [0.5, 9.0, -1.0, 99.0, 7.0];
    let e = Tensor::<2>::from_data([row], &Device::default());
    d.renew(&mut row);
    assert_eq!(row, [0.5, 9.0, -1.0, 4.0, 7.0]);
    assert_eq!(floats(d.renewed(e.clone())), row);
    assert_eq!(floats(d.renewed(e.unsqueeze::<3>())), row);
    assert!(d.ways().is_empty());
    let untouched = Tensor::<2>::ones([1, 2], &Device::default());
    assert_eq!(floats(Differences::NONE.renewed(untouched)), [1.0, 1.0]);
}

#[test]
fn the_way_to_where_an_action_says() {
    let element = |place: Place| match place {
        Place::Action(_) => Element { place, mean: 1.0, std: 3.0 },
        _ => Element { place, mean: 4.0, std: 1.0 },
    };
    let axis = vec![Place::State(0), Place::Action(1), Place::Action(0)];
    let d = Differences::fit((&[axis], &[]), (2, 0), element, |_| vec![vec![8.0, 5.0], vec![12.0, 5.0]]);
    // Two ways from one element; nothing beside the elements, and none from an action to an action.
    assert_eq!((d.len(), d.ways().len()), (0, 2));
    let device = Device::default();
    let (e, action) = (Tensor::<2>::from_floats([[-1.0, 9.0]], &device), Tensor::from_floats([[0.0, 2.0]], &device));
    // From 4 - 1 = 3 to 1 + 3·2 = 7 and to 1, in deviations of 2.
    assert_eq!(floats(d.to_go(e, action)), [2.0, -1.0]);
}

#[test]
fn a_point_as_a_turned_body_sees_it() {
    let [x, y, c, s, px, py] = [0, 1, 2, 3, 4, 5].map(Place::State);
    let body = Body { at: [x, y], turned: [c, s], points: vec![[px, py]] };
    let element = |place| Element { place, mean: if place == x { 1.0 } else { 0.0 }, std: 1.0 };
    // Turned by a quarter: (2, 1) - (0, 0) is seen at (1, -2), its opposite at (-1, 2): deviation √2.5.
    let quarter = std::f32::consts::FRAC_PI_2;
    let rows = |_: &[Place]| vec![vec![2.0, 1.0, 0.0, 0.0, quarter], vec![-2.0, -1.0, 0.0, 0.0, quarter]];
    let d = Differences::fit((&[], &[body]), (6, 0), element, rows);
    assert_eq!(d.len(), 2);
    // The body at (1 + 2, 5), turned by a quarter, told at twice the length; the point at (7, 8).
    let mut row = [2.0, 5.0, 0.0, 2.0, 7.0, 8.0, 99.0, 99.0];
    let e = Tensor::<2>::from_data([row], &Device::default());
    d.renew(&mut row);
    let scale = 2.5_f32.sqrt();
    for (found, expected) in row[6..].iter().zip([3.0 / scale, -4.0 / scale]) {
        assert!((found - expected).abs() < 1e-5, "{row:?}");
    }
    for (found, expected) in floats(d.renewed(e)).iter().zip(row) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

#[test]
fn elements_are_found_by_name_and_angles_are_none() -> Result<(), Error> {
    let (hints, state) = (names(&["block_x", "block_y", "block_turn"]), names(&["agent_x", "agent_y"]));
    let turning = Angles::named(&hints, &hints[2..], "data.hint_angles")?;
    let still = Angles::none(2);
    let (targets, free) = (names(&["target_x"]), Angles::none(1));
    let named = Named::new([(&hints, &turning), (&state, &still), (&targets, &free)]);
    let axes = |axes: &[&str]| named.axes(&[names(axes)]);
    assert_eq!(axes(&["agent_x", "block_x"])?, [[Place::State(0), Place::Hint(0)]]);
    assert_eq!(axes(&["target_x", "agent_x"])?, [[Place::Action(0), Place::State(0)]]);
    let seen = "block_x, block_y, agent_x, agent_y";
    let known = format!("{seen}, target_x");
    for (axis, found) in [
        (vec!["agent_x", "block_turn"], "data.same_axis names 'block_turn'"),
        (vec!["agent_x"], "data.same_axis has an axis of 1 elements"),
        (vec!["target_x", "target_x"], "data.same_axis has an axis of actions alone"),
    ] {
        let words = axes(&axis).expect_err("cannot be").to_string();
        assert_eq!(words, format!("{found}; expected two or more on an axis, each one of: {known}"));
    }
    let from = |x: &str, angle: &str, points: &[[&str; 2]]| {
        let points = points.iter().map(|point| point.map(str::to_owned)).collect();
        named.bodies(&[SeenFrom { x: x.into(), y: "block_y".into(), angle: angle.into(), points }])
    };
    let agent = [["agent_x", "agent_y"]];
    let (at, turned) = ([Place::Hint(0), Place::Hint(1)], [Place::Hint(2), Place::Hint(3)]);
    let points = vec![[Place::State(0), Place::State(1)]];
    assert_eq!(from("block_x", "block_turn", &agent)?, [Body { at, turned, points }]);
    for (body, words) in [
        (
            from("block_turn", "block_turn", &agent),
            format!("data.seen_from names 'block_turn'; expected an element that is no angle, one of: {seen}"),
        ),
        (
            // An action is not seen.
            from("target_x", "block_turn", &agent),
            format!("data.seen_from names 'target_x'; expected an element that is no angle, one of: {seen}"),
        ),
        (
            from("block_x", "agent_x", &agent),
            "data.seen_from names 'agent_x'; expected an angle, one of: block_turn".into(),
        ),
        (
            from("block_x", "block_turn", &[]),
            format!("data.seen_from at 'block_x' has no points; expected points = [[\"…\", \"…\"]], of: {seen}"),
        ),
    ] {
        assert_eq!(body.expect_err("cannot be").to_string(), words);
    }
    Ok(())
}
