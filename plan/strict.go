package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// DecodeJSON reads one JSON value: nil, bool, string, json.Number, []any or map[string]any. Unlike
// encoding/json it changes nothing silently: it refuses text that isn't UTF-8, a key that an object
// has twice, and half of a surrogate pair. It also refuses what nests deeper than depth.
func DecodeJSON(data []byte, depth int) (any, error) {
	if err := strictText(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeAny(d, depth)
	if err == io.EOF {
		return nil, errors.New("there is no JSON value")
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more text after the JSON value")
	}
	return v, nil
}

func decodeAny(d *json.Decoder, depth int) (any, error) {
	if depth < 0 {
		return nil, errors.New("value nests too deep")
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeAny(d, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		return decodeMembers(d, depth)
	}
	return tok, nil
}

func decodeMembers(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		key := tok.(string) // the decoder allows nothing else here
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("key %.100q is given twice", key)
		}
		if object[key], err = decodeAny(d, depth-1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

// strictText returns an error for JSON that isn't UTF-8, or that escapes half of a surrogate pair,
// which is no character.
func strictText(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("it isn't valid UTF-8")
	}
	for rest := data; ; {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 || i+1 == len(rest) {
			return nil
		}
		first := surrogate(rest[i:])
		switch {
		case first == 0:
			rest = rest[i+2:]
			continue
		case first >= 0xdc00 || surrogate(rest[i+6:]) < 0xdc00:
			return fmt.Errorf("%s is half of a surrogate pair, and no character", rest[i:i+6])
		}
		rest = rest[i+12:]
	}
}

// surrogate returns the half of a surrogate pair whose escape s begins with, or 0.
func surrogate(s []byte) uint64 {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	if err != nil || n < 0xd800 || n > 0xdfff {
		return 0
	}
	return n
}
