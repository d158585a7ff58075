//go:build linux

package durabilitytest

type importJob struct{}

func runImport(importJob) {}
func runExport(importJob) {}
