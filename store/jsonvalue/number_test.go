package jsonvalue

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"},
		{"-0", "-0.0"},
		{"-1", "-1"},
		{"10", "10"},
		// Integers stay integers while uint64 or int64 holds them.
		{"9223372036854775807", "9223372036854775807"},
		{"9223372036854775808", "9223372036854775808"},
		{"18446744073709551615", "18446744073709551615"},
		{"18446744073709551616", "1.8446744073709552e+19"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"-9223372036854775809", "-9.223372036854776e+18"},
		{"99999999999999999999", "1e+20"},
		{"123456789012345678901234", "1.2345678901234569e+23"},
		{"1" + strings.Repeat("0", 308), "1e+308"},
		// The two ends of the plain form.
		{"1e15", "1000000000000000.0"},
		{"9999999999999998.0", "9999999999999998.0"},
		{"9999999999999999.9", "1e+16"},
		{"1e16", "1e+16"},
		{"1e17", "1e+17"},
		{"0.00001", "0.00001"},
		{"1e-5", "0.00001"},
		{"9.99e-6", "9.99e-6"},
		{"0.000001", "1e-6"},
		{"0.0000012", "1.2e-6"},
		{"0.0001", "0.0001"},
		{"-0.00001", "-0.00001"},
		// Other spellings.
		{"1.0", "1.0"},
		{"1.00", "1.0"},
		{"1.50", "1.5"},
		{"0.10", "0.1"},
		{"0.00", "0.0"},
		{"0.000000", "0.0"},
		{"0.0", "0.0"},
		{"-0.0", "-0.0"},
		{"-0e5", "-0.0"},
		{"0e99999999999999999999", "0.0"},
		{"1E2", "100.0"},
		{"1e+2", "100.0"},
		{"1.5E-007", "1.5e-7"},
		{"1.0e5", "100000.0"},
		{"1.5e1", "15.0"},
		{"12e-1", "1.2"},
		{"1e0000000000000000000005", "100000.0"},
		{"123456789.123456", "123456789.123456"},
		{"0.12345678901234", "0.12345678901234"},
		{"0.1234567890123456789", "0.12345678901234568"},
		{"100000000000000.0", "100000000000000.0"},
		{"9.00000000000001", "9.00000000000001"},
		{"9.000000000000001", "9.000000000000002"}, // sixteen digits are too many for the shortcut
		// The ends of the range.
		{"5e-324", "5e-324"},
		{"2.2250738585072014e-308", "2.2250738585072014e-308"},
		{"1.7976931348623157e308", "1.7976931348623157e+308"},
		{"1e-400", "0.0"},
		{"-1e-400", "-0.0"},
		{"2.4703282292062327e-324", "0.0"},
		{"2.4703282292062328e-324", "5e-324"},
		// Halfway cases round to even; serde_json itself prints ...994.0 for
		// the second.
		{"9007199254740992.0", "9007199254740992.0"},
		{"9007199254740993.0", "9007199254740992.0"},
		{"9007199254740995.0", "9007199254740996.0"},
		{"9007199254740993.00000000000000000000000001", "9007199254740994.0"},
		// As many zeros as the exponent makes up for.
		{"0." + strings.Repeat("0", 20000) + "1e20001", "1.0"},
		{"-0." + strings.Repeat("0", 123456) + "25e123457", "-2.5"},
		{"1" + strings.Repeat("0", 123456) + "e-123456", "1.0"},
		{"1" + strings.Repeat("0", 2000) + "E-2001", "0.1"},
		{"1" + strings.Repeat("0", 900) + "e-900", "1.0"},
		{"1" + strings.Repeat("0", 810) + "e-810", "1.0"},
		{"0." + strings.Repeat("0", 2000) + "e99999999999999999999", "0.0"},
		{"-0." + strings.Repeat("0", 2000), "-0.0"},
		{"1." + strings.Repeat("0", 2000) + "e-99999999999999999999", "0.0"},
		{"9007199254740993." + strings.Repeat("0", 2000), "9007199254740992.0"},
		{"9007199254740993." + strings.Repeat("0", 2000) + "1", "9007199254740994.0"},
	} {
		out, err := AppendCanonical(nil, []byte(c.in), 0)
		if err != nil || string(out) != c.want {
			t.Errorf("%.60s: got %s, %v; want %s", c.in, out, err, c.want)
		}
		if again, err := AppendCanonical(nil, out, 0); err != nil || string(again) != string(out) {
			t.Errorf("%s became %s, %v", out, again, err)
		}
		written, err := AppendCompact(nil, []byte(c.in), 0)
		if err != nil || string(written) != c.in {
			t.Errorf("%.60s: compact is %.60s, %v", c.in, written, err)
		}
	}
}

func TestNumbersOutOfRange(t *testing.T) {
	for _, in := range []string{
		"1e309", "-1e309", "1.7976931348623159e308", "1e99999999999999999999",
		"1" + strings.Repeat("0", 309), strings.Repeat("9", 5000),
		"0." + strings.Repeat("0", 2000) + "1e99999999999999999999",
	} {
		for _, convert := range []func(dst, src []byte, maxDepth int) ([]byte, error){AppendCanonical, AppendCompact} {
			out, err := convert(nil, []byte(in), 0)
			if err == nil || !strings.Contains(err.Error(), "line 1 column 1: number out of range") {
				t.Errorf("%.60s: got %.60s, %v", in, out, err)
			}
		}
	}
}

func TestFloatsPrintAsTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	floats := []float64{math.MaxFloat64, math.SmallestNonzeroFloat64, 1e-5, 1e16}
	for e := -324; e <= 308; e++ {
		f, _ := strconv.ParseFloat("1e"+strconv.Itoa(e), 64)
		floats = append(floats, f, math.Nextafter(f, 0), math.Nextafter(f, math.Inf(1)))
	}
	for range 200_000 {
		floats = append(floats,
			math.Float64frombits(random.Uint64()),
			random.NormFloat64()*math.Pow(10, float64(random.IntN(24)-6)),
			float64(random.IntN(1e6))/1000)
	}
	for _, f := range floats {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		out := string(appendFloat(nil, f))
		if want := referenceFloat(f); out != want {
			t.Fatalf("%g (bits %#x): got %s, want %s", f, math.Float64bits(f), out, want)
		}
		back, err := strconv.ParseFloat(out, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) {
			t.Fatalf("%s reads back as %g, %v; was %g", out, back, err, f)
		}
		canonical, err := AppendCanonical(nil, []byte(out), 0)
		if err != nil || string(canonical) != out {
			t.Fatalf("%s became %s, %v", out, canonical, err)
		}
	}
}

// The shortcut for decimals must agree with parsing and printing.
func TestCanonicalDecimals(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var shortcuts int
	for range 300_000 {
		token := strconv.Itoa(random.IntN(1000))
		if random.IntN(3) == 0 {
			token = strconv.Itoa(random.IntN(1e9)) + strconv.Itoa(random.IntN(1e9))
		}
		if random.IntN(3) == 0 {
			token = "-" + token
		}
		token += "." + strings.Repeat("0", random.IntN(7)) + strconv.Itoa(random.IntN(1e5))
		if random.IntN(4) == 0 {
			token += "e" + strconv.Itoa(random.IntN(9)-4)
		}
		if !isCanonicalDecimal([]byte(token)) {
			continue
		}
		shortcuts++
		f, err := strconv.ParseFloat(token, 64)
		if want := referenceFloat(f); err != nil || token != want {
			t.Fatalf("%s is %s, %v", token, want, err)
		}
	}
	if shortcuts < 1000 {
		t.Fatalf("only %d shortcuts", shortcuts)
	}
}

// Long numbers, each a little beside the middle between two floats, against
// exact arithmetic.
func TestLongNumbersAreCorrectlyRounded(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 300 {
		f := math.Abs(math.Float64frombits(random.Uint64()))
		if i < 60 { // where a middle has the most digits, 768
			f = math.Float64frombits(1<<52 - 2 + uint64(i%4))
		}
		next := math.Nextafter(f, math.Inf(1))
		if math.IsNaN(f) || math.IsInf(next, 0) {
			continue
		}
		middle := new(big.Rat).Add(new(big.Rat).SetFloat64(f), new(big.Rat).SetFloat64(next))
		middle.Quo(middle, big.NewRat(2, 1))
		token := middle.FloatString(1100) // exact: a middle has at most 1075 decimals
		digits := []byte(token)
		want := f
		switch random.IntN(3) {
		case 0: // exactly the middle: to even, also without a point
			digits = append([]byte(strings.Replace(token, ".", "", 1)), "e-1100"...)
			if math.Float64bits(f)&1 == 1 {
				want = next
			}
		case 1: // above
			digits = append(digits, strings.Repeat("0", random.IntN(3000))...)
			digits = append(digits, '1')
			want = next
		case 2: // below: the last digit that is not zero made smaller
			i := len(digits) - 1
			for digits[i] == '0' || digits[i] == '.' {
				i--
			}
			digits[i]--
			digits = append(digits, strings.Repeat("9", 1+random.IntN(3000))...)
		}
		got, ok := parseFloat(digits)
		if !ok || got != want {
			t.Fatalf("%g and %g: got %g, %t; want %g for %s", f, next, got, ok, want, digits)
		}
	}
}
