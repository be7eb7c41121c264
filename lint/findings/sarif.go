// Package findings writes findings for other programs: [WriteSARIF] for what reads SARIF, and
// [WriteGitHub] for GitHub's annotations.
package findings

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"

	"github.com/flytestar/flytestar/diag"
)

// Finding is a finding in a form for other programs.
type Finding struct {
	*diag.Error
	// File is the path by which others know the finding's file, with slashes: relative to the root
	// of a repository, say. Files are those of its notes. It is empty if there is no file.
	File  string
	Files []string
	// Fix is the edit that mends the finding. Its positions have paths as others know them.
	Fix []Replacement
}

// Replacement is a text for the part of a file from Start up to End.
type Replacement struct {
	Start, End diag.Position
	Text       string
}

// sarifLog is a log in the Static Analysis Results Interchange Format, version 2.1.0. It has the
// fields that we fill in.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string       `json:"id"`
	Name             string       `json:"name"`
	ShortDescription sarifMessage `json:"shortDescription"`
	Help             sarifMessage `json:"help"`
	Default          struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId,omitempty"`
	RuleIndex *int            `json:"ruleIndex,omitempty"`
	Level     string          `json:"level"`
	Message   sarifMessage    `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
	Related   []sarifLocation `json:"relatedLocations,omitempty"`
	Fixes     []sarifFix      `json:"fixes,omitempty"`
}

type sarifFix struct {
	Description sarifMessage  `json:"description"`
	Changes     []sarifChange `json:"artifactChanges"`
}

type sarifChange struct {
	Artifact     sarifArtifact      `json:"artifactLocation"`
	Replacements []sarifReplacement `json:"replacements"`
}

type sarifReplacement struct {
	Deleted  sarifRegion  `json:"deletedRegion"`
	Inserted sarifMessage `json:"insertedContent"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifLocation struct {
	Message  *sarifMessage `json:"message,omitempty"`
	Physical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
	EndLine     int `json:"endLine,omitempty"`
	EndColumn   int `json:"endColumn,omitempty"` // the one after the last
}

// WriteSARIF writes findings as a SARIF 2.1.0 log. Its only run is of flytestar in that version.
func WriteSARIF(w io.Writer, findings []Finding, rules []diag.Rule, version string) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "flytestar", Version: version}
	for _, r := range rules {
		rule := sarifRule{ID: r.Code, Name: r.Name, ShortDescription: sarifMessage{r.Summary}, Help: sarifMessage{"flytestar explain " + r.Code}}
		rule.Default.Level = sarifLevel(r.Severity)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
	}
	for _, f := range findings {
		run.Results = append(run.Results, sarifResultOf(f, rules))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifResultOf(f Finding, rules []diag.Rule) sarifResult {
	r := sarifResult{RuleID: f.Code, Level: sarifLevel(f.Severity), Message: sarifMessage{f.Msg}}
	if f.Hint != "" {
		r.Message.Text += "\nhint: " + f.Hint
	}
	if i := slices.IndexFunc(rules, func(r diag.Rule) bool { return r.Code == f.Code }); i >= 0 {
		r.RuleIndex = &i
	}
	if f.File != "" {
		r.Locations = []sarifLocation{sarifAt(f.File, f.Pos)}
	}
	for i, n := range f.Notes {
		if f.Files[i] != "" {
			at := sarifAt(f.Files[i], n.Pos)
			at.Message = &sarifMessage{n.Msg}
			r.Related = append(r.Related, at)
		}
	}
	if len(f.Fix) > 0 {
		r.Fixes = []sarifFix{sarifFixOf(f.Fix)}
	}
	return r
}

func sarifFixOf(edits []Replacement) sarifFix {
	change := sarifChange{Artifact: sarifURI(edits[0].Start.File)}
	for _, e := range edits {
		change.Replacements = append(change.Replacements, sarifReplacement{
			Deleted:  sarifRegion{e.Start.Line, e.Start.Col, e.End.Line, e.End.Col},
			Inserted: sarifMessage{e.Text},
		})
	}
	return sarifFix{Description: sarifMessage{"what flytestar lint --fix does"}, Changes: []sarifChange{change}}
}

func sarifURI(file string) sarifArtifact { return sarifArtifact{(&url.URL{Path: file}).String()} }

// sarifAt returns a place. A region's columns count Unicode characters, as ours do.
func sarifAt(file string, pos diag.Position) sarifLocation {
	var l sarifLocation
	l.Physical.Artifact = sarifURI(file)
	if pos.Line > 0 {
		l.Physical.Region = &sarifRegion{StartLine: pos.Line, StartColumn: pos.Col}
	}
	return l
}

func sarifLevel(s diag.Severity) string {
	switch s {
	case diag.SeverityWarning:
		return "warning"
	case diag.SeverityInfo:
		return "note"
	}
	return "error"
}
