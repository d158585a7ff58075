package podjson

import (
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Encode returns the canonical metadata.json of m in the naming [Pods]: 2-space
// indentation, no newline at the end, empty fields left out, unknown fields after the
// known ones sorted by bytes. Equal metadata has equal bytes. It does not change m,
// which need not be in normal form. If m breaks a rule of [store.Metadata.Normalize],
// the error matches [store.ErrInvalid] or [store.ErrInvalidName].
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

// Append appends what [Encode] returns. m must be in normal form, as what a store,
// [Decode] or [store.Metadata.Normalize] returns is; this is not checked.
func Append(dst []byte, m *store.Metadata) []byte { return Pods.Append(dst, m) }

// Append is [Append] in this naming.
func (n Naming) Append(dst []byte, m *store.Metadata) []byte {
	dst = append(dst, '{')
	for f, key := range documentFields.keys[n] {
		switch f {
		case fieldName:
			dst = jsonvalue.AppendString(append(dst, key...), m.PodName)
		case fieldActive:
			if m.Active != nil {
				dst = n.appendActive(append(dst, key...), m.Active)
			}
		case fieldChildren:
			dst = appendList(dst, key, m.Children, n.appendChild)
		case fieldReclaimed:
			dst = appendList(dst, key, m.Reclaimed, n.appendReclaimed)
		case fieldPeers:
			dst = appendList(dst, key, m.Peers, func(dst []byte, p store.Peer) []byte {
				return jsonvalue.AppendString(append(dst, peerFields.keys[n][0]...), p.PodName)
			})
		case fieldManifest:
			if m.Manifest != nil {
				dst = jsonvalue.AppendIndent(append(dst, key...), m.Manifest, 1)
			}
		default: // kept in Extra
			if v, ok := m.Extra[documentFields.fields[n][f]]; ok {
				dst = jsonvalue.AppendIndent(append(dst, key...), v, 1)
			}
		}
	}
	if len(m.Extra) > 0 {
		for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
			if hasPlace(k) {
				continue
			}
			dst = append(dst, ",\n  "...)
			dst = jsonvalue.AppendString(dst, k)
			dst = append(dst, ": "...)
			dst = jsonvalue.AppendIndent(dst, m.Extra[k], 1)
		}
	}
	return append(dst, "\n}"...)
}

func (n Naming) appendActive(dst []byte, a *store.ActiveSegment) []byte {
	keys := activeFields.keys[n]
	dst = append(append(dst, '{'), keys[0]...)
	dst = appendUUID(dst, a.SessionID)
	if a.SegmentID != nil {
		dst = appendUUID(append(dst, keys[1]...), *a.SegmentID)
	}
	return append(dst, "\n  }"...)
}

func (n Naming) appendChild(dst []byte, c store.SpawnedChild) []byte {
	keys := childFields.keys[n]
	dst = jsonvalue.AppendString(append(dst, keys[0]...), c.PodName)
	dst = jsonvalue.AppendString(append(dst, keys[1]...), c.SocketPath)
	dst = n.appendRules(append(dst, keys[2]...), c.ScopeDelegated)
	return jsonvalue.AppendString(append(dst, keys[3]...), c.CallbackAddress)
}

func (n Naming) appendReclaimed(dst []byte, c store.ReclaimedChild) []byte {
	keys := reclaimedFields.keys[n]
	dst = jsonvalue.AppendString(append(dst, keys[0]...), c.PodName)
	return n.appendRules(append(dst, keys[1]...), c.ScopeDelegated)
}

func (n Naming) appendRules(dst []byte, rules []store.ScopeRule) []byte {
	if len(rules) == 0 {
		return append(dst, "[]"...)
	}
	keys := ruleFields.keys[n]
	dst = append(dst, '[')
	for i, r := range rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, "\n        {"...)
		dst = jsonvalue.AppendString(append(dst, keys[0]...), r.Target)
		dst = jsonvalue.AppendString(append(dst, keys[1]...), r.Permission)
		dst = strconv.AppendBool(append(dst, keys[2]...), r.Recursive)
		dst = append(dst, "\n        }"...)
	}
	return append(dst, "\n      ]"...)
}

// appendList appends one list of structs behind its key, or nothing where it is empty.
func appendList[T any](dst []byte, key string, list []T, fields func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(fields(append(dst, "\n    {"...), v), "\n    }"...)
	}
	return append(dst, "\n  ]"...)
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

// AppendMax is [Naming.Append] for at most limit bytes. size is the number of bytes
// appended. If the document has more than limit, nothing is appended, and size is some
// number above limit. A value of many nested containers grows by two orders of magnitude
// when it is indented, so the size is computed before memory is taken for it.
func (n Naming) AppendMax(dst []byte, m *store.Metadata, limit int64) (out []byte, size int64) {
	if size = valuesSize(m, limit); size > limit {
		return dst, size
	}
	start := len(dst)
	out = n.Append(dst, m)
	if size = int64(len(out) - start); size > limit {
		return out[:start], size
	}
	return out, size
}

// valuesSize returns the number of bytes of the manifest and the unknown fields when
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

// indentedSize returns the number of bytes that jsonvalue.AppendIndent appends at level 1.
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
