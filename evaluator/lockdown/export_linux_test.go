package lockdown

import "fmt"

// Layers that tests apply one by one.
var (
	DenyFiles   = denyFiles
	FilterCalls = filterCalls
	Names       = layerNames
)

// Layers returns functions that each apply one layer of a full lockdown, in order.
func Layers(memory int64) []func() Layer {
	return []func() Layer{
		func() Layer { return layer("limits", fmt.Sprint(memory), limitResources(memory)) },
		dropPrivileges,
		denyFiles,
		filterCalls,
	}
}
