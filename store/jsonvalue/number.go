package jsonvalue

import (
	"bytes"
	"math"
	"strconv"
)

// numberToken reads the number that starts at pos. integer is true if it has neither
// fraction nor exponent. The error for a malformed number is at its first byte.
func (s *Scanner) numberToken() (token []byte, integer, ok bool) {
	src, start := s.src, s.pos
	i := start
	if src[i] == '-' {
		i++
	}
	first := i
	if i = s.digits(start, i); i < 0 {
		return nil, false, false
	}
	if src[first] == '0' && i > first+1 {
		return nil, false, s.fail(start, "number has a leading zero")
	}
	integer = true
	if i < len(src) && src[i] == '.' {
		integer = false
		if i = s.digits(start, i+1); i < 0 {
			return nil, false, false
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		integer = false
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if i = s.digits(start, i); i < 0 {
			return nil, false, false
		}
	}
	s.pos = i
	return src[start:i], integer, true
}

// digits returns the end of the digits at i, of which there must be one, or
// -1 after an error. start is where the number starts.
func (s *Scanner) digits(start, i int) int {
	from := i
	for i < len(s.src) && s.src[i]-'0' <= 9 {
		i++
	}
	if i > from {
		return i
	}
	if i == len(s.src) {
		s.failEOF("a digit")
	} else {
		s.fail(start, "malformed number: expected a digit after '%c', found %s", s.src[i-1], describe(s.src[i]))
	}
	return -1
}

// fitsInteger reports whether an integer token stays an integer: it fits
// uint64 or int64. Minus zero is a float.
func fitsInteger(token []byte) bool {
	digits, limit := token, "18446744073709551615"
	if token[0] == '-' {
		digits, limit = token[1:], "9223372036854775808"
		if digits[0] == '0' {
			return false
		}
	}
	return len(digits) < len(limit) || len(digits) == len(limit) && string(digits) <= limit
}

// isCanonicalDecimal recognises the most common floats that are canonical as
// written: at most 15 digits (so no shorter text reads as the same float), a
// point and no exponent, no needless zero at the end, and not so small that the
// canonical form has an exponent.
func isCanonicalDecimal(token []byte) bool {
	digits := bytes.TrimPrefix(token, []byte{'-'})
	point := bytes.IndexByte(digits, '.')
	if point < 0 || len(digits) > 1+15 {
		return false
	}
	fraction := digits[point+1:]
	for _, c := range fraction {
		if c > '9' { // an exponent
			return false
		}
	}
	if len(fraction) == 1 {
		return true
	}
	return fraction[len(fraction)-1] != '0' && (digits[0] != '0' || string(fraction[:min(5, len(fraction))]) != "00000")
}

// parseFloat returns the float64 nearest to a number token, ties to even, and
// false if that is infinite.
func parseFloat(token []byte) (float64, bool) {
	if len(token) > 700 {
		token = shorten(token)
	}
	f, _ := strconv.ParseFloat(string(token), 64)
	return f, !math.IsInf(f, 0)
}

// shorten returns a number token of bounded length that reads as the same float. strconv
// misreads integers of more than 800 digits that an exponent makes small again, and
// exponents of more than five digits.
func shorten(token []byte) []byte {
	// A number halfway between two floats has at most 768 digits. Of the digits after
	// those it only matters whether all are zero.
	const keep = 780
	out := make([]byte, 0, keep+32)
	if token[0] == '-' {
		out, token = append(out, '-'), token[1:]
	}
	var exponent int64
	if i := bytes.IndexAny(token, "eE"); i >= 0 {
		exponent, _ = strconv.ParseInt(string(token[i+1:]), 10, 64) // at its limits if out of range
		exponent = min(max(exponent, -1<<60), 1<<60)
		token = token[:i]
	}
	kept, inFraction, rest := 0, false, false
	for _, c := range token {
		if c == '.' {
			inFraction = true
			continue
		}
		if inFraction {
			exponent--
		}
		switch {
		case kept == keep:
			exponent++
			rest = rest || c != '0'
		case c != '0' || kept > 0:
			out = append(out, c)
			kept++
		}
	}
	if kept == 0 {
		return append(out, '0')
	}
	if rest {
		out = append(out, '1')
		exponent--
	}
	return strconv.AppendInt(append(out, 'e'), exponent, 10)
}

// appendFloat appends a finite float in canonical form.
func appendFloat(dst []byte, f float64) []byte {
	start := len(dst)
	if abs := math.Abs(f); abs == 0 || 1e-5 <= abs && abs < 1e16 {
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		for _, c := range dst[start:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv writes at least two digits of exponent: e-07.
	if n := len(dst); dst[n-2] == '0' && dst[n-3] < '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
