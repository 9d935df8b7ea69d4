//! Bounds that are not known as programs read them: `null`, where the house has [`UNBOUNDED`].

use std::io::{self, Write};

use rl::track_record::UNBOUNDED;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Indented JSON in which a bound that is not known is `null`.
///
/// # Errors
/// A value JSON cannot hold.
pub fn to_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Told(PrettyFormatter::new())))?;
    Ok(text)
}

/// Reads what [`to_json`] wrote: fields whose names end in `ci95` are intervals.
///
/// # Errors
/// No JSON, or not of this type.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let mut value: Value = serde_json::from_slice(text)?;
    unbound(&mut value, false);
    serde_json::from_value(value)
}

fn unbound(value: &mut Value, is_interval: bool) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| unbound(field, name.ends_with("ci95"))),
        Value::Array(bounds) if is_interval && bounds.len() == 2 => {
            for (bound, unknown) in bounds.iter_mut().zip([-UNBOUNDED, UNBOUNDED]).filter(|(bound, _)| bound.is_null())
            {
                *bound = unknown.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| unbound(item, false)),
        _ => {}
    }
}

/// Indents, and writes what is not known as `null`.
struct Told(PrettyFormatter<'static>);

impl Formatter for Told {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // Bounds are set to it, never computed with.
        #[allow(clippy::float_cmp)]
        if value.abs() == UNBOUNDED { writer.write_all(b"null") } else { self.0.write_f64(writer, value) }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Judged {
        mean: f64,
        ci95: [f64; 2],
        success_ci95: Option<[f64; 2]>,
        values: Vec<Option<f64>>,
    }

    #[test]
    fn what_is_not_known_is_null_and_comes_back() -> serde_json::Result<()> {
        let judged =
            Judged { mean: 0.5, ci95: [-UNBOUNDED, UNBOUNDED], success_ci95: None, values: vec![None, Some(2.0)] };
        let text = to_json(&judged)?;
        let value: Value = serde_json::from_slice(&text)?;
        assert_eq!(value["ci95"], serde_json::json!([null, null]));
        assert_eq!(value["values"], serde_json::json!([null, 2.0]), "what is no interval stays");
        assert_eq!(from_json::<Judged>(&text)?, judged);
        let known = Judged { ci95: [0.25, 1.0], success_ci95: Some([0.0, 1.0]), ..judged };
        assert_eq!(to_json(&known)?, serde_json::to_vec_pretty(&known)?, "what is known looks as ever");
        assert_eq!(from_json::<Judged>(&to_json(&known)?)?, known);
        Ok(())
    }
}
