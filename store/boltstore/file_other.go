//go:build !linux

package boltstore

import "os"

func renameNoReplace(from, to string) error { return linkAndRemove(from, to) }

func networkFS(*os.File) string { return "" }

func holder(*os.File) string { return "another process" }
