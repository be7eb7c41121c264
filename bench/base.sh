#!/usr/bin/env bash
# A cold Debian base with Python: flytestar against mmdebstrap, same mirror, same
# packages, one after the other. Prints seconds per phase.
#
# RUNS (3) is how often. PAUSE (65) is how many seconds to wait before each: for a
# minute after many files were deleted, ext4 creates files up to 20 times slower,
# and both delete many. TMPDIR on a tmpfs needs no pause and shows what disks hide.
#
# Needs root (mmdebstrap's fastest mode), mmdebstrap, and Debian sources of apt.
# Both start with nothing cached and end with a root file system as tar files,
# uncompressed; flytestar's sandbox has it unpacked as well by then.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v mmdebstrap >/dev/null || { echo "base.sh: mmdebstrap is missing: apt-get install mmdebstrap" >&2; exit 1; }

runs=${RUNS:-3} pause=${PAUSE:-65}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go test -c -o "$tmp/debian.test" ./exec/image/debian

# phases prefixes what mmdebstrap logs as beginning with the seconds since the last such line.
phases() {
	local last=$EPOCHREALTIME what=start now line
	while IFS= read -r line; do
		[[ $line == "I: "* ]] || continue
		now=$EPOCHREALTIME
		awk -v a="$last" -v b="$now" -v w="$what" 'BEGIN { if (b - a >= 0.05) printf "    %6.2f s  %s\n", b - a, w }'
		last=$now what=${line#I: }
	done
}

for ((n = 1; n <= runs; n++)); do
	echo "run $n"
	echo "  flytestar"
	rm -rf "$tmp/out" && mkdir "$tmp/out" && sleep "$pause"
	(cd exec/image/debian && BASE_OUT="$tmp/out" "$tmp/debian.test" -test.run '^$' -test.bench ColdBase -test.benchtime 1x) |
		awk '/^Benchmark/ { for (i = 3; i < NF; i += 2) if ($(i+1) ~ /^s:/) printf "    %6.2f s  %s\n", $i, substr($(i+1), 3) }'
	tar -xOf "$tmp/out/packages.tar" var/lib/dpkg/status | sed -n 's/^Package: //p' | sort >"$tmp/packages"
	tar -xOf "$tmp/out/packages.tar" etc/apt/sources.list.d/debian.sources >"$tmp/debian.sources"
	suite=$(sed -n 's/^Suites: //p' "$tmp/debian.sources" | head -1)

	echo "  mmdebstrap $(mmdebstrap --version | cut -d' ' -f2), $(wc -l <"$tmp/packages") packages"
	rm -f "$tmp/mm.tar" && sleep "$pause"
	begin=$EPOCHREALTIME
	mmdebstrap --verbose --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
		--include="$(paste -sd, "$tmp/packages")" "$suite" "$tmp/mm.tar" "$tmp/debian.sources" 2>&1 | phases
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "    %6.2f s  total\n", b - a }'
	if ! diff <(tar -xOf "$tmp/mm.tar" ./var/lib/dpkg/status | sed -n 's/^Package: //p' | sort) "$tmp/packages" >"$tmp/diff"; then
		echo "  the packages differ:" && cat "$tmp/diff"
	fi
done
