//go:build !linux && !darwin

package socketstore

import "errors"

// peerOf fails: this system does not tell who is at the other end.
func peerOf(int) (uid uint32, err error) {
	return 0, errors.ErrUnsupported
}
