#!/usr/bin/env bash
# Recorded data in, against its peers: decoding into the cache, windows out of it, opening a dataset of many episodes.
#
#   DATA=… PYAV=.cache/pyav/bin/python LEROBOT=.cache/lerobot/bin/python bash benches/episodes.sh [CASE…]
#
# DATA is the folder of the datasets pusht_v3 and g1_bottle_v21. PYAV is a Python with PyAV (and numpy), LEROBOT one with
# LeRobot; both are PYTHON (python3) where they are not set. tests/interop/{ingest_pyav,windows_numpy,windows_lerobot}.py
# say how to set them up. What is not there is skipped with a word. FEATURES=benches/asm decodes AV1 in assembly.
#
# `ratio NAME X.XX` as benches/turns.sh says; `scale NAME X.XX` is the wall time on one core over that on two; `opened` and
# `ratio open_…` are a dataset of 50,000 episodes in a process of its own, against the bounds of 2 s and 500 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
pyav="${PYAV:-${PYTHON:-python3}}"
lerobot="${LEROBOT:-${PYTHON:-python3}}"
export DATA="${DATA:-}"
. benches/turns.sh
export SCRATCH="$work/scratch"
mkdir "$SCRATCH"
echo "# $(nproc) cores, $(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo), load $(cut -d' ' -f1-3 /proc/loadavg)${FEATURES:+, $FEATURES}"

has() { "$1" -c "import $2" 2>/dev/null || { echo "skipped: $3 ($1 has no ${2//,/ or no})"; false; }; }
names=("$@")
wanted() { [ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " == *" $1 "* ]]; }
recorded() { [ -d "$DATA/$1" ] || { echo "skipped: $2 (DATA has no $1)"; false; }; }

for case in ingest_pusht_96 ingest_pusht_64 ingest_g1_96 ingest_g1_64; do
  dataset=pusht_v3
  case "$case" in *g1*) dataset=g1_bottle_v21 ;; esac
  if wanted "$case" && recorded "$dataset" "$case" && has "$pyav" av,cv2,PIL,pyarrow "$case"; then
    turns "$case" "$case" PyAV "$pyav" tests/interop/ingest_pyav.py --serve "$case"
  fi
done

if wanted windows_u8 && recorded pusht_v3 windows_u8 && has "$pyav" numpy windows_u8; then
  turns windows_u8/numpy windows_u8 numpy "$pyav" tests/interop/windows_numpy.py --serve windows_u8
fi
if wanted windows_f32 && recorded pusht_v3 windows_f32; then
  if has "$pyav" numpy "windows_f32 against numpy"; then
    turns windows_f32/numpy windows_f32 numpy "$pyav" tests/interop/windows_numpy.py --serve windows_f32
    turns windows_f32/tuned windows_f32 numpy "$pyav" tests/interop/windows_numpy.py --serve windows_f32_tuned
  fi
  if has "$lerobot" lerobot,torch "windows_f32 against LeRobot"; then
    turns windows_f32/lerobot windows_f32 LeRobot "$lerobot" tests/interop/windows_lerobot.py --serve windows_f32
  fi
  if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
    for cores in 0 0,1; do taskset -c "$cores" "$ours" windows_f32; done |
      awk '{w[NR] = $5} END {printf "scale windows_f32 %.2f  one core %.2f ms, two cores %.2f ms\n", w[1] / w[2], w[1], w[2]}'
  fi
fi

video=episodes/tests/fixtures/colours_av1.mp4
for case in open_50000 open_50000_camera; do
  wanted "$case" || continue
  camera=()
  case "$case" in *camera) camera=("$video") ;; esac
  cargo run --quiet --release --locked -p episodes --example many -- "$SCRATCH/$case" 50000 "${camera[@]}"
  # The first one is not counted: with a camera it decodes.
  for _ in first $(seq "$rounds"); do "$ours" --open "$SCRATCH/$case"; done | tail -n +2 | sort -k 8 -g | awk -v name="$case" '
    {s[NR] = $8; c[NR] = $11; if ($13 > most) most = $13}
    END {n = int((NR + 1) / 2); printf "ratio %-22s %.2f  memory %.2f  wall %.2f s, cpu %.2f s, %d MiB  bounds 2 s, 500 MiB\n",
      name, 2 / s[n], 500 / most, s[n], c[n], most}'
  rm -rf "${SCRATCH:?}/$case" "$SCRATCH/$case.cache"
done
