package python_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/internal/python"
)

func TestParseRequirement(t *testing.T) {
	tests := map[string]string{ // the text to name[extras] bare | marker | URL, or what the error has
		"pytest":                  "pytest[] pytest||",
		" Foo_.-Bar >= 1, <2 ; x": "foo-bar[] Foo_.-Bar >= 1, <2|x|",
		"a[b]":                    "a[b] a[b]||",
		"a [ B_x , c ] ~= 1":      "a[b-x c] a [ B_x , c ] ~= 1||",
		"a@ file:///x":            "a[] a@ file:///x||file:///x",
		"a @ https://example.org/x;y ; os_name == 'posix'": "a[] a @ https://example.org/x;y|os_name == 'posix'|https://example.org/x;y",
		"a(>=1)":                       "a[] a(>=1)||",
		"a;python_version<'3'":         "a[] a|python_version<'3'|",
		"a ;":                          "a[] a ;||",
		"":                             "no requirement by name",
		"./a":                          "no requirement by name",
		"dir/a":                        "no requirement by name",
		"https://example.org/a.whl":    "no requirement by name",
		"git+https://example.org/a":    "no requirement by name",
		"a-1-py3-none-any.whl":         "no requirement by name",
		"a-1.tar.gz":                   "no requirement by name",
		"a b":                          "no requirement by name",
		"-a":                           "no requirement by name",
		"a[b":                          "no requirement by name",
		"a\nb":                         "no requirement by name",
		"$(touch x)":                   "no requirement by name",
		"a=1.2":                        "pinned with ==",
		"a = 1.2 ; os_name == 'posix'": "pinned with ==",
	}
	for text, want := range tests {
		r, err := python.ParseRequirement(text)
		got := r.Name + "[" + strings.Join(r.Extras, " ") + "] " + r.Bare + "|" + r.Marker().Text + "|" + r.URL
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("ParseRequirement(%q) = %q; want %q", text, got, want)
		}
	}
}

func TestRequirementVersions(t *testing.T) {
	for text, want := range map[string]bool{ // whether 1.5 is admitted
		"a": true, "a>1": true, "a (>1, <1.5)": false, "a==1.*": true, "a[x]!=1.5.0;os_name=='posix'": false, "a===1.5": true,
	} {
		r, err := python.ParseRequirement(text)
		if err != nil || r.Specifiers().Unknown || r.Specifiers().Contains("1.5") != want {
			t.Errorf("%q admits 1.5: want %v (%v)", text, want, err)
		}
	}
	for text, want := range map[string]bool{"a": false, "a>=1": false, "a==1.*": false, "a==1": true, "a===1": true, "a>=1,==1.2": true} {
		if r, err := python.ParseRequirement(text); err != nil || r.Specifiers().Pinned() != want {
			t.Errorf("%q is pinned: want %v (%v)", text, want, err)
		}
	}
}

func TestMarkers(t *testing.T) {
	known := python.Target{Python: "3.11", Machine: "x86_64", Implementation: "cpython"}
	tests := []struct {
		marker         string
		known, unknown python.Truth
	}{
		{"", python.Yes, python.Yes},
		{"python_version < '3.12'", python.Yes, python.Maybe},
		{"python_version<'3.9'", python.No, python.Maybe},
		{"python_version < '3'", python.No, python.No},
		{"python_version >= '2.7'", python.Yes, python.Yes},
		{"'3.9' <= python_version", python.Yes, python.Maybe},
		{"python_version < '3.9' or python_version >= '3.9'", python.Yes, python.Yes},
		{"python_full_version < '3.11.4'", python.Maybe, python.Maybe},
		{"python_full_version < '3.12.0rc1'", python.Yes, python.Maybe},
		{"python_version == '3.*'", python.Yes, python.Yes},
		{"python_version ~= '3.7'", python.Yes, python.Maybe},
		{"python_version in '2.7 3.11'", python.Yes, python.Maybe},
		{"python_version not in '2.7, 3.11'", python.No, python.Maybe},
		{"sys_platform == 'win32'", python.No, python.No},
		{"sys.platform != 'win32'", python.Yes, python.Yes},
		{"os_name == 'posix' and platform_system == 'Linux'", python.Yes, python.Yes},
		{"platform_machine == 'x86_64'", python.Yes, python.Maybe},
		{"platform_machine == 'arm64' and sys_platform == 'darwin'", python.No, python.No},
		{"platform_python_implementation == 'CPython'", python.Yes, python.Maybe},
		{"implementation_name == 'pypy'", python.No, python.Maybe},
		{"platform_release >= '5'", python.Maybe, python.Maybe},
		{"platform_release >= '5' and os_name == 'nt'", python.No, python.No},
		{"platform_release >= '5' or os_name == 'posix'", python.Yes, python.Yes},
		{"extra == 'test'", python.No, python.No},
		{"(os_name == 'nt' or os_name == 'posix') and (python_version > \"3.3\")", python.Yes, python.Yes},
		{"os_name == 'nt' or os_name == 'posix' and sys_platform == 'win32'", python.No, python.No}, // and binds more tightly
		{"os_name == 'nt' and", python.Maybe, python.Maybe},                                         // not of PEP 508, from here on
		{"python_version", python.Maybe, python.Maybe},
		{"colour == 'red'", python.Maybe, python.Maybe},
		{"os_name = 'posix'", python.Maybe, python.Maybe},
		{"os_name == 'posix' 'x'", python.Maybe, python.Maybe},
		{"os_name not 'posix'", python.Maybe, python.Maybe},
		{"(os_name == 'posix'", python.Maybe, python.Maybe},
		{strings.Repeat("(", 40) + "os_name == 'posix'" + strings.Repeat(")", 40), python.Yes, python.Yes},
		{strings.Repeat("(", 2000) + "os_name == 'posix'" + strings.Repeat(")", 2000), python.Maybe, python.Maybe},
		{strings.Repeat("(", 10_000_000), python.Maybe, python.Maybe},
	}
	for _, tt := range tests {
		var m python.Marker
		if tt.marker != "" {
			m = python.ParseMarker(tt.marker)
		}
		if got := m.Eval(known); got != tt.known {
			t.Errorf("%.80q: %v where all is known", tt.marker, got)
		}
		if got := m.Eval(python.Target{}); got != tt.unknown {
			t.Errorf("%.80q: %v where nothing is known", tt.marker, got)
		}
	}
}

// FuzzParseRequirement: nothing makes it panic, and what it reads has a normalised name and a bare
// form without a marker.
func FuzzParseRequirement(f *testing.F) {
	for _, s := range []string{"a[b]>=1 ; python_version < '3' and (extra == 'x')", "a @ https://example.org/#egg ; x", "a===x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := python.ParseRequirement(text)
		if err != nil {
			if r.Name != "" || !errors.Is(err, python.ErrNameless) && !strings.Contains(err.Error(), "==") {
				t.Errorf("%q: %+v, %v", text, r, err)
			}
			return
		}
		if r.Name == "" || python.Normalise(r.Name) != r.Name {
			t.Errorf("name %q of %q", r.Name, text)
		}
		r.Specifiers()
		m := r.Marker()
		m.Eval(python.Target{})
		m.Eval(python.Target{Python: "3.11"})
		bare, err := python.ParseRequirement(r.Bare)
		if err != nil || bare.Name != r.Name || bare.Marker().Text != "" {
			t.Errorf("%q without marker is %q: %+v, %v", text, r.Bare, bare, err)
		}
	})
}
