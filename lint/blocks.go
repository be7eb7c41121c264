package lint

import "go.starlark.net/syntax"

// maxBlocks is how deep blocks may nest. A function's body is the first. Few functions of the
// examples and libraries that we looked at go beyond four.
const maxBlocks = 6

// nesting finds blocks that nest too deeply (FS222). It reports the first of each nest.
func (c *checker) nesting() { c.blocks(c.file.Stmts, 0) }

// blocks checks statements that lie in depth blocks.
func (c *checker) blocks(stmts []syntax.Stmt, depth int) {
	for _, stmt := range stmts {
		pos, bodies := bodiesOf(stmt)
		if len(bodies) == 0 {
			continue
		}
		if depth == maxBlocks {
			c.report(deepNesting, position(pos), "this block is nested more than %d deep", maxBlocks).
				WithHint("move the inner blocks into a function, or turn conditions around and return early")
			continue
		}
		for _, body := range bodies {
			c.blocks(body, depth+1)
		}
	}
}

// bodiesOf returns the blocks of a compound statement, and where it begins. The blocks of an elif
// count as those of its if.
func bodiesOf(stmt syntax.Stmt) (pos syntax.Position, bodies [][]syntax.Stmt) {
	switch s := stmt.(type) {
	case *syntax.DefStmt:
		return s.Def, [][]syntax.Stmt{s.Body}
	case *syntax.ForStmt:
		return s.For, [][]syntax.Stmt{s.Body}
	case *syntax.IfStmt:
		pos = s.If
		for {
			bodies = append(bodies, s.True)
			next := elif(s)
			if next == nil {
				return pos, append(bodies, s.False)
			}
			s = next
		}
	}
	return pos, nil
}

// elif returns the statement that is the elif of s, or nil.
func elif(s *syntax.IfStmt) *syntax.IfStmt {
	if len(s.False) != 1 {
		return nil
	}
	if next, ok := s.False[0].(*syntax.IfStmt); ok && next.If == s.ElsePos {
		return next
	}
	return nil
}
