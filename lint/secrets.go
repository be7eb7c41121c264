package lint

import (
	"math"
	"regexp"
	"strings"
	"sync"
	"unicode"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/syntax"
)

// shape is the form of a token that shows what it is.
type shape struct {
	what string
	re   *regexp.Regexp
}

// patterns match literals and names. They are compiled when they are first needed: otherwise every
// start of the program would pay for them. Go's regular expressions take linear time.
var patterns = sync.OnceValue(func() (p struct {
	shapes     []shape
	secretName *regexp.Regexp // names that hold secrets: DB_PASSWORD, api_Key, auth_token
	words      *regexp.Regexp // words with a number at most: "db-password-v2", "API_KEY_1"
}) {
	for _, s := range [][2]string{
		{"a private key", `-----BEGIN [A-Z ]*PRIVATE KEY-----`},
		{"an AWS access key", `\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`},
		{"a GitHub token", `\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})`},
		{"a GitLab token", `\bglpat-[A-Za-z0-9_-]{20}`},
		{"a Slack token", `\bxox[abeprs]-[A-Za-z0-9-]{10}`},
		{"a Google API key", `\bAIza[0-9A-Za-z_-]{35}`},
		{"a Stripe key", `\b[rs]k_live_[0-9A-Za-z]{20}`},
		{"a Hugging Face token", `\bhf_[A-Za-z0-9]{30}`},
		{"an API key", `\bsk-[A-Za-z0-9_-]{32}`},
		{"a JSON web token", `\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`},
		{"a password in a URL", `[a-z]://[^\s/:@{}$%]+:[^\s/:@{}$%]+@`},
	} {
		p.shapes = append(p.shapes, shape{s[0], regexp.MustCompile(s[1])})
	}
	p.secretName = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:password|passwd|passphrase|secret|credentials?|token|api_?key|access_?key|private_?key|secret_?key)(?:$|[^a-z])`)
	p.words = regexp.MustCompile(`^[A-Za-z]+[0-9]{0,2}(?:[-_.][A-Za-z]+[0-9]{0,2}|[-_.][0-9]{1,2})*$`)
	return p
})

// isSecretName reports whether a name says that it holds a secret. "max_tokens" doesn't.
func isSecretName(name string) bool {
	var b strings.Builder
	last := rune(0)
	for _, r := range name { // apiKey becomes api_Key
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			b.WriteByte('_')
		}
		b.WriteRune(r)
		last = r
	}
	return patterns().secretName.MatchString(b.String())
}

// secrets finds credentials in literals (FS226), and parameters with the name of a secret that are
// printed (FS227). No message quotes a value.
func (c *checker) secrets() {
	named := map[*syntax.Literal]string{} // the name that a literal is given to
	params := map[*syntax.Ident]bool{}
	name := func(name string, x syntax.Expr) {
		if lit, ok := x.(*syntax.Literal); ok {
			named[lit] = name
		}
	}
	syntax.Walk(c.file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok {
				name(id.Name, n.RHS)
			}
		case *syntax.BinaryExpr: // a keyword argument or a default
			if id, ok := n.X.(*syntax.Ident); ok && n.Op == syntax.EQ {
				name(id.Name, n.Y)
			}
		case *syntax.DictEntry:
			if key, ok := n.Key.(*syntax.Literal); ok && key.Token == syntax.STRING {
				name(key.Value.(string), n.Value)
			}
		case *syntax.DefStmt:
			noteParams(n.Function, params)
		case *syntax.Literal:
			c.credential(n, named[n])
		case *syntax.CallExpr:
			if isBuiltin(n.Fn, "print") {
				c.printed(n, params)
			}
		}
		return true
	})
}

func noteParams(function any, params map[*syntax.Ident]bool) {
	f, ok := function.(*starresolve.Function)
	if !ok {
		return
	}
	for _, p := range f.Params {
		if eq, ok := p.(*syntax.BinaryExpr); ok {
			p = eq.X
		}
		if id, ok := p.(*syntax.Ident); ok {
			params[id] = true
		}
	}
}

// credential reports a literal that looks like a credential.
func (c *checker) credential(lit *syntax.Literal, name string) {
	text, ok := lit.Value.(string)
	if !ok {
		return
	}
	what := shapeOf(text)
	if what == "" && isSecretName(name) && isRandom(text) {
		what = "the value of " + name
	}
	if what != "" {
		c.report(credential, position(lit.TokenPos), "this literal looks like a credential (%s)", what).
			WithHint("take it out of the source, and consider it known: give it to the run as an input")
	}
}

// shapeOf says which kind of token is in text. It returns "" if none is.
func shapeOf(text string) string {
	for _, s := range patterns().shapes {
		if s.re.MatchString(text) {
			return s.what
		}
	}
	return ""
}

// isRandom reports whether text can hardly be a word, a name or a path. It has letters and digits
// without space, and 2.5 bits or more in each character.
func isRandom(text string) bool {
	if len(text) < 8 || len(text) > 4096 || strings.ContainsAny(text, " \t\n/{}") || patterns().words.MatchString(text) {
		return false
	}
	counts := map[rune]int{}
	n, digits, letters := 0, 0, 0
	for _, r := range text {
		counts[r]++
		n++
		switch {
		case unicode.IsDigit(r):
			digits++
		case unicode.IsLetter(r):
			letters++
		}
	}
	bits := 0.0
	for _, k := range counts {
		p := float64(k) / float64(n)
		bits -= p * math.Log2(p)
	}
	return digits > 0 && letters > 0 && bits >= 2.5
}

// printed reports each argument of a print that is a parameter with the name of a secret.
func (c *checker) printed(call *syntax.CallExpr, params map[*syntax.Ident]bool) {
	for _, arg := range call.Args {
		syntax.Walk(arg, func(n syntax.Node) bool {
			if id, ok := n.(*syntax.Ident); ok && params[binding(id)] && isSecretName(id.Name) {
				c.report(printedSecret, position(id.NamePos), "%s looks like a secret, and what is printed is shown and logged", id.Name).
					WithHint("leave it out")
			}
			return true
		})
	}
}
