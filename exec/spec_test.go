package exec_test

import (
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

func full() exec.Spec {
	return exec.Spec{
		Image: exec.ImageRef{Digest: "sha256:1", Name: "a"}, Args: []string{"a", "b"}, Env: []string{"A=1"}, User: "u",
		Files:   []exec.File{{Path: "/f", Mode: 0o444, Data: []byte("x")}},
		Inputs:  []exec.Input{{Path: "/i", Artifact: plan.File{Name: "n", Digest: "sha256:2", Size: 3}}},
		Outputs: []plan.Param{{Name: "o", Type: plan.Type{Kind: plan.KindStr}}},
		Secrets: []exec.Secret{{Key: "k", EnvVar: "K"}},
	}
}

// TestSpecDigest: whatever can change the result changes the digest, and nothing else does.
func TestSpecDigest(t *testing.T) {
	seen := map[string]string{"": digestOf(func(*exec.Spec) {})}
	for name, change := range map[string]func(*exec.Spec){
		"image":         func(s *exec.Spec) { s.Image.Digest = "sha256:9" },
		"argument":      func(s *exec.Spec) { s.Args[1] = "c" },
		"joined":        func(s *exec.Spec) { s.Args = []string{"a b"} },
		"quoted":        func(s *exec.Spec) { s.Args = []string{`a" "b`} },
		"invalid":       func(s *exec.Spec) { s.Args = []string{"a", "\xff"} },
		"other invalid": func(s *exec.Spec) { s.Args = []string{"a", "\xfe"} },
		"env":           func(s *exec.Spec) { s.Env = append(s.Env, "B=") },
		"env for args":  func(s *exec.Spec) { s.Args, s.Env = append(s.Args, s.Env...), nil },
		"user":          func(s *exec.Spec) { s.User = "" },
		"network":       func(s *exec.Spec) { s.Network = true },
		"file's data":   func(s *exec.Spec) { s.Files[0].Data = []byte("y") },
		"file's mode":   func(s *exec.Spec) { s.Files[0].Mode = 0o755 },
		"file's path":   func(s *exec.Spec) { s.Files[0].Path = "/g" },
		"no file":       func(s *exec.Spec) { s.Files = nil },
		"input":         func(s *exec.Spec) { s.Inputs[0].Artifact = plan.File{Name: "n", Digest: "sha256:3", Size: 3} },
		"input's kind":  func(s *exec.Spec) { s.Inputs[0].Artifact = plan.Dir{Name: "n", Digest: "sha256:2", Size: 3} },
		"input's path":  func(s *exec.Spec) { s.Inputs[0].Path = "/j" },
		"output's name": func(s *exec.Spec) { s.Outputs[0].Name = "p" },
		"output's type": func(s *exec.Spec) { s.Outputs[0].Type.Kind = plan.KindInt },
		"strict":        func(s *exec.Spec) { s.Strict = true },
		"secret":        func(s *exec.Spec) { s.Secrets[0].Key = "l" },
		"secret's file": func(s *exec.Spec) { s.Secrets[0].Path = "/s" },
	} {
		d := digestOf(change)
		for other, known := range seen {
			if d == known {
				t.Errorf("%q has the digest of %q", name, other)
			}
		}
		seen[name] = d
	}
	for name, change := range map[string]func(*exec.Spec){
		"the image's name":    func(s *exec.Spec) { s.Image.Name = "b" },
		"the artifact's name": func(s *exec.Spec) { s.Inputs[0].Artifact = plan.File{Name: "m", Digest: "sha256:2", Size: 3} },
	} {
		if digestOf(change) != seen[""] {
			t.Errorf("%s changes the digest", name)
		}
	}
}

// digestOf returns the digest of a changed Spec.
func digestOf(change func(*exec.Spec)) string {
	s := full()
	change(&s)
	return string(s.Digest())
}
