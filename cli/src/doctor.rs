//! `rehearsal doctor`: what works on this machine, what does not, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::device::{self, Listed};
use crate::{memory, tools};

/// Below this much free memory `demo` may not fit, MB (it is built to stay within 4 GiB).
const DEMO_MEMORY_MB: f64 = 4300.0;

/// Below this much free disk a run with cameras may not fit, MB: its frame cache and recording.
const RUN_DISK_MB: f64 = 2000.0;

/// Everything the doctor looks at.
#[derive(Clone, Debug, Serialize)]
pub struct Doctor {
    /// Version of this program.
    pub version: &'static str,
    /// Operating system and processor architecture.
    pub system: String,
    /// The processor.
    pub cpu: Cpu,
    /// Memory of the machine or of the container.
    pub memory: Memory,
    /// The disk of the working directory.
    pub disk: Disk,
    /// Devices, compiled in or not.
    pub devices: Vec<Listed>,
    /// Video formats.
    pub codecs: Vec<Codec>,
    /// Programs that are used where they are found.
    pub tools: Vec<Tool>,
    /// What would not work, and what to do.
    pub problems: Vec<Problem>,
}

/// The processor.
#[derive(Clone, Debug, Serialize)]
pub struct Cpu {
    /// Cores this process may use.
    pub cores: usize,
    /// Vector instructions.
    pub simd: Vec<&'static str>,
}

/// Memory, MB; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// In all.
    pub total_mb: Option<f64>,
    /// Free for a new program, the container's limit considered.
    pub available_mb: Option<f64>,
}

/// A disk.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    /// A directory on it.
    pub path: PathBuf,
    /// Free for this user, MB; `None` where the system does not say.
    pub free_mb: Option<f64>,
    /// Whether this user can write there.
    pub writable: bool,
}

/// A video format.
#[derive(Clone, Debug, Serialize)]
pub struct Codec {
    /// Its name.
    pub name: &'static str,
    /// Whether videos of it can be read.
    pub usable: bool,
    /// How, or what to do.
    pub detail: &'static str,
}

/// A program.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Where it is, if it is.
    pub path: Option<PathBuf>,
    /// What it is used for.
    pub purpose: &'static str,
}

/// Something that would not work.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// Looks at this machine.
pub fn examine() -> Doctor {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut doctor = Doctor {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: Cpu { cores: std::thread::available_parallelism().map_or(1, usize::from), simd: simd() },
        memory: Memory { total_mb: meminfo("MemTotal:"), available_mb: available_mb() },
        disk: Disk { free_mb: free_mb(&here), writable: tempfile::tempfile_in(&here).is_ok(), path: here },
        devices: device::list(),
        codecs: codecs(),
        tools: vec![
            tool("rerun", "rehearsal view opens recordings with it"),
            tool("uvx", "can fetch the rerun viewer"),
            tool("ffmpeg", "only HEVC, VP9 and VP8 video need it"),
        ],
        problems: Vec::new(),
    };
    doctor.problems = problems(&doctor);
    doctor
}

fn problems(doctor: &Doctor) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |what: String, advice: &str| found.push(Problem { what, advice: advice.to_owned() });
    if !doctor.disk.writable {
        add(
            format!("{} cannot be written", doctor.disk.path.display()),
            "run elsewhere, or choose a place with --out DIR",
        );
    }
    if let Some(free) = doctor.disk.free_mb.filter(|free| *free < RUN_DISK_MB) {
        add(
            format!("only {} free here", size(Some(free))),
            "a run with cameras may need 2 GB: choose another place with --out DIR and REHEARSAL_CACHE",
        );
    }
    if let Some(free) = doctor.memory.available_mb.filter(|free| *free < DEMO_MEMORY_MB) {
        add(format!("only {} of memory available", size(Some(free))), "demo needs 4 GiB; demo --quick less");
    }
    if cfg!(target_arch = "x86_64") && !doctor.cpu.simd.contains(&"avx2") {
        add("no AVX2".to_owned(), "training works, several times slower");
    }
    if doctor.tools.iter().all(|tool| tool.name != "rerun" || tool.path.is_none()) {
        add(
            "no rerun viewer on PATH, so 'rehearsal view' can only name the recording".to_owned(),
            crate::view::HOW_TO_GET_A_VIEWER,
        );
    }
    found
}

/// Vector instructions that the CPU backend can use.
fn simd() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        [
            ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
            ("avx2", std::is_x86_feature_detected!("avx2")),
            ("fma", std::is_x86_feature_detected!("fma")),
            ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

fn codecs() -> Vec<Codec> {
    let ffmpeg = episodes::video::ffmpeg_is_there();
    let av1 = if cfg!(feature = "asm") {
        "built in, with assembly"
    } else {
        "built in; about three times as fast when built with --features asm (needs nasm)"
    };
    vec![
        Codec { name: "AV1", usable: true, detail: av1 },
        Codec { name: "H.264", usable: true, detail: "built in" },
        Codec {
            name: "HEVC, VP9, VP8",
            usable: ffmpeg,
            detail: if ffmpeg {
                "through the ffmpeg on PATH"
            } else {
                "such cameras are skipped; install ffmpeg, or re-encode them as AV1 or H.264"
            },
        },
    ]
}

fn tool(name: &'static str, purpose: &'static str) -> Tool {
    Tool { name, path: tools::on_path(name), purpose }
}

fn meminfo(name: &str) -> Option<f64> {
    memory::kib("/proc/meminfo", name).map(|kib| kib * 1024.0 / 1e6)
}

/// Available memory, bounded by what the container (cgroup v2) has left.
fn available_mb() -> Option<f64> {
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<f64>().ok();
    let left = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(max, current)| (max - current).max(0.0) / 1e6);
    match (meminfo("MemAvailable:"), left) {
        (Some(machine), Some(container)) => Some(machine.min(container)),
        (machine, container) => machine.or(container),
    }
}

#[cfg(unix)]
fn free_mb(dir: &Path) -> Option<f64> {
    let about = rustix::fs::statvfs(dir).ok()?;
    Some(about.f_bavail as f64 * about.f_frsize as f64 / 1e6)
}

#[cfg(not(unix))]
fn free_mb(_dir: &Path) -> Option<f64> {
    None
}

/// A size in words.
pub fn size(mb: Option<f64>) -> String {
    match mb {
        None => "unknown".to_owned(),
        Some(mb) if mb >= 1000.0 => format!("{:.1} GB", mb / 1000.0),
        Some(mb) => format!("{mb:.0} MB"),
    }
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rehearsal {} on {}", self.version, self.system)?;
        let cores = if self.cpu.cores == 1 { "core" } else { "cores" };
        writeln!(f, "  cpu     {} {cores}, {}", self.cpu.cores, self.cpu.simd.join(" "))?;
        let (total, available) = (size(self.memory.total_mb), size(self.memory.available_mb));
        writeln!(f, "  memory  {total}, {available} available")?;
        writeln!(f, "  disk    {} free in {}", size(self.disk.free_mb), self.disk.path.display())?;
        writeln!(f, "devices")?;
        for device in &self.devices {
            row(f, device.usable, &device.name, &device.detail)?;
        }
        writeln!(f, "video")?;
        for codec in &self.codecs {
            row(f, codec.usable, codec.name, codec.detail)?;
        }
        writeln!(f, "programs")?;
        for tool in &self.tools {
            let place = tool.path.as_ref().map_or("not on PATH".to_owned(), |path| path.display().to_string());
            row(f, tool.path.is_some(), tool.name, &format!("{place} ({})", tool.purpose))?;
        }
        if self.problems.is_empty() {
            return write!(f, "nothing stands in the way");
        }
        write!(f, "to know")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {}: {}", problem.what, problem.advice))
    }
}

fn row(f: &mut fmt::Formatter<'_>, usable: bool, name: &str, detail: &str) -> fmt::Result {
    writeln!(f, "  {} {name:<15} {detail}", if usable { "yes" } else { " no" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_sees_this_machine() {
        let doctor = examine();
        assert!(doctor.cpu.cores > 0);
        assert!(doctor.devices.iter().any(|d| d.name == "cpu" && d.usable));
        let text = doctor.to_string();
        assert!(text.contains("AV1") && text.contains("ffmpeg"), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_memory_and_disk() {
        let doctor = examine();
        assert!(doctor.memory.total_mb.is_some_and(|mb| mb > 100.0));
        assert!(doctor.memory.available_mb <= doctor.memory.total_mb);
        assert!(doctor.disk.free_mb.is_some());
    }

    #[test]
    fn a_full_disk_is_a_problem_with_advice() {
        let mut doctor = examine();
        doctor.disk.free_mb = Some(12.0);
        doctor.disk.writable = false;
        let problems = problems(&doctor);
        assert!(problems.iter().any(|p| p.what == "only 12 MB free here" && p.advice.contains("--out")));
        assert!(problems.iter().any(|p| p.what.ends_with("cannot be written")));
    }
}
