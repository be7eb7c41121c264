package pip

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/plan"
)

func TestPipConfig(t *testing.T) {
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, ".config/pip"), 0o755))
	must(t, os.WriteFile(filepath.Join(home, ".config/pip/pip.conf"), []byte(`# mine
[global]
index-url = https://me:secret@index.example/simple
timeout: 7
find_links =
    /no/such
    https://links.example/
unknown = x
[install]
timeout = 8
[download]
timeout = 9
`), 0o600))
	must(t, os.WriteFile(filepath.Join(home, "own.conf"), []byte("\ufeff[global]\nretries = 3\n"), 0o600))
	env := process.Environ{"HOME=" + home, "XDG_CONFIG_DIRS=" + home + "/none", "PIP_CONFIG_FILE=" + home + "/own.conf", "PIP_EXTRA_INDEX_URL=https://a.example/ https://b.example/"}
	c, err := readConfig(env)
	must(t, err)
	delete(c, "cert") // this machine's own
	ini := string(c.ini())
	for _, want := range []string{"index-url = https://me:secret@index.example/simple\n", "timeout = 8\n", "find-links = /no/such\n    https://links.example/\n", "retries = 3\n", "extra-index-url = https://a.example/\n    https://b.example/\n"} {
		if !strings.Contains(ini, want) {
			t.Errorf("%q isn't in\n%s", want, ini)
		}
	}
	if strings.Contains(ini, "unknown") {
		t.Errorf("an unknown option is taken over:\n%s", ini)
	}
	public := strings.Join(c.public(), " ")
	if strings.Contains(public, "secret") || !strings.Contains(public, "https://index.example/simple") {
		t.Errorf("public part: %s", public)
	}
	env = append(env, "PIP_CONFIG_FILE="+os.DevNull)
	if c, err = readConfig(env); err != nil || len(c["retries"]) > 0 || len(c["index-url"]) > 0 {
		t.Errorf("without files: %v, %v", c, err)
	}
	must(t, os.WriteFile(filepath.Join(home, "bad.conf"), []byte("nonsense\n"), 0o600))
	env = append(env, "PIP_CONFIG_FILE="+home+"/bad.conf")
	if _, err = readConfig(env); err == nil || !strings.Contains(err.Error(), "bad.conf") {
		t.Errorf("a bad file: %v", err)
	}
}

func TestPipConfigOfStep(t *testing.T) {
	c := settings{"index-url": {"https://mine.example/"}, "extra-index-url": {"https://extra.example/"}, "no-index": {"true"}}
	own := c.withStep(plan.Step{IndexURL: "https://step.example/"})
	if got := strings.Join(own.public(), " "); strings.Contains(got, "mine") || strings.Contains(got, "extra.example") || strings.Contains(got, "true") || !strings.Contains(got, "step.example") {
		t.Errorf("with an index of its own: %s", got)
	}
	more := c.withStep(plan.Step{ExtraIndexURLs: []string{"https://more.example/"}})
	if got := more["extra-index-url"]; !slices.Equal(got, []string{"https://extra.example/", "https://more.example/"}) {
		t.Errorf("with another index: %v", got)
	}
	if len(c["extra-index-url"]) != 1 {
		t.Error("the step changed the configuration")
	}
}

func TestPipConfigTravels(t *testing.T) {
	links := t.TempDir()
	c := settings{"index-url": {"https://me:secret@index.example/simple"}, "find-links": {"https://x.example/", links, "file://" + links}}
	var into exec.Container
	must(t, c.apply(&into, nil))
	for _, e := range append(into.Env, into.Args...) {
		if strings.Contains(e, "secret") {
			t.Errorf("a secret in %q", e)
		}
	}
	if len(into.Mounts) != 2 || into.Mounts[0].Source != links || into.Mounts[0].Writable {
		t.Errorf("mounts %+v", into.Mounts)
	}
	conf := into.Files[len(into.Files)-1]
	if conf.Mode != 0o600 || !strings.Contains(string(conf.Data), "secret") || !strings.Contains(string(conf.Data), into.Mounts[1].Target) {
		t.Errorf("configuration %o\n%s", conf.Mode, conf.Data)
	}
	if c["find-links"][1] != links {
		t.Error("apply changed the configuration")
	}
}

func TestNetrc(t *testing.T) {
	home := t.TempDir()
	must(t, os.WriteFile(filepath.Join(home, ".netrc"), []byte("machine extra.example\n  login you\n  password \"pw\"\nmachine other.example login x password never\ndefault login d password never\n"), 0o600))
	env := process.Environ{"HOME=" + home}
	got, err := netrc(env, settings{"index-url": {"https://me:p%22w@index.example/simple"}, "extra-index-url": {"https://extra.example/"}, "find-links": {"/dir"}},
		wanted{files: []exec.File{{Data: []byte("x @ https://u:v@direct.example/x.whl ; python_version > '3'\n")}}})
	must(t, err)
	want := "machine direct.example login \"u\" password \"v\"\nmachine extra.example login \"you\" password \"pw\"\nmachine index.example login \"me\" password \"p\\\"w\"\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
