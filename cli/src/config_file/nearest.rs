//! "Did you mean": the known key nearest to a misspelt one.

use serde_json::Value;

/// Similarity (0 to 1) below which naming a key would be a guess rather than a help.
const LIKELY: f64 = 0.6;

/// The choice most like `word`, where any is at least `threshold` (0 to 1) like it.
pub fn nearest<'a>(word: &str, choices: impl Iterator<Item = &'a str>, threshold: f64) -> Option<&'a str> {
    choices
        .map(|choice| (strsim::normalized_damerau_levenshtein(word, choice), choice))
        .filter(|(score, _)| *score >= threshold)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, choice)| choice)
}

/// Half a sentence that helps with an unknown key: the nearest known one, or the keys that stand at its place.
///
/// `path` ends with the first name that is not known; `full` is all that the user wrote.
pub(super) fn suggestion(root: &Value, path: &[String], full: &[String]) -> String {
    let mut all = Vec::new();
    collect(root, &mut String::new(), &mut all);
    let wanted = full.join(".");
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let best = all
        .iter()
        .map(|key| {
            let whole = strsim::normalized_damerau_levenshtein(&wanted, key);
            // The right name in the wrong table is a near miss too, though less so.
            let name = 0.9 * strsim::normalized_damerau_levenshtein(&last(&wanted), &last(key));
            (whole.max(name), key)
        })
        .filter(|(score, _)| *score >= LIKELY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, key)) = best {
        return format!("did you mean '{key}'?");
    }
    let parent = &path[..path.len().saturating_sub(1)];
    let keys: Vec<&str> = parent
        .iter()
        .fold(root, |value, key| &value[key.as_str()])
        .as_object()
        .map(|fields| fields.keys().map(String::as_str).collect())
        .unwrap_or_default();
    match parent {
        [] => format!("the top-level keys are {}", keys.join(", ")),
        _ => format!("the keys of [{}] are {}", parent.join("."), keys.join(", ")),
    }
}

/// Every known key as a dotted path, tables included.
fn collect(value: &Value, prefix: &mut String, all: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (key, inner) in fields {
        let length = prefix.len();
        if !prefix.is_empty() {
            prefix.push('.');
        }
        prefix.push_str(key);
        all.push(prefix.clone());
        collect(inner, prefix, all);
        prefix.truncate(length);
    }
}
