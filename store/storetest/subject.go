package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

// subject is a fresh store and its test.
type subject struct {
	*testing.T
	store.MetadataStore
	b       Backend
	damaged bool     // the test has damaged Pods on purpose
	atEnd   []func() // run before the last check
}

var background = context.Background()

// end checks what a successful test has left. It cannot be a t.Cleanup: by then a store
// that the test opened again is closed.
func (s *subject) end() {
	for _, f := range s.atEnd {
		f()
	}
	if s.damaged || s.Failed() || s.Skipped() {
		return
	}
	s.checkWhole()
	if s.b.Check != nil {
		s.b.Check(s.T, s.MetadataStore)
	}
}

// checkWhole checks what every reader may expect of the store at any time.
func (s *subject) checkWhole() {
	s.Helper()
	names := s.list()
	for i, name := range names {
		if err := store.ValidateName(name); err != nil {
			s.Errorf("List gives a bad name: %v", err)
		}
		if i > 0 && names[i-1] >= name {
			s.Errorf("List is not sorted by bytes: %q before %q", names[i-1], name)
		}
		s.checkNormal(s.get(name))
	}
	if all := s.all(store.ReadOptions{}); !reflect.DeepEqual(all, s.state()) {
		s.Errorf("All gives other Pods than List and Read: %q, %q", names, sortedKeys(all))
	}
}

// checkNormal fails the test unless m is in normal form.
func (s *subject) checkNormal(m *store.Metadata) {
	s.Helper()
	normal := m.Clone()
	if err := normal.Normalize(); err != nil {
		s.Errorf("returned metadata breaks a rule: %v", err)
	} else if why := mismatch(m, normal); why != "" {
		s.Errorf("returned metadata is not in normal form: %s", why)
	}
}

func (s *subject) put(pods ...*store.Metadata) {
	s.Helper()
	for _, m := range pods {
		if err := store.Write(background, s, m); err != nil {
			s.Fatalf("Write %.80q: %v", m.PodName, err)
		}
	}
}

// do makes operations on one Pod, which must succeed.
func (s *subject) do(pod string, ops ...store.Op) {
	s.Helper()
	if err := store.Do(background, s.MetadataStore, pod, ops...); err != nil {
		s.Fatalf("%s of %.80q: %v", opNames(ops), pod, err)
	}
}

func opNames(ops []store.Op) string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = op.Name()
	}
	return strings.Join(names, ", ")
}

// get reads a Pod that exists.
func (s *subject) get(name string) *store.Metadata {
	s.Helper()
	m, err := s.Read(background, name)
	if err != nil {
		s.Fatalf("Read %.80q: %v", name, err)
	}
	if m == nil {
		s.Fatalf("Read %.80q: neither metadata nor an error", name)
	}
	s.checkVersion("Read", m)
	return m
}

// checkVersion checks the Version that a store set.
func (s *subject) checkVersion(what string, m *store.Metadata) {
	s.Helper()
	v := m.Version
	if v.Revision.IsZero() {
		s.Errorf("%s %.80q: the revision is not set", what, m.PodName)
	}
	for _, t := range []time.Time{v.Created, v.Changed} {
		if t != t.UTC().Truncate(time.Millisecond) {
			s.Errorf("%s %.80q: time %v is not in UTC, to the millisecond", what, m.PodName, t)
		}
	}
	if v.Created.After(v.Changed) {
		s.Errorf("%s %.80q: changed %v, before it was created %v", what, m.PodName, v.Changed, v.Created)
	}
}

func (s *subject) list() []string {
	s.Helper()
	names, err := s.List(background)
	if err != nil {
		s.Fatalf("List: %v", err)
	}
	return names
}

// state reads everything, by List and Read.
func (s *subject) state() map[string]*store.Metadata {
	s.Helper()
	pods := map[string]*store.Metadata{}
	for _, name := range s.list() {
		pods[name] = s.get(name)
	}
	return pods
}

// all reads everything by All.
func (s *subject) all(opts store.ReadOptions) map[string]*store.Metadata {
	s.Helper()
	pods := map[string]*store.Metadata{}
	for m, err := range store.All(background, s.MetadataStore, opts) {
		if err != nil {
			s.Fatalf("All: %v", err)
		}
		if pods[m.PodName] != nil {
			s.Errorf("All yields %.80q twice", m.PodName)
		}
		s.checkVersion("All", m)
		pods[m.PodName] = m
	}
	return pods
}

// expect compares stored Pods with want, which need not be in normal form.
func (s *subject) expect(pods ...*store.Metadata) {
	s.Helper()
	for _, want := range pods {
		s.same("Read", s.get(want.PodName), want)
	}
}

// same compares returned metadata with want, which need not be in normal form.
func (s *subject) same(what string, got, want *store.Metadata) {
	s.Helper()
	want = want.Clone()
	if err := want.Normalize(); err != nil {
		s.Fatalf("the test expects what no store may keep: %v", err)
	}
	if why := mismatch(got, want); why != "" {
		s.Errorf("%s %.80q: %s", what, want.PodName, why)
	}
}

// expectNames compares List with the names that should exist, in any order.
func (s *subject) expectNames(want ...string) {
	s.Helper()
	slices.Sort(want)
	if got := s.list(); !slices.Equal(got, want) {
		s.Errorf("List: got %.500q, want %.500q", got, want)
	}
}

// absent fails the test if a Pod exists.
func (s *subject) absent(name string) {
	s.Helper()
	m, err := s.Read(background, name)
	s.is("Read", err, store.ErrNotFound)
	if m != nil {
		s.Errorf("Read %.80q gives metadata together with the error %v", name, err)
	}
	if slices.Contains(s.list(), name) {
		s.Errorf("List has %.80q, which Read does not find", name)
	}
}

// writesNothing runs f and fails the test if any Pod changed or the backend reports a
// write.
func (s *subject) writesNothing(what string, f func()) {
	s.Helper()
	written := func() string {
		if s.b.Written == nil {
			return ""
		}
		return s.b.Written(s.T, s.MetadataStore)
	}
	s.unchanged(what, func() {
		before := written()
		f()
		if after := written(); after != before {
			s.Errorf("%s changes nothing, and wrote something: %s was %s", what, after, before)
		}
	})
}

// is fails the test unless err matches want.
func (s *subject) is(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want one that matches %q", what, err, want)
	}
}

// unchanged runs f and fails the test if any Pod changed.
func (s *subject) unchanged(what string, f func()) {
	s.Helper()
	before := s.state()
	f()
	after := s.state()
	if got, want := sortedKeys(after), sortedKeys(before); !slices.Equal(got, want) {
		s.Errorf("%s changed the Pods that exist: %.500q were %.500q", what, got, want)
		return
	}
	for name, m := range before {
		if why := mismatch(after[name], m); why != "" {
			s.Errorf("%s changed %.80q: %s", what, name, why)
		} else if got := after[name].Version; got != m.Version {
			s.Errorf("%s gave %.80q, in which nothing has changed, version %v instead of %v", what, name, got, m.Version)
		}
	}
}

// applyFor makes an Apply that must succeed. It checks the result against what the
// store holds afterwards, so nothing else may change the store meanwhile.
func (s *subject) applyFor(opts *store.ApplyOptions, changes ...store.Change) []store.Applied {
	s.Helper()
	applied, err := s.Apply(background, changes, opts)
	if err != nil {
		s.Fatalf("Apply %s: %v", described(changes), err)
	}
	if len(applied) != len(changes) {
		s.Fatalf("Apply of %d changes returned %d results", len(changes), len(applied))
	}
	for i, a := range applied {
		what := fmt.Sprintf("result %d of %s", i, described(changes))
		if a.Pod != changes[i].Pod {
			s.Errorf("%s is of %.80q, want %.80q", what, a.Pod, changes[i].Pod)
		}
		m, err := s.Read(background, a.Pod)
		switch {
		case errors.Is(err, store.ErrNotFound):
			gone := store.Version{Revision: store.Revision{Number: a.Version.Revision.Number}}
			if a.Metadata != nil || a.Version != gone {
				s.Errorf("%s has metadata %v and version %v for a Pod that does not exist", what, a.Metadata, a.Version)
			}
		case err != nil:
			s.Fatalf("Read %.80q: %v", a.Pod, err)
		case a.Version != m.Version:
			s.Errorf("%s has version %v, Read gives %v", what, a.Version, m.Version)
		case opts != nil && opts.Metadata && a.Metadata == nil:
			s.Errorf("%s has no metadata", what)
		case opts != nil && opts.Metadata:
			if why := mismatch(a.Metadata, m); why != "" {
				s.Errorf("%s: %s", what, why)
			}
			if a.Metadata.Version != a.Version {
				s.Errorf("%s has version %v, its metadata %v", what, a.Version, a.Metadata.Version)
			}
		case a.Metadata != nil:
			s.Errorf("%s has metadata that nobody asked for", what)
		}
	}
	return applied
}

// apply makes an Apply without options that must succeed.
func (s *subject) apply(changes ...store.Change) []store.Applied {
	s.Helper()
	return s.applyFor(nil, changes...)
}

// refuses makes an Apply, with and without Metadata, that must fail with want and
// change nothing.
func (s *subject) refuses(want error, changes ...store.Change) {
	s.Helper()
	what := "Apply " + described(changes)
	s.unchanged(what, func() {
		for _, opts := range []*store.ApplyOptions{nil, {Metadata: true}} {
			applied, err := s.Apply(background, changes, opts)
			s.is(what, err, want)
			if applied != nil {
				s.Errorf("%s gives results together with error %v", what, err)
			}
		}
	})
}

// described returns changes for a message.
func described(changes []store.Change) string {
	var all []string
	for _, c := range changes {
		text := "nothing"
		if c.Op != nil {
			text = c.Op.Name()
		}
		text += fmt.Sprintf(" to %.20q", c.Pod)
		if c.If != (store.Condition{}) {
			text += " if " + c.If.String()
		}
		all = append(all, text)
	}
	return fmt.Sprintf("[%.400s]", strings.Join(all, ", "))
}

// appliesSeveral reports whether the store can change several Pods at once.
func (s *subject) appliesSeveral() bool {
	s.Helper()
	_, err := s.Apply(background, []store.Change{{Pod: "probe-a", Op: store.Delete{}}, {Pod: "probe-b", Op: store.Delete{}}}, nil)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatalf("Apply to two Pods: %v", err)
	}
	return err == nil
}

// errorOf fails the test unless err is a *store.Error that names the Pod.
func (s *subject) errorOf(what string, err error, pod string) {
	s.Helper()
	var e *store.Error
	if !errors.As(err, &e) || e.Pod != pod {
		s.Errorf("%s: error %v is no *store.Error that names Pod %q", what, err, pod)
	}
}
