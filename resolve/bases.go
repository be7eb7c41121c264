package resolve

import (
	"path"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// baseFile finds a base that isn't an image reference, and a base whose layout can't be used.
func (c *checker) baseFile(b plan.Base) *diag.Error {
	if b.Kind != plan.BaseRef {
		return nil
	}
	ref, err := ociref.Parse(b.Ref)
	if err != nil {
		return diag.Errorf(b.Pos, diag.Source, "%q isn't an image reference: %w", b.Ref, err).WithHint("write %s", ociref.Form)
	}
	if ref.Layout == "" {
		return nil
	}
	dir := path.Clean(ref.Layout)
	if err := lookFor(c.files, dir, b.Pos, isDir); err != nil {
		return err
	}
	if err := lookFor(c.files, path.Join(dir, workspace.LayoutIndex), b.Pos, isFile); err != nil {
		return err.WithHint("oci: names the directory of an OCI image layout, which has an %s", workspace.LayoutIndex)
	}
	if _, err := workspace.FindLayout(c.files, dir, ref.Tag, c.packages.Platform); err != nil {
		return unusableFile.Finding(b.Pos, "%s: %w", b.Ref, err)
	}
	return nil
}

// mutableBases is FS205. It is a warning if the reference doesn't even name a release.
func (c *checker) mutableBases() {
	for i := range c.graph.Images {
		b := c.graph.Images[i].Base
		ref, err := ociref.Parse(b.Ref)
		if b.Kind != plan.BaseRef || err != nil || ref.Layout != "" || ref.Digest != "" { // an error is baseFile's finding
			continue
		}
		f := mutableBase.Finding(b.Pos, "the base %s can change: its tag can be moved to another image", b.Ref)
		if ref.Tag == "" || ref.Tag == "latest" {
			f.Msg = "the base " + b.Ref + " is whatever is newest when it is first resolved: it has no tag but latest"
			f.Severity = diag.SeverityWarning
		}
		c.findings.report(f.WithHint(`add the digest: "%s@sha256:…"`, b.Ref))
	}
}
