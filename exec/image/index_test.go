package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
)

// sdistIndex is an index, behind a password, of one package that has no wheel: tinysdist 1.0.
func sdistIndex(t testing.TB, user, password string) http.Handler {
	t.Helper()
	data := tinySdist(t)
	name := "tinysdist-1.0.tar.gz"
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/tinysdist/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><a href="/files/%s#sha256=%x">%s</a>`, name, sha256.Sum256(data), name)
	})
	mux.HandleFunc("/files/"+name, func(w http.ResponseWriter, r *http.Request) { w.Write(data) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="index"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// tinySdist has a build back end of its own, so that building it needs no other package.
func tinySdist(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range [][2]string{
		{"PKG-INFO", "Metadata-Version: 2.1\nName: tinysdist\nVersion: 1.0\n"},
		{"pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n"},
		{"backend.py", backend},
	} {
		must(t, w.WriteHeader(&tar.Header{Name: "tinysdist-1.0/" + f[0], Mode: 0o644, Size: int64(len(f[1]))}))
		_, err := w.Write([]byte(f[1]))
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

const backend = `import os, zipfile

INFO = "tinysdist-1.0.dist-info"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "tinysdist-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as z:
        z.writestr("tinysdist.py", "WORD = 'built'\n")
        z.writestr(INFO + "/METADATA", "Metadata-Version: 2.1\nName: tinysdist\nVersion: 1.0\n")
        z.writestr(INFO + "/WHEEL", "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(INFO + "/RECORD", "")
    return name
`
