package api

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// examplesJSON has an exchange for each operation, by id. A test makes them by
// asking a server, and compares.
//
//go:embed examples.json
var examplesJSON []byte

// example is a request and its answer.
type example struct {
	Request  json.RawMessage `json:"request,omitempty"`
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}

func documentedExamples() (map[string]example, error) {
	examples := make(map[string]example)
	if err := json.Unmarshal(examplesJSON, &examples); err != nil {
		return nil, fmt.Errorf("examples of the document: %w", err)
	}
	return examples, nil
}

// attach puts an example into the document's part of its operation; none leaves
// it alone.
func (e example) attach(op *huma.Operation) {
	if op.RequestBody != nil && e.Request != nil {
		op.RequestBody.Content[jsonType[0]].Example = e.Request
	}
	if r := op.Responses[e.Status]; r != nil {
		r.Content[jsonType[0]].Example = e.Response
	}
}
