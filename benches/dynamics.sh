#!/usr/bin/env bash
# World models of state-only robots beside OfflineRL-Kit's, on the same files with the same episodes held out.
#
#   PYTHON=.cache/torch/bin/python PYTHONPATH=OfflineRL-Kit bash benches/dynamics.sh DATA_DIR [TASK…]
#
# DATA_DIR is where tests/interop/make_mujoco.py writes; what is missing there is made. EPOCHS (30) bounds the peer's
# training, empty lets it stop by itself. tests/interop/dynamics_offlinerlkit.py says how to set it up and what is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
data="${1:?a directory for the data}"
shift
tasks=("$@")
[ ${#tasks[@]} -gt 0 ] || tasks=(hopper halfcheetah)
ours="${REHEARSAL:-}"
if [ -z "$ours" ]; then
  cargo build --quiet --release --locked --bin rehearsal
  ours="${CARGO_TARGET_DIR:-target}/release/rehearsal"
fi
for task in "${tasks[@]}"; do
  [ -e "$data/$task.hdf5" ] || "$python" -W ignore tests/interop/make_mujoco.py "$data" "$task"
  "$python" -W ignore tests/interop/dynamics_table.py "$ours" "$data" "$task" "${EPOCHS-30}"
done
