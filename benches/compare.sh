#!/usr/bin/env bash
# Our steps and the same in PyTorch, alternately: both processes of a case live side by side and take turns.
#
#   PYTHON=.cache/torch/bin/python bash benches/compare.sh [NAME…]     (tests/interop/torch_steps.py says how to set up)
#
# ROUNDS (5) turns of SECONDS_PER_TURN (1.5) each. One line per case, `ratio NAME X.XX`: PyTorch's median wall time over
# ours, above 1 where we are quicker; beside it the same of processor time and of the quickest step, then both sides' wall
# time, processor time and peak memory. Beside other work, trust processor time: wall time is then the scheduler's.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
rounds="${ROUNDS:-5}"
seconds="${SECONDS_PER_TURN:-1.5}"
ours="${BENCHES:-}"
if [ -z "$ours" ]; then
  # The whole workspace is named so that dependencies have the same features as in the binary.
  cargo build --quiet --release --locked --workspace --bin benches
  ours="${CARGO_TARGET_DIR:-target}/release/benches"
fi
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  names=(rssm_b8_t32 rssm_demo representation_demo representation_64 representation_96 ensemble cloning improvement
    imagination_b1024_h15 branches_k64_h20 latency_state latency_camera_96 sampling)
fi
"$python" -c 'import torch, os; print(f"# torch {torch.__version__}, {os.cpu_count()} cores, load", *os.getloadavg())'

work="$(mktemp -d)"
children=()
trap 'kill -CONT "${children[@]}" 2>/dev/null || true; kill "${children[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

for name in "${names[@]}"; do
  mkfifo "$work/$name.ours" "$work/$name.torch"
  exec {ours_in}<>"$work/$name.ours" {torch_in}<>"$work/$name.torch"
  : >"$work/$name.ours.out" && : >"$work/$name.torch.out"
  "$ours" --serve "$name" <"$work/$name.ours" >"$work/$name.ours.out" &
  ours_pid=$!
  "$python" tests/interop/torch_steps.py --serve "$name" <"$work/$name.torch" >"$work/$name.torch.out" &
  torch_pid=$!
  children=("$ours_pid" "$torch_pid")
  # Waits until the file $1 has $2 lines, or process $3 is gone.
  lines() {
    while [ "$(wc -l <"$1")" -lt "$2" ]; do
      kill -0 "$3" 2>/dev/null || { echo "$name: a process ended early" >&2; exit 1; }
      sleep 0.02
    done
  }
  lines "$work/$name.ours.out" 1 "$ours_pid"
  lines "$work/$name.torch.out" 1 "$torch_pid"
  for ((round = 1; round <= rounds; round++)); do
    # Whose turn it is not stands still: threads that spin while they wait would take a core from the other side.
    kill -STOP "$torch_pid"
    echo "$seconds" >&"$ours_in"
    lines "$work/$name.ours.out" $((round + 1)) "$ours_pid"
    kill -STOP "$ours_pid"
    kill -CONT "$torch_pid"
    echo "$seconds" >&"$torch_in"
    lines "$work/$name.torch.out" $((round + 1)) "$torch_pid"
    kill -CONT "$ours_pid"
  done
  kill "${children[@]}" 2>/dev/null || true
  wait "${children[@]}" 2>/dev/null || true
  exec {ours_in}>&- {torch_in}>&-
  # Fields: steps N wall_ms W min_ms M cpu_ms C peak_rss_mb P
  column() { sed 1d "$work/$name.$1.out" | awk -v f="$2" '{print $f}' | sort -g; }
  median() { column "$1" "$2" | awk '{x[NR] = $1} END {print x[int((NR + 1) / 2)]}'; }
  least() { column "$1" "$2" | head -n 1; }
  most() { column "$1" "$2" | tail -n 1; }
  awk -v name="$name" -v w="$(median ours 4)" -v tw="$(median torch 4)" -v m="$(least ours 6)" -v tm="$(least torch 6)" \
    -v c="$(median ours 8)" -v tc="$(median torch 8)" -v p="$(most ours 10)" -v tp="$(most torch 10)" 'BEGIN {
      c = c > 0 ? c : 0.001
      printf "ratio %-22s %.2f  cpu %.2f  min %.2f  ours %.2f ms, cpu %.5f s, %d MB  torch %.2f ms, cpu %.5f s, %d MB\n",
        name, tw / w, tc / c, tm / m, w, c / 1000, p, tw, tc / 1000, tp }'
done
