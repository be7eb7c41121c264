package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/spf13/cobra"
)

// version is what the binary knows about itself.
type version struct {
	Version  string `json:"version"` // the module's version; "(devel)" if built from a work tree without one
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the work tree differed from Commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(a *app) *cobra.Command {
	format := newFormat("text", "json")
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Print flytestar's version",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return a.version(format.value) },
	}
	format.addFlags(cmd.Flags())
	return cmd
}

func (a *app) version(format string) error {
	v := readVersion()
	if format == "json" {
		return values.WriteJSON(a.out, v)
	}
	_, err := fmt.Fprintf(a.out, "flytestar %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	return err
}

func readVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("%s takes no argument %q", cmd.CommandPath(), args[0]).WithHint("%s", cmd.UseLine())
}
