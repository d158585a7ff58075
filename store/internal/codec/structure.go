package codec

import (
	"encoding/binary"
	"errors"
)

// maxStructureDepth bounds nested containers in a value; the deepest shape has
// four.
const maxStructureDepth = 8

var errStructure = errors.New("value is not well-formed msgpack")

const codeNil = 0xc0

func isString(code byte) bool { return code&0xe0 == 0xa0 || code >= 0xd9 && code <= 0xdb }
func isBinary(code byte) bool { return code >= 0xc4 && code <= 0xc6 }

// checkStructure walks msgpack without decoding it: one value that ends exactly
// at the end of b, every length within the bytes that are left, depth bounded,
// and none of the types that no shape has (maps, floats, extensions). The
// msgpack library allocates what a length claims and recurses as deep as the
// input says, so nothing reaches it before this.
func checkStructure(b []byte) error {
	var left [maxStructureDepth]uint32 // elements still to come, by depth
	depth := 0
	for {
		if len(b) == 0 {
			return errStructure
		}
		code := b[0]
		b = b[1:]
		head, body, elements := shapeOf(code)
		if len(b) < head {
			return errStructure
		}
		n := uint32(body)
		switch head {
		case 1:
			n = uint32(b[0])
		case 2:
			n = uint32(binary.BigEndian.Uint16(b))
		case 4:
			n = binary.BigEndian.Uint32(b)
		}
		b = b[head:]
		switch {
		case body < 0:
			return errStructure
		case elements:
			// Each element takes at least one byte.
			if uint64(n) > uint64(len(b)) || depth == maxStructureDepth {
				return errStructure
			}
			left[depth] = n
			depth++
		default:
			if uint64(n) > uint64(len(b)) {
				return errStructure
			}
			b = b[n:]
		}
		for depth > 0 && left[depth-1] == 0 {
			depth--
		}
		if depth == 0 {
			if len(b) > 0 {
				return errStructure
			}
			return nil
		}
		left[depth-1]--
	}
}

// shapeOf says how many bytes of length follow a code, how many bytes or elements
// it has when there is no length, and whether those are elements. A negative
// body means a code that no value has.
func shapeOf(code byte) (head, body int, elements bool) {
	switch {
	case code <= 0x7f: // small integer
		return 0, 0, false
	case code&0xf0 == 0x90: // short array
		return 0, int(code & 0x0f), true
	case code&0xe0 == 0xa0: // short string
		return 0, int(code & 0x1f), false
	}
	switch code {
	case codeNil, 0xc2, 0xc3: // nil, false, true
		return 0, 0, false
	case 0xc4, 0xd9: // bin8, str8
		return 1, 0, false
	case 0xc5, 0xda: // bin16, str16
		return 2, 0, false
	case 0xc6, 0xdb: // bin32, str32
		return 4, 0, false
	case 0xcc: // uint8
		return 0, 1, false
	case 0xcd: // uint16
		return 0, 2, false
	case 0xce: // uint32
		return 0, 4, false
	case 0xcf: // uint64
		return 0, 8, false
	case 0xdc: // array16
		return 2, 0, true
	case 0xdd: // array32
		return 4, 0, true
	}
	return 0, -1, false
}
