//go:build linux && !race

package durabilitytest

const raceDetector = false
