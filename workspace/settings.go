package workspace

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// Settings are what a workspace's flytestar.toml says. spec.md, "flytestar.toml".
type Settings struct {
	Lint LintSettings `toml:"lint"`
}

// LintSettings are the table [lint].
type LintSettings struct {
	Disable []string `toml:"disable"` // codes of findings that aren't reported
	FailOn  string   `toml:"fail-on"` // one of FailOns; empty: the command line's default
}

// FailOns are the values of fail-on, the strictest first.
var FailOns = []string{"info", "warning", "error", "never"}

// maxSettings bounds the size of a flytestar.toml, in bytes.
const maxSettings = 64 << 10

// ReadSettings reads the flytestar.toml of a workspace. Without one, settings are zero. Settings
// that are wrong are an error of class Usage; whether the codes in them exist isn't looked at.
func ReadSettings(files fs.FS) (Settings, error) {
	info, err := fs.Lstat(files, Marker)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, err
	}
	if !info.Mode().IsRegular() {
		return Settings{}, settingsError("%s isn't a regular file", Marker)
	}
	data, err := ReadFile(files, Marker, maxSettings)
	if errors.Is(err, errTooLarge) {
		return Settings{}, settingsError("%s is %w", Marker, err)
	}
	if err != nil {
		return Settings{}, err
	}
	return ParseSettings(data)
}

// ParseSettings reads the text of a flytestar.toml. Errors are as those of [ReadSettings].
func ParseSettings(data []byte) (Settings, error) {
	var s Settings
	err := toml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte(text.Mark)))).DisallowUnknownFields().Decode(&s)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		e := settingsErrorAt(&unknown.Errors[0], "there is no such setting")
		return s, e.WithHint("[lint] has disable and fail-on")
	case errors.As(err, &wrong):
		return s, settingsErrorAt(wrong, wrong.Error())
	case err != nil:
		return s, settingsError("%w", err)
	}
	if on := s.Lint.FailOn; on != "" && !slices.Contains(FailOns, on) {
		return s, settingsError("lint.fail-on is %q: want error, warning, info or never", on)
	}
	return s, nil
}

func settingsError(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{File: Marker}, diag.Usage, format, args...)
}

func settingsErrorAt(e *toml.DecodeError, msg string) *diag.Error {
	line, col := e.Position()
	return diag.Errorf(diag.Position{File: Marker, Line: line, Col: col}, diag.Usage, "%s", msg)
}
