package pip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/plan"
)

// pin returns the exact packages of requirements. If earlier calls have some of them in other
// versions, it resolves again with the earlier versions as constraints.
func (inst *Installer) pin(ctx context.Context, img Image, s plan.Step, py python, want wanted) (*Pinned, error) {
	p, err := inst.resolve(ctx, img, s, py, want, nil)
	if err != nil {
		return nil, err
	}
	other := inst.clash(p)
	if other == nil {
		return p, nil
	}
	p, err = inst.resolve(ctx, img, s, py, want, inst.constraints())
	if err == nil && inst.clash(p) == nil || errors.Is(err, memo.ErrUnmade) {
		return p, err
	}
	var e *diag.Error
	if err != nil && (!errors.As(err, &e) || e.Class != diag.Build) {
		return nil, err
	}
	clash := diag.Errorf(s.Pos, diag.Build, "%s can't be installed after %s: they need different versions of %s",
		Title(s), Title(other.step), other.name).WithHint("name the packages in one call, or loosen the versions")
	clash.Notes = []diag.Note{{Pos: other.step.Pos, Msg: fmt.Sprintf("this call installs %s %s", other.name, other.version)}}
	if e != nil {
		clash.Notes = append(clash.Notes, e.Notes...)
	}
	return nil, clash
}

// clashing is a package that an earlier call has in another version.
type clashing struct {
	step          plan.Step
	name, version string
}

// clash finds the first package of p that an earlier call has in another version.
func (inst *Installer) clash(p *Pinned) *clashing {
	for _, d := range p.Packages {
		for _, c := range inst.calls {
			for _, had := range c.pinned.Packages {
				if had.Name == d.Name && had.Version != d.Version {
					return &clashing{c.step, had.Name, had.Version}
				}
			}
		}
	}
	return nil
}

// constraints returns the packages of earlier calls as pip's constraints.
func (inst *Installer) constraints() []string {
	pins := map[string]bool{}
	for _, c := range inst.calls {
		for _, d := range c.pinned.Packages {
			pins[d.Name+"=="+d.Version] = true
		}
	}
	return slices.Sorted(maps.Keys(pins))
}
