package resolve

import (
	"io/fs"
	"regexp"
	"sync"

	"github.com/flytestar/flytestar/workspace"
)

// pythonFile is what can be told of a Python file's names without a parser.
type pythonFile struct {
	words     map[string]bool // every identifier that occurs
	functions []string        // those that follow "def"
	dynamic   bool            // names may come from elsewhere
}

// maxPython bounds a task's Python file, in bytes.
const maxPython = 16 << 20

var (
	pythonWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[\pL_][\pL\pN_]*`) })
	pythonDef  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+([\pL_][\pL\pN_]*)`)
	})
	// Ways to bind names that the file doesn't spell out.
	pythonDynamic = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`import[ \t]*\*|import[ \t]*\([ \t]*\*|__getattr__|\b(?:globals|vars|locals|exec|setattr)\b`)
	})
)

func readPython(files fs.FS, name string) (*pythonFile, error) {
	data, err := workspace.ReadFile(files, name, maxPython)
	if err != nil {
		return nil, err
	}
	f := &pythonFile{words: map[string]bool{}, dynamic: pythonDynamic().Match(data)}
	for _, w := range pythonWord().FindAll(data, -1) {
		f.words[string(w)] = true
	}
	for _, m := range pythonDef().FindAllSubmatch(data, -1) {
		f.functions = append(f.functions, string(m[1]))
	}
	return f, nil
}

// mayDefine is false only where the file can't bind the name: the name doesn't even occur. Whether
// it is bound to a function shows when the task runs.
func (f *pythonFile) mayDefine(name string) bool { return f.dynamic || f.words[name] }
