// Package flytestar runs workflows that are written in Starlark. Each task runs in an environment of its
// own. This package is the facade, for embedding and for cmd/flytestar. It connects the other packages;
// flytestar.go has the whole flow.
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
//	workspace        which files there are, which of them a graph reads, how they are written
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
//	resolve/packages what images declare of packages, and how that compares
//	internal/home    where everything lies below the home directory
//	internal/finding findings that more than one pass raises
//	internal/text    what makes text safe to show
//	internal/measure bounds of values that native code walks in one step
//	check            everything that finds and mends, as a session
//	lint             what shows in the syntax; layout; the edits that mend findings
//	lint/findings    findings for other programs: SARIF, GitHub
//	internal/ociref  references to images, of registries and of layouts
//	internal/text    strings that are safe to show
//	internal/durable locks, files that appear whole, scratch directories
//	internal/statictest  lets tests run as a statically linked program, as containers need
//	internal/python  versions, specifiers, requirements and markers of Python packages
//	exec             contracts: Builder, Sandbox, Executor, Store, Bodies, Event
//	exec/engine      drives runs
//	exec/image       Builder: OCI images, without a daemon
//	exec/image/oci   the layout that keeps images: blobs, layers, manifests
//	exec/image/pip   pip steps: what to install, and the layers of it
//	exec/image/debian  Debian bases
//	exec/image/debian/archive  Debian's archive on a mirror: signatures, indices, downloads
//	exec/image/debian/archivetest  a small Debian archive, for tests
//	exec/image/debian/control  the format of Debian's files
//	exec/image/memo  what was made of what, so that it is made once
//	exec/image/process  processes of a build, in containers
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
// Imports go one way. plan and diag are leaves. The evaluator's half (interp, builtins, language,
// evaluator),
// resolve and exec don't import each other.
//
// # One run, from the command line to a container and back
//
// cmd/flytestar calls [Load], which finds and opens the workspace. evaluator.Start starts this program
// again as the evaluator. The evaluator asks for modules over a pipe, executes them with the names that
// builtins predeclares, and answers with the plan.Graph that language makes. From here on it only
// evaluates bodies.
//
// [Workflow.Run] has resolve check what the task reaches and plan its images;
// until then nothing has had an effect. image.Builder builds those that aren't
// there, running apt, pip's resolver and commands in sandbox.Sandbox. engine.Engine
// then runs the task: an orchestrator's body in the evaluator, whose calls come back
// to the engine as actions; any other body as an attempt, which local.Executor
// runs in a container of its environment's image. Its outputs go into
// artifact.Store, its value back into the body that called, and the root's to the command line.
// [Workflow.Run] lets resolve check what the task reaches, and the workspace's files that it needs, and
// plan its images. Until then nothing has had an effect. image.Builder builds the images that aren't
// there. It runs apt, pip's resolver and commands in local.Sandbox. engine.Engine then runs the task.
// An orchestrator's body runs in the evaluator, and its calls come back to the engine as actions. Any
// other body is an attempt, which local.Executor runs in a container of its environment's image. The
// attempt's outputs go into local.Store, and its value goes back into the body that made the call. The
// root's value goes to the command line.
package flytestar
