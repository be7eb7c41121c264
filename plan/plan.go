package plan

// Plan is what running one task would build and pull. resolve makes it; making
// it has no side effects.
type Plan struct {
	Task         string       `json:"task"`         // full name
	Environments []string     `json:"environments"` // the closure of the task's environment, dependencies first
	Images       []BuildImage `json:"images"`       // of those environments, each once
}

// BuildImage is an image that the builder may be asked for.
type BuildImage struct {
	Image        Image      `json:"image"`
	Environments []string   `json:"environments"` // which of the plan's environments use it
	Declared     string     `json:"declared"`     // "sha256:…", the declared digest: what the source says, with the content of the files it names
	Platform     string     `json:"platform"`     // "linux/amd64"
	State        ImageState `json:"state"`
	Digest       string     `json:"digest,omitempty"` // of the OCI manifest, once it is known
	Why          string     `json:"why,omitempty"`    // one line: why it is in this state
}

// ImageState says what the builder would do for an image.
type ImageState string

// The states of an image.
const (
	ImageHit        ImageState = "hit"        // it is in the store
	ImageBuild      ImageState = "build"      // it would be built from a known resolution
	ImageUnresolved ImageState = "unresolved" // base and packages would be resolved first, then it would be built
	ImagePull       ImageState = "pull"       // it would be pulled and used as it is
)
