package flytestar_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

func TestMain(m *testing.M) {
	flytestar.Init() // the evaluator is this test's binary, re-executed
	os.Exit(m.Run())
}

// workflow writes a workflow file to a directory of its own.
func workflow(source string) (file string, remove func()) {
	dir, err := os.MkdirTemp("", "flytestar-example-")
	if err != nil {
		log.Fatal(err)
	}
	file = filepath.Join(dir, "wf.star")
	if err := os.WriteFile(file, []byte(source), 0o666); err != nil {
		log.Fatal(err)
	}
	return file, func() { os.RemoveAll(dir) }
}

const shout = `
env = task_environment(name = "loud")

def _shout(text, times = 1):
    return text.upper() + "!" * times

shout = task(_shout, env = env, inputs = {"text": str, "times": int}, output = str)

def _main(texts):
    return [shout.start(t, times = i + 1) for i, t in enumerate(texts)][-1].result()

main = task(_main, env = env, inputs = {"texts": list[str]}, output = str)
`

// An orchestrator in an environment without an image runs in the evaluator: no image is built.
func ExampleWorkflow_Run() {
	file, remove := workflow(shout)
	defer remove()
	ctx := context.Background()
	w, err := flytestar.Load(ctx, file, flytestar.Options{Home: filepath.Join(filepath.Dir(file), "home")})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	v, err := w.Run(ctx, "main", map[string]plan.Value{"texts": []plan.Value{"one", "two"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v)
	// Output: TWO!!
}

// Plan says what Run would build, and does nothing.
func ExampleWorkflow_Plan() {
	file, remove := workflow(`
base = image.from_debian_base()
work = task_environment(name = "work", image = base.with_pip_packages("pytest"))
unused = task_environment(name = "unused", image = base)
run = task(env = work, command = ["pytest", "--version"])
top = task_environment(name = "top", depends_on = [work])
main = task(lambda: run(), name = "main", env = top)
`)
	defer remove()
	ctx := context.Background()
	w, err := flytestar.Load(ctx, file, flytestar.Options{Home: filepath.Join(filepath.Dir(file), "home")})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	p, err := w.Plan(ctx, "main")
	if err != nil {
		log.Fatal(err)
	}
	for _, i := range p.Images {
		fmt.Println(i.Environments, i.State, i.Image.Steps[0].Packages)
	}
	// Output: [work] unresolved [pytest]
}

// Findings are errors of one type, with positions and hints.
func ExampleLoad() {
	file, remove := workflow(`image = image.from_debian_base()` + "\n")
	defer remove()
	_, err := flytestar.Load(context.Background(), file, flytestar.Options{})
	if list, ok := err.(diag.List); ok {
		for _, e := range list {
			fmt.Println(e.Pos, e.Code)
		}
	}
	// Output: wf.star:1:1 FS110
}

// Fix makes changes and writes none: Write does.
func ExampleFix() {
	file, remove := workflow(`
tool = task_environment(name = "tool", image = image.from_debian_base())
run = task(command = ["true"], env = tool, timeout = 60)
env = task_environment(name = "top")
main = task(lambda: run(), name = "main", env = env)
`)
	defer remove()
	opts := flytestar.LintOptions{Options: flytestar.Options{Home: filepath.Join(filepath.Dir(file), "home")}}
	fixed, err := flytestar.Fix(context.Background(), []string{file}, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := flytestar.Write(fixed.Changes); err != nil {
		log.Fatal(err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(after))
	// Output:
	//
	// tool = task_environment(name = "tool", image = image.from_debian_base())
	// run = task(command = ["true"], env = tool, timeout = 60)
	// env = task_environment(name = "top", depends_on = [tool])
	// main = task(lambda: run(), name = "main", env = env)
}
