package home

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestFind(t *testing.T) {
	t.Setenv(Variable, "/from/variable")
	if d, err := Find("/asked"); err != nil || d != "/asked" {
		t.Errorf("asked: %s, %v", d, err)
	}
	if d, err := Find(""); err != nil || d != "/from/variable" {
		t.Errorf("variable: %s, %v", d, err)
	}
	t.Setenv(Variable, "")
	if d, err := Find(""); err != nil || !filepath.IsAbs(string(d)) || filepath.Base(string(d)) != "flytestar" {
		t.Errorf("default: %s, %v", d, err)
	}
}

// TestNewRun: each run has an id, which names its directory, and an empty directory for logs.
func TestNewRun(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "home"))
	seen := map[string]bool{}
	for range 20 {
		id, logs, err := d.NewRun()
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^\d{8}-\d{6}-[0-9a-f]{6}$`).MatchString(id) || seen[id] {
			t.Errorf("id %q", id)
		}
		seen[id] = true
		if want := filepath.Join(d.Runs(), id, "logs"); logs != want {
			t.Errorf("logs in %s, want %s", logs, want)
		}
		if entries, err := os.ReadDir(logs); err != nil || len(entries) != 0 {
			t.Errorf("logs: %v, %v", entries, err)
		}
	}
}

// TestNewRunFails: a home that can't be written to is an error.
func TestNewRunFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if id, _, err := Dir(file).NewRun(); err == nil {
		t.Errorf("a run %s below a file", id)
	}
}
