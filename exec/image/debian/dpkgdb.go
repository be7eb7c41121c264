package debian

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// database is dpkg's database of packages that are unpacked but not yet configured. It is as dpkg
// would have left it (dpkg's doc/spec, deb-triggers(5)).
type database struct {
	status   bytes.Buffer
	info     []controlFile // below var/lib/dpkg/info
	triggers map[string][]string
}

const dpkgDir = "var/lib/dpkg/"

// record is what the database needs to know of one package while it is unpacked.
type record struct {
	paragraph control.Paragraph
	files     []controlFile
	list      bytes.Buffer      // lines of info/NAME.list
	conffiles map[string]string // path to MD5, hex
}

// newRecord reads a package's control archive.
func newRecord(deb string, want archive.Package) (*record, error) {
	p, files, err := readControl(deb)
	if err != nil {
		return nil, err
	}
	if p.Get("Package") != want.Name || p.Get("Version") != want.Version || p.Get("Architecture") != want.Arch {
		return nil, fmt.Errorf("the file is %s %s for %s, not %s %s for %s", p.Get("Package"), p.Get("Version"), p.Get("Architecture"),
			want.Name, want.Version, want.Arch)
	}
	r := &record{paragraph: p, files: files, conffiles: map[string]string{}}
	for _, f := range files {
		if f.name == "conffiles" {
			for _, line := range strings.Fields(string(f.data)) {
				if strings.HasPrefix(line, "/") { // else a flag, such as remove-on-upgrade
					r.conffiles[line] = ""
				}
			}
		}
	}
	return r, nil
}

// note records an entry of the data archive. It returns a reader of the entry's content, which
// hashes a configuration file while it is read, and a function to call at the end.
func (r *record) note(hdr *tar.Header, content io.Reader) (io.Reader, func()) {
	name := path.Clean("/" + hdr.Name)
	if name == "/" {
		r.list.WriteString("/.\n")
	} else {
		r.list.WriteString(name + "\n")
	}
	if _, ok := r.conffiles[name]; !ok {
		return content, func() {}
	}
	hash := md5.New() //nolint:gosec // dpkg's format
	return io.TeeReader(content, hash), func() { r.conffiles[name] = hex.EncodeToString(hash.Sum(nil)) }
}

// add adds a package whose data archive has been noted whole.
func (db *database) add(r *record) error {
	p := r.paragraph
	var status control.Paragraph
	status.Add("Package", p.Get("Package"))
	status.Add("Status", "install ok unpacked")
	for _, f := range p {
		if f.Name != "Package" && f.Name != "Status" && f.Name != "Conffiles" {
			status = append(status, f)
		}
	}
	if value := r.conffileField(); value != "" {
		status.Add("Conffiles", value)
	}
	status.Write(&db.status)
	db.status.WriteByte('\n')

	base := p.Get("Package")
	if p.Get("Multi-Arch") == "same" {
		base += ":" + p.Get("Architecture")
	}
	db.info = append(db.info, controlFile{base + ".list", 0o644, r.list.Bytes()})
	for _, f := range r.files {
		db.info = append(db.info, controlFile{base + "." + f.name, f.mode, f.data})
		if f.name == "triggers" {
			if err := db.interests(base, string(f.data)); err != nil {
				return fmt.Errorf("%s: triggers: %w", base, err)
			}
		}
	}
	return nil
}

// conffileField returns the value of the status field Conffiles. It has the hashes of the files as
// they are, so that dpkg takes them for unmodified at the next upgrade.
func (r *record) conffileField() string {
	var names []string
	for name, sum := range r.conffiles {
		if sum != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString("\n " + name + " " + r.conffiles[name])
	}
	return b.String()
}

// interests notes the triggers that a package waits for.
func (db *database) interests(pkg, text string) error {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasPrefix(words[0], "interest") {
			continue
		}
		trigger, option := words[1], ""
		if words[0] == "interest-noawait" {
			option = "/noawait"
		}
		if strings.HasPrefix(trigger, "/") {
			db.triggers["File"] = append(db.triggers["File"], trigger+" "+pkg+option)
			continue
		}
		if strings.ContainsAny(trigger, "/\x00") || trigger == "File" || trigger == "Unincorp" || trigger == "Lock" || trigger[0] == '.' {
			return fmt.Errorf("%.60q isn't a trigger", trigger)
		}
		db.triggers[trigger] = append(db.triggers[trigger], pkg+option)
	}
	return nil
}

// write adds the database to the tree.
func (db *database) write(t *tree, arch string) error {
	files := []controlFile{
		{dpkgDir + "arch", 0o644, []byte(arch + "\n")},
		{dpkgDir + "status", 0o644, db.status.Bytes()},
		{dpkgDir + "info/format", 0o644, []byte("1\n")},
	}
	for _, f := range db.info {
		files = append(files, controlFile{dpkgDir + "info/" + f.name, f.mode, f.data})
	}
	for name, lines := range db.triggers {
		files = append(files, controlFile{dpkgDir + "triggers/" + name, 0o644, []byte(strings.Join(lines, "\n") + "\n")})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })
	for _, dir := range []string{"parts", "updates", "alternatives"} {
		if _, err := t.place("the base", dpkgDir+dir+"/x"); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := t.file(f.name, f.mode, f.data); err != nil {
			return err
		}
	}
	return nil
}
