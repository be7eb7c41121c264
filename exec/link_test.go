package exec_test

import (
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
)

// TestBadLinks: links that stay within a tree are fine, by whatever way. The rest is named, with
// where it leads.
func TestBadLinks(t *testing.T) {
	for links, want := range map[string]string{
		"latest>v1/a":                          "",
		"latest>v1":                            "",
		"latest>./v1//a":                       "",
		"v1/up>..":                             "",
		"v1/up>../v2/b":                        "",
		"x>y y>v1/a":                           "",
		"x>v1 y>x/a":                           "",
		"x>v1/deep/er y>x/../../a":             "",
		"x>v1/deep/er y>x/../../../../etc":     "y: a symbolic link to x/../../../../etc, which leads out of the directory",
		"x>v1/deep/er v2/y>../x/../../../../e": "v2/y: a symbolic link to ../x/../../../../e, which leads out of the directory",
		"x>/etc/passwd":                        "x: a symbolic link to /etc/passwd, which is absolute",
		"x>../y":                               "x: a symbolic link to ../y, which leads out of the directory",
		"v1/x>../../d/v1/a":                    "v1/x: a symbolic link to ../../d/v1/a, which leads out of the directory",
		"x>nothing":                            "x: a symbolic link to nothing, which isn't there",
		"x>v1/a/b":                             "x: a symbolic link to v1/a/b, which isn't there",
		"x>v1/a/..":                            "x: a symbolic link to v1/a/.., which isn't there",
		"x>x":                                  "x: a symbolic link to x, which leads to itself",
		"x>y y>x":                              "x: a symbolic link to y, which leads to itself|y: a symbolic link to x, which leads to itself",
		"x>x/x":                                "x: a symbolic link to x/x, which leads to itself",
		"x>y y>/etc":                           "x: a symbolic link to y, which leads out of the directory|y: a symbolic link to /etc, which is absolute",
		"x>\xff":                               `x: a symbolic link to "\xff", which can't be kept`,
		"x>" + strings.Repeat("v1/../", 1000):  "x: a symbolic link to " + strings.Repeat("v1/../", 43)[:256] + "…, which can't be kept",
		"x>" + strings.Repeat("v1/../", 100) + "v2": "",
	} {
		tree := []exec.Entry{{Path: "v1", Dir: true}, {Path: "v1/a"}, {Path: "v2/b"}, {Path: "v1/deep/er/c"}}
		for _, l := range strings.Fields(links) {
			path, target, _ := strings.Cut(l, ">")
			tree = append(tree, exec.Entry{Path: path, Link: target})
		}
		if got := strings.Join(exec.BadLinks(tree), "|"); got != want {
			t.Errorf("%.60s: got %s, want %s", links, got, want)
		}
		if _, err := exec.Arrange(tree); (err == nil) != (want == "") {
			t.Errorf("%.60s is arranged: %v", links, err)
		}
	}
}
