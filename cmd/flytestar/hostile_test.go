//go:build linux

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// What each hostile file may cost, and what it may find.
const (
	hostileWall   = time.Second            // --max-wall, where the clock may end an attack
	hostileSpin   = 300 * time.Millisecond // --max-wall, where only the clock can
	hostileLate   = 500 * time.Millisecond // more than an evaluator has beyond its own clock
	hostileCost   = 2 * time.Second        // processor time; [allowance] gives slow machines more
	hostileMemory = 512 << 20              // --max-memory, bytes that the evaluator may use
	hostileParent = 384 << 20              // bytes that its parent may have resident: six of the largest messages
	hostileOutput = 4 << 20                // bytes of standard output and error

	secretOutside = "T0P-5ECRET" // in files outside the workspace
)

// attack is a workspace that tries to hang, to exhaust, to crash or to read what it may not.
type attack struct {
	name string
	want string // kinds of outcome that are right, see [outcome], with | between them
	verb string // check if empty; lint; fmt, which only looks; run, of the task main
	flag string // one more, if any
	long bool   // skipped with -short
	skip string // why it can't be tried here, if so
	// write writes the workspace and returns its entry's name.
	write func(dir string) (string, error)
}

// wall is the attack's --max-wall. The clock mustn't end an attack that has to meet another limit,
// so such an attack has more time than the slowest machine takes.
func (a attack) wall() time.Duration {
	switch {
	case a.want == "max-wall":
		return hostileSpin
	case slices.Contains(strings.Split(a.want, "|"), "max-wall"):
		return hostileWall
	}
	return patience / 2
}

// mayCost is the processor time that the attack may take. The allowance is for all that ends before
// the clock ends it. Until then, an evaluator may keep every processor busy.
func (a attack) mayCost(allowance time.Duration) time.Duration {
	if a.wall() > hostileWall {
		return allowance
	}
	turns := 1
	if a.verb == "lint" || a.verb == "run" {
		turns = 2 // the linter's, or the body's, comes after the load
	}
	return allowance + time.Duration(turns*runtime.GOMAXPROCS(0))*(a.wall()+hostileLate)
}

// outcome is what came of an attack.
type outcome struct {
	kind   string // "ok", "finding", "usage", a limit's name, or "" for what may never be
	code   int
	line   string        // the first line of what was printed
	cost   time.Duration // processor time of the process and its children
	wall   time.Duration // from start to exit
	peak   int64         // bytes resident at most, of the evaluator or its parent
	parent int64         // of the parent, as far as looking every few milliseconds shows
	faults []string
}

// TestHostile runs each attack in a real process. The attack must end within its memory and its
// processor time, with success or with an error that says what is wrong, and nothing from outside
// the workspace may show. How long it takes by the clock depends on the machine: that is only
// printed.
func TestHostile(t *testing.T) {
	attacks := slices.Concat(corpus(t), generated(), parsed(), natives(), refused(), bodies())
	outcomes := make([]*outcome, len(attacks))
	most := allowance(t)
	slots := make(chan struct{}, 4) // each may take hundreds of MiB
	t.Run("attacks", func(t *testing.T) {
		for i, a := range attacks {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				if a.skip != "" {
					t.Skip(a.skip)
				}
				if a.long && testing.Short() {
					t.Skip("takes long")
				}
				slots <- struct{}{}
				defer func() { <-slots }()
				outcomes[i] = a.run(t, a.mayCost(most))
				for _, fault := range outcomes[i].faults {
					t.Error(fault)
				}
			})
		}
	})
	t.Logf("%d attacks, wall limit %v, processor time %v, memory limit %d MiB\n%s", len(attacks), hostileWall, most, hostileMemory>>20, table(attacks, outcomes))
}

// allowance is the processor time that an attack may take which the clock doesn't end. Every file
// may take ten million steps, so what they cost shows how fast this machine is.
func allowance(t *testing.T) time.Duration {
	t.Helper()
	steps := attack{name: "steps", want: "max-steps", write: wrote(func() io.Reader {
		return strings.NewReader("def f():\n  for i in range(1 << 26): pass\nf()\n")
	})}
	o := steps.run(t, patience)
	if len(o.faults) > 0 {
		t.Fatalf("ten million steps: %q", o.faults)
	}
	return max(hostileCost, 20*o.cost)
}

// table shows the outcomes in columns.
func table(attacks []attack, outcomes []*outcome) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\texit\toutcome\tcpu ms\tms\tpeak MiB\tparent MiB\tfirst line")
	for i, o := range outcomes {
		if o != nil {
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%s\n", attacks[i].name, o.code, o.kind, o.cost.Milliseconds(), o.wall.Milliseconds(), o.peak>>20, o.parent>>20, o.line)
		}
	}
	w.Flush()
	return b.String()
}

// run runs the attack. It may take some processor time.
func (a attack) run(t *testing.T, mayCost time.Duration) *outcome {
	t.Helper()
	dir := t.TempDir()
	entry, err := a.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{cmp.Or(a.verb, "check"), "--max-wall", a.wall().String()}
	switch a.verb {
	case "run":
		args = append(args, "--quiet")
	case "fmt":
		args = append(args, "--check")
	}
	if a.flag != "" {
		args = append(args, a.flag)
	}
	args = append(args, filepath.Join(dir, entry))
	if a.verb == "run" {
		args = append(args, "main")
	}
	cmd := exec.Command("flytestar", args...)
	cmd.Env = append(os.Environ(), "FLYTESTAR_HOME="+filepath.Join(t.TempDir(), "home"))
	stdout, stderr := &flood{}, &flood{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	o := &outcome{}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = cmd.Wait()
	}()
	o.parent = watchMemory(cmd.Process.Pid, ended)
	o.wall = time.Since(begin)
	deadline.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o.code = cmd.ProcessState.ExitCode()
	o.cost = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// Of the process and of the children that it has waited for; in KiB.
	o.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	o.judge(a, mayCost, stdout, stderr)
	return o
}

// watchMemory returns the most that a process was seen to have resident until it ended, in bytes.
func watchMemory(pid int, ended <-chan struct{}) int64 {
	var peak int64
	for tick := time.Tick(3 * time.Millisecond); ; {
		select {
		case <-ended:
			return peak
		case <-tick:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				continue // it has just ended
			}
			_, rest, _ := strings.Cut(string(status), "VmHWM:")
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				peak = max(peak, kib<<10)
			}
		}
	}
}

// flood keeps the beginning of what is written to it, and counts all.
type flood struct {
	kept bytes.Buffer
	size int64
}

func (f *flood) Write(data []byte) (int, error) {
	f.size += int64(len(data))
	f.kept.Write(data[:min(len(data), hostileOutput-f.kept.Len())])
	return len(data), nil
}

// crash matches what a Go program says that dies of a panic or of the runtime's own accord.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |goroutine \d+ |runtime: |SIG[A-Z]+: )`)

// judge fills in the kind of outcome, and what is wrong with it.
func (o *outcome) judge(a attack, mayCost time.Duration, stdout, stderr *flood) {
	printed := stdout.kept.String() + stderr.kept.String()
	o.line, _, _ = strings.Cut(strings.TrimSpace(printed), "\n")
	if len(o.line) > 100 {
		o.line = strings.ToValidUTF8(o.line[:100], "") + "…"
	}
	o.kind = kindOf(o.code, printed)
	fault := func(bad bool, format string, args ...any) {
		if bad {
			o.faults = append(o.faults, fmt.Sprintf(format, args...))
		}
	}
	fault(!slices.Contains(strings.Split(a.want, "|"), o.kind), "outcome %q (exit code %d), want %s: %s", o.kind, o.code, a.want, o.line)
	fault(o.wall >= patience, "it hangs, and was killed after %v", o.wall)
	fault(o.cost > mayCost, "it took %v of processor time, more than %v", o.cost, mayCost)
	fault(o.peak > hostileMemory+hostileMemory/10, "%d MiB were resident", o.peak>>20)
	fault(o.parent > hostileParent, "the parent had %d MiB resident", o.parent>>20)
	fault(stdout.size+stderr.size > hostileOutput, "it printed %d bytes", stdout.size+stderr.size)
	fault(crash.MatchString(printed), "it crashed: %s", crash.FindString(printed))
	fault(strings.Contains(printed, secretOutside), "it printed what a file outside the workspace has")
	fault(strings.Contains(printed, "root:x:"), "it printed /etc/passwd")
}

// limitCode matches the code of an error that says a limit was exceeded: the limit's name.
var limitCode = regexp.MustCompile(`\[(max-[a-z]+|stack|tree|digits|range|name)\]$`)

// kindOf names an outcome by its exit code and by the first error that was printed.
func kindOf(code int, printed string) string {
	switch code {
	case exitDone:
		return "ok"
	case exitUsage:
		return "usage"
	case exitSource, exitTask:
		first, _, _ := strings.Cut(strings.TrimSpace(printed), "\n")
		if m := limitCode.FindStringSubmatch(first); m != nil {
			return m[1]
		}
		return "finding"
	}
	return ""
}

// wrote returns a write function for a workspace of one file.
func wrote(source func() io.Reader) func(dir string) (string, error) {
	return func(dir string) (string, error) {
		f, err := os.Create(filepath.Join(dir, "main.star"))
		if err != nil {
			return "", err
		}
		if _, err := io.Copy(f, source()); err != nil {
			return "", err
		}
		return "main.star", f.Close()
	}
}

// repeated reads as head, unit n times, and tail, without holding it all.
func repeated(head, unit string, n int, tail string) func() io.Reader {
	return func() io.Reader {
		return io.MultiReader(strings.NewReader(head), &repeater{unit: []byte(unit), left: n * len(unit)}, strings.NewReader(tail))
	}
}

type repeater struct {
	unit []byte
	left int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for r.left > 0 && n < len(p) {
		at := (len(r.unit) - r.left%len(r.unit)) % len(r.unit)
		c := copy(p[n:], r.unit[at:])
		n, r.left = n+c, r.left-c
	}
	if n == 0 && r.left == 0 {
		return 0, io.EOF
	}
	return n, nil
}
