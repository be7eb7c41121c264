package flytestar

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
)

// Settings are what a workspace's flytestar.toml says. spec.md, "flytestar.toml".
type Settings struct {
	Lint LintSettings `toml:"lint"`
}

// LintSettings are the table [lint].
type LintSettings struct {
	Disable []string `toml:"disable"` // codes of findings that aren't reported
	FailOn  string   `toml:"fail-on"` // error, warning, info or never; empty: the command line's default
}

// FailOns are the values of fail-on, the strictest first.
var FailOns = []string{"info", "warning", "error", "never"}

// maxSettings bounds the size of a flytestar.toml, in bytes.
const maxSettings = 64 << 10

// readSettings reads the flytestar.toml of a workspace. Without one, settings are zero.
func readSettings(root *os.Root) (Settings, error) {
	var s Settings
	info, err := root.Lstat(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() {
		return s, diag.Errorf(diag.Position{File: marker}, diag.Usage, "%s isn't a regular file", marker)
	}
	f, err := root.Open(marker)
	if err != nil {
		return s, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err != nil {
		return s, err
	}
	if len(data) > maxSettings {
		return s, diag.Errorf(diag.Position{File: marker}, diag.Usage, "%s is larger than %d bytes", marker, maxSettings)
	}
	return parseSettings(data)
}

// parseSettings reads settings. Errors are of class Usage.
func parseSettings(data []byte) (Settings, error) {
	var s Settings
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&s)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		e := settingsError(&unknown.Errors[0], "there is no such setting")
		return s, e.WithHint("[lint] has disable and fail-on")
	case errors.As(err, &wrong):
		return s, settingsError(wrong, wrong.Error())
	case err != nil:
		return s, diag.Errorf(diag.Position{File: marker}, diag.Usage, "%w", err)
	}
	return s, s.Lint.check()
}

func settingsError(e *toml.DecodeError, msg string) *diag.Error {
	line, col := e.Position()
	return diag.Errorf(diag.Position{File: marker, Line: line, Col: col}, diag.Usage, "%s", msg)
}

func (s *LintSettings) check() error {
	at := diag.Position{File: marker}
	if s.FailOn != "" && !slices.Contains(FailOns, s.FailOn) {
		return diag.Errorf(at, diag.Usage, "lint.fail-on is %q: want error, warning, info or never", s.FailOn)
	}
	var codes []string
	for _, r := range Rules() {
		codes = append(codes, r.Code)
	}
	for _, code := range s.Disable {
		switch {
		case !lint.Suppressible(code):
			return diag.Errorf(at, diag.Usage, "lint.disable has %s, an error, and these can't be disabled", code)
		case !slices.Contains(codes, code):
			e := diag.Errorf(at, diag.Usage, "lint.disable has %q, which is no code of a finding", code)
			if near := diag.Suggest(code, codes); near != "" {
				return e.WithHint("did you mean %q?", near)
			}
			return e
		}
	}
	return nil
}
