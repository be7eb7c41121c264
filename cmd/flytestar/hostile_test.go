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
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// What each hostile file may cost, and what it may find.
const (
	hostileWall   = time.Second            // --max-wall
	hostileLate   = 500 * time.Millisecond // what may come on top of it, from start to exit
	hostileMemory = 512 << 20              // --max-memory, bytes that the evaluator may use
	hostileParent = 384 << 20              // bytes that its parent may have resident: six of the largest messages
	hostileOutput = 4 << 20                // bytes of standard output and error

	secretOutside = "T0P-5ECRET" // in files outside the workspace
)

// attack is a workspace that tries to hang, to exhaust, to crash or to read what it may not.
type attack struct {
	name string
	want string // what must come of it: kinds of outcome, see [outcome], with | between them
	verb string // check if empty; lint; fmt, which only looks; run, of the task main
	flag string // one more, if any
	long bool   // left out with -short
	// write writes the workspace and returns its entry's name.
	write func(dir string) (string, error)
}

// outcome is what came of an attack.
type outcome struct {
	kind   string // "ok", "finding", "usage", a limit's name, or "" for what may never be
	code   int
	line   string        // the first line of what was printed
	wall   time.Duration // from start to exit
	peak   int64         // bytes resident at most, of the evaluator or its parent
	parent int64         // of the parent, as far as looking every few milliseconds shows
	faults []string
}

// TestHostile runs each attack in a real process: it ends in time and within its memory, with success or an
// error that says what is wrong, and nothing from outside the workspace shows. What seems too late or too large beside other
// work is run again by itself.
func TestHostile(t *testing.T) {
	attacks := slices.Concat(corpus(t), generated(), parsed(), natives(), refused(), bodies())
	outcomes := make([]*outcome, len(attacks))
	slots := make(chan struct{}, 2) // more at once would measure each other
	t.Run("attacks", func(t *testing.T) {
		for i, a := range attacks {
			if a.long && testing.Short() {
				continue
			}
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				outcomes[i] = a.run(t)
			})
		}
	})
	for i, a := range attacks {
		if outcomes[i] == nil || len(outcomes[i].faults) == 0 {
			continue
		}
		for try := 0; try < 3 && len(outcomes[i].faults) > 0; try++ {
			t.Logf("%s, again after: %s", a.name, strings.Join(outcomes[i].faults, "; "))
			outcomes[i] = a.run(t)
		}
		for _, fault := range outcomes[i].faults {
			t.Errorf("%s: %s", a.name, fault)
		}
	}
	t.Logf("%d attacks, wall limit %v, memory limit %d MiB\n%s", len(attacks), hostileWall, hostileMemory>>20, table(attacks, outcomes))
}

// table shows the outcomes in columns.
func table(attacks []attack, outcomes []*outcome) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\texit\toutcome\tms\tpeak MiB\tparent MiB\tfirst line")
	for i, o := range outcomes {
		if o != nil {
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%s\n", attacks[i].name, o.code, o.kind, o.wall.Milliseconds(), o.peak>>20, o.parent>>20, o.line)
		}
	}
	w.Flush()
	return b.String()
}

// run runs the attack once.
func (a attack) run(t *testing.T) *outcome {
	dir := t.TempDir()
	entry, err := a.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{cmp.Or(a.verb, "check"), "--max-wall", hostileWall.String()}
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
	// It must end by itself; what doesn't is a fault, told by its time.
	deadline := time.AfterFunc(20*hostileWall, func() { cmd.Process.Kill() })
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
	// Of the process and of the children that it has waited for; in KiB.
	o.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	o.judge(a, stdout, stderr)
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
func (o *outcome) judge(a attack, stdout, stderr *flood) {
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
	turns := time.Duration(1)
	if a.verb == "lint" {
		turns = 2 // the evaluator's and the linter's
	}
	fault(o.wall > turns*(hostileWall+hostileLate), "it took %v", o.wall)
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
