package resolve_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"testing/fstest"
)

// layout returns the files of an OCI image layout in dir. It has an image without layers for a
// platform's operating system and architecture, with a tag.
func layout(dir, goos, arch, tag string) fstest.MapFS {
	files := fstest.MapFS{}
	blob := func(mediaType, text string) string {
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		files[dir+"/blobs/sha256/"+sum] = &fstest.MapFile{Data: []byte(text)}
		return fmt.Sprintf(`{"mediaType": %q, "digest": "sha256:%s", "size": %d, "annotations": {"org.opencontainers.image.ref.name": %q}}`, mediaType, sum, len(text), tag)
	}
	config := blob("application/vnd.oci.image.config.v1+json", fmt.Sprintf(`{"os": %q, "architecture": %q, "rootfs": {"diff_ids": []}}`, goos, arch))
	manifest := blob("application/vnd.oci.image.manifest.v1+json", fmt.Sprintf(`{"config": %s, "layers": []}`, config))
	files[dir+"/index.json"] = &fstest.MapFile{Data: []byte(fmt.Sprintf(`{"manifests": [%s]}`, manifest))}
	return files
}

// and returns the files of both.
func and(a, b fstest.MapFS) fstest.MapFS {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
