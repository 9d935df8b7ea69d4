//! What a robot sends: vectors, camera images and a prompt, each by its key.

use std::collections::BTreeMap;

use rmpv::{Value, ValueRef};

use crate::ndarray::{self, Array, Dtype, Packed};
use crate::{Error, reply};

/// Deepest nesting of maps and lists that is read; real requests use two or three.
const MAX_DEPTH: usize = 32;

/// One colour image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Rows, pixels.
    pub height: usize,
    /// Columns, pixels.
    pub width: usize,
    /// `[height, width, 3]`, red, green, blue, 0 to 255.
    pub rgb: Vec<u8>,
}

/// One request of a robot. Nested keys are joined by `/`, as in `images/cam_high`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Numbers and one-dimensional numeric arrays, as f32, by key.
    pub vectors: BTreeMap<String, Vec<f32>>,
    /// Colour images by key; `[height, width, 3]` and `[3, height, width]` both arrive as the former.
    pub images: BTreeMap<String, Camera>,
    /// The task in words: the entry named `prompt`, else the one named `task`.
    pub prompt: Option<String>,
    /// Entries that are neither, by key, with the reason: `"|u1 of shape [96, 96], ..."`.
    pub ignored: BTreeMap<String, String>,
}

impl Observation {
    /// Reads one msgpack request.
    ///
    /// # Errors
    /// [`Error::Request`] when the bytes are not one msgpack map with text keys, [`Error::Entry`] when an
    /// entry contradicts itself (an array whose data does not fit its shape) or appears twice.
    pub fn decode(bytes: &[u8]) -> Result<Observation, Error> {
        let mut rest = bytes;
        let value = rmpv::decode::read_value_ref_with_max_depth(&mut rest, MAX_DEPTH).map_err(|error| {
            Error::request(format!(
                "expected one msgpack map, found {} bytes that are not msgpack ({error})",
                bytes.len()
            ))
        })?;
        let ValueRef::Map(entries) = &value else {
            return Err(Error::request(format!("expected a msgpack map, found {}", kind(&value))));
        };
        if !rest.is_empty() {
            return Err(Error::request(format!("expected one msgpack map, found {} more bytes after it", rest.len())));
        }
        if let Packed::Array(_) | Packed::Scalar(_) = ndarray::unpack("", entries)? {
            return Err(Error::request("expected a map of named entries, found a single array"));
        }
        let mut observation = Observation::default();
        observation.read_map("", entries)?;
        Ok(observation)
    }

    /// Writes the observation as a client sends it; what was ignored is left out.
    ///
    /// # Errors
    /// [`Error::Entry`] where an image has not the bytes of its size.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut entries: Vec<(Value, Value)> = self
            .vectors
            .iter()
            .map(|(key, values)| (Value::from(key.as_str()), ndarray::pack_f32(values, &[values.len()])))
            .collect();
        for (key, Camera { height, width, rgb }) in &self.images {
            if rgb.len() != height * width * 3 {
                let found = format!("found {} bytes for {height} x {width} pixels of three colours", rgb.len());
                return Err(Error::entry(key, found));
            }
            entries.push((Value::from(key.as_str()), ndarray::pack_u8(rgb, &[*height, *width, 3])));
        }
        entries.extend(self.prompt.iter().map(|prompt| (Value::from("prompt"), Value::from(prompt.as_str()))));
        reply::pack(&Value::Map(entries))
    }

    fn read_map(&mut self, prefix: &str, entries: &[(ValueRef<'_>, ValueRef<'_>)]) -> Result<(), Error> {
        for (key, value) in entries {
            let name = ndarray::text(key).ok_or_else(|| {
                Error::request(format!("expected text as a key, found {} in \"{prefix}\"", kind(key)))
            })?;
            let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            self.read_entry(name, value)?;
        }
        Ok(())
    }

    fn read_entry(&mut self, key: String, value: &ValueRef<'_>) -> Result<(), Error> {
        match value {
            ValueRef::Map(entries) => match ndarray::unpack(&key, entries)? {
                Packed::Array(array) => return self.read_array(key, &array),
                Packed::Scalar(inner) if !matches!(inner, ValueRef::Map(_)) => {
                    return self.read_entry(key, inner);
                }
                Packed::Scalar(_) => return Err(Error::entry(&key, "the packed scalar's \"data\" is a map")),
                Packed::Plain => return self.read_map(&key, entries),
            },
            ValueRef::String(text) if key == "prompt" || (key == "task" && self.prompt.is_none()) => {
                let text =
                    text.as_str().ok_or_else(|| Error::entry(&key, "expected text, found bytes that are not UTF-8"))?;
                self.prompt = Some(text.to_owned());
            }
            ValueRef::Array(items) => match items.iter().map(number).collect::<Option<Vec<f32>>>() {
                Some(values) => return self.put_vector(key, values),
                None => _ = self.ignored.insert(key, "a list of something other than numbers".to_owned()),
            },
            other => match number(other) {
                Some(value) => return self.put_vector(key, vec![value]),
                None => _ = self.ignored.insert(key, kind(other).to_owned()),
            },
        }
        Ok(())
    }

    fn read_array(&mut self, key: String, array: &Array<'_>) -> Result<(), Error> {
        let shape = &array.shape;
        let reason = match (&array.dtype, shape.as_slice()) {
            (Err(name), _) => format!("an array of {name}, which is not read"),
            (Ok(Dtype::U8), &[height, width, 3]) => {
                let image = Camera { height, width, rgb: array.data.to_vec() };
                return self.put_image(key, image);
            }
            (Ok(Dtype::U8), &[3, height, width]) => {
                let image = Camera { height, width, rgb: interleave(array.data, height * width) };
                return self.put_image(key, image);
            }
            (Ok(dtype), [] | [_]) => return self.put_vector(key, ndarray::to_f32(*dtype, array.data)),
            (Ok(dtype), _) => {
                format!(
                    "{dtype:?} of shape {shape:?}; an image is U8 [height, width, 3] or [3, height, width], a vector has one dimension"
                )
            }
        };
        self.ignored.insert(key, reason);
        Ok(())
    }

    fn put_vector(&mut self, key: String, values: Vec<f32>) -> Result<(), Error> {
        match self.vectors.insert(key.clone(), values) {
            None => Ok(()),
            Some(_) => Err(Error::entry(&key, "the key appears twice")),
        }
    }

    fn put_image(&mut self, key: String, image: Camera) -> Result<(), Error> {
        if image.rgb.is_empty() {
            let (height, width) = (image.height, image.width);
            return Err(Error::entry(
                &key,
                format!("found an image of {height} x {width} pixels, expected at least one"),
            ));
        }
        match self.images.insert(key.clone(), image) {
            None => Ok(()),
            Some(_) => Err(Error::entry(&key, "the key appears twice")),
        }
    }
}

/// `[3, pixels]` to `[pixels, 3]`.
fn interleave(planes: &[u8], pixels: usize) -> Vec<u8> {
    let (red, rest) = planes.split_at(pixels);
    let (green, blue) = rest.split_at(pixels);
    red.iter().zip(green).zip(blue).flat_map(|((r, g), b)| [*r, *g, *b]).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a policy computes in f32")]
fn number(value: &ValueRef<'_>) -> Option<f32> {
    match value {
        ValueRef::Boolean(flag) => Some(f32::from(*flag)),
        ValueRef::Integer(integer) => integer.as_f64().map(|value| value as f32),
        ValueRef::F32(value) => Some(*value),
        ValueRef::F64(value) => Some(*value as f32),
        _ => None,
    }
}

fn kind(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Nil => "nothing (nil)",
        ValueRef::Boolean(_) => "a boolean",
        ValueRef::Integer(_) => "an integer",
        ValueRef::F32(_) | ValueRef::F64(_) => "a number",
        ValueRef::String(_) => "text",
        ValueRef::Binary(_) => "bytes",
        ValueRef::Array(_) => "a list",
        ValueRef::Map(_) => "a map",
        ValueRef::Ext(..) => "a msgpack extension",
    }
}
