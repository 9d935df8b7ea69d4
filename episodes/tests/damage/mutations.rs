//! Ways to damage a file: bytes flipped, cut off, moved and overwritten; JSON values replaced by what nobody expects.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

/// One to three kinds of damage to bytes; with `at_end` mostly near the end, where parquet keeps what it is about.
pub fn bytes(whole: &[u8], at_end: bool, rng: &mut StdRng) -> Vec<u8> {
    let mut out = whole.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let from = if at_end && rng.random_bool(0.6) { out.len() - out.len() / 3 } else { 0 };
        if out.len() <= from + 1 {
            return out;
        }
        let at = rng.random_range(from..out.len());
        let len = rng.random_range(1..=(out.len() - at).min(64));
        match rng.random_range(0..7) {
            0 => (0..rng.random_range(1..8)).for_each(|_| {
                let at = rng.random_range(from..out.len());
                out[at] ^= 1 << rng.random_range(0..8);
            }),
            1 => out.truncate(at),
            2 => out[at..at + len].fill(*[0, 0xFF, 0x7F, 0x80].choose(rng).expect("values")),
            3 => drop(out.drain(at..at + len)),
            4 => {
                let piece = out[at..at + len].to_vec();
                let to = rng.random_range(0..out.len());
                out.splice(to..to, piece);
            }
            5 => {
                // A number of four or eight bytes, in either order, that no table should hold.
                let number: u64 = *[0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x8000_0000, u64::MAX, i64::MAX as u64, 1 << 40]
                    .choose(rng)
                    .expect("values");
                let wide = if rng.random_bool(0.5) { number.to_be_bytes() } else { number.to_le_bytes() };
                let part = if rng.random_bool(0.5) { &wide[..] } else { &wide[4..] };
                let len = part.len().min(out.len() - at);
                out[at..at + len].copy_from_slice(&part[..len]);
            }
            _ => out[at..at + len].iter_mut().for_each(|byte| *byte = rng.random()),
        }
    }
    out
}

/// Damage to a JSON file, as text or as a tree.
pub fn json(whole: &[u8], rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.3) {
        return bytes(whole, false, rng);
    }
    let mut tree: Value = serde_json::from_slice(whole).expect("the sound file is JSON");
    for _ in 0..rng.random_range(1..=2) {
        edit(&mut tree, rng);
    }
    tree.to_string().into_bytes()
}

/// Damage to one line of a JSON-lines file.
pub fn json_line(whole: &[u8], line: usize, rng: &mut StdRng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = whole.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    lines[line] = json(&lines[line], rng);
    lines.join(&b'\n')
}

/// Goes down at random and replaces, removes or renames what is there.
fn edit(tree: &mut Value, rng: &mut StdRng) {
    match tree {
        Value::Object(map) if !map.is_empty() && rng.random_bool(0.9) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = keys.choose(rng).expect("keys");
            match rng.random_range(0..10) {
                0 => drop(map.remove(key)),
                1 => {
                    let value = map.remove(key).unwrap_or_default();
                    let name = *["../up", "/abs", "", "observation.images.film", "\u{0}"].choose(rng).expect("names");
                    map.insert(name.to_owned(), value);
                }
                _ => edit(&mut map[key.as_str()], rng),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.7) => {
            let at = rng.random_range(0..items.len());
            edit(&mut items[at], rng);
        }
        _ => *tree = strange(rng),
    }
}

fn strange(rng: &mut StdRng) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(0.5),
        json!(1e308),
        json!(5e-324),
        json!(-0.0),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1_u64 << 40),
        json!(""),
        json!("../../etc/passwd"),
        json!("{episode_index:99999999999d}"),
        json!("{"),
        json!("{video_key"),
        json!("video"),
        json!("image"),
        json!("float64"),
        json!("x".repeat(100_000)),
        json!([]),
        json!([[[[1]]]]),
        json!([1_u64 << 40, 1_u64 << 40]),
        json!([48, 64, 3]),
        json!({}),
        json!({"a": {"b": [null]}}),
    ];
    values.choose(rng).expect("values").clone()
}
