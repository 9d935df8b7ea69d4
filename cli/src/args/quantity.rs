//! Sizes and times as users write them: `5GB`, `2.5`.

/// Bytes, in units of a thousand.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_uppercase().as_str() {
        "B" => 1.0,
        // A number alone is seldom meant in bytes.
        "" if number == "0" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "T" | "TB" => 1e12,
        _ => f64::NAN,
    };
    match number.parse::<f64>().map(|number| number * unit) {
        Ok(bytes) if bytes.is_finite() => Ok(bytes as u64),
        _ => Err("expected a size such as 500MB or 5GB".to_owned()),
    }
}

/// Minutes above zero.
pub(super) fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes.is_finite() => Ok(minutes),
        _ => Err("expected a number of minutes above zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_a_thousand() {
        let sizes = ["0", "12 B", "500MB", "5GB", "1.5 gb", "2T", "7k"].map(bytes);
        assert_eq!(
            sizes,
            [Ok(0), Ok(12), Ok(500_000_000), Ok(5_000_000_000), Ok(1_500_000_000), Ok(2_000_000_000_000), Ok(7000)]
        );
        assert!(["", "5", "GB", "5 parsecs", "-1GB", "1.2.3MB"].map(bytes).iter().all(Result::is_err));
    }
}
