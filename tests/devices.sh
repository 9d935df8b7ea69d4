#!/usr/bin/env bash
# The tests on a device other than the CPU: a GPU, or Mesa's software Vulkan where there is none (see docs/DEVICES.md).
#
#   bash tests/devices.sh            wgpu
#   bash tests/devices.sh cuda
set -euo pipefail
cd "$(dirname "$0")/.."
device="${1:-wgpu}"
# Software Vulkan trains one or two updates a second: what trains thousands is left to real devices and the CPU.
few=(-E 'not (test(ranking_agrees) + test(two_thousand))')
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$(mktemp -d)}"
BURN_DEVICE="$device" cargo nextest run --release --locked --workspace --features "rehearsal/$device" --no-fail-fast "${few[@]}"
