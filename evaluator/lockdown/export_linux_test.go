package lockdown

import "fmt"

// What the tests apply layer by layer.
var (
	DenyFiles   = denyFiles
	FilterCalls = filterCalls
	Names       = layerNames
)

// Layers apply the layers of a full lockdown, one each.
func Layers(memory int64) []func() Layer {
	return []func() Layer{
		func() Layer { return layer("limits", fmt.Sprint(memory), limitResources(memory)) },
		dropPrivileges,
		denyFiles,
		filterCalls,
	}
}
