#!/usr/bin/env bash
# Images: a build that has nothing to do, and one small package added to the list of an
# image of twenty, against buildah bud. Wheels are there before, so that no download
# counts. Prints seconds; RUNS=3 by default.
#
# Needs root, buildah, Debian sources of apt and a Python index (the first time).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v buildah >/dev/null || { echo "image.sh: buildah is missing: apt-get install buildah" >&2; exit 1; }

runs=${RUNS:-3}
tmp=${TMPDIR:-/tmp}/flytestar-image-bench-$$ # buildah reads the path as a reference: no capitals
mkdir "$tmp"
export BENCH_WHEELS=$tmp/wheels BENCH_BASE=$tmp/base
store=(--root "$tmp/storage" --runroot "$tmp/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
cleanup() {
	buildah "${store[@]}" rm --all >/dev/null 2>&1 || true
	umount "$tmp/storage/overlay" 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT

twenty="attrs certifi charset-normalizer click idna iniconfig jinja2 markupsafe numpy packaging
	pluggy pygments pytest python-dateutil pytz pyyaml requests rich six urllib3"

go test -c -o "$tmp/image.test" ./exec/image
(cd exec/image && "$tmp/image.test" -test.run '^TestBenchBase$' >"$tmp/log") || { cat "$tmp/log"; exit 1; }
[ -d "$BENCH_BASE" ] || { echo "image.sh: the test was skipped:" && cat "$tmp/log"; exit 1; }

echo "flytestar"
(cd exec/image && "$tmp/image.test" -test.run '^$' -test.bench 'AddPackage|NothingChanged' -test.benchtime "${runs}x") |
	awk '/^Benchmark/ { printf "  %s", $1; for (i = 3; i < NF; i += 2) if ($(i+1) == "ns/op") { if (!/s:total/) printf "  %.4f s", $i / 1e9 } else printf "  %s %.3f s", substr($(i+1), 3), $i; print "" }'

echo "buildah $(buildah --version | cut -d' ' -f3), storage ${STORAGE_DRIVER:-overlay}, runtime ${RUNTIME:-runc}"
bud() {
	printf 'FROM %s\nRUN pip install --no-index --find-links /wheels --root-user-action=ignore %s\n' "$base" "$(echo $1)" >"$tmp/Containerfile"
	buildah "${store[@]}" bud --layers --volume "$BENCH_WHEELS:/wheels:ro" --network none --isolation oci --runtime "$(command -v "${RUNTIME:-runc}")" -f "$tmp/Containerfile" "$tmp/context" >"$tmp/log" 2>&1 ||
		{ cat "$tmp/log"; exit 1; }
}
mkdir "$tmp/context"
base=$(buildah "${store[@]}" pull -q "oci:$BENCH_BASE:base")
bud "$twenty"
for ((n = 1; n <= runs; n++)); do
	begin=$EPOCHREALTIME
	bud "tomli $twenty $(printf 'six %.0s' $(seq $n))" # another line each time, the same packages
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "  add a package  %.3f s\n", b - a }'
	begin=$EPOCHREALTIME
	bud "tomli $twenty $(printf 'six %.0s' $(seq $n))"
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "  nothing changed  %.3f s\n", b - a }'
done
