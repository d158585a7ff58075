package boltfile_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"podstore/store/boltstore/internal/boltfile"
)

func openBytes(b []byte) (*boltfile.File, error) {
	return boltfile.Open(bytes.NewReader(b), int64(len(b)))
}

func openDamaged(b []byte) (*boltfile.File, []boltfile.Problem, error) {
	return boltfile.OpenDamaged(bytes.NewReader(b), int64(len(b)), false)
}

func wantProblem(t testing.TB, err error, page uint64, part string) {
	t.Helper()
	var p *boltfile.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error is %v, expected a problem about %q", err, part)
	}
	if p.Page != page || !strings.Contains(p.Msg, part) {
		t.Errorf("problem is %q on page %d, expected %q on page %d", p.Msg, p.Page, part, page)
	}
}
