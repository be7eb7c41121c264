// Package flytestar runs multi-environment workflows that are written in
// Starlark. This package is the facade, for embedding and for cmd/flytestar:
// it wires the others, and the whole flow stands in flytestar.go.
//
//	w, err := flytestar.Load(ctx, "examples/af2.star", flytestar.Options{})
//	…
//	defer w.Close()
//	v, err := w.Run(ctx, "main", map[string]plan.Value{"sequence": "AAGG"})
//
// # Map
//
//	spec.md          the language, the checks and the command line; outranks the code
//	diag             one positioned error: position, message, code, hint, notes
//	plan             graph, plan, types and values as plain data: the contract between everything else
//	draw             graph to pictures: DOT, Mermaid, SVG
//	interp           source to programs, in one process: checks, names, execution, limits
//	interp/summary   what is kept of a module's syntax
//	builtins         what authors write, a file per noun
//	builtins/value   the values that pass between tasks, and their types
//	builtins/unpack  the arguments of calls
//	builtins/site    where calls stand in the source
//	language         interp and builtins put together: what modules declare becomes a graph
//	language/reach   which tasks an orchestrator can call
//	evaluator        interp in a process of its own: the protocol, both its sides, tools
//	evaluator/lockdown  what that process gives up, and as whom it runs
//	evaluator/wire   messages in bytes
//	evaluator/compiled  the directory of compiled modules and graphs
//	resolve          graph and files to findings, digests and plan; pure
//	internal/home    where everything lies below the home directory
//	internal/text    what makes text safe to show
//	internal/measure bounds of values that native code walks in one step
//	lint             what shows in the syntax; layout; the edits that mend findings
//	internal/source  what folders and requirements files of a workspace hold
//	internal/durable locks, files that appear whole, scratch directories
//	internal/python  versions, specifiers, requirements and markers of Python packages
//	exec             contracts: Builder, Sandbox, Executor, Store, Bodies, Event
//	exec/engine      drives runs
//	exec/image       Builder: OCI images, without a daemon
//	exec/image/debian  Debian bases from a mirror
//	exec/sandbox     Sandbox: containers on this machine
//	exec/sandbox/layer   layers of images to directories, changes of a container to a layer
//	exec/sandbox/inside  what runs in a container before its program does
//	exec/artifact    Store: artifacts on this machine
//	exec/local       Executor: attempts on this machine
//	exec/exectest    the suite that every Executor passes
//	exec/storetest   the suite that every Store passes
//	cmd/flytestar    the command line, a file per verb
//	cmd/flytestar/console  what happens, on standard error and as events
//	cmd/flytestar/values   inputs from the command line, results to it
//
// Imports go one way: plan and diag are leaves; the half that knows Starlark (interp, builtins,
// language, evaluator), resolve and exec don't import each other.
//
// # One run, from the command line to a container and back
//
// cmd/flytestar calls [Load]. evaluator.Start re-executes this program as the
// evaluator, which asks for modules over a pipe, executes them with what
// builtins predeclares, and answers with the plan.Graph that language makes.
// From here on the evaluator only evaluates bodies.
//
// [Workflow.Run] has resolve check what the task reaches and plan its images;
// until then nothing has had an effect. image.Builder builds those that aren't
// there, running apt, pip's resolver and commands in sandbox.Sandbox. engine.Engine
// then runs the task: an orchestrator's body in the evaluator, whose calls come back
// to the engine as actions; any other body as an attempt, which local.Executor
// runs in a container of its environment's image. Its outputs go into
// artifact.Store, its value back into the body that called, and the root's to the command line.
package flytestar
