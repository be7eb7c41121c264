// Command generate prints a workflow file of that many tasks, for benchmarks:
// half of them commands, half orchestrators that call them.
//
//	go run ./bench/generate 5000 > 5000.star
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: generate TASKS")
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil || n < 1 {
		fail("TASKS is a number of 1 or more")
	}
	fmt.Print(header)
	for i := range (n + 1) / 2 {
		fmt.Printf(pair, i)
	}
}

const header = `base = image.from_debian_base()
work = task_environment(name = "work", image = base)
env = task_environment(name = "flow", depends_on = [work])
`

// pair is a task and an orchestrator that calls it.
const pair = `
count_%[1]d = task(
    command = ["wc", "-l", "{{.inputs.text}}"],
    env = work,
    inputs = {"text": str},
    output = str,
)

def _flow_%[1]d(text = "a"):
    """Counts %[1]d."""
    return count_%[1]d(text)

flow_%[1]d = task(_flow_%[1]d, env = env, inputs = {"text": str}, output = str)
`

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(2)
}
