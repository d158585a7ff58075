package jsonexport

import (
	"context"
	"errors"
	"iter"

	"podstore/store"
)

// DefaultMaxFileSize is the size limit of one metadata.json, in bytes, where
// none is given.
const DefaultMaxFileSize = 64 << 20

// DirOptions say how [OpenDir] treats a directory. The zero value is a good
// default.
type DirOptions struct {
	// MustExist makes a missing root an error that matches [store.ErrNotFound];
	// otherwise it is created, with mode 0700.
	MustExist bool
	// ReadOnly refuses every change with [store.ErrReadOnly]. It implies MustExist.
	ReadOnly bool
	// MaxFileSize is the size limit of one metadata.json in bytes;
	// [DefaultMaxFileSize] where it is 0.
	MaxFileSize int64
}

// Dir is the directory layout as a [store.MetadataStore].
type Dir struct {
	root string
	opts DirOptions
}

// OpenDir opens the directory of Pods at root.
func OpenDir(root string, opts *DirOptions) (*Dir, error) {
	return nil, errors.ErrUnsupported
}

// RootDir is the directory as it was given to [OpenDir].
func (d *Dir) RootDir() string { return d.root }

func (d *Dir) Write(ctx context.Context, m *store.Metadata) error { return errors.ErrUnsupported }

func (d *Dir) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return nil, errors.ErrUnsupported
}

func (d *Dir) List(ctx context.Context) ([]string, error) { return nil, errors.ErrUnsupported }

func (d *Dir) Delete(ctx context.Context, name string) error { return errors.ErrUnsupported }

func (d *Dir) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, errors.ErrUnsupported
}

func (d *Dir) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(func(*store.Metadata, error) bool) {}
}

func (d *Dir) WriteBatch(ctx context.Context, pods []*store.Metadata) []error { return nil }
