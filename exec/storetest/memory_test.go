package storetest_test

import (
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) exec.Store { return new(storetest.Memory) })
}
