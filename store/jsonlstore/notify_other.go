//go:build !linux

package jsonlstore

// notifier does nothing here: followers poll.
type notifier struct{}

func (*notifier) watch(dir, name string) (wake <-chan struct{}, stop func()) {
	return nil, func() {}
}
