//go:build !linux

package main

// without is only for Linux: no other system locks the evaluator down.
func without() { panic("only on Linux") }
