#!/usr/bin/env bash
# A report as a browser shows it: pictures for a person to look at, and what can be checked without one. Nothing is wider than the page,
# no text is cut, no picture is missing, at the width of a screen and of a telephone. Needs Chromium or Chrome ($BROWSER names another).
#
#   bash tests/report_in_browser.sh runs/demo/report.html            pictures beside the report
#   bash tests/report_in_browser.sh runs/demo/report.html FOLDER     or there
set -euo pipefail
report="${1:?the report to look at, such as runs/demo/report.html}"
folder="${2:-$(dirname "$report")}"
[ -f "$report" ] || { echo "there is no $report; expected the report.html of a run" >&2; exit 2; }
browser="${BROWSER:-}"
for name in chromium chromium-browser google-chrome chrome; do
  [ -n "$browser" ] || browser="$(command -v "$name" || true)"
done
if [ -z "$browser" ]; then
  echo "skipped: there is neither Chromium nor Chrome on PATH; BROWSER=PROGRAM names another one"
  exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"
# show FILE FLAGS…: a browser of its own for every call; root has no sandbox.
show() {
  local page="$1"
  shift
  timeout 120 "$browser" --headless --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
    $([ "$(id -u)" != 0 ] || echo --no-sandbox) "$@" "file://$page" 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }
}
# The report measures itself once it stands, in a frame: windows are never narrower than 500 pixels.
probe='<script>addEventListener("load", () => {
  const root = document.documentElement, wrong = [];
  if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} pixels wide`);
  for (const image of document.images) if (!image.naturalWidth) wrong.push(`the picture "${image.alt}" is missing`);
  for (const svg of document.querySelectorAll("svg")) {
    const all = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const one = text.getBoundingClientRect();
      const out = [all.left - one.left, one.right - all.right, all.top - one.top, one.bottom - all.bottom];
      if (Math.max(...out) > 1.5) wrong.push(`"${text.textContent}" is cut`);
    }
  }
  Object.assign(parent.document.documentElement.dataset, { height: root.scrollHeight, wrong: wrong.join("; ") });
});</script>'
inside="$(cat "$report"; printf '%s' "$probe")"
quoted="$(sed 's/&/\&amp;/g; s/"/\&quot;/g' <<<"$inside")"
absolute="$(cd "$(dirname "$report")" && pwd)/$(basename "$report")"
status=0
look() { # name width flags…
  local name="$1" width="$2" picture="$folder/report_$1.png" found height wrong
  shift 2
  printf '<!doctype html><iframe width="%s" height="900" style="border: 0" srcdoc="%s"></iframe>' "$width" "$quoted" >"$work/frame.html"
  found="$(show "$work/frame.html" --dump-dom | grep -o '<html [^>]*>' | head -1)"
  height="$(sed -n 's/.*data-height="\([0-9]*\)".*/\1/p' <<<"$found")"
  wrong="$(sed -n 's/.*data-wrong="\([^"]*\)".*/\1/p' <<<"$found" | sed "s/&quot;/'/g; s/&amp;/\&/g")"
  [ -n "$height" ] || { echo "$name: the page did not measure itself" >&2; exit 1; }
  show "$absolute" "$@" --window-size="$width,$height" --screenshot="$picture" >/dev/null
  echo "$name: $width x $height pixels, $picture"
  [ -z "$wrong" ] || { echo "$name: $wrong" >&2; status=1; }
}
look wide 1100
look narrow 420
look dark 1100 --blink-settings=preferredColorScheme=0
show "$absolute" --print-to-pdf="$folder/report_print.pdf" --no-pdf-header-footer >/dev/null
echo "print: $folder/report_print.pdf"
if grep -qE '(src|href)="(https?:)?//' "$report"; then
  echo "the report fetches something" >&2
  status=1
fi
exit "$status"
