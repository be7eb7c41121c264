#!/usr/bin/env bash
# Start to exit of `flytestar check` on a file of 20 and one of 5,000 tasks, half command tasks and half
# orchestrators that call them: cold, with the cache of compiled programs removed before each, and warm. Beside it the
# `starlark` command, of the version in go.mod, on the same source with stubs for the builtins: it has no
# process of its own, no sandbox, no graph and no checks. Prints medians in milliseconds, the fastest, which other work
# on the machine disturbs least, and the medians' ratios.
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

# tasks writes a workflow of so many tasks.
tasks() {
	cat <<-'EOF'
		tools = task_environment(name = "tools", image = "debian:stable")
		top = task_environment(name = "top", depends_on = [tools])
	EOF
	awk -v n="$1" 'BEGIN {
		for (i = 0; i < n / 2; i++) {
			printf "\ncount_%d = task(env = tools, command = [\"wc\", \"-l\", \"{{.inputs.x}}\"], inputs = {\"x\": File}, output = int)\n", i
			printf "\ndef _step_%d(x):\n    \"\"\"Counts lines, and adds to them.\"\"\"\n    n = count_%d(x)\n    return n + %d\n", i, i, i
			printf "\nstep_%d = task(_step_%d, env = top, inputs = {\"x\": File}, output = int)\n", i, i
		}
	}'
}

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

printf '%-12s %16s %16s %16s %8s %8s\n' "" "starlark" "cold" "warm" "cold/s." "warm/s."
for n in 20 5000; do
	tasks "$n" >"$tmp/tasks.star"
	{
		echo 'File = None'
		echo 'def task_environment(**args): return args'
		echo 'def task(*args, **more): return more'
		cat "$tmp/tasks.star"
	} >"$tmp/raw.star"
	"$tmp/flytestar" check "$tmp/tasks.star" 2>/dev/null # fails here if the file has findings
	rm -f "$tmp"/ms.*
	for ((i = 0; i < runs; i++)); do
		prepare=true measure "$tmp/starlark" "$tmp/raw.star" >>"$tmp/ms.raw"
		prepare="rm -rf $FLYTESTAR_HOME/programs" measure "$tmp/flytestar" check "$tmp/tasks.star" >>"$tmp/ms.cold"
		prepare=true measure "$tmp/flytestar" check "$tmp/tasks.star" >>"$tmp/ms.warm"
	done
	printf '%-12s %16s %16s %16s' "$n tasks" "$(both "$tmp/ms.raw")" "$(both "$tmp/ms.cold")" "$(both "$tmp/ms.warm")"
	awk -v r="$(median "$tmp/ms.raw")" -v c="$(median "$tmp/ms.cold")" -v w="$(median "$tmp/ms.warm")" 'BEGIN { printf " %8.2f %8.2f\n", c / r, w / r }'
done

echo
go test ./interp -run '^$' -bench Lockdown -benchtime "$((runs * 5))x" |
	awk '/^BenchmarkLockdown/ { for (i = 3; i < NF; i += 2) if ($(i+1) ~ /-ms$/) printf "%8.2f ms  %s\n", $i, substr($(i+1), 1, length($(i+1)) - 3) }'
