//! How vectors and pictures lie in parquet: LeRobot's column types.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, FixedSizeListArray, Float64Array, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde_json::{Value, json};

fn element_field(dtype: &str) -> Field {
    Field::new("element", data_type(dtype, 1), true)
}

fn picture_fields() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

/// Arrow type of a column of `len` elements per step.
pub(super) fn data_type(dtype: &str, len: usize) -> DataType {
    match (dtype, len) {
        ("image", _) => DataType::Struct(picture_fields()),
        ("bool", 1) => DataType::Boolean,
        ("int32", 1) => DataType::Int32,
        ("int64", 1) => DataType::Int64,
        ("float64", 1) => DataType::Float64,
        (_, 1) => DataType::Float32,
        (dtype, n) => DataType::FixedSizeList(Arc::new(element_field(dtype)), n as i32),
    }
}

/// The column as Hugging Face `datasets` describes it, so that pictures are recognised as such.
pub(super) fn hugging_face_feature(dtype: &str, len: usize) -> Value {
    match (dtype, len) {
        ("image", _) => json!({"_type": "Image"}),
        (dtype, 1) => json!({"dtype": dtype, "_type": "Value"}),
        (dtype, n) => json!({"feature": {"dtype": dtype, "_type": "Value"}, "length": n, "_type": "List"}),
    }
}

/// A column of numbers, `len` per step; LeRobot keeps vectors of one element as plain scalars.
pub(super) fn number_array(dtype: &str, len: usize, values: Vec<f64>) -> Result<ArrayRef, ArrowError> {
    let values = cast(&Float64Array::from(values), &data_type(dtype, 1))?;
    if len == 1 {
        return Ok(values);
    }
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::new(element_field(dtype)), len as i32, values, None)?))
}

/// Pictures as Hugging Face `datasets` embeds them: PNG or JPEG bytes and a file name.
pub(super) fn picture_array(pictures: Vec<Vec<u8>>) -> Result<ArrayRef, ArrowError> {
    let ending = |bytes: &[u8]| if bytes.starts_with(&[0xff, 0xd8]) { "jpg" } else { "png" };
    let paths = pictures.iter().enumerate().map(|(t, bytes)| format!("frame-{t:06}.{}", ending(bytes)));
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(paths));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(pictures));
    Ok(Arc::new(StructArray::try_new(picture_fields(), vec![bytes, paths], None)?))
}

/// Lossless, at the cheapest setting: writing is bound by this.
pub(super) fn png(rgb: &[u8], height: usize, width: usize) -> Result<Vec<u8>, image::ImageError> {
    let mut out = Vec::new();
    PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive).write_image(
        rgb,
        width as u32,
        height as u32,
        image::ExtendedColorType::Rgb8,
    )?;
    Ok(out)
}
