package evaluator

import (
	"context"
	"errors"
	"fmt"

	"github.com/flytestar/flytestar/evaluator/compiled"
	"github.com/flytestar/flytestar/evaluator/wire"
)

// Tool is work on source other than evaluation, such as formatting. It is called once in a process.
// Its error should be a diag.List or a *diag.Error.
type Tool func(in []byte) ([]byte, error)

// RunTool runs one of the tools given to [Init] in a process of its own, locked down as an
// evaluator. A parser recurses over the source; if the stack overflowed here, it would end this
// process. Of options, only Limits, RequireSandbox and Locked count. The error is a diag.List or a
// *diag.Error, or ctx's own once ctx is done.
func RunTool(ctx context.Context, name string, in []byte, options Options) (out []byte, err error) {
	limits := options.Limits.Defaults()
	p, err := startProcess(limits)
	if err != nil {
		return nil, err
	}
	defer p.close(errClosed)
	stop := context.AfterFunc(ctx, func() { p.kill(ctx.Err()) })
	defer stop()
	if _, err := p.greet(startMsg{Tool: name, Limits: limits}, options); err != nil {
		return nil, err
	}
	defer p.startClock(name)()
	if err := p.pipe.Send(toEvaluator{Source: &sourceMsg{Data: in}}); errors.Is(err, wire.ErrTooBig) {
		return nil, messageError("the input of "+name, err)
	} else if err != nil {
		return nil, p.death(err)
	}
	var m fromEvaluator
	if err := p.receive(&m); err != nil {
		return nil, p.death(err)
	}
	switch {
	case m.Failed != nil:
		return nil, m.Failed.Findings
	case m.Output != nil:
		return m.Output.Data, nil
	}
	return nil, p.death(fmt.Errorf("%w: neither output nor failure", wire.ErrMalformed))
}

// findTool returns the tool of that name, or nil. The one that compiles modules is always there.
func findTool(tools map[string]Tool, name string) Tool {
	if name == compiled.ToolName {
		return compiled.Tool
	}
	return tools[name]
}

// tool runs a tool on the input that the parent sends. It sends the output, or what is wrong.
func (s *server) tool(tool Tool, name string) error {
	if tool == nil {
		return fmt.Errorf("there is no tool %q", name)
	}
	var m toEvaluator
	if _, err := s.pipe.Receive(&m); err != nil {
		return err
	}
	out, err := tool(m.Source.Data)
	if err == nil {
		if err = s.pipe.Send(fromEvaluator{Output: &outputMsg{out}}); !errors.Is(err, wire.ErrTooBig) {
			return err
		}
		err = messageError("the output of "+name, err)
	}
	return s.pipe.Send(fromEvaluator{Failed: &failedMsg{bounded(findings(err))}})
}
