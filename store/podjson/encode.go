package podjson

import (
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Encode returns the canonical metadata.json of m: 2-space indentation, no
// newline at the end, empty fields left out, unknown fields after the known ones
// sorted by bytes. Equal metadata gives equal bytes. It does not change m, which
// need not be in normal form; metadata that breaks a rule of
// [store.Metadata.Normalize] gives an error that matches [store.ErrInvalid] or
// [store.ErrInvalidName].
func Encode(m *store.Metadata) ([]byte, error) {
	c := m.Clone()
	if err := c.Normalize(); err != nil {
		var e *store.Error
		if errors.As(err, &e) && e.Op == "" {
			e.Op = "encode"
		}
		return nil, err
	}
	return Append(nil, c), nil
}

// Append appends what [Encode] returns. m must be in normal form, as everything
// is that a store, [Decode] or [store.Metadata.Normalize] returns; this is not
// checked.
func Append(dst []byte, m *store.Metadata) []byte {
	dst = append(dst, "{\n  \"pod_name\": "...)
	dst = jsonvalue.AppendString(dst, m.PodName)
	if m.Active != nil {
		dst = append(dst, ",\n  \"active\": {\n    \"session_id\": "...)
		dst = appendUUID(dst, m.Active.SessionID)
		if m.Active.SegmentID != nil {
			dst = append(dst, ",\n    \"segment_id\": "...)
			dst = appendUUID(dst, *m.Active.SegmentID)
		}
		dst = append(dst, "\n  }"...)
	}
	dst = appendList(dst, "spawned_children", m.Children, func(dst []byte, c store.SpawnedChild) []byte {
		dst = append(dst, "      \"pod_name\": "...)
		dst = jsonvalue.AppendString(dst, c.PodName)
		dst = append(dst, ",\n      \"socket_path\": "...)
		dst = jsonvalue.AppendString(dst, c.SocketPath)
		dst = append(dst, ",\n      \"scope_delegated\": "...)
		dst = appendRules(dst, c.ScopeDelegated)
		dst = append(dst, ",\n      \"callback_address\": "...)
		return jsonvalue.AppendString(dst, c.CallbackAddress)
	})
	dst = appendList(dst, "reclaimed_children", m.Reclaimed, func(dst []byte, c store.ReclaimedChild) []byte {
		dst = append(dst, "      \"pod_name\": "...)
		dst = jsonvalue.AppendString(dst, c.PodName)
		dst = append(dst, ",\n      \"scope_delegated\": "...)
		return appendRules(dst, c.ScopeDelegated)
	})
	dst = appendList(dst, "peers", m.Peers, func(dst []byte, p store.Peer) []byte {
		dst = append(dst, "      \"pod_name\": "...)
		return jsonvalue.AppendString(dst, p.PodName)
	})
	if m.Manifest != nil {
		dst = append(dst, ",\n  \"resolved_manifest_snapshot\": "...)
		dst = jsonvalue.AppendIndent(dst, m.Manifest, 1)
	}
	if len(m.Extra) > 0 {
		for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
			dst = append(dst, ",\n  "...)
			dst = jsonvalue.AppendString(dst, k)
			dst = append(dst, ": "...)
			dst = jsonvalue.AppendIndent(dst, m.Extra[k], 1)
		}
	}
	return append(dst, "\n}"...)
}

// appendList appends one list of structs, or nothing where it is empty.
func appendList[T any](dst []byte, field string, list []T, fields func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(append(dst, ",\n  \""...), field...), "\": ["...)
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fields(append(dst, "\n    {\n"...), v), "\n    }"...)
	}
	return append(dst, "\n  ]"...)
}

func appendRules(dst []byte, rules []store.ScopeRule) []byte {
	if len(rules) == 0 {
		return append(dst, "[]"...)
	}
	dst = append(dst, '[')
	for i, r := range rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, "\n        {\n          \"target\": "...)
		dst = jsonvalue.AppendString(dst, r.Target)
		dst = append(dst, ",\n          \"permission\": "...)
		dst = jsonvalue.AppendString(dst, r.Permission)
		if r.Recursive {
			dst = append(dst, ",\n          \"recursive\": true\n        }"...)
		} else {
			dst = append(dst, ",\n          \"recursive\": false\n        }"...)
		}
	}
	return append(dst, "\n      ]"...)
}

// appendUUID appends a UUID in lower case with hyphens, quoted.
func appendUUID[ID ~[16]byte](dst []byte, id ID) []byte {
	dst = append(dst, '"')
	from := 0
	for _, to := range [...]int{4, 6, 8, 10, 16} {
		if from > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[from:to])
		from = to
	}
	return append(dst, '"')
}

// AppendMax is [Append] of what takes at most limit bytes. size is what it takes;
// where that is more than limit, nothing is appended, and size may be less than all
// of it. A value of many nested containers grows by two orders of magnitude when it
// is indented, so that is found out before memory is taken for it.
func AppendMax(dst []byte, m *store.Metadata, limit int64) (out []byte, size int64) {
	if size = valuesSize(m, limit); size > limit {
		return dst, size
	}
	start := len(dst)
	out = Append(dst, m)
	if size = int64(len(out) - start); size > limit {
		return out[:start], size
	}
	return out, size
}

// valuesSize is how many bytes the manifest and the unknown fields take when
// indented, or a larger number that is still within the limit.
func valuesSize(m *store.Metadata, limit int64) int64 {
	compact := int64(len(m.Manifest))
	for _, v := range m.Extra {
		compact += int64(len(v))
	}
	// The deepest line starts with a line break and 2 × 127 spaces.
	if most := 256 * compact; most <= limit {
		return most
	}
	size := indentedSize(m.Manifest)
	for _, v := range m.Extra {
		size += indentedSize(v)
	}
	return size
}

// indentedSize is how many bytes jsonvalue.AppendIndent appends at level 1.
func indentedSize(compact []byte) int64 {
	size, level := int64(0), int64(1)
	inString := false
	for i := 0; i < len(compact); i++ {
		size++
		c := compact[i]
		if inString {
			switch c {
			case '\\':
				size++
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case ':':
			size++
		case ',':
			size += 1 + 2*level
		case '{', '[':
			if compact[i+1] == c+2 { // the closing bracket
				size++
				i++
				continue
			}
			level++
			size += 1 + 2*level
		case '}', ']':
			level--
			size += 1 + 2*level
		}
	}
	return size
}
