package jsonvalue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reference prints a document canonically by another way: encoding/json reads
// it, maps order it. It is right for documents that Canonical accepts and
// whose numbers are not very long.
func reference(t testing.TB, src []byte) string {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", src, err)
	}
	var b strings.Builder
	printReference(&b, v)
	return b.String()
}

func printReference(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		printReferenceString(b, v)
	case json.Number:
		b.WriteString(referenceNumber(string(v)))
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			printReference(b, e)
		}
		b.WriteByte(']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			printReferenceString(b, k)
			b.WriteByte(':')
			printReference(b, v[k])
		}
		b.WriteByte('}')
	default:
		panic(fmt.Sprintf("%T", v))
	}
}

func printReferenceString(b *strings.Builder, s string) {
	named := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}
	b.WriteByte('"')
	for _, r := range s {
		if e, ok := named[r]; ok {
			b.WriteString(e)
		} else if r < ' ' {
			fmt.Fprintf(b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func referenceNumber(token string) string {
	if i, ok := new(big.Int).SetString(token, 10); ok && token != "-0" && (i.IsInt64() || i.IsUint64()) {
		return token
	}
	f, err := strconv.ParseFloat(token, 64)
	if err != nil {
		panic(err)
	}
	return referenceFloat(f)
}

// referenceFloat places the point by hand among the digits of the shortest
// form that reads back the same.
func referenceFloat(f float64) string {
	sign := ""
	if math.Signbit(f) {
		sign, f = "-", -f
	}
	if f == 0 {
		return sign + "0.0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	digits := strings.Replace(mantissa, ".", "", 1)
	e, err := strconv.Atoi(exponent)
	if err != nil {
		panic(err)
	}
	switch {
	case e < -5 || e >= 16:
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return fmt.Sprintf("%s%se%+d", sign, digits, e)
	case e < 0:
		return sign + "0." + strings.Repeat("0", -e-1) + digits
	case len(digits) <= e+1:
		return sign + digits + strings.Repeat("0", e+1-len(digits)) + ".0"
	default:
		return sign + digits[:e+1] + "." + digits[e+1:]
	}
}
