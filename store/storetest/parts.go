package storetest

import (
	"fmt"

	"podstore/store"
)

// partsOf are the ways to leave something out.
var partsOf = []store.ReadOptions{{}, {OmitManifest: true}, {OmitReclaimed: true}, {OmitManifest: true, OmitReclaimed: true}}

// readPart reads a part of a Pod that exists.
func (s *subject) readPart(name string, opts store.ReadOptions) *store.Metadata {
	s.Helper()
	m, err := store.ReadPart(background, s.MetadataStore, name, opts)
	if err != nil {
		s.Fatalf("ReadPart %.80q: %v", name, err)
	}
	return m
}

var partTests = []test{
	{"have all but what was left out, and say so", func(s *subject) {
		s.put(full("agent"), minimal("bare"))
		for _, opts := range partsOf {
			all := s.all(opts)
			for _, name := range []string{"agent", "bare"} {
				want := opts.Part(s.get(name))
				for how, got := range map[string]*store.Metadata{"ReadPart": s.readPart(name, opts), "All": all[name]} {
					if why := mismatch(got, want); why != "" {
						s.Errorf("%s of %q with %+v: %s", how, name, opts, why)
					}
				}
			}
		}
		s.expect(full("agent"), minimal("bare"))
	}},
	{"of a missing Pod and of a bad name are the errors of Read", func(s *subject) {
		s.put(full("agent"))
		for _, opts := range partsOf {
			m, err := store.ReadPart(background, s.MetadataStore, "missing", opts)
			s.is("ReadPart", err, store.ErrNotFound)
			s.errorOf("ReadPart", err, "missing")
			if m != nil {
				s.Errorf("ReadPart gives metadata together with %v", err)
			}
			for _, name := range badNames {
				_, err := store.ReadPart(background, s.MetadataStore, name, opts)
				s.is("ReadPart", err, store.ErrInvalidName)
			}
		}
	}},
	{"are the caller's", func(s *subject) {
		s.put(full("agent"))
		for _, opts := range partsOf {
			scribble(s.readPart("agent", opts))
		}
		s.expect(full("agent"))
	}},
	{"are written by no method", func(s *subject) {
		s.put(full("agent"), full("other"))
		several := s.updatesPods()
		for _, opts := range partsOf[1:] {
			for _, pod := range []string{"agent", "new"} {
				part := s.readPart("agent", opts)
				part.PodName, part.Peers = pod, nil
				s.refuses(store.ErrInvalid, store.Change{Pod: pod, Op: store.Put{Metadata: part}})
				s.unchanged(fmt.Sprintf("writing what was read with %+v", opts), func() {
					s.is("Write", store.Write(background, s, part), store.ErrInvalid)
					_, err := s.Update(background, pod, func(m *store.Metadata) error { *m = *part.Clone(); return nil })
					s.is("Update", err, store.ErrInvalid)
					if several {
						_, err := store.UpdatePods(background, s.MetadataStore, []string{"other", pod}, func(pods []*store.Metadata) error {
							pods[0], pods[1] = nil, part.Clone()
							return nil
						})
						s.is("UpdatePods", err, store.ErrInvalid)
					}
					if b, ok := s.MetadataStore.(store.BatchWriter); ok {
						s.is("WriteBatch", b.WriteBatch(background, puts(part))[0], store.ErrInvalid)
					}
				})
			}
		}
	}},
	{"of a snapshot are of its moment", func(s *subject) {
		if !s.takesSnapshots() {
			s.Skip("the store takes no snapshots")
		}
		s.put(full("agent"))
		snap := s.mustSnapshot()
		s.put(minimal("agent"))
		for _, opts := range partsOf {
			if why := mismatch(snap.readPart("agent", opts), opts.Part(full("agent"))); why != "" {
				s.Errorf("with %+v: %s", opts, why)
			}
		}
	}},
}
