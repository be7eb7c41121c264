package resolve_test

import (
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// TestBases: whatever can't be an image reference is a finding at the base, before anything is
// pulled.
func TestBases(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	files := layout("layout", "linux", "amd64", "v1")
	for ref, want := range map[string]string{
		"python:3.12": "", "registry.example:5000/a/b": "", "python@" + digest: "", "oci:layout": "", "oci:layout:v1": "", "oci:./layout/": "",
		"BB:x": "repository can only contain", "@sha256:abc": "checksum", "@" + digest: "repository", "oci:": "no directory", "oci::v1": "no directory",
		"python:": "isn't an image reference", "a b": "isn't an image reference", "": "isn't an image reference", "python:3\n": "isn't an image reference",
		"oci:none": "there is no none in the workspace", "oci:..": "leads out of the workspace",
	} {
		b := newGraph("a.star")
		i := b.image()
		b.Images[i].Base = plan.Base{Kind: plan.BaseRef, Ref: ref, Pos: diag.Position{File: "a.star", Line: 7, Col: 3}}
		b.orchestrator("t", b.env("e", i))
		found := resolve.Check(b.graph(t), files, platform)
		if want == "" {
			if len(found) > 0 {
				t.Errorf("%q: %v", ref, found)
			}
			continue
		}
		if len(found) != 1 || !strings.Contains(found[0].Msg, want) || found[0].Pos.Line != 7 || found[0].Code != "" && want != "there is no none in the workspace" && want != "leads out of the workspace" || found[0].Hint == "" && strings.Contains(want, "reference") {
			t.Errorf("%q: %v, want %q", ref, found, want)
		}
	}
}
