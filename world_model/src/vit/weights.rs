//! Published weights: a safetensors file read by its names and shapes, tensor by tensor, and folded into a [`Vit`]. Three families of
//! names in one table make it long.

use std::path::Path;

use burn::module::Param;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::folding::{folded_patch, layer, resampled};
use super::{Activation, PretrainedConfig, Vit, VitSpec};
use crate::Error;

/// A safetensors file, read whole: it is read once, and its weights are kept anyway.
struct Weights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
        std::fs::read(path).map_err(|e| not_weights(path, format!("cannot be read ({e})")))
    }

    fn of(path: &'a Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| {
            not_weights(path, format!("{} bytes that are not safetensors, or not all of them ({e})", bytes.len()))
        })?;
        Ok(Self { path, tensors })
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn failed(&self, found: String, expected: &str) -> Error {
        Error::Weights { found, expected: expected.into(), path: self.path.into() }
    }

    fn missing(&self, name: &str) -> Error {
        self.failed(format!("no tensor '{name}'"), "a DINOv2, SigLIP or CLIP vision model in the names of transformers")
    }

    /// The first of these names that is there.
    fn first(&self, names: &[String]) -> Result<TensorView<'a>, Error> {
        names.iter().find_map(|name| self.tensors.tensor(name).ok()).ok_or_else(|| self.missing(&names[0]))
    }

    /// Its shape.
    fn shape(&self, names: &[String]) -> Result<Vec<usize>, Error> {
        Ok(self.first(names)?.shape().to_vec())
    }

    /// Its values; there must be `len`.
    fn values(&self, names: &[String], len: usize) -> Result<Vec<f32>, Error> {
        let (name, view) = (&names[0], self.first(names)?);
        if view.shape().iter().product::<usize>() != len {
            let found = format!("{name} is {:?}", view.shape());
            return Err(self.failed(found, &format!("{len} values there, by the other tensors")));
        }
        let pairs = || view.data().chunks_exact(2).map(|b| [b[0], b[1]]);
        Ok(match view.dtype() {
            Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => return Err(self.failed(format!("{name} is {other:?}"), "F32, F16 or BF16 values")),
        })
    }
}

fn not_weights(path: &Path, found: String) -> Error {
    Error::Weights { found, expected: "a vision transformer as a safetensors file".into(), path: path.into() }
}

/// What a model's `config.json` says and its tensors do not.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stated {
    num_attention_heads: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    vision_config: Option<Box<Stated>>,
}

/// Of transformers that state no number of heads: those of the published sizes, else 64 elements each.
fn usual_heads(width: usize) -> usize {
    match width {
        // SigLIP so400m; CLIP ViT-H.
        1152 | 1280 => 16,
        _ => (width / 64).max(1),
    }
}

/// How a family calls its tensors.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Dino,
    Siglip,
    Clip,
}

impl Family {
    /// Mean and standard deviation of the pixels it was trained on, 0 to 1.
    fn pixels(self) -> [[f64; 3]; 2] {
        match self {
            Self::Dino => [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
            Self::Siglip => [[0.5; 3]; 2],
            Self::Clip => [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]],
        }
    }

    fn activation(self) -> Activation {
        match self {
            Self::Dino => Activation::Gelu,
            Self::Siglip => Activation::GeluTanh,
            Self::Clip => Activation::QuickGelu,
        }
    }

    /// Names of a layer's tensor, without `.weight` and `.bias`.
    fn names(self, prefix: &str, layer: usize, part: Part) -> Vec<String> {
        let of = |names: &[&str]| {
            let layers = if self == Self::Dino { "layer" } else { "layers" };
            names.iter().map(|name| format!("{prefix}encoder.{layers}.{layer}.{name}")).collect()
        };
        match (self, part) {
            (Self::Dino, Part::Query) => of(&["attention.attention.query", "attention.q_proj"]),
            (Self::Dino, Part::Key) => of(&["attention.attention.key", "attention.k_proj"]),
            (Self::Dino, Part::Value) => of(&["attention.attention.value", "attention.v_proj"]),
            (Self::Dino, Part::Output) => of(&["attention.output.dense", "attention.o_proj"]),
            (Self::Dino, Part::BeforeAttention) => of(&["norm1"]),
            (Self::Dino, Part::BeforeMlp) => of(&["norm2"]),
            (_, Part::Query) => of(&["self_attn.q_proj"]),
            (_, Part::Key) => of(&["self_attn.k_proj"]),
            (_, Part::Value) => of(&["self_attn.v_proj"]),
            (_, Part::Output) => of(&["self_attn.out_proj"]),
            (_, Part::BeforeAttention) => of(&["layer_norm1"]),
            (_, Part::BeforeMlp) => of(&["layer_norm2"]),
            (_, Part::Up) => of(&["mlp.fc1"]),
            (_, Part::Down) => of(&["mlp.fc2"]),
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    BeforeAttention,
    Query,
    Key,
    Value,
    Output,
    BeforeMlp,
    Up,
    Down,
}

fn ending(names: &[String], end: &str) -> Vec<String> {
    names.iter().map(|name| format!("{name}.{end}")).collect()
}

impl PretrainedConfig {
    /// Whether what `path` names, if it names something, is a whole safetensors file.
    ///
    /// # Errors
    /// It is none.
    pub fn check(&self) -> Result<(), Error> {
        if self.path.as_os_str().is_empty() {
            Ok(())
        } else {
            Weights::of(&self.path, &Weights::bytes(&self.path)?).map(drop)
        }
    }
}

impl Vit {
    /// Reads published weights for frames of `frame_size` pixels; `config.path` names the file.
    ///
    /// # Errors
    /// No such file, tensors that are missing (named) or do not fit each other, sizes that make no sense.
    pub fn load(config: &PretrainedConfig, frame_size: usize, device: &Device) -> Result<Self, Error> {
        let bytes = Weights::bytes(&config.path)?;
        let w = &Weights::of(&config.path, &bytes)?;
        // The rest of a model (its text tower, its heads) has other names; whatever stands before these is the prefix.
        let (dino, other) = ("embeddings.patch_embeddings.projection.weight", "embeddings.patch_embedding.weight");
        let ends = |end: &str| w.tensors.names().into_iter().find_map(|name| Some(name.strip_suffix(end)?.to_owned()));
        let (prefix, patch_name, is_dino) = match (ends(dino), ends(other)) {
            (Some(prefix), _) => (prefix, dino, true),
            (None, Some(prefix)) => (prefix, other, false),
            (None, None) => return Err(w.missing(dino)),
        };
        let own = |name: &str| vec![format!("{prefix}{name}")];
        let has = |w: &Weights<'_>, name: &str| w.has(&format!("{prefix}{name}"));
        let family = match (is_dino, has(w, "pre_layrnorm.weight")) {
            (true, _) => Family::Dino,
            (false, true) => Family::Clip,
            (false, false) => Family::Siglip,
        };
        let &[width, 3, patch, across_patch] = w.shape(&own(patch_name))?.as_slice() else {
            return Err(
                w.failed(format!("{prefix}{patch_name} is no kernel over 3 colours"), "[width, 3, patch, patch]")
            );
        };
        let hidden = w.shape(&ending(&family.names(&prefix, 0, Part::Up), "weight"))?.first().copied().unwrap_or(0);
        let layers = (0..)
            .take_while(|&layer| w.shape(&ending(&family.names(&prefix, layer, Part::Query), "weight")).is_ok())
            .count();

        let (class, registers) = if is_dino {
            ("embeddings.cls_token", "embeddings.register_tokens")
        } else {
            ("embeddings.class_embedding", "embeddings.register_tokens")
        };
        let has_class = has(w, class);
        let register_count =
            if has(w, registers) { w.shape(&own(registers))?.iter().product::<usize>() / width } else { 0 };
        let position_name =
            if is_dino { "embeddings.position_embeddings" } else { "embeddings.position_embedding.weight" };
        let position_count = w.shape(&own(position_name))?.iter().product::<usize>() / width.max(1);
        let recorded = (position_count - usize::from(has_class).min(position_count)).isqrt();
        if patch != across_patch
            || patch == 0
            || width == 0
            || recorded == 0
            || recorded * recorded + usize::from(has_class) != position_count
        {
            let found = format!("patches of {patch}×{across_patch} pixels and {position_count} positions");
            return Err(w.failed(found, "square patches and pictures"));
        }

        let stated = stated(&config.path).map_err(|found| w.failed(found, "a readable config.json"))?;
        let heads = stated.num_attention_heads.unwrap_or(usual_heads(width));
        let activation = match stated.hidden_act.as_deref() {
            None => family.activation(),
            Some("gelu") => Activation::Gelu,
            Some("gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("quick_gelu") => Activation::QuickGelu,
            Some(other) => {
                return Err(w.failed(format!("the activation {other}"), "gelu, gelu_pytorch_tanh or quick_gelu"));
            }
        };
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(w.failed(format!("{heads} heads over {width} elements"), "heads that divide them"));
        }
        let across = match config.image_size {
            0 => (2 * frame_size).div_ceil(patch).min(recorded).max(1),
            size => size.div_ceil(patch),
        };
        if config.grid == 0 || config.grid > across {
            let found = format!("pretrained.grid = {} over {across} patches", config.grid);
            return Err(w.failed(found, "1 up to the number of patches across"));
        }
        let epsilon = stated.layer_norm_eps.unwrap_or(if family == Family::Clip { 1e-5 } else { 1e-6 });
        let spec = VitSpec {
            width,
            layers,
            heads,
            hidden,
            patch,
            across,
            prefix: usize::from(has_class) + register_count,
            has_class,
            has_first_norm: family == Family::Clip,
            activation,
            epsilon,
            grid: config.grid,
        };

        let mut vit = Vit::new(&spec, device);
        let kernel = w.values(&own(patch_name), width * 3 * patch * patch)?;
        let bias = match patch_name.strip_suffix("weight").map(|name| format!("{name}bias")) {
            Some(name) if has(w, &name) => w.values(&own(&name), width)?,
            _ => vec![0.0; width],
        };
        vit.patch = folded_patch(kernel, bias, family.pixels(), device);
        let positions = w.values(&own(position_name), position_count * width)?;
        let (of_class, of_patches) = positions.split_at(if has_class { width } else { 0 });
        if spec.prefix > 0 {
            let mut rows = Vec::with_capacity(spec.prefix * width);
            if has_class {
                rows.extend(
                    w.values(&own(class), width)?.iter().zip(of_class).map(|(token, position)| token + position),
                );
            }
            if register_count > 0 {
                rows.extend(w.values(&own(registers), register_count * width)?);
            }
            let rows = Tensor::from_data(TensorData::new(rows, [spec.prefix, width]), device);
            vit.prefix = Some(Param::from_tensor(rows));
        }
        let positions = resampled(of_patches, (recorded, across), register_count > 0, width);
        let positions = Tensor::from_data(TensorData::new(positions, [across * across, width]), device);
        vit.positions = Param::from_tensor(positions);
        if let Some(first) = &mut vit.first {
            fill_norm(w, first, &own("pre_layrnorm"), width, device)?;
        }
        let last = if is_dino { own("layernorm") } else { own("post_layernorm") };
        fill_norm(w, &mut vit.last, &last, width, device)?;
        for (layer, block) in vit.blocks.iter_mut().enumerate() {
            let names = |part: Part| family.names(&prefix, layer, part);
            let scale = |w: &Weights<'_>, name: &str| {
                let name = format!("encoder.layer.{layer}.{name}.lambda1");
                if is_dino && has(w, &name) { w.values(&own(&name), width).map(Some) } else { Ok(None) }
            };
            let (one, two) = (scale(w, "layer_scale1")?, scale(w, "layer_scale2")?);
            fill_norm(w, &mut block.before_attention, &names(Part::BeforeAttention), width, device)?;
            fill_norm(w, &mut block.before_mlp, &names(Part::BeforeMlp), width, device)?;
            let square = (width, width);
            block.query = linear(w, &names(Part::Query), square, None, device)?;
            block.key = linear(w, &names(Part::Key), square, None, device)?;
            block.value = linear(w, &names(Part::Value), square, None, device)?;
            block.output = linear(w, &names(Part::Output), square, one, device)?;
            block.up = linear(w, &names(Part::Up), (hidden, width), None, device)?;
            block.down = linear(w, &names(Part::Down), (width, hidden), two, device)?;
        }
        Ok(vit)
    }
}

fn stated(weights: &Path) -> Result<Stated, String> {
    let path = weights.with_file_name("config.json");
    if !path.is_file() {
        return Ok(Stated::default());
    }
    let text = std::fs::read_to_string(&path).map_err(|e| format!("config.json beside it cannot be read ({e})"))?;
    let stated: Stated = serde_json::from_str(&text).map_err(|e| format!("config.json beside it is unusable ({e})"))?;
    Ok(stated.vision_config.map_or(Stated { vision_config: None, ..stated }, |vision| *vision))
}

fn fill_norm(
    w: &Weights<'_>,
    norm: &mut LayerNorm,
    names: &[String],
    width: usize,
    device: &Device,
) -> Result<(), Error> {
    let read = |end: &str| -> Result<Param<Tensor<1>>, Error> {
        let values = w.values(&ending(names, end), width)?;
        Ok(Param::from_tensor(Tensor::from_data(TensorData::new(values, [width]), device)))
    };
    norm.gamma = read("weight")?;
    norm.beta = Some(read("bias")?);
    Ok(())
}

/// A layer of `[out, in]` weights as published, its outputs times `scale [out]`.
fn linear(
    w: &Weights<'_>,
    names: &[String],
    (out, input): (usize, usize),
    scale: Option<Vec<f32>>,
    device: &Device,
) -> Result<Linear, Error> {
    let mut weight = w.values(&ending(names, "weight"), out * input)?;
    let mut bias = w.values(&ending(names, "bias"), out)?;
    if let Some(scale) = scale {
        weight.chunks_exact_mut(input).zip(&scale).for_each(|(row, s)| row.iter_mut().for_each(|x| *x *= s));
        bias.iter_mut().zip(&scale).for_each(|(b, s)| *b *= s);
    }
    Ok(layer(weight, bias, input, device))
}
