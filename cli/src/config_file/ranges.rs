//! Numbers that make no sense, found where they are given: what a batch of none or a discount of 1.5 would lead to is seen an hour later, if at all.

/// What is wrong with the number at the dotted `key`, as `expected …`; `None` where nothing is known to be.
pub fn fault(key: &str, given: &toml::Value) -> Option<&'static str> {
    let number = given.as_float().or_else(|| given.as_integer().map(|whole| whole as f64))?;
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (expected, fits) = match (section, name) {
        ("data", "image_size") => ("a multiple of 16, at least 16", number >= 16.0 && number % 16.0 == 0.0),
        ("data", "held_out") => ("a share of the episodes from 0 to below 1", (0.0..1.0).contains(&number)),
        ("improve", "apart") => ("a factor of at least 1, such as 3", number >= 1.0 && number.is_finite()),
        ("improve", "candidates") => ("at least 4", number >= 4.0),
        ("plan", "candidates") => ("at least 8", number >= 8.0),
        ("plan", "horizon" | "knots" | "elites") => ("at least 2", number >= 2.0),
        // 0 is as long as the longest episode.
        ("evaluate", "horizon") => ("0 or more", number >= 0.0),
        (_, "gamma" | "confidence" | "expectile") => ("a number between 0 and 1", number > 0.0 && number < 1.0),
        (_, "learning_rate") => ("a number above 0, such as 0.001", number > 0.0),
        (_, "target_rate") => ("a number above 0 and at most 1", number > 0.0 && number <= 1.0),
        ("policy", "noise") | (_, "tolerance" | "penalty" | "leash" | "eventful" | "weight_decay") => {
            ("0 or more", number >= 0.0)
        }
        (_, "lambda" | "bootstrap" | "beginnings" | "camera_dropout" | "least_deviation" | "own_share") => {
            ("a share from 0 to 1", (0.0..=1.0).contains(&number))
        }
        (
            "world_model"
            | "world_model.representation"
            | "world_model.rssm"
            | "world_model.ensemble"
            | "quality"
            | "policy"
            | "value"
            | "improve"
            | "improve.model_free"
            | "plan"
            | "evaluate"
            | "evaluate.fqe"
            | "distil"
            | "distil_plan",
            "batch" | "copies" | "horizon" | "error_horizon" | "shards" | "members" | "elites" | "width" | "layers"
            | "hidden" | "groups" | "classes" | "bins" | "chunk" | "execute" | "flow_steps" | "samples" | "starts"
            | "anchor_every" | "resamples" | "judge_every" | "segments" | "n_step" | "draws" | "rounds" | "episodes"
            | "steps",
        ) => ("at least 1", number >= 1.0),
        _ => return None,
    };
    (!fits).then_some(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_mean_is_found_and_what_has_a_meaning_is_not() {
        let of = |key: &str, value: f64| fault(key, &toml::Value::Float(value));
        assert_eq!(of("world_model.batch", 0.0), Some("at least 1"));
        assert_eq!(of("improve.apart", 0.0), Some("a factor of at least 1, such as 3"));
        assert_eq!(of("improve.copies", 0.0), Some("at least 1"));
        assert_eq!(of("value.gamma", 1.5), Some("a number between 0 and 1"));
        assert_eq!(of("value.gamma", f64::NAN), Some("a number between 0 and 1"));
        assert_eq!(of("improve.model_free.learning_rate", -1.0), Some("a number above 0, such as 0.001"));
        assert_eq!(of("data.held_out", 2.0), Some("a share of the episodes from 0 to below 1"));
        assert_eq!(of("data.image_size", 7.0), Some("a multiple of 16, at least 16"));
        for (key, value) in [
            ("data.held_out", 0.0),
            ("data.image_size", 96.0),
            ("evaluate.horizon", 0.0),
            ("evaluate.fqe.updates", 0.0),
            ("demo.episodes", 0.0),
            ("policy.noise", 0.0),
            ("seed", 0.0),
        ] {
            assert_eq!(of(key, value), None, "{key} = {value}");
        }
        assert_eq!(fault("plan.report", &toml::Value::Boolean(false)), None);
    }
}
