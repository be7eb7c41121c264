package home

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// NewRun makes the directory of a new run. It returns the run's id, such as 20261123-101502-7f3a2c,
// and the run's empty directory for logs. Ids sort by time, in UTC.
func (d Dir) NewRun() (id, logs string, err error) {
	if err := os.MkdirAll(d.Runs(), 0o755); err != nil {
		return "", "", err
	}
	for range 10 {
		id := newID(time.Now())
		dir := filepath.Join(d.Runs(), id)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		logs := filepath.Join(dir, "logs")
		if err == nil {
			err = os.Mkdir(logs, 0o755)
		}
		return id, logs, err
	}
	return "", "", fmt.Errorf("%s has no free run id", d.Runs())
}

func newID(now time.Time) string {
	var b [3]byte
	rand.Read(b[:]) // never fails
	return now.UTC().Format("20060102-150405-") + hex.EncodeToString(b[:])
}
