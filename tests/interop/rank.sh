#!/usr/bin/env bash
# What a run's policies are worth in the true simulator, and what the run's own judgement makes of them: benches/control_seeds.sh calls it.
#
#   bash rank.sh PYTHON REHEARSAL RUN FILE POLICY,POLICY… KNOWN.csv EPISODES OUT.json
set -euo pipefail
read -r python ours run file policies known episodes out <<< "$*"
here="$(dirname "$0")"
environment="$("$python" -c "import h5py, sys; print(h5py.File(sys.argv[1]).attrs['task'])" "$file")"
"$python" -W ignore "$here/known_outcomes.py" "$ours" "$run" "$environment" "$policies" "$known" "$episodes"
"$ours" evaluate "$run" --policies random,mean --known "$known" --json --set evaluate.fqe.updates=0 > "$out.part"
mv "$out.part" "$out"
