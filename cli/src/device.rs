//! The one place that maps `--device` to a device; everywhere else a `&Device` comes in.

use std::str::FromStr;

use burn::tensor::Device;
use serde::Serialize;

use crate::errors::UsageError;

/// What `--device` can say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first of `cuda:0`, `wgpu`, `cpu` that this build has and this machine offers.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU through Vulkan, Metal or DirectX.
    Wgpu(Adapter),
    /// The CUDA device of this index.
    Cuda(usize),
}

/// Which of the adapters wgpu lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// The most powerful one.
    Best,
    /// The discrete GPU of this index.
    Discrete(usize),
    /// The integrated GPU of this index.
    Integrated(usize),
    /// The virtual GPU of this index.
    Virtual(usize),
    /// A software renderer.
    Software,
}

/// One kind of device, as `doctor` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// As `--device` takes it.
    pub name: String,
    /// Part of this build.
    pub compiled: bool,
    /// Found on this machine.
    pub usable: bool,
    /// What it is, or how to get it.
    pub detail: String,
}

const EXPECTED: &str = "auto, cpu, wgpu, wgpu:discrete:N, wgpu:integrated:N, wgpu:virtual:N, wgpu:cpu or cuda:N";

impl FromStr for Choice {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let wrong = || UsageError(format!("--device {text}: no such device; expected {EXPECTED}"));
        let index = |n: Option<&&str>| n.map_or(Ok(0), |n| n.parse().map_err(|_| wrong()));
        let parts: Vec<&str> = text.split(':').collect();
        match (parts[0], parts.get(1).copied(), parts.len()) {
            ("auto", None, _) => Ok(Choice::Auto),
            ("cpu" | "flex", None, _) => Ok(Choice::Cpu),
            ("cuda", _, 1 | 2) => Ok(Choice::Cuda(index(parts.get(1))?)),
            ("wgpu", None, _) => Ok(Choice::Wgpu(Adapter::Best)),
            ("wgpu", Some("cpu"), 2) => Ok(Choice::Wgpu(Adapter::Software)),
            ("wgpu", Some("discrete"), 2 | 3) => Ok(Choice::Wgpu(Adapter::Discrete(index(parts.get(2))?))),
            ("wgpu", Some("integrated"), 2 | 3) => Ok(Choice::Wgpu(Adapter::Integrated(index(parts.get(2))?))),
            ("wgpu", Some("virtual"), 2 | 3) => Ok(Choice::Wgpu(Adapter::Virtual(index(parts.get(2))?))),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(n) => write!(f, "cuda:{n}"),
            Choice::Wgpu(Adapter::Best) => f.write_str("wgpu"),
            Choice::Wgpu(Adapter::Software) => f.write_str("wgpu:cpu"),
            Choice::Wgpu(Adapter::Discrete(n)) => write!(f, "wgpu:discrete:{n}"),
            Choice::Wgpu(Adapter::Integrated(n)) => write!(f, "wgpu:integrated:{n}"),
            Choice::Wgpu(Adapter::Virtual(n)) => write!(f, "wgpu:virtual:{n}"),
        }
    }
}

impl Choice {
    /// Opens the device and tries one small computation on it; returns it with the choice that `auto` came to.
    ///
    /// # Errors
    /// This build lacks it, this machine has none, or it does not work: one sentence each.
    pub fn open(self) -> anyhow::Result<(Device, Choice)> {
        match self {
            Choice::Cpu => Ok((Device::flex(), self)),
            Choice::Auto => {
                let gpu = [Choice::Cuda(0), Choice::Wgpu(Adapter::Best)];
                Ok(gpu
                    .into_iter()
                    .filter(|choice| choice.found_gpu())
                    .find_map(|choice| choice.open().ok())
                    .unwrap_or_else(|| (Device::flex(), Choice::Cpu)))
            }
            Choice::Wgpu(_) => Ok((gpu::wgpu(self)?, self)),
            Choice::Cuda(_) => Ok((gpu::cuda(self)?, self)),
        }
    }

    /// Whether `auto` should try this: compiled, there, and faster than the CPU it would replace.
    fn found_gpu(self) -> bool {
        match self {
            Choice::Wgpu(_) => gpu::wgpu_adapters().is_some_and(|all| all.iter().any(|a| *a != Adapter::Software)),
            Choice::Cuda(_) => gpu::cuda_count().is_some_and(|count| count > 0),
            _ => false,
        }
    }
}

/// Every kind of device this program knows, compiled in or not.
pub fn list() -> Vec<Listed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = vec![Listed {
        name: Choice::Cpu.to_string(),
        compiled: true,
        usable: true,
        detail: format!("{cores} {}", if cores == 1 { "core" } else { "cores" }),
    }];
    let absent =
        |name: &str, compiled: bool, detail: String| Listed { name: name.to_owned(), compiled, usable: false, detail };
    match gpu::wgpu_adapters() {
        None => all.push(absent("wgpu", false, how_to_build("wgpu"))),
        Some(adapters) if adapters.is_empty() => {
            all.push(absent("wgpu", true, "no adapter found; is a Vulkan driver installed?".to_owned()));
        }
        Some(adapters) => all.extend(adapters.into_iter().map(|adapter| Listed {
            name: Choice::Wgpu(adapter).to_string(),
            compiled: true,
            usable: true,
            detail: match adapter {
                Adapter::Software => "a software renderer: works, slower than cpu".to_owned(),
                _ => "GPU".to_owned(),
            },
        })),
    }
    match gpu::cuda_count() {
        None => all.push(absent("cuda", false, how_to_build("cuda"))),
        Some(0) => all.push(absent("cuda", true, "no device found; is the NVIDIA driver installed?".to_owned())),
        Some(count) => all.extend((0..count).map(|n| Listed {
            name: Choice::Cuda(n).to_string(),
            compiled: true,
            usable: true,
            detail: "NVIDIA GPU".to_owned(),
        })),
    }
    all
}

fn how_to_build(feature: &str) -> String {
    format!("not in this build; cargo build --release --features {feature}")
}

/// What depends on the cargo features `wgpu` and `cuda`.
mod gpu {
    use burn::tensor::Device;

    use super::{Adapter, Choice, how_to_build};

    /// The adapters wgpu finds; `None` where this build has no wgpu.
    pub(super) fn wgpu_adapters() -> Option<Vec<Adapter>> {
        #[cfg(feature = "wgpu")]
        {
            let found = crate::crash::quietly(|| Device::enumerate(burn::tensor::DeviceType::Wgpu));
            let found: Vec<Device> = found.map(|devices| devices.to_vec()).unwrap_or_default();
            let indexed =
                (0..found.len()).flat_map(|n| [Adapter::Discrete(n), Adapter::Integrated(n), Adapter::Virtual(n)]);
            Some(
                indexed
                    .chain([Adapter::Software])
                    .filter(|adapter| found.contains(&Device::wgpu(kind(*adapter))))
                    .collect(),
            )
        }
        #[cfg(not(feature = "wgpu"))]
        None
    }

    /// The number of CUDA devices; `None` where this build has no CUDA.
    pub(super) fn cuda_count() -> Option<usize> {
        #[cfg(feature = "cuda")]
        {
            Some(crate::crash::quietly(|| Device::enumerate(burn::tensor::DeviceType::Cuda).len()).unwrap_or(0))
        }
        #[cfg(not(feature = "cuda"))]
        None
    }

    pub(super) fn wgpu(choice: Choice) -> anyhow::Result<Device> {
        let Choice::Wgpu(adapter) = choice else { unreachable!("called for wgpu alone") };
        let Some(found) = wgpu_adapters() else {
            anyhow::bail!("device {choice} is {}", how_to_build("wgpu"));
        };
        if found.is_empty() || (adapter != Adapter::Best && !found.contains(&adapter)) {
            let found: Vec<String> = found.into_iter().map(|a| Choice::Wgpu(a).to_string()).collect();
            let found = if found.is_empty() { "no adapter at all".to_owned() } else { found.join(", ") };
            anyhow::bail!("device {choice} is not there; wgpu finds {found}. --device cpu works everywhere");
        }
        #[cfg(feature = "wgpu")]
        return tried(choice, Device::wgpu(kind(adapter)));
        #[cfg(not(feature = "wgpu"))]
        unreachable!("without wgpu no adapter is found");
    }

    pub(super) fn cuda(choice: Choice) -> anyhow::Result<Device> {
        let Choice::Cuda(index) = choice else { unreachable!("called for CUDA alone") };
        let Some(count) = cuda_count() else {
            anyhow::bail!("device {choice} is {}", how_to_build("cuda"));
        };
        if index >= count {
            anyhow::bail!("device {choice} is not there; {count} CUDA devices found. --device cpu works everywhere");
        }
        #[cfg(feature = "cuda")]
        return tried(choice, Device::cuda(index));
        #[cfg(not(feature = "cuda"))]
        unreachable!("without CUDA no device is found");
    }

    #[cfg(feature = "wgpu")]
    fn kind(adapter: Adapter) -> burn::tensor::DeviceKind {
        use burn::tensor::DeviceKind;
        match adapter {
            Adapter::Best => DeviceKind::DefaultDevice,
            Adapter::Discrete(n) => DeviceKind::DiscreteGpu(n),
            Adapter::Integrated(n) => DeviceKind::IntegratedGpu(n),
            Adapter::Virtual(n) => DeviceKind::VirtualGpu(n),
            Adapter::Software => DeviceKind::Cpu,
        }
    }

    /// A device that is listed can still fail at its first use, and burn panics then.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn tried(choice: Choice, device: Device) -> anyhow::Result<Device> {
        use burn::tensor::Tensor;
        let sum = crate::crash::quietly(|| Tensor::<1>::from_floats([1.0, 2.0], &device).sum().into_scalar::<f32>());
        match sum {
            Ok(sum) if sum == 3.0 => Ok(device),
            Ok(sum) => {
                anyhow::bail!("device {choice} does not work: it says 1 + 2 = {sum}. --device cpu works everywhere")
            }
            Err(words) => {
                anyhow::bail!("device {choice} does not work: {words}. --device cpu works everywhere")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_are_written() {
        for name in
            ["auto", "cpu", "wgpu", "wgpu:discrete:1", "wgpu:integrated:0", "wgpu:virtual:2", "wgpu:cpu", "cuda:3"]
        {
            assert_eq!(name.parse::<Choice>().map(|c| c.to_string()), Ok(name.to_owned()));
        }
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        assert_eq!(
            "gpu:7".parse::<Choice>(),
            Err(UsageError(
                "--device gpu:7: no such device; expected auto, cpu, wgpu, wgpu:discrete:N, wgpu:integrated:N, \
                 wgpu:virtual:N, wgpu:cpu or cuda:N"
                    .into()
            ))
        );
        for wrong in ["", "cpu:0", "cuda:x", "cuda:0:0", "wgpu:fast", "wgpu:discrete:1:2", "auto:1"] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() -> anyhow::Result<()> {
        assert_eq!(Choice::Cpu.open()?.1, Choice::Cpu);
        let listed = list();
        assert!(listed[0].usable && listed[0].name == "cpu");
        assert!(listed.iter().any(|l| l.name.starts_with("wgpu")));
        assert!(listed.iter().any(|l| l.name.starts_with("cuda")));
        Ok(())
    }

    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    #[test]
    fn a_device_that_was_not_built_says_how_to_build_it() {
        let words = |name: &str| {
            let choice: Choice = name.parse().expect("a known name");
            choice.open().expect_err("a lean build has the CPU alone").to_string()
        };
        assert_eq!(
            words("wgpu:discrete:1"),
            "device wgpu:discrete:1 is not in this build; cargo build --release --features wgpu"
        );
        assert_eq!(words("cuda:0"), "device cuda:0 is not in this build; cargo build --release --features cuda");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_cuda_device_that_is_not_there_is_a_sentence() {
        let error = Choice::Cuda(99).open().expect_err("nobody has a hundred").to_string();
        assert!(error.contains("cuda:99 is not there"), "{error}");
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn an_adapter_that_is_not_there_is_a_sentence() {
        let error = Choice::Wgpu(Adapter::Discrete(99)).open().expect_err("nobody has a hundred").to_string();
        assert!(error.contains("wgpu:discrete:99 is not there"), "{error}");
    }
}
