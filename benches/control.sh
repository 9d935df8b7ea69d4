#!/usr/bin/env bash
# Policies of state-only robots beside d3rlpy's and OfflineRL-Kit's, learned from the same files, driven in the true simulator.
#
#   PYTHON=.cache/torch/bin/python PYTHONPATH=OfflineRL-Kit bash benches/control.sh DATA_DIR [TASK…]
#
# DATA_DIR is where tests/interop/make_mujoco.py writes; what is missing there is made. Lines of JSON gather in
# DATA_DIR/control.jsonl. SEEDS (0), UPDATES (20000) of every peer's policy, EPOCHS (30) of the dynamics of OfflineRL-Kit's,
# PEERS ("bc td3+bc iql cql offlinerlkit", empty for none). tests/interop/control_*.py say how to set them up and what is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
data="${1:?a directory for the data}"
shift
tasks=("$@")
[ ${#tasks[@]} -gt 0 ] || tasks=(hopper halfcheetah walker2d)
ours="${REHEARSAL:-}"
if [ -z "$ours" ]; then
  cargo build --quiet --release --locked --bin rehearsal
  ours="${CARGO_TARGET_DIR:-target}/release/rehearsal"
fi
export OMP_NUM_THREADS=1
lines="$data/control.jsonl"
updates="${UPDATES:-20000}"
# The last lines that are JSON: some peers talk while they work.
ask() { "$python" -W ignore "tests/interop/$1.py" "${@:2}" | grep --line-buffered '^{"algorithm"' | tee -a "$lines" | cut -c1-160; }
for task in "${tasks[@]}"; do
  file="$data/$task.hdf5"
  [ -e "$file" ] || "$python" -W ignore tests/interop/make_mujoco.py "$data" "$task"
  ask control_robot "$file" random
  ask control_robot "$file" best
  for seed in ${SEEDS:-0}; do
    ask control_rehearsal "$ours" "$file" "configs/$task.toml" "$data/$task-$seed.control" "$seed"
    for peer in ${PEERS-bc td3+bc iql cql offlinerlkit}; do
      case "$peer" in
        offlinerlkit) ask control_offlinerlkit "$file" "$updates" "${EPOCHS:-30}" "$seed" ;;
        *) ask control_d3rlpy "$file" "$peer" "$updates" "$seed" ;;
      esac
    done
  done
done
"$python" tests/interop/control_table.py "$lines"
