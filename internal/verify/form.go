package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"

	"convoy"
)

// maxFields bounds the parts of a form.
const maxFields = 1000

var errForm = convoy.E(convoy.Invalid, "Invalid request format")

// Form returns the fields of a form as a JSON object: the first value of each
// as a text, query parameters among them unless the form has the name too.
// Files are left out. A body that is no form gives nil.
func Form(contentType string, body []byte, query url.Values) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, nil
	}
	var fields map[string]string
	switch kind {
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errForm
		}
		fields = make(map[string]string, len(values)+len(query))
		addFirst(fields, values)
	case "multipart/form-data":
		if fields, err = multipartFields(body, params["boundary"]); err != nil {
			return nil, errForm
		}
	default:
		return nil, nil
	}
	if len(fields) > maxFields {
		return nil, errForm
	}
	addFirst(fields, query)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil { // bytes that are not UTF-8 become U+FFFD
		return nil, errForm
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func addFirst(fields map[string]string, values url.Values) {
	for name, vs := range values {
		if _, ok := fields[name]; !ok && len(vs) > 0 {
			fields[name] = vs[0]
		}
	}
}

var errFields = errors.New("too many fields")

// multipartFields reads a form of RFC 7578 that is in memory.
func multipartFields(body []byte, boundary string) (map[string]string, error) {
	fields := make(map[string]string)
	if boundary == "" {
		return nil, errForm
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := r.NextPart()
		if err == io.EOF { //nolint:errorlint // wrapped, it is an end before the last boundary
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		if n >= maxFields {
			return nil, errFields
		}
		name := part.FormName()
		if _, ok := fields[name]; ok || name == "" || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part) // no more than the body has
		if err != nil {
			return nil, err
		}
		fields[name] = string(value)
	}
}
