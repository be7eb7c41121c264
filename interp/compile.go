package interp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/interp/summary"
)

// Compiler compiles modules without executing them. Whoever executes a program often can keep what
// it returns, and give it to a [Loader] through a [CompiledSource].
type Compiler struct {
	Predeclared []string // the names that the language predeclares
	Limits      Limits
}

// compilerVersion must change with everything that changes what source.go and names.go find,
// what a summary holds, or how it is written.
const compilerVersion = "2"

// Fingerprint returns everything that decides what Compile returns, except its arguments and the
// build of flytestar.
func (c Compiler) Fingerprint() []string {
	guardUniverse()
	parts := []string{compilerVersion, fmt.Sprint(starlark.CompilerVersion), fmt.Sprintf("%+v", *dialect), fmt.Sprint(c.Limits.Nesting)}
	for _, names := range [][]string{c.Predeclared, starlark.Universe.Keys()} {
		parts = append(parts, fmt.Sprint(len(names)))
		parts = append(parts, slices.Sorted(slices.Values(names))...)
	}
	return parts
}

// Compile compiles the module at path into its written form. It returns nil for a module with
// findings. The caller has checked the size of source.
func (c Compiler) Compile(path string, source []byte) ([]byte, error) {
	predeclared := starlark.StringDict{}
	for _, name := range c.Predeclared {
		predeclared[name] = starlark.None
	}
	limits := c.Limits.Defaults()
	limits.Source = int64(len(source))
	m, found := compile(path, source, predeclared, limits)
	if m == nil || found != nil {
		return nil, nil
	}
	return m.encode()
}

// encode returns m in its written form: the program after its length, then the summary.
func (m *compiled) encode() ([]byte, error) {
	var program bytes.Buffer
	if err := m.program.Write(&program); err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(nil, uint64(program.Len()))
	return append(append(out, program.Bytes()...), m.summary.Encode()...), nil
}

// decodeCompiled returns the module at path from its written form.
func decodeCompiled(path string, data []byte) (*compiled, error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, errors.New("the length of its program is wrong")
	}
	data = data[n:]
	program, err := starlark.CompiledProgram(bytes.NewReader(data[:size]))
	if err != nil {
		return nil, err
	}
	summary, err := summary.Decode(path, data[size:])
	if err != nil {
		return nil, err
	}
	return &compiled{program, summary}, nil
}
