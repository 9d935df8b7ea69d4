//! Tokens of tiny models against what `transformers` says of the same picture (`tests/interop/vit_golden.py`).

use super::*;
use crate::Error;

const FRAME: usize = 10;

fn frame() -> Vec<u8> {
    (0..FRAME * FRAME * 3).map(|i| (i * 37 % 251) as u8).collect()
}

fn golden(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/vit/golden").join(family)
}

#[derive(Deserialize)]
struct Expected {
    image_size: usize,
    tokens: Vec<f32>,
}

fn load(family: &str) -> Result<(Vit, Vec<f32>), Box<dyn std::error::Error>> {
    let expected: Expected = serde_json::from_slice(&std::fs::read(golden(family).join("expected.json"))?)?;
    let path = golden(family).join("model.safetensors");
    let config = PretrainedConfig { path, image_size: expected.image_size, grid: 2 };
    Ok((Vit::load(&config, FRAME, &Device::default())?, expected.tokens))
}

#[test]
fn tokens_are_those_of_transformers() -> Result<(), Box<dyn std::error::Error>> {
    for (family, prefix, across) in [("dinov2", 1, 4), ("registers", 3, 3), ("siglip", 0, 3), ("clip", 1, 3)] {
        let (vit, expected) = load(family)?;
        let spec = *vit.spec();
        assert_eq!((spec.layers, spec.prefix, spec.across, spec.hidden), (2, prefix, across, 16), "{family}");
        let tokens = vit.tokens(&[&frame(), &vec![9; FRAME * FRAME * 3]], FRAME, &Device::default());
        let tokens = floats(tokens.narrow(0, 0, 1));
        assert_eq!(tokens.len(), expected.len(), "{family}");
        let most = tokens.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 2e-4, "{family}: tokens differ by {most}");
    }
    Ok(())
}

#[test]
fn a_feature_is_the_class_token_and_the_means_of_the_cells() -> Result<(), Box<dyn std::error::Error>> {
    for (family, class) in [("dinov2", 1), ("registers", 1), ("siglip", 0)] {
        let (vit, tokens) = load(family)?;
        let spec = *vit.spec();
        let feature = floats(vit.see(&[&frame()], FRAME, &Device::default()));
        assert_eq!(feature.len(), spec.feature_len());
        assert_eq!(spec.feature_len(), 8 * (class + 4));
        let token = |i: usize| &tokens[i * 8..(i + 1) * 8];
        if class == 1 {
            assert!(feature[..8].iter().zip(token(0)).all(|(a, b)| (a - b).abs() < 2e-4));
        }
        // The upper left cell: of 4 patches across the first two, of 3 the first one.
        let edge = spec.across / 2;
        for d in 0..8 {
            let places = (0..edge * edge).map(|i| spec.prefix + i / edge * spec.across + i % edge);
            let mean = places.map(|i| token(i)[d]).sum::<f32>() / (edge * edge) as f32;
            assert!((feature[8 * class + d] - mean).abs() < 2e-4, "{family}, element {d}");
        }
    }
    Ok(())
}

#[test]
fn enlarging_by_hand() {
    // Two pixels 0 and 100 side by side in both rows, shown as 4: centres lie at -0.25, 0.25, 0.75 and 1.25 of the source.
    let row = [0, 0, 0, 100, 100, 100];
    let frame: Vec<u8> = [row, row].concat();
    let out = patches(&frame, 2, 4, 1);
    assert_eq!(out.len(), 48);
    assert_eq!(out[..8], [0.0, 25.0, 75.0, 100.0, 0.0, 25.0, 75.0, 100.0]);
    // Patch by patch, colour by colour: the right half of two patches across holds the brighter side.
    assert_eq!(patches(&frame, 2, 2, 2)[12..14], [75.0, 100.0]);
}

#[test]
fn what_is_missing_or_broken_is_named() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let whole = std::fs::read(golden("dinov2").join("model.safetensors"))?;
    let refused = |bytes: &[u8], size: usize| -> Result<String, std::io::Error> {
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, bytes)?;
        let config = PretrainedConfig { path, image_size: size, grid: 1 };
        let refused: Result<Vit, Error> = Vit::load(&config, FRAME, &Device::default());
        Ok(refused.map(|vit| format!("{:?}", vit.spec())).unwrap_or_else(|e| e.to_string()))
    };
    // Names keep their length, so that offsets stay what they are.
    let without = |name: &str| {
        let text = String::from_utf8_lossy(&whole[8..]).into_owned();
        let at = text.find(name).map(|at| at + 8);
        let mut bytes = whole.clone();
        if let Some(at) = at {
            bytes[at..at + name.len()].fill(b'x');
        }
        bytes
    };
    for name in ["encoder.layer.1.norm2.bias", "encoder.layer.0.attention.output.dense.weight", "layernorm.weight"] {
        let words = refused(&without(name), 0)?;
        assert!(words.contains(&format!("no tensor '{name}'; expected weights of a DINOv2")), "{words}");
    }
    let cut = refused(&whole[..whole.len() - 40], 0)?;
    assert!(cut.contains("or not all of them"), "{cut}");
    let garbage = refused(&[7; 64], 0)?;
    assert!(garbage.contains("that are not safetensors"), "{garbage}");
    // Without a config.json the number of heads is that of published sizes, 64 elements each and at least one.
    let guessed = refused(&whole, 0)?;
    assert!(guessed.contains("heads: 1") && guessed.contains("across: 3"), "{guessed}");
    Ok(())
}

#[test]
fn weights_of_a_bundle_come_back_without_the_published_file() -> Result<(), Box<dyn std::error::Error>> {
    let (vit, _) = load("clip")?;
    let device = Device::default();
    let record = vit.clone().into_record();
    let back = Vit::new(vit.spec(), &device).load_record(record);
    let see = |vit: &Vit| floats(vit.see(&[&frame()], FRAME, &device));
    assert_eq!(see(&vit), see(&back));
    Ok(())
}
