//! What one cell of a dataset can be: any number as `f64`, or bytes as they are.

use hdf5_reader::error::{Error, Result};
use hdf5_reader::{ByteOrder, Datatype, H5Type, StringSize, dtype_element_size};

/// Any integer, floating-point number or boolean (h5py keeps those as an enumeration).
#[derive(Clone, Copy)]
pub(super) struct Number(pub f64);

impl H5Type for Number {
    fn hdf5_type() -> Datatype {
        Datatype::FloatingPoint { size: 8, byte_order: ByteOrder::LittleEndian }
    }

    fn from_bytes(bytes: &[u8], dtype: &Datatype) -> Result<Self> {
        number(bytes, dtype)
            .map(Number)
            .ok_or_else(|| Error::TypeMismatch { expected: "numbers".to_owned(), actual: describe(dtype) })
    }

    fn element_size(dtype: &Datatype) -> usize {
        // A size the file gets wrong must not become a division by zero.
        dtype_element_size(dtype).unwrap_or(1).max(1)
    }
}

/// The bytes of a cell: a fixed-length string, or the reference to a sequence of variable length.
#[derive(Clone)]
pub(super) struct Bytes(pub Vec<u8>);

impl H5Type for Bytes {
    fn hdf5_type() -> Datatype {
        Datatype::Opaque { size: 1, tag: String::new() }
    }

    fn from_bytes(bytes: &[u8], _dtype: &Datatype) -> Result<Self> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn element_size(dtype: &Datatype) -> usize {
        dtype_element_size(dtype).unwrap_or(1).max(1)
    }
}

/// Whether [`Number`] reads this type.
pub(super) fn is_number(dtype: &Datatype) -> bool {
    match dtype {
        Datatype::FixedPoint { size, .. } => matches!(size, 1 | 2 | 4 | 8),
        Datatype::FloatingPoint { size, .. } => matches!(size, 2 | 4 | 8),
        Datatype::Enum { base, .. } => matches!(**base, Datatype::FixedPoint { .. }) && is_number(base),
        _ => false,
    }
}

fn number(bytes: &[u8], dtype: &Datatype) -> Option<f64> {
    match dtype {
        Datatype::FixedPoint { size, signed, byte_order } => {
            let bits = bits(bytes.get(..usize::from(*size))?, byte_order)?;
            let unused = 64 - 8 * u32::from(*size);
            Some(if *signed { ((bits << unused) as i64 >> unused) as f64 } else { bits as f64 })
        }
        Datatype::FloatingPoint { size, byte_order } => {
            let bits = bits(bytes.get(..usize::from(*size))?, byte_order)?;
            match size {
                2 => Some(half(bits as u16)),
                4 => Some(f64::from(f32::from_bits(bits as u32))),
                8 => Some(f64::from_bits(bits)),
                _ => None,
            }
        }
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { .. }) => number(bytes, base),
        _ => None,
    }
}

fn bits(bytes: &[u8], order: &ByteOrder) -> Option<u64> {
    if !(1..=8).contains(&bytes.len()) {
        return None;
    }
    let add = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
    Some(match order {
        ByteOrder::BigEndian => bytes.iter().fold(0, add),
        ByteOrder::LittleEndian => bytes.iter().rev().fold(0, add),
    })
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A type in a few words.
pub(super) fn describe(dtype: &Datatype) -> String {
    match dtype {
        Datatype::FixedPoint { size, signed, .. } => {
            format!("{}{}", if *signed { "int" } else { "uint" }, 8 * usize::from(*size))
        }
        Datatype::FloatingPoint { size, .. } => format!("float{}", 8 * usize::from(*size)),
        Datatype::String { size: StringSize::Fixed(_), .. } => "text".to_owned(),
        Datatype::String { .. } | Datatype::VarLen { .. } => "values of variable length".to_owned(),
        Datatype::Enum { .. } => "an enumeration".to_owned(),
        _ => "compound or opaque values".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_sign_and_order_come_out_right() {
        let int = |size, signed, byte_order| Datatype::FixedPoint { size, signed, byte_order };
        let float = |size| Datatype::FloatingPoint { size, byte_order: ByteOrder::LittleEndian };
        let read = |bytes: &[u8], dtype: &Datatype| number(bytes, dtype);
        assert_eq!(read(&[0xfe], &int(1, true, ByteOrder::LittleEndian)), Some(-2.0));
        assert_eq!(read(&[0xfe], &int(1, false, ByteOrder::LittleEndian)), Some(254.0));
        assert_eq!(read(&[0x01, 0x02], &int(2, true, ByteOrder::BigEndian)), Some(258.0));
        assert_eq!(read(&(-7i64).to_le_bytes(), &int(8, true, ByteOrder::LittleEndian)), Some(-7.0));
        assert_eq!(read(&1.5f32.to_le_bytes(), &float(4)), Some(1.5));
        // 0x3c00 is one, 0xc000 minus two, 0x0001 the smallest, 0x7bff 65504 (IEEE 754, table of binary16).
        for (bits, value) in [(0x3c00u16, 1.0), (0xc000, -2.0), (0x0001, 5.960464477539063e-8), (0x7bff, 65504.0)] {
            assert_eq!(read(&bits.to_le_bytes(), &float(2)), Some(value));
        }
        assert!(read(&0x7e00u16.to_le_bytes(), &float(2)).is_some_and(f64::is_nan));
        assert_eq!(read(&[1], &float(4)), None, "too few bytes are no number");
    }
}
