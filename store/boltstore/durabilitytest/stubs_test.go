//go:build linux

package durabilitytest

type importJob struct{}
type examinerJob struct{}

func runImport(importJob)     {}
func runExport(importJob)     {}
func runExaminer(examinerJob) {}
