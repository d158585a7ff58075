//go:build !linux

package jsonlstore

// notifier would tell of changes; here those who follow look for themselves.
type notifier struct{}

func (*notifier) watch(dir, name string) (wake <-chan struct{}, stop func()) {
	return nil, func() {}
}
