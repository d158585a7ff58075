package jsonvalue

import (
	"errors"
	"strings"
	"testing"
)

// A document inside outer containers may nest as deeply as one that stands alone.
func TestScannerAround(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for outer, deepest := range map[int]int{0: MaxDepth, 3: MaxDepth + 3} {
		for depth, good := range map[int]bool{deepest: true, deepest + 1: false} {
			s := NewScannerAround(nested(depth), outer)
			s.AppendValue(nil)
			var bad *SyntaxError
			if err := s.End(); good != (err == nil) || err != nil && !errors.As(err, &bad) {
				t.Errorf("%d inside %d: %v", depth, outer, err)
			}
		}
	}
}
