package jsonexport

import (
	"context"
	"errors"

	"podstore/store"
)

// ExportOptions say how [Export] works. The zero value is a good default.
type ExportOptions struct {
	// Prune removes the Pods of the directory that src does not have.
	Prune bool
	// MaxFileSize is the size limit of one metadata.json in bytes;
	// [DefaultMaxFileSize] where it is 0. A Pod that would exceed it, and so could
	// not be imported again, is refused.
	MaxFileSize int64
	// Progress, if set, is told every result.
	Progress Progress
}

// Export writes every Pod of src below root.
func Export(ctx context.Context, src store.MetadataStore, root string, opts ExportOptions) (Report, error) {
	return Report{}, errors.ErrUnsupported
}
