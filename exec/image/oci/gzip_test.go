package oci

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// sample is n bytes, half of them random.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		if i%128 < 64 {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newGzipWriter(&out)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 100_000)
		_, err := w.Write(rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	must(t, w.Close())
	return out.Bytes()
}

func TestGzip(t *testing.T) {
	for _, n := range []int{1, 1000, memberSize, memberSize + 1, 5*memberSize + 17} {
		data := sample(n)
		packed := gzipped(t, data)
		if !bytes.Equal(packed, gzipped(t, data)) {
			t.Errorf("%d bytes: compressed differently the second time", n)
		}
		r, err := stdgzip.NewReader(bytes.NewReader(packed))
		must(t, err)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: the standard library reads %d bytes, %v", n, len(got), err)
		}
		ours, err := decompressed(io.NopCloser(bytes.NewReader(packed)))
		must(t, err)
		got, err = io.ReadAll(ours)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: we read %d bytes, %v", n, len(got), err)
		}
		must(t, ours.Close())
	}
}

func TestDecompressedForeign(t *testing.T) {
	data := sample(300_000)
	var gz, zs bytes.Buffer
	w := stdgzip.NewWriter(&gz)
	w.Write(data)
	w.Close()
	z, err := zstd.NewWriter(&zs)
	must(t, err)
	z.Write(data)
	z.Close()
	var nothing bytes.Buffer
	must(t, stdgzip.NewWriter(&nothing).Close())
	half := bytes.Repeat(nothing.Bytes(), 200)
	for _, part := range [][]byte{data[:1000], data[1000:]} {
		var member bytes.Buffer
		w := stdgzip.NewWriter(&member)
		w.Write(part)
		must(t, w.Close())
		half = append(half, member.Bytes()...)
	}
	for name, packed := range map[string][]byte{
		"gzip": gz.Bytes(), "zstd": zs.Bytes(), "none": data, "members": half,
		"padded": append(bytes.Clone(gz.Bytes()), make([]byte, 1000)...), "junk": append(bytes.Clone(gz.Bytes()), "junk"...),
	} {
		r, err := decompressed(io.NopCloser(bytes.NewReader(packed)))
		must(t, err)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		must(t, r.Close())
	}
}

func TestDecompressedDamaged(t *testing.T) {
	packed := gzipped(t, sample(3*memberSize))
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-5] },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
		"length":  func(b []byte) []byte { b[memberHead-1] = 0xff; return b },
	} {
		r, err := decompressed(io.NopCloser(bytes.NewReader(damage(bytes.Clone(packed)))))
		must(t, err)
		if n, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("%s: read %d bytes without an error", name, n)
		}
		must(t, r.Close())
	}
	// Closing early must not hang or leak.
	r, err := decompressed(io.NopCloser(bytes.NewReader(packed)))
	must(t, err)
	must(t, r.Close())
}

func FuzzDecompressed(f *testing.F) {
	f.Add(gzipped(f, sample(1000)))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decompressed(io.NopCloser(bytes.NewReader(data)))
		if err != nil {
			return
		}
		io.Copy(io.Discard, io.LimitReader(r, 8<<20))
		r.Close()
	})
}

func BenchmarkGzip(b *testing.B) {
	data := sample(32 << 20)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			gzipped(b, data)
		}
	})
	packed := gzipped(b, data)
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			r, err := decompressed(io.NopCloser(bytes.NewReader(packed)))
			must(b, err)
			_, err = io.Copy(io.Discard, r)
			must(b, err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
