package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// remoteBase pulls an image from a registry. It resolves a tag once, until somebody removes the
// memory of that. If a blob is missing, it pulls what the tag was then.
func (j *job) remoteBase(ctx context.Context, b plan.Base, ref name.Reference) (base, error) {
	k := memo.NewKey("ref 1").Str(b.Ref).Str(j.img.Platform)
	return memo.Made(ctx, j.memo, "bases", k, j.store.hasBase, func() (base, error) {
		want, err := v1.ParsePlatform(j.img.Platform)
		if err != nil {
			return base{}, err
		}
		j.step("pull " + b.Ref)
		if old, ok, err := memo.Recall[base](j.memo, "bases", k.Hex()); err == nil && ok && old.Digest.Valid() {
			ref = ref.Context().Digest(string(old.Digest))
		}
		auth, err := authn.Resolve(ctx, authn.DefaultKeychain, ref.Context())
		if err != nil {
			return base{}, diag.Errorf(b.Pos, diag.System, "this machine's credentials for %s can't be read: %w", ref.Context().RegistryStr(), err).
				WithHint("the configuration of docker or podman names a program that keeps them: install it, or remove its line there")
		}
		made, err := j.pull(ctx, b, ref, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithPlatform(*want), remote.WithTransport(j.transport()))
		return made, pullError(b, err)
	})
}

// pull fetches the image that a reference names.
func (j *job) pull(ctx context.Context, b plan.Base, ref name.Reference, options ...remote.Option) (base, error) {
	img, err := again(ctx, func() (v1.Image, error) { return j.find(ref, options...) })
	if err != nil {
		return base{}, err
	}
	return j.importImage(ctx, b, img)
}

// find returns the image that a reference names, with its manifest and configuration.
func (j *job) find(ref name.Reference, options ...remote.Option) (v1.Image, error) {
	desc, err := remote.Get(ref, options...)
	if err != nil {
		return nil, err
	}
	if err := j.answered(desc); err != nil {
		return nil, err
	}
	img, err := desc.Image()
	if err != nil {
		return nil, err
	}
	// The image keeps what comes of its configuration, also if the answer breaks off.
	_, err = img.ConfigFile()
	return img, err
}

// answered checks what a registry has answered: an image, or an index with one for the platform.
func (j *job) answered(desc *remote.Descriptor) error {
	switch {
	case desc.MediaType == types.DockerManifestSchema1 || desc.MediaType == types.DockerManifestSchema1Signed:
		return errors.New("its manifest is of schema 1, a form that was given up in 2017; push the image again with a newer tool")
	case desc.MediaType.IsIndex():
		return j.offered(desc)
	case desc.MediaType.IsImage() || json.Valid(desc.Manifest):
		return nil
	}
	return fmt.Errorf("the registry answers with %s instead of a manifest; a proxy or a page for logging in may stand between", desc.MediaType)
}

// offered checks that an index has an image for the platform.
func (j *job) offered(desc *remote.Descriptor) error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(desc.Manifest))
	if err != nil {
		return fmt.Errorf("its index is damaged: %w", err)
	}
	want, err := v1.ParsePlatform(j.img.Platform)
	if err != nil {
		return err
	}
	missing := &workspace.PlatformError{Want: j.img.Platform}
	for _, d := range index.Manifests {
		if d.Platform == nil || d.Platform.Satisfies(*want) {
			return nil
		}
		missing.There = append(missing.There, d.Platform.OS+"/"+d.Platform.Architecture)
	}
	return missing
}

// pullError says what a registry's answer means, or that there was none. Otherwise the image is to
// blame.
func pullError(b plan.Base, err error) error {
	var e *diag.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	var answer *transport.Error
	var unreachable net.Error
	switch {
	case errors.As(err, &answer):
		return refused(b, answer.StatusCode, err)
	case errors.Is(err, errLost):
		return diag.Errorf(b.Pos, diag.System, "can't pull %s: %w", b.Ref, err).WithHint("try again; what came whole isn't fetched again")
	case errors.As(err, &unreachable):
		return diag.Errorf(b.Pos, diag.System, "can't pull %s: %w", b.Ref, err).WithHint("is the registry reachable from here?")
	}
	return unusable(b, err)
}

// unusable says that an image from elsewhere is to blame for an error, unless the machine is.
func unusable(b plan.Base, err error) error {
	var e *diag.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	err = classed(b.Pos, diag.Build, fmt.Errorf("can't use %s: %w", b.Ref, err))
	if errors.Is(err, tar.ErrHeader) && errors.As(err, &e) {
		return e.WithHint("the layer is damaged, or was packed by a tool of its own kind: save or push the image again, for example with skopeo copy")
	}
	return err
}

// refused says what a status means.
func refused(b plan.Base, status int, err error) error {
	switch status {
	case http.StatusNotFound:
		return diag.Errorf(b.Pos, diag.Build, "the registry has no image %s", b.Ref).WithHint("check the name and the tag")
	case http.StatusUnauthorized, http.StatusForbidden:
		return diag.Errorf(b.Pos, diag.System, "the registry doesn't let us pull %s: %w", b.Ref, err).
			WithHint("log in with docker, podman or crane: their credentials are used; also check the name, since registries answer so for images that don't exist")
	case http.StatusTooManyRequests:
		return diag.Errorf(b.Pos, diag.System, "the registry bounds how often images are pulled: %w", err).WithHint("try again later, or log in: the bound is often higher then")
	}
	return diag.Errorf(b.Pos, diag.System, "can't pull %s: %w", b.Ref, err)
}
