//! NumPy arrays and scalars as msgpack maps, the way `openpi-client` packs them.
//!
//! An array is `{b"__ndarray__": true, b"data": bin, b"dtype": "<f4", b"shape": [..]}` and a scalar is
//! `{b"__npgeneric__": true, b"data": value, b"dtype": ..}`. The keys are msgpack *bin* when Python wrote
//! them; *str* keys are accepted too.

use rmpv::{Value, ValueRef};

use crate::Error;

/// Element type of an array, named by NumPy's `dtype.str`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F64,
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
}

impl Dtype {
    /// Reads `dtype.str`; `None` for a type that is not supported (big-endian, text, complex, half).
    pub(crate) fn parse(name: &str) -> Option<Dtype> {
        Some(match name {
            "<f4" => Dtype::F32,
            "<f8" => Dtype::F64,
            "|u1" | "<u1" => Dtype::U8,
            "|i1" | "<i1" => Dtype::I8,
            "<i2" => Dtype::I16,
            "<u2" => Dtype::U16,
            "<i4" => Dtype::I32,
            "<u4" => Dtype::U32,
            "<i8" => Dtype::I64,
            "<u8" => Dtype::U64,
            "|b1" => Dtype::Bool,
            _ => return None,
        })
    }

    /// Bytes per element.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 | Dtype::Bool => 1,
            Dtype::I16 | Dtype::U16 => 2,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
        }
    }
}

/// A borrowed array: `data` holds exactly `shape` elements when `dtype` is known.
#[derive(Debug)]
pub(crate) struct Array<'a> {
    /// `Err` holds the name of a type that is not supported.
    pub(crate) dtype: Result<Dtype, String>,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: &'a [u8],
}

/// What a msgpack map stands for.
pub(crate) enum Packed<'m, 'a> {
    Array(Array<'a>),
    /// The plain value inside a NumPy scalar.
    Scalar(&'m ValueRef<'a>),
    /// Neither: an ordinary map.
    Plain,
}

/// Text of a str or bin value.
pub(crate) fn text<'m>(value: &'m ValueRef<'_>) -> Option<&'m str> {
    match value {
        ValueRef::String(text) => text.as_str(),
        ValueRef::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Recognises a packed array or scalar in the entries of a map found at `key`.
///
/// # Errors
/// [`Error::Entry`] when the map says it is an array but a field is missing, has the wrong type, or the
/// length of the data contradicts shape and dtype.
pub(crate) fn unpack<'m, 'a>(key: &str, entries: &'m [(ValueRef<'a>, ValueRef<'a>)]) -> Result<Packed<'m, 'a>, Error> {
    let field = |name: &str| entries.iter().find(|(k, _)| text(k) == Some(name)).map(|(_, v)| v);
    let need = |name: &str| field(name).ok_or_else(|| Error::entry(key, format!("the packed array has no \"{name}\"")));
    if field("__npgeneric__").is_some() {
        return Ok(Packed::Scalar(need("data")?));
    }
    if field("__ndarray__").is_none() {
        return Ok(Packed::Plain);
    }
    let name = text(need("dtype")?).ok_or_else(|| Error::entry(key, "the packed array's \"dtype\" is not text"))?;
    let ValueRef::Array(sizes) = need("shape")? else {
        return Err(Error::entry(key, "the packed array's \"shape\" is not a list"));
    };
    let ValueRef::Binary(data) = need("data")? else {
        return Err(Error::entry(key, "the packed array's \"data\" is not bytes"));
    };
    let mut shape = Vec::with_capacity(sizes.len());
    for size in sizes {
        let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
        shape.push(
            size.ok_or_else(|| Error::entry(key, "the packed array's \"shape\" holds something that is no size"))?,
        );
    }
    let dtype = Dtype::parse(name).ok_or_else(|| name.to_owned());
    if let Ok(dtype) = &dtype {
        let expected = shape.iter().try_fold(dtype.bytes(), |bytes, size| bytes.checked_mul(*size));
        if expected != Some(data.len()) {
            let expected = expected.map_or("more bytes than fit".to_owned(), |bytes| format!("{bytes} bytes"));
            let found = data.len();
            return Err(Error::entry(
                key,
                format!("found {found} bytes of data, but shape {shape:?} of {name} takes {expected}"),
            ));
        }
    }
    Ok(Packed::Array(Array { dtype, shape, data }))
}

/// Every element as f32; f64 and integers are rounded to the nearest f32, booleans become 0 and 1.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a policy computes in f32")]
pub(crate) fn to_f32(dtype: Dtype, data: &[u8]) -> Vec<f32> {
    macro_rules! each {
        ($kind:ty) => {
            data.as_chunks().0.iter().map(|bytes| <$kind>::from_le_bytes(*bytes) as f32).collect()
        };
    }
    match dtype {
        Dtype::F32 => each!(f32),
        Dtype::F64 => each!(f64),
        Dtype::U8 => each!(u8),
        Dtype::I8 => each!(i8),
        Dtype::I16 => each!(i16),
        Dtype::U16 => each!(u16),
        Dtype::I32 => each!(i32),
        Dtype::U32 => each!(u32),
        Dtype::I64 => each!(i64),
        Dtype::U64 => each!(u64),
        Dtype::Bool => data.iter().map(|byte| f32::from(*byte != 0)).collect(),
    }
}

/// Packs `values` of the given shape as a little-endian f32 array.
pub(crate) fn pack_f32(values: &[f32], shape: &[usize]) -> Value {
    pack(values.iter().flat_map(|value| value.to_le_bytes()).collect(), "<f4", shape)
}

/// Packs bytes of the given shape as they are.
pub(crate) fn pack_u8(values: &[u8], shape: &[usize]) -> Value {
    pack(values.to_vec(), "|u1", shape)
}

fn pack(data: Vec<u8>, dtype: &'static str, shape: &[usize]) -> Value {
    let bin = |key: &str| Value::Binary(key.as_bytes().to_vec());
    Value::Map(vec![
        (bin("__ndarray__"), Value::Boolean(true)),
        (bin("data"), Value::Binary(data)),
        (bin("dtype"), Value::from(dtype)),
        (bin("shape"), Value::Array(shape.iter().map(|size| Value::from(*size)).collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_becomes_f32() {
        assert_eq!(to_f32(Dtype::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(to_f32(Dtype::F64, &(-2.25f64).to_le_bytes()), [-2.25]);
        assert_eq!(to_f32(Dtype::U8, &[0, 255]), [0.0, 255.0]);
        assert_eq!(to_f32(Dtype::I8, &[0xff]), [-1.0]);
        assert_eq!(to_f32(Dtype::I32, &(-7i32).to_le_bytes()), [-7.0]);
        assert_eq!(to_f32(Dtype::I64, &7i64.to_le_bytes()), [7.0]);
        assert_eq!(to_f32(Dtype::Bool, &[0, 1]), [0.0, 1.0]);
        assert_eq!(Dtype::parse(">f4"), None);
    }

    fn packed(data: &[u8], dtype: &'static str, shape: &[usize], bin_keys: bool) -> Value {
        let key = |name: &'static str| {
            if bin_keys { Value::from(name.as_bytes()) } else { Value::from(name) }
        };
        Value::Map(vec![
            (key("__ndarray__"), Value::Boolean(true)),
            (key("data"), Value::from(data)),
            (key("dtype"), Value::from(dtype)),
            (key("shape"), Value::Array(shape.iter().map(|size| Value::from(*size)).collect())),
        ])
    }

    fn unpack_value(value: &Value) -> Result<(Vec<usize>, Vec<u8>), String> {
        let ValueRef::Map(entries) = value.as_ref() else {
            return Err("no map".to_owned());
        };
        match unpack("x", &entries).map_err(|error| error.to_string())? {
            Packed::Array(array) => Ok((array.shape, array.data.to_vec())),
            _ => Err("no array".to_owned()),
        }
    }

    #[test]
    fn str_and_bin_keys_both_work_and_lengths_are_checked() {
        for bin_keys in [true, false] {
            let good = packed(&[1, 2, 3, 4, 5, 6], "|u1", &[2, 3], bin_keys);
            assert_eq!(unpack_value(&good), Ok((vec![2, 3], vec![1, 2, 3, 4, 5, 6])));
        }
        let short = unpack_value(&packed(&[0; 7], "<f4", &[2], true));
        assert_eq!(
            short,
            Err("the request's \"x\" could not be read: found 7 bytes of data, but shape [2] of <f4 takes 8 bytes"
                .to_owned())
        );
        let huge = unpack_value(&packed(&[0; 7], "<f8", &[usize::MAX, 3], true));
        assert!(huge.is_err_and(|text| text.contains("more bytes than fit")));
    }
}
