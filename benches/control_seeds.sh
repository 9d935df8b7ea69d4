#!/usr/bin/env bash
# What benches/control.sh measures, with several seeds side by side; and how well imagination and d3rlpy's fitted-Q evaluation rank twelve policies.
#
#   PYTHON=.cache/torch/bin/python PYTHONPATH=OfflineRL-Kit bash benches/control_seeds.sh DATA_DIR SECONDS [ours peers ranking]
#
# DATA_DIR holds what tests/interop/make_mujoco.py writes. Each job has one thread; there are CORES (all) at a time, GPU (0) of them on an
# accelerator: d3rlpy's CQL and OfflineRL-Kit's two, which are the heaviest. SEEDS ("0 1 2 3 4"), UPDATES (10000) of every peer, EPOCHS
# (30) of OfflineRL-Kit's dynamics, TASKS, SET (evaluate.fqe.updates=0: the copy is chosen by imagination alone). Lines gather in
# DATA_DIR/control.jsonl and go on from there in the next call; control_table.py and ranking_table.py read them.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
data="$(realpath "${1:?a directory for the data}")"
seconds="${2:?how long it may take}"
shift 2
wanted=" ${*:-ours peers ranking} "
gpu="${GPU:-0}"
read -ra seeds <<< "${SEEDS:-0 1 2 3 4}"
read -ra tasks <<< "${TASKS:-hopper halfcheetah walker2d}"
updates="${UPDATES:-10000}"
ours="${REHEARSAL:-}"
if [ -z "$ours" ]; then
  cargo build --quiet --release --locked --bin rehearsal
  ours="${CARGO_TARGET_DIR:-target}/release/rehearsal"
fi
ours="$(realpath "$ours")"
export OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1
lines="$data/control.jsonl"
run() { echo "$data/$1-$2.control"; }
py() { echo "$python -W ignore tests/interop/$1.py"; }
changed="improved,cloned,explorer,random,mean,improved+noise:0.2,improved+noise:0.5,improved+noise:1,improved+gain:0.6,improved+bias:0.3,cloned+gain:0.5,improved+gain:1.5"
[ "$gpu" -gt 0 ] && { heavy=gpu; device="cuda:0"; } || { heavy=cores; device=cpu; }

peers_of() {
  for task in "${tasks[@]}"; do echo "$heavy 200 - $(py control_offlinerlkit) $data/$task.hdf5 $updates ${EPOCHS:-30} $1 $device"; done
  for task in "${tasks[@]}"; do echo "$heavy 150 - $(py control_d3rlpy) $data/$task.hdf5 cql $updates $1 $device"; done
  for peer in iql td3+bc bc bc-best; do
    for task in "${tasks[@]}"; do echo "cores 150 - $(py control_d3rlpy) $data/$task.hdf5 $peer $updates $1"; done
  done
}
# One robot's twelve policies: the truth, and what a run's own judgement makes of them.
rank() {
  echo "cores 100 $(run "$1" 0)/report.json bash tests/interop/rank.sh '$python' $ours $(run "$1" 0) $data/$1.hdf5 $changed $data/known_$1.csv ${EPISODES:-20} $data/$1_eval.json"
}
jobs() {
  for task in "${tasks[@]}"; do
    echo "cores 1 - $(py control_robot) $data/$task.hdf5 random"
    echo "cores 1 - $(py control_robot) $data/$task.hdf5 best"
  done
  if [[ $wanted = *" ours "* ]]; then
    for seed in "${seeds[@]}"; do
      for task in "${tasks[@]}"; do
        echo "cores 200 - $(py control_rehearsal) $ours $data/$task.hdf5 configs/$task.toml $(run "$task" "$seed") $seed ${SET-evaluate.fqe.updates=0}"
      done
    done
  fi
  if [[ $wanted = *" ranking "* ]]; then
    for task in "${tasks[@]}"; do rank "$task"; done
  fi
  if [[ $wanted = *" peers "* ]]; then peers_of "${seeds[0]}"; fi
  if [[ $wanted = *" ranking "* ]]; then
    for policy in ${changed//,/ }; do
      for task in "${tasks[@]}"; do
        echo "cores 60 $(run "$task" 0)/report.json $(py fqe_d3rlpy) $ours $(run "$task" 0) $data/$task.hdf5 $policy ${FQE_UPDATES:-10000}"
      done
    done
  fi
  if [[ $wanted = *" peers "* ]]; then
    for seed in "${seeds[@]:1}"; do peers_of "$seed"; done
  fi
}
jobs | "$python" tests/interop/side_by_side.py "$lines" "$data/control.log" "$seconds" "cores=${CORES:-$(getconf _NPROCESSORS_ONLN)}" "gpu=$gpu"
"$python" tests/interop/control_table.py "$lines"
