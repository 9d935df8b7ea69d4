#!/usr/bin/env bash
# Our steps and the same in PyTorch, alternately: both processes of a case live side by side and take turns.
#
#   PYTHON=.cache/torch/bin/python bash benches/compare.sh [NAME…]     (tests/interop/torch_steps.py says how to set up)
#
# benches/turns.sh says what the lines mean.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
. benches/turns.sh
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  names=(rssm_b8_t32 rssm_demo representation_demo representation_64 representation_96 ensemble cloning improvement
    imagination_b1024_h15 branches_k64_h20 latency_state latency_camera_96 sampling)
fi
"$python" -c 'import torch, os; print(f"# torch {torch.__version__}, {os.cpu_count()} cores, load", *os.getloadavg())'
for name in "${names[@]}"; do
  turns "$name" "$name" torch "$python" tests/interop/torch_steps.py --serve "$name"
done
