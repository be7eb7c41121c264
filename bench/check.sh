#!/usr/bin/env bash
# Start to exit of `flytestar check` on a file that loads a module of 20 and of 5,000 tasks, half command tasks and
# half orchestrators that call them: cold, with nothing kept; with the file changed, so that the module is there compiled; and warm,
# with nothing changed, so that the graph is there. Beside it the `starlark` command, of the version in go.mod, on the
# module with stubs for the builtins: it has no process of its own, no sandbox, no graph and no checks. Prints medians in
# milliseconds, the fastest, which other work on the machine disturbs least, and the medians' ratios.
#
# RUNS (20) is how often each is measured, in turns. hyperfine measures if it is there, else bash, which adds
# a millisecond. Then what each layer of the evaluator's lockdown adds.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${RUNS:-20}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export CGO_ENABLED=0 FLYTESTAR_HOME=$tmp/home
go build -o "$tmp/flytestar" ./cmd/flytestar
GOBIN=$tmp go install "go.starlark.net/cmd/starlark@$(go list -m -f '{{.Version}}' go.starlark.net)"

# measure runs a command once and prints milliseconds; before it, without being measured, what stands in $prepare.
measure() {
	if command -v hyperfine >/dev/null; then
		hyperfine --shell=none --runs 1 --prepare "$prepare" --export-json "$tmp/times" "$*" >/dev/null 2>&1
		awk '/"median"/ { gsub(/[^0-9.e-]/, "", $2); printf "%.3f\n", $2 * 1000 }' "$tmp/times"
		return
	fi
	$prepare
	local begin=$EPOCHREALTIME
	"$@" >/dev/null 2>&1
	awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", (b - a) * 1000 }'
}

median() { sort -n "$1" | awk '{ x[NR] = $1 } END { printf "%.1f\n", x[int((NR + 1) / 2)] }'; }
both() { printf '%s (%.1f)' "$(median "$1")" "$(sort -n "$1" | head -1)"; }

printf '%-12s %16s %16s %16s %16s %8s %8s %8s\n' "" "starlark" "cold" "changed" "warm" "cold/s." "chgd/s." "warm/s."
for n in 20 5000; do
	go run ./bench/generate "$n" >"$tmp/tasks.star"
	echo 'load("tasks.star", "flow_0")' >"$tmp/main.star"
	{
		echo 'def task_environment(**args): return args'
		echo 'def task(*args, **more): return more'
		sed 's/image.from_debian_base()/None/' "$tmp/tasks.star"
	} >"$tmp/raw.star"
	printf '#!/bin/sh\necho "# $(date +%%N)" >>%s\n' "$tmp/main.star" >"$tmp/change"
	chmod +x "$tmp/change"
	"$tmp/flytestar" check "$tmp/main.star" 2>/dev/null # fails here if the file has findings
	rm -f "$tmp"/ms.*
	for ((i = 0; i < runs; i++)); do
		prepare=true measure "$tmp/starlark" "$tmp/raw.star" >>"$tmp/ms.raw"
		prepare="rm -rf $FLYTESTAR_HOME/programs" measure "$tmp/flytestar" check "$tmp/main.star" >>"$tmp/ms.cold"
		prepare="$tmp/change" measure "$tmp/flytestar" check "$tmp/main.star" >>"$tmp/ms.changed"
		prepare=true measure "$tmp/flytestar" check "$tmp/main.star" >>"$tmp/ms.warm"
	done
	printf '%-12s' "$n tasks"
	for what in raw cold changed warm; do printf ' %16s' "$(both "$tmp/ms.$what")"; done
	for what in cold changed warm; do
		awk -v r="$(median "$tmp/ms.raw")" -v c="$(median "$tmp/ms.$what")" 'BEGIN { printf " %8.2f", c / r }'
	done
	echo
done

echo
go test ./evaluator/lockdown -run '^$' -bench Lockdown -benchtime "$((runs * 5))x" |
	awk '/^BenchmarkLockdown/ { for (i = 3; i < NF; i += 2) if ($(i+1) ~ /-ms$/) printf "%8.2f ms  %s\n", $i, substr($(i+1), 1, length($(i+1)) - 3) }'
