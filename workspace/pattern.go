package workspace

// Pattern reads a pattern of paths, with the rules of [Include], and returns whether a path matches.
func Pattern(p string) (match func(path string) bool, err error) {
	g, err := parseGlob(p)
	if err != nil {
		return nil, err
	}
	return g.match, nil
}
