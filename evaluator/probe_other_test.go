//go:build !linux

package evaluator

import "errors"

// Variables that only mean something on Linux.
const (
	probeVariable   = "INTERP_TEST_PROBE"
	withoutVariable = "INTERP_TEST_WITHOUT"
)

func probe(int) string { return "everything: there is no lockdown here" }

func beProbe(string) {}

func withoutCalls(string) error { return errors.New("only on Linux") }
