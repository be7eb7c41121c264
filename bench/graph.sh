#!/bin/sh
# Times the checks of generated graphs, doubling their size, and writes bench/graph.svg.
set -eu
cd "$(dirname "$0")/.."
exec go run ./bench/graph bench/graph.svg
