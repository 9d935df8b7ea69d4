# Sourced by compare.sh and episodes.sh: our case and a peer's, side by side in two processes that take turns.
#
# turns TITLE CASE PEER COMMAND…   PEER names the other side in the line; COMMAND speaks the lines of `benches --serve`.
#
# ROUNDS (5) turns of SECONDS_PER_TURN (1.5) each. One line, `ratio TITLE X.XX`: the peer's median wall time over ours,
# above 1 where we are quicker; beside it the same of processor time and of the quickest step, then both sides' wall time,
# processor time and peak memory. Beside other work, trust processor time: wall time is then the scheduler's.
rounds="${ROUNDS:-5}"
seconds="${SECONDS_PER_TURN:-1.5}"
ours="${BENCHES:-}"
if [ -z "$ours" ]; then
  # The whole workspace is named so that dependencies have the same features as in the binary.
  # shellcheck disable=SC2086
  cargo build --quiet --release --locked --workspace --bin benches ${FEATURES:+--features "$FEATURES"}
  ours="${CARGO_TARGET_DIR:-target}/release/benches"
fi
work="$(mktemp -d)"
# What a process that is ended leaves behind goes with it.
export TMPDIR="$work"
children=()
trap 'kill -CONT "${children[@]}" 2>/dev/null || true; kill "${children[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

# Waits until the file $1 has $2 lines, or process $3 is gone.
lines() {
  while [ "$(wc -l <"$1")" -lt "$2" ]; do
    kill -0 "$3" 2>/dev/null || { echo "$1: a process ended early" >&2; exit 1; }
    sleep 0.02
  done
}

turns() {
  local title="$1" case="$2" peer="$3" at="$work/turns" ours_in peer_in ours_pid peer_pid round
  shift 3
  rm -rf "$at" && mkdir "$at"
  mkfifo "$at/ours" "$at/peer"
  exec {ours_in}<>"$at/ours" {peer_in}<>"$at/peer"
  : >"$at/ours.out" && : >"$at/peer.out"
  "$ours" --serve "$case" <"$at/ours" >"$at/ours.out" &
  ours_pid=$!
  children=("$ours_pid")
  # The peer comes second: it may read what our case has laid down.
  lines "$at/ours.out" 1 "$ours_pid"
  kill -STOP "$ours_pid"
  "$@" <"$at/peer" >"$at/peer.out" &
  peer_pid=$!
  children=("$ours_pid" "$peer_pid")
  lines "$at/peer.out" 1 "$peer_pid"
  kill -CONT "$ours_pid"
  for ((round = 1; round <= rounds; round++)); do
    # Whose turn it is not stands still: threads that spin while they wait would take a core from the other side.
    kill -STOP "$peer_pid"
    echo "$seconds" >&"$ours_in"
    lines "$at/ours.out" $((round + 1)) "$ours_pid"
    kill -STOP "$ours_pid"
    kill -CONT "$peer_pid"
    echo "$seconds" >&"$peer_in"
    lines "$at/peer.out" $((round + 1)) "$peer_pid"
    kill -CONT "$ours_pid"
  done
  kill "${children[@]}" 2>/dev/null || true
  wait "${children[@]}" 2>/dev/null || true
  children=()
  exec {ours_in}>&- {peer_in}>&-
  # Fields: steps N wall_ms W min_ms M cpu_ms C peak_rss_mb P
  column() { sed 1d "$at/$1.out" | awk -v f="$2" '{print $f}' | sort -g; }
  median() { column "$1" "$2" | awk '{x[NR] = $1} END {print x[int((NR + 1) / 2)]}'; }
  awk -v name="$title" -v w="$(median ours 4)" -v tw="$(median peer 4)" -v m="$(column ours 6 | head -n 1)" \
    -v tm="$(column peer 6 | head -n 1)" -v c="$(median ours 8)" -v tc="$(median peer 8)" \
    -v p="$(column ours 10 | tail -n 1)" -v tp="$(column peer 10 | tail -n 1)" -v peer="$peer" 'BEGIN {
      c = c > 0 ? c : 0.001
      printf "ratio %-22s %.2f  cpu %.2f  min %.2f  ours %.2f ms, cpu %.5f s, %d MB  %s %.2f ms, cpu %.5f s, %d MB\n",
        name, tw / w, tc / c, tm / m, w, c / 1000, p, peer, tw, tc / 1000, tp }'
}
