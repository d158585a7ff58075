package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"podstore/store"
)

// unhex reads bytes written as hex with spaces.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	id16   = "c4 10 00112233445566778899aabbccddeeff"
	noRule = "90"
)

// Bytes that no Encoder writes.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		what string
		sub  int
		hex  string
	}{
		{"nothing at all", Peers, ""},
		{"an array that ends early", Peers, "92 a1 61"},
		{"an array16 without its length", Peers, "dc 00"},
		{"an array32 without its length", Peers, "dd 00 00 00"},
		{"a str16 longer than what is left", Peers, "91 da 00 02 61"},
		{"a bin16 longer than what is left", Manifest, "c5 00 02 31"},
		{"a uint64 cut short", Peers, "91 cf 00 00 00"},
		{"nine levels", Peers, "91 91 91 91 91 91 91 91 91 c0"},
		{"a map", Peers, "80"},
		{"a map32", Peers, "df 00 00 00 00"},
		{"a float32", Peers, "91 ca 00 00 00 00"},
		{"a negative number", Peers, "91 ff"},
		{"an int64", Peers, "91 d3 00 00 00 00 00 00 00 00"},
		{"an extension", Peers, "91 d4 01 00"},
		{"a code that msgpack has not", Peers, "91 c1"},
		{"two values", Peers, "91 a1 61 91 a1 62"},

		{"nil for a list", Peers, "c0"},
		{"an empty list", Children, "90"},
		{"a binary for a name", Peers, "91 c4 01 61"},
		{"a number for a name", Peers, "91 cc 05"},
		{"nil for a name", Peers, "91 c0"},
		{"a name that is not UTF-8", Peers, "92 a1 61 a2 c3 28"},
		{"a name cut within a letter", Peers, "92 a1 c3 a1 a9"},

		{"an active segment of one", Active, "91 " + id16},
		{"an active segment of three", Active, "93 " + id16 + id16 + id16},
		{"no session", Active, "92 c0 " + id16},
		{"a session of 15 bytes", Active, "92 c4 0f 00112233445566778899aabbccddee c0"},
		{"a session of 17 bytes", Active, "92 c4 11 00112233445566778899aabbccddeeff00 c0"},
		{"a session as a string", Active, "92 b0 30313233343536373839616263646566 c0"},
		{"a segment of no bytes", Active, "92 " + id16 + "c4 00"},
		{"false for a segment", Active, "92 " + id16 + "c2"},

		{"a child of three", Children, "91 93 a1 61 a0 90"},
		{"nil for rules", Children, "91 94 a1 61 a0 c0 a0"},
		{"a rule of two", Children, "91 94 a1 61 a0 91 92 a1 74 a1 70 a0"},
		{"a number for a list", Children, "05"},
		{"a string for a list", Children, "a1 61"},
		{"a child that is a name", Children, "91 a1 61"},
		{"a number for recursive", Children, "91 94 a1 61 a0 91 93 a1 74 a1 70 01 a0"},
		{"a string for recursive", Children, "91 94 a1 61 a0 91 93 a1 74 a1 70 a1 74 a0"},
		{"nil for recursive", Children, "91 94 a1 61 a0 91 93 a1 74 a1 70 c0 a0"},
		{"a reclaimed child of three", Reclaimed, "91 93 a1 61 90 90"},

		{"a string for a manifest", Manifest, "a1 31"},
		{"an empty manifest", Manifest, "c4 00"},
		{"a list of a manifest", Manifest, "91 c4 01 31"},
		{"extra that is no JSON", Extra, "c4 01 7b"},
		{"extra that is a JSON list", Extra, "c4 02 5b5d"},
		{"extra that is null", Extra, "c4 04 6e756c6c"},
		{"extra without fields", Extra, "c4 02 7b7d"},
		{"extra as a string", Extra, "a2 7b7d"},
	} {
		m := &store.Metadata{}
		if err := decodeOne(m, c.sub, unhex(t, c.hex)); !errors.Is(err, errShape) {
			t.Errorf("%s as %s: %v (decoded %+v)", c.what, SubKeys[c.sub], err, m)
		}
	}
}

// A bad value does not spoil the decoder for the next one.
func TestDecoderAfterAnError(t *testing.T) {
	good := unhex(t, "92 a1 61 a1 62")
	for range 100 {
		if err := decodeOne(&store.Metadata{}, Peers, unhex(t, "92 a1 61 c0")); !errors.Is(err, errShape) {
			t.Fatal(err)
		}
		m := &store.Metadata{}
		if err := decodeOne(m, Peers, good); err != nil || !slices.Equal(m.Peers, []store.Peer{{PodName: "a"}, {PodName: "b"}}) {
			t.Fatalf("%+v %v", m.Peers, err)
		}
	}
}

// A reader accepts every width; a writer writes the shortest.
func TestAnyWidth(t *testing.T) {
	for _, c := range []struct {
		sub       int
		wide, min string
	}{
		{Peers, "dc 00 01 d9 01 61", "91 a1 61"},
		{Peers, "dd 00 00 00 01 da 00 01 61", "91 a1 61"},
		{Peers, "91 db 00 00 00 01 61", "91 a1 61"},
		{Manifest, "c5 00 01 31", "c4 01 31"},
		{Manifest, "c6 00 00 00 01 31", "c4 01 31"},
		{Active, "dc 00 02 c5 00 10 00112233445566778899aabbccddeeff c0", "92 " + id16 + "c0"},
		{Reclaimed, "91 dc 00 02 d9 01 61 dc 00 00", "91 92 a1 61 " + noRule},
		{Children, "91 94 a1 61 a0 dd 00 00 00 01 93 a1 74 a1 70 c3 a0", "91 94 a1 61 a0 91 93 a1 74 a1 70 c3 a0"},
	} {
		m := &store.Metadata{}
		if err := decodeOne(m, c.sub, unhex(t, c.wide)); err != nil {
			t.Errorf("%s: %v", c.wide, err)
			continue
		}
		if got, want := NewEncoder().Encode(m, c.sub), unhex(t, c.min); !bytes.Equal(got, want) {
			t.Errorf("%s is written as %x, expected %x", c.wide, got, want)
		}
	}
}

func TestUints(t *testing.T) {
	e := NewEncoder()
	for _, want := range [][]uint64{{0, 0}, {1, 127}, {128, 255}, {256, 65535}, {65536, math.MaxUint32}, {1 << 32, math.MaxUint64}} {
		got, err := DecodeUints(e.Uints(want...), 2)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d came back as %d (%v)", want, got, err)
		}
		got, err = DecodeUints(e.Uint(want[1]), 0)
		if err != nil || len(got) != 1 || got[0] != want[1] {
			t.Errorf("%d came back as %d (%v)", want[1], got, err)
		}
	}
	// The width gives the number of bytes, whatever the value.
	for _, in := range []string{"05", "cc 05", "cd 00 05", "ce 00 00 00 05", "cf 00 00 00 00 00 00 00 05"} {
		if got, err := DecodeUints(unhex(t, in), 0); err != nil || got[0] != 5 {
			t.Errorf("%s: %d %v", in, got, err)
		}
	}
	for _, c := range []struct {
		what, hex string
		n         int
	}{
		{"nothing", "", 0},
		{"two numbers", "05 05", 0},
		{"nil", "c0", 0},
		{"a list for one", "91 05", 0},
		{"true", "c3", 0},
		{"a string", "a1 35", 0},
		{"one for a list", "05", 2},
		{"three for two", "93 01 02 03", 2},
		{"one for two", "91 01", 2},
		{"nil in a list", "92 01 c0", 2},
		{"a negative number", "92 01 ff", 2},
		{"a number cut short", "92 01 cd 00", 2},
	} {
		if got, err := DecodeUints(unhex(t, c.hex), c.n); err == nil {
			t.Errorf("%s was read as %d", c.what, got)
		}
	}
}

// SameBinary compares without decoding: it must agree with what Encode writes at
// every width of the length.
func TestSameBinary(t *testing.T) {
	for _, n := range []int{1, 255, 256, 65535, 65536} {
		b := bytes.Repeat([]byte{'1'}, n)
		payload := bytes.Clone(NewEncoder().Encode(&store.Metadata{Manifest: b}, Manifest))
		other := bytes.Clone(b)
		other[n-1]++
		for what, differs := range map[string]bool{
			"itself":           !SameBinary(payload, b),
			"another":          SameBinary(payload, other),
			"one byte more":    SameBinary(payload, append(bytes.Clone(b), '1')),
			"one byte less":    SameBinary(payload, b[1:]),
			"nothing":          SameBinary(payload, nil),
			"nothing stored":   SameBinary(nil, b),
			"a list":           SameBinary(append([]byte{0x91}, payload...), b),
			"cut in its width": n > 255 && SameBinary(payload[:2], b),
		} {
			if differs {
				t.Errorf("%d bytes compared with %s", n, what)
			}
		}
	}
	if !SameBinary(nil, nil) {
		t.Error("nothing differs from nothing")
	}
}

func TestPayload(t *testing.T) {
	value := Seal(NameSum([]byte("a")), Peers, []byte("payload"))
	if got := Payload(value); string(got) != "payload" {
		t.Errorf("%q", got)
	}
	if got := Payload(nil); got != nil {
		t.Errorf("the payload of no value is %q", got)
	}
}

// The sub-keys are in the order of a file, and SubKeyIndex finds each.
func TestSubKeys(t *testing.T) {
	if !slices.IsSorted(SubKeys[:]) {
		t.Error("not sorted by bytes")
	}
	for i, k := range SubKeys {
		if got := SubKeyIndex([]byte(k)); got != i {
			t.Errorf("%s has index %d, expected %d", k, got, i)
		}
		if got := SubKeyBytes(i); string(got) != k {
			t.Errorf("%s for bbolt is %q", k, got)
		}
	}
	for _, k := range []string{"", "activ", "actives", "PEERS", "peers\x00"} {
		if got := SubKeyIndex([]byte(k)); got != -1 {
			t.Errorf("%q has index %d", k, got)
		}
	}
}
