//go:build !linux

package boltstore

import (
	"os"

	bolt "go.etcd.io/bbolt"
)

type earlyWriter struct{}

func writeEarly(*bolt.DB, *os.File) *earlyWriter { return nil }

func (*earlyWriter) commits(*bolt.Tx) {}
