//! Arrow columns as plain vectors, whatever of the many encodings of one thing a dataset happens to use.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};

/// A column of whole numbers; an empty cell is an error.
pub(crate) fn integers(array: &ArrayRef) -> Result<Vec<i64>, String> {
    let array = single(array)?;
    let array = cast(&array, &DataType::Int64).map_err(|err| err.to_string())?;
    if array.null_count() > 0 {
        return Err(format!("{} cells are empty", array.null_count()));
    }
    Ok(array.as_primitive::<Int64Type>().values().to_vec())
}

/// A column of numbers or booleans (0 and 1) in double precision; an empty cell is NaN.
pub(crate) fn doubles(array: &ArrayRef) -> Result<Vec<f64>, String> {
    let array = single(array)?;
    let array = cast(&array, &DataType::Float64).map_err(|err| err.to_string())?;
    let mut values = array.as_primitive::<Float64Type>().values().to_vec();
    for row in null_rows(&array) {
        values[row] = f64::NAN;
    }
    Ok(values)
}

/// A column of vectors `[rows, len]` row-major, from scalars (`len` 1) or (nested) lists; an empty cell is NaN.
pub(crate) fn vectors(array: &ArrayRef, len: usize) -> Result<Vec<f32>, String> {
    let rows = array.len();
    let (values, width) = flatten(array)?;
    if rows > 0 && width != len {
        return Err(format!("has {width} elements a row, meta/info.json says {len}"));
    }
    Ok(values)
}

/// A column of texts; an empty cell is an empty text.
pub(crate) fn texts(array: &ArrayRef) -> Result<Vec<String>, String> {
    let array = cast(array, &DataType::Utf8).map_err(|err| err.to_string())?;
    Ok(array.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

/// The first text of each list in a column of lists of texts (or of plain texts).
pub(crate) fn first_texts(array: &ArrayRef) -> Result<Vec<String>, String> {
    if !matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
        return texts(array);
    }
    let as_lists = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
    let lists = cast(array, &as_lists).map_err(|err| err.to_string())?;
    let first = |list: Option<ArrayRef>| {
        let list = list.filter(|list| !list.is_empty() && list.is_valid(0));
        list.map(|list| list.as_string::<i32>().value(0).to_owned()).unwrap_or_default()
    };
    Ok(lists.as_list::<i32>().iter().map(first).collect())
}

/// Unwraps lists of exactly one element, an older encoding of scalars.
fn single(array: &ArrayRef) -> Result<ArrayRef, String> {
    let values = match array.data_type() {
        DataType::FixedSizeList(_, 1) => array.as_fixed_size_list().values().clone(),
        DataType::List(_) => list_window(array.as_list::<i32>().offsets(), array.as_list::<i32>().values()),
        DataType::LargeList(_) => list_window(array.as_list::<i64>().offsets(), array.as_list::<i64>().values()),
        _ => return Ok(array.clone()),
    };
    if values.len() != array.len() {
        return Err("holds lists where one number a row was expected".to_owned());
    }
    Ok(values)
}

/// All numbers of a column in row order, and how many each row has.
fn flatten(array: &ArrayRef) -> Result<(Vec<f32>, usize), String> {
    let (child, lengths) = match array.data_type() {
        DataType::FixedSizeList(_, len) => {
            let len = usize::try_from(*len).map_err(|err| err.to_string())?;
            (array.as_fixed_size_list().values().clone(), Lengths::Fixed(len))
        }
        DataType::List(_) => lists::<i32>(array),
        DataType::LargeList(_) => lists::<i64>(array),
        _ => {
            let numbers = cast(array, &DataType::Float32).map_err(|err| err.to_string())?;
            let mut values = numbers.as_primitive::<Float32Type>().values().to_vec();
            for row in null_rows(&numbers) {
                values[row] = f32::NAN;
            }
            return Ok((values, 1));
        }
    };
    let (values, child_width) = flatten(&child)?;
    match lengths {
        Lengths::Fixed(len) => {
            let width = len * child_width;
            let mut values = values;
            for row in null_rows(array) {
                values[row * width..(row + 1) * width].fill(f32::NAN);
            }
            Ok((values, width))
        }
        Lengths::Each(lengths) => even_rows(array, values, child_width, &lengths),
    }
}

/// How many children each list has.
enum Lengths {
    Fixed(usize),
    Each(Vec<usize>),
}

fn lists<O: OffsetSizeTrait>(array: &ArrayRef) -> (ArrayRef, Lengths) {
    let list = array.as_list::<O>();
    (list_window(list.offsets(), list.values()), Lengths::Each(list.offsets().lengths().collect()))
}

/// The values that the (possibly sliced) list array refers to.
fn list_window<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> ArrayRef {
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    values.slice(first, last - first)
}

/// Checks that all lists are equally long; an empty cell becomes a row of NaN.
fn even_rows(
    array: &ArrayRef,
    values: Vec<f32>,
    child_width: usize,
    lengths: &[usize],
) -> Result<(Vec<f32>, usize), String> {
    let Some(len) = (0..lengths.len()).find(|&row| array.is_valid(row)).map(|row| lengths[row]) else {
        return Ok((vec![f32::NAN; lengths.len()], 1));
    };
    let uneven = (0..lengths.len()).find(|&row| array.is_valid(row) && lengths[row] != len);
    if let Some(row) = uneven {
        return Err(format!("has {len} elements in one row and {} in another", lengths[row]));
    }
    let width = len * child_width;
    if array.null_count() == 0 {
        return Ok((values, width));
    }
    let mut even = Vec::with_capacity(lengths.len() * width);
    let mut start = 0;
    for (row, length) in lengths.iter().enumerate() {
        let end = start + length * child_width;
        if array.is_valid(row) {
            even.extend_from_slice(&values[start..end]);
        } else {
            even.resize(even.len() + width, f32::NAN);
        }
        start = end;
    }
    Ok((even, width))
}

fn null_rows(array: &ArrayRef) -> impl Iterator<Item = usize> + '_ {
    let any = array.null_count() > 0;
    (0..array.len()).filter(move |&row| any && array.is_null(row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, FixedSizeListArray, Float64Array, Int64Array, LargeListArray, ListArray};

    use super::*;

    #[test]
    fn every_encoding_gives_the_same_vectors() {
        let rows = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let cells = || rows.iter().map(|row| Some(row.iter().map(|x| Some(*x))));
        let fixed: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(cells(), 2));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(cells()));
        let large: ArrayRef = Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>(cells()));
        for array in [fixed, list, large] {
            assert_eq!(vectors(&array, 2).as_deref(), Ok([1.0, 2.0, 3.0, 4.0, 5.0, 6.0].as_slice()));
            assert_eq!(vectors(&array.slice(1, 2), 2).as_deref(), Ok([3.0, 4.0, 5.0, 6.0].as_slice()));
            assert!(vectors(&array, 3).is_err_and(|why| why.contains("2 elements a row")));
        }
    }

    #[test]
    fn empty_cells_are_nan() -> Result<(), String> {
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(1.0), None]),
            None,
            Some(vec![Some(5.0), Some(6.0)]),
        ]));
        let found = vectors(&list, 2)?;
        let finite: Vec<bool> = found.iter().map(|x| x.is_finite()).collect();
        assert_eq!(finite, [true, false, false, false, true, true]);
        let scalar: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None]));
        assert!(doubles(&scalar)?[1].is_nan());
        let index: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert!(integers(&index).is_err());
        Ok(())
    }

    #[test]
    fn ragged_lists_are_refused() {
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(1.0)]),
            Some(vec![Some(5.0), Some(6.0)]),
        ]));
        assert!(vectors(&list, 1).is_err());
    }

    #[test]
    fn booleans_are_zero_and_one() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        assert_eq!(doubles(&flags).as_deref(), Ok([1.0, 0.0].as_slice()));
        let list: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(7)]), Some([Some(8)])]));
        assert_eq!(integers(&list).as_deref(), Ok([7, 8].as_slice()));
    }
}
