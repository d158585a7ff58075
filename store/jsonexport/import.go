package jsonexport

import (
	"context"
	"errors"

	"podstore/store"
)

// ImportOptions say how [Import] works. The zero value is a good default.
type ImportOptions struct {
	// Overwrite replaces Pods that are stored differently already; otherwise they
	// are kept and reported as [Conflict].
	Overwrite bool
	// Strict imports all Pods or, when one is refused or in conflict, none, in one
	// transaction. Everything is parsed first and held in memory. dst must be a
	// [store.PodUpdater].
	Strict bool
	// DryRun finds out and reports what would happen and writes nothing.
	DryRun bool
	// MaxFileSize is the size limit of one metadata.json in bytes;
	// [DefaultMaxFileSize] where it is 0.
	MaxFileSize int64
	// Progress, if set, is told every result.
	Progress Progress
}

// Import reads every Pod below root into dst.
func Import(ctx context.Context, dst store.MetadataStore, root string, opts ImportOptions) (Report, error) {
	return Report{}, errors.ErrUnsupported
}
