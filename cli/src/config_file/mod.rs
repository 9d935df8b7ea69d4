//! Run files: a TOML file over the defaults, `--set a.b.c=value` over the file, and clear words when a key is wrong.
//!
//! The serialised defaults are the list of known keys, so a configuration needs nothing beyond serde's derives.
//! A key whose default is `None` or an empty map is known, and what stands below it is checked by serde alone.

mod nearest;
mod ranges;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::errors::UsageError;
pub use nearest::nearest;
use nearest::suggestion;

/// Reads a configuration: `T`'s defaults, then `file`, then `sets` (`a.b.c=value`, TOML or else a plain string).
///
/// # Errors
/// A key that does not exist at any depth (naming the nearest one that does), a value of the wrong type, a file
/// that cannot be read or is not TOML.
pub fn load<T>(file: Option<&Path>, sets: &[String]) -> Result<T, UsageError>
where
    T: Default + Serialize + DeserializeOwned,
{
    load_over(T::default(), file, sets)
}

/// [`load`] over a `base` other than the defaults, e.g. one chosen from what a dataset holds.
///
/// # Errors
/// As [`load`].
pub fn load_over<T>(base: T, file: Option<&Path>, sets: &[String]) -> Result<T, UsageError>
where
    T: Serialize + DeserializeOwned,
{
    if let Some(path) = file.filter(|path| path.is_dir()) {
        let path = path.display();
        return Err(UsageError(format!(
            "{path} is a directory; expected a run file (TOML). A dataset is named by --data {path}"
        )));
    }
    let text = match file {
        Some(path) => Some((
            path.display().to_string(),
            std::fs::read_to_string(path)
                .map_err(|e| UsageError(format!("cannot read the run file {}: {e}", path.display())))?,
        )),
        None => None,
    };
    load_text(base, text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), sets)
}

/// [`load_over`] with the run file as `(name, text)`, e.g. one that is part of the binary.
///
/// # Errors
/// As [`load`].
pub fn load_text<T>(base: T, file: Option<(&str, &str)>, sets: &[String]) -> Result<T, UsageError>
where
    T: Serialize + DeserializeOwned,
{
    let mut value = serde_json::to_value(base)
        .map_err(|e| UsageError(format!("the default configuration cannot be written down: {e}")))?;
    if let Some((name, text)) = file {
        let table: toml::Table = text.parse().map_err(|e| malformed(name, text, &e))?;
        let layer = Layer { origin: name.to_owned(), raw: None };
        value = layer.apply::<T>(value, &toml::Value::Table(table))?;
    }
    for set in sets {
        let (layer, table) = parse_set(set)?;
        value = layer.apply::<T>(value, &table)?;
    }
    T::deserialize(value).map_err(|e| UsageError(format!("the configuration does not fit together: {e}")))
}

/// The complete configuration as the text of a run file.
///
/// # Errors
/// A value TOML cannot hold.
pub fn to_toml<T: Serialize>(config: &T) -> Result<String, UsageError> {
    toml::to_string(config).map_err(|e| UsageError(format!("this configuration cannot be written as TOML: {e}")))
}

/// Keys whose values differ between two run files, as `key: old → new`; an absent key reads `unset`.
///
/// # Errors
/// A text that is not TOML.
pub fn differences(old: &str, new: &str) -> Result<Vec<String>, UsageError> {
    let parse = |text: &str| -> Result<toml::Value, UsageError> {
        text.parse::<toml::Table>().map(toml::Value::Table).map_err(|e| malformed("run.toml", text, &e))
    };
    let mut found = Vec::new();
    compare(Some(&parse(old)?), Some(&parse(new)?), &mut Vec::new(), &mut found);
    Ok(found)
}

fn compare(old: Option<&toml::Value>, new: Option<&toml::Value>, path: &mut Vec<String>, found: &mut Vec<String>) {
    if let (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) = (old, new) {
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            path.push(key.clone());
            compare(old.get(key), new.get(key), path, found);
            path.pop();
        }
    } else if old != new {
        let word = |v: Option<&toml::Value>| v.map_or_else(|| "unset".to_owned(), ToString::to_string);
        found.push(format!("{}: {} → {}", path.join("."), word(old), word(new)));
    }
}

/// Where a layer of values came from.
struct Layer {
    /// Shown in front of every message: the file's name or `--set key=value`.
    origin: String,
    /// The value as typed, for `--set`: a value that is no fit as TOML may be meant as a plain string.
    raw: Option<String>,
}

impl Layer {
    /// Walks `given` against `value` (defaults so far) and returns `value` with every given leaf replaced.
    fn apply<T: Serialize + DeserializeOwned>(&self, value: Value, given: &toml::Value) -> Result<Value, UsageError> {
        let mut result = value;
        self.walk::<T>(&mut result, given, &mut Vec::new())?;
        Ok(result)
    }

    fn walk<T: Serialize + DeserializeOwned>(
        &self,
        root: &mut Value,
        given: &toml::Value,
        path: &mut Vec<String>,
    ) -> Result<(), UsageError> {
        let known = at(root, path).clone();
        let (Value::Object(fields), toml::Value::Table(table)) = (&known, given) else {
            return self.replace::<T>(root, &known, given, path);
        };
        if fields.is_empty() || other_kind(fields, table) {
            return self.replace::<T>(root, &known, given, path);
        }
        for (key, inner) in table {
            path.push(key.clone());
            if !fields.contains_key(key) {
                return Err(self.unknown(root, path, inner));
            }
            self.walk::<T>(root, inner, path)?;
            path.pop();
        }
        Ok(())
    }

    /// Puts one leaf in place and checks with serde that the whole still is a `T`, which tells the culprit's path.
    fn replace<T: Serialize + DeserializeOwned>(
        &self,
        root: &mut Value,
        known: &Value,
        given: &toml::Value,
        path: &[String],
    ) -> Result<(), UsageError> {
        if let Some(expected) = ranges::fault(&path.join("."), given) {
            let (key, found) = (path.join("."), describe(given));
            return Err(UsageError(format!("{}: '{key}' found {found}; expected {expected}", self.origin)));
        }
        let parsed = to_json(given);
        let mut candidates = Vec::new();
        match (&self.raw, known) {
            (Some(raw), Value::String(_)) if !given.is_str() => candidates.push(Value::String(raw.clone())),
            (Some(raw), Value::Null) if !given.is_str() => {
                candidates.extend(parsed.clone());
                candidates.push(Value::String(raw.clone()));
            }
            _ => candidates.extend(merged(known, parsed.as_ref())),
        }
        candidates.extend(parsed);
        let mut words = String::new();
        for candidate in candidates {
            let mut trial = root.clone();
            *at_mut(&mut trial, path) = candidate;
            // Written down again, a table of another kind shows all its own keys.
            match T::deserialize(&trial).and_then(serde_json::to_value) {
                Ok(whole) => {
                    *root = whole;
                    return Ok(());
                }
                // Of a table the last try is what the user wrote; of `--set x=7` it is the first.
                Err(error) if words.is_empty() || given.is_table() => words = error.to_string(),
                Err(_) => {}
            }
        }
        Err(self.misfit(known, given, path, &words))
    }

    fn unknown(&self, root: &Value, path: &[String], given: &toml::Value) -> UsageError {
        let mut full = path.to_vec();
        let mut inner = given;
        // `--set` names one leaf: show all of it.
        while let (Some(_), toml::Value::Table(table)) = (&self.raw, inner)
            && let Some((key, next)) = table.iter().next()
        {
            full.push(key.clone());
            inner = next;
        }
        let hint = suggestion(root, path, &full);
        UsageError(format!("{}: unknown key '{}'; {hint}", self.origin, full.join(".")))
    }

    fn misfit(&self, known: &Value, given: &toml::Value, path: &[String], serde_words: &str) -> UsageError {
        let key = path.join(".");
        let found = describe(given);
        let expected = expected(known);
        // serde names the choices in backticks: "unknown variant `tea`, expected `disc` or `tee`".
        let quoted: Vec<&str> = serde_words.split('`').skip(1).step_by(2).collect();
        let words = if let ([wrong, choices @ ..], true) = (&quoted[..], serde_words.starts_with("unknown ")) {
            let near = nearest(wrong, choices.iter().copied(), 0.5);
            let near = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
            let choices = choices.join(", ");
            if given.is_table() {
                let key = if key.is_empty() { (*wrong).to_owned() } else { format!("{key}.{wrong}") };
                let origin = &self.origin;
                return UsageError(format!("{origin}: unknown key '{key}'; expected one of {choices}{near}"));
            }
            format!("found {found}; expected one of {choices}{near}")
        } else if expected.is_some_and(|e| !fits(e, given)) {
            format!("found {found}; expected {}", expected.unwrap_or_default())
        } else {
            format!("found {found}: {serde_words}")
        };
        UsageError(format!("{}: '{key}' {words}", self.origin))
    }
}

/// A tagged table that names another `kind` than the default's brings other fields with it.
fn other_kind(known: &serde_json::Map<String, Value>, given: &toml::Table) -> bool {
    match (known.get("kind").and_then(Value::as_str), given.get("kind").and_then(toml::Value::as_str)) {
        (Some(known), Some(given)) => known != given,
        _ => false,
    }
}

/// The fields of `given` over those of `known`, where both are tables (tried before replacing the whole table).
fn merged(known: &Value, given: Option<&Value>) -> Option<Value> {
    match (known, given) {
        (Value::Object(known), Some(Value::Object(given))) => {
            let mut all = known.clone();
            all.extend(given.clone());
            Some(Value::Object(all))
        }
        _ => None,
    }
}

fn parse_set(set: &str) -> Result<(Layer, toml::Value), UsageError> {
    let Some((key, raw)) = set.split_once('=') else {
        return Err(UsageError(format!("--set {set}: no '='; expected --set KEY=VALUE, e.g. --set seed=1")));
    };
    let (key, raw) = (key.trim(), raw.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(UsageError(format!("--set {set}: '{key}' is no key; expected dotted names, e.g. data.path")));
    }
    let mut value = match format!("v = {raw}").parse::<toml::Table>() {
        Ok(mut table) if table.len() == 1 => table.remove("v").unwrap_or(toml::Value::String(raw.to_owned())),
        _ => toml::Value::String(raw.to_owned()),
    };
    for part in key.rsplit('.') {
        value = toml::Value::Table(toml::Table::from_iter([(part.to_owned(), value)]));
    }
    Ok((Layer { origin: format!("--set {set}"), raw: Some(raw.to_owned()) }, value))
}

/// `None` where JSON has no such number (`nan`, `inf`).
fn to_json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(s) => Value::String(s.clone()),
        toml::Value::Integer(i) => Value::from(*i),
        toml::Value::Float(f) => Value::Number(serde_json::Number::from_f64(*f)?),
        toml::Value::Boolean(b) => Value::Bool(*b),
        toml::Value::Datetime(d) => Value::String(d.to_string()),
        toml::Value::Array(a) => Value::Array(a.iter().map(to_json).collect::<Option<_>>()?),
        toml::Value::Table(t) => {
            Value::Object(t.iter().map(|(k, v)| Some((k.clone(), to_json(v)?))).collect::<Option<_>>()?)
        }
    })
}

fn at<'a>(root: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(root, |value, key| &value[key.as_str()])
}

fn at_mut<'a>(root: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(root, |value, key| &mut value[key.as_str()])
}

fn describe(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(_) => "a table".to_owned(),
        toml::Value::Array(_) => format!("the list {value}"),
        toml::Value::String(s) => format!("the text \"{s}\""),
        other => other.to_string(),
    }
}

/// What a key takes, judged by its default; `None` where the default does not say.
fn expected(known: &Value) -> Option<&'static str> {
    match known {
        Value::Null => None,
        Value::Bool(_) => Some("true or false"),
        Value::Number(n) if n.is_f64() => Some("a number"),
        Value::Number(_) => Some("a whole number"),
        Value::String(_) => Some("a text"),
        Value::Array(_) => Some("a list"),
        Value::Object(_) => Some("a table"),
    }
}

fn fits(expected: &str, given: &toml::Value) -> bool {
    match expected {
        "true or false" => given.is_bool(),
        "a number" => given.is_integer() || given.as_float().is_some_and(f64::is_finite),
        "a whole number" => given.is_integer(),
        "a text" => given.is_str(),
        "a list" => given.is_array(),
        _ => given.is_table(),
    }
}

fn malformed(name: &str, text: &str, error: &toml::de::Error) -> UsageError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    UsageError(format!("{name}{place}: {message}"))
}
