package jsonexport

import (
	"context"
	"errors"

	"podstore/store"
)

// VerifyOptions say how [Verify] works. The zero value is a good default.
type VerifyOptions struct {
	// ContentOnly takes files of the same content but other bytes than the
	// canonical ones as [Same].
	ContentOnly bool
	// MaxFileSize is the size limit of one metadata.json in bytes;
	// [DefaultMaxFileSize] where it is 0.
	MaxFileSize int64
	// Progress, if set, is told every result.
	Progress Progress
}

// Verify compares every Pod of src and of the directory root, both ways.
func Verify(ctx context.Context, src store.MetadataStore, root string, opts VerifyOptions) (Report, error) {
	return Report{}, errors.ErrUnsupported
}
