package workspace

import "io/fs"

// Reader answers which files of a workspace a graph reads. It works out each answer once: whoever
// asks again gets the same slices, and must not change them. Matching patterns takes a bounded
// number of steps for all questions together. A Reader sees the workspace as it was when it was
// first asked: it serves one check or one plan. It isn't for several goroutines.
type Reader struct {
	files        fs.FS
	spent        budget
	folders      map[string]answer[[]Entry]
	ignores      map[string]answer[*ignore]
	selections   map[string]answer[*selection]
	requirements map[string]answer[*Requirements]
	readable     map[string]answer[struct{}]
	modules      map[string]answer[PythonModule]
}

// answer is what was found out, or why it couldn't be.
type answer[T any] struct {
	value T
	err   error
}

// NewReader returns a Reader of a workspace's files.
func NewReader(files fs.FS) *Reader {
	return &Reader{
		files: files, folders: map[string]answer[[]Entry]{}, selections: map[string]answer[*selection]{},
		ignores:      map[string]answer[*ignore]{},
		requirements: map[string]answer[*Requirements]{}, readable: map[string]answer[struct{}]{},
		modules: map[string]answer[PythonModule]{},
	}
}

// FS returns the files that r reads.
func (r *Reader) FS() fs.FS { return r.files }

// remember returns the answer by a key, found out once.
func remember[T any](known map[string]answer[T], key string, find func() (T, error)) (T, error) {
	a, ok := known[key]
	if !ok {
		a.value, a.err = find()
		known[key] = a
	}
	return a.value, a.err
}
