// Package flytestar runs workflows that are written in Starlark. Each task runs in an environment
// of its own. This package is the facade, for embedding and for cmd/flytestar. It connects the other
// packages; flytestar.go has the whole flow.
//
//	w, err := flytestar.Load(ctx, "examples/af2.star", flytestar.Options{})
//	…
//	defer w.Close()
//	v, err := w.Run(ctx, "main", map[string]plan.Value{"sequence": "AAGG"})
//
// # Map
//
//	spec.md                        the language, the checks and the command line; outranks the code
//	diag                           one error with a position: message, code, hint, notes
//	plan                           graph, plan, types and values as plain data: the common contract
//	workspace                      which files there are, which a graph reads, how they are written
//	interp                         source to programs, in one process: checks, names, execution, limits
//	interp/pyfmt                   text of numbers, and rounding, as in Python
//	interp/summary                 what is kept of a module's syntax
//	builtins                       what authors write, a file per noun
//	builtins/value                 the values that pass between tasks, and their types
//	builtins/unpack                the arguments of calls
//	builtins/signature             signatures of Python functions, from their source
//	builtins/site                  where calls stand in the source
//	language                       interp and builtins put together; what modules declare as a graph
//	language/reach                 which tasks an orchestrator can call
//	evaluator                      interp in a process of its own: the protocol, both its sides, tools
//	evaluator/wire                 messages in bytes
//	evaluator/lockdown             what that process gives up, and as whom it runs
//	evaluator/lockdown/locktest    what a process that is locked down must not be able to do, for tests
//	evaluator/compiled             the directory of compiled modules and graphs
//	resolve                        graph and files to findings, digests and plan; changes nothing
//	resolve/packages               which packages images declare, and how these compare
//	lint                           what shows in the syntax; layout; the edits that mend findings
//	lint/findings                  findings for other programs: SARIF, GitHub
//	check                          everything that finds and mends, as a session
//	draw                           graph to pictures: DOT, Mermaid, SVG
//	exec                           contracts: Builder, Sandbox, Executor, Store, Bodies, Event
//	exec/engine                    drives runs
//	exec/image                     Builder: OCI images, without a daemon
//	exec/image/oci                 the layout that keeps images: blobs, layers, manifests
//	exec/image/memo                what was made of what, so that it is made once
//	exec/image/process             processes of a build, in containers
//	exec/image/pip                 pip steps: what to install, and the layers of it
//	exec/image/debian              Debian bases
//	exec/image/debian/archive      Debian's archive on a mirror: signatures, indices, downloads
//	exec/image/debian/control      the format of Debian's files
//	exec/image/debian/archivetest  a small Debian archive, for tests
//	exec/sandbox                   Sandbox: containers on this machine
//	exec/sandbox/inside            what runs in a container before its program does
//	exec/sandbox/layer             layers of images to directories, changes of a container to a layer
//	exec/sandbox/sandboxtest       what tests of sandboxes share
//	exec/artifact                  Store: artifacts on this machine
//	exec/local                     Executor: attempts on this machine
//	exec/exectest                  the suite that every Executor passes
//	exec/storetest                 the suite that every Store passes
//	internal/durable               locks, files that appear whole, scratch directories
//	internal/finding               findings that more than one pass raises
//	internal/home                  where everything lies below the home directory
//	internal/measure               bounds of values that native code walks in one step
//	internal/ociref                references to images, of registries and of layouts
//	internal/python                versions, specifiers, requirements and markers of Python packages
//	internal/startest              tests that are Starlark files, with the errors they expect
//	internal/statictest            lets tests run as a statically linked program, as containers need
//	internal/text                  what makes text safe to show
//	cmd/flytestar                  the command line, a file per verb
//	cmd/flytestar/console          what happens, on standard error and as events
//	cmd/flytestar/values           inputs from the command line, results to it
//	bench/generate                 workflow files of any size, for benchmarks
//	bench/graph                    times checks of growing graphs, and draws the series
//
// Imports go one way. plan and diag are leaves. The evaluator's half (interp, builtins, language,
// evaluator), resolve and exec don't import each other. imports_test.go has the rules, and
// docs/packages.svg the picture.
//
// # One run, from the command line to a container and back
//
// cmd/flytestar calls [Load], which finds and opens the workspace. evaluator.Start starts this
// program again as the evaluator. The evaluator asks for modules over a pipe. It executes them with
// the names that language.New predeclares from builtins, and answers with the plan.Graph that
// language makes of their declarations. From then on it only evaluates bodies.
//
// [Workflow.Run] lets resolve check what the task reaches, with the workspace's files that it needs,
// and plan its images. Until then nothing has had an effect. image.Builder builds the images that
// aren't there. It runs apt, pip's resolver and commands in a sandbox.Sandbox.
//
// engine.Engine then runs the task. An orchestrator's body runs in the evaluator, and its calls come
// back to the engine as actions. Any other body is an attempt, which local.Executor runs in a
// sandbox.Sandbox, in a container of its environment's image. The attempt's outputs go into
// artifact.Store. Its value goes back into the body that made the call. The root's value goes to the
// command line.
package flytestar
