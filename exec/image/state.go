package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/plan"
)

// State implements [exec.Builder].
func (b *Builder) State(ctx context.Context, img plan.BuildImage) (plan.BuildImage, error) {
	rec, complete, err := b.recalled(img)
	if err != nil {
		return img, systemError(err)
	}
	if complete {
		img.State, img.Digest, img.Size = plan.ImageHit, rec.Digest, rec.size()
		img.Why = "built " + ago(rec.Time) + " on " + rec.Base.String()
		return img, nil
	}
	j := b.job(img, nil)
	j.memo = b.store.memo.Look()
	st := &state{}
	at, err := j.walk(ctx, st)
	img.Reused = len(st.layers)
	switch {
	case err == nil && rec != nil:
		img.State, img.Why = plan.ImageBuild, "it was built "+ago(rec.Time)+", but its manifest is gone; every layer is there"
	case err == nil:
		img.State, img.Why = plan.ImageBuild, "no such image was built, but every layer is there"
	case errors.Is(err, memo.ErrUnmade):
		img.State, img.Why = j.missing(at, err)
	default:
		return img, j.named(err)
	}
	return img, nil
}

// Size returns how many bytes an image takes in the store, compressed; 0 if it isn't there. Like
// State it only reads.
func (b *Builder) Size(img plan.BuildImage) (int64, error) {
	rec, complete, err := b.recalled(img)
	if err != nil || !complete {
		return 0, systemError(err)
	}
	return rec.size(), nil
}

// size returns how many bytes the blobs take.
func (r *record) size() int64 {
	total := int64(0)
	for _, b := range r.Blobs {
		total += b.Size
	}
	return total
}

// missing says what it means that a dry walk ended at a step; -1 is the base.
func (j *job) missing(at int, err error) (plan.ImageState, string) {
	img := j.img.Image
	kind := ""
	var u *memo.Unmade
	if errors.As(err, &u) {
		kind = u.Kind
	}
	if at < 0 {
		return j.missingBase(kind)
	}
	step := func(n int) string {
		return fmt.Sprintf("step %d of %d, %s,", n+1, len(img.Steps), stepTitle(img.Steps[n]))
	}
	switch s := img.Steps[at]; {
	case s.Kind == plan.StepApt:
		return plan.ImageUnresolved, step(at) + " has no layer on what is below it"
	case isPip(s) && kind != "layers" && kind != "laid":
		return plan.ImageUnresolved, step(at) + " isn't resolved"
	}
	why := step(at) + " has no layer on what is below it"
	for n := at + 1; n < len(img.Steps); n++ {
		if isPip(img.Steps[n]) || img.Steps[n].Kind == plan.StepApt {
			return plan.ImageUnresolved, why + fmt.Sprintf(" and step %d is to be resolved then", n+1)
		}
	}
	return plan.ImageBuild, why
}

func (j *job) missingBase(kind string) (plan.ImageState, string) {
	img := j.img.Image
	switch {
	case img.Base.Kind == plan.BaseRef && len(img.Steps) == 0:
		return plan.ImagePull, baseTitle(img.Base) + " isn't in the store"
	case img.Base.Kind == plan.BaseRef:
		return plan.ImageUnresolved, "its base " + baseTitle(img.Base) + " isn't in the store"
	case kind == "bases" && len(img.Steps) == 0:
		return plan.ImageBuild, "its base " + baseTitle(img.Base) + " is resolved, but not built"
	case kind == "bases":
		return plan.ImageUnresolved, "its base " + baseTitle(img.Base) + " is resolved, but not built"
	}
	return plan.ImageUnresolved, "its base " + baseTitle(img.Base) + " isn't resolved"
}

func isPip(s plan.Step) bool { return s.Kind == plan.StepPip || s.Kind == plan.StepRequirements }
