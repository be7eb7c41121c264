package image

// What the tests of package image_test, which has TestMain, need of this one's.
var (
	BuildForever = buildForever
	Validated    = open
	Listing      = listing
	Declare      = declare
)
