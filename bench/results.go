package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// result is one measurement: one workload of one candidate in one round.
type result struct {
	Workload  string  `json:"workload"`
	Candidate string  `json:"candidate"`
	Pods      int     `json:"pods"`
	Writers   int     `json:"writers,omitempty"`
	Round     int     `json:"round"`
	Ops       int     `json:"ops,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
	P50       float64 `json:"p50_us,omitempty"`
	P99       float64 `json:"p99_us,omitempty"`
	Max       float64 `json:"max_us,omitempty"`    // the longest wait
	User      float64 `json:"user_us,omitempty"`   // processor time of the process, an operation
	System    float64 `json:"system_us,omitempty"` // the same in the kernel
	Bytes     int64   `json:"bytes,omitempty"`     // disk, idle: RSS
	Anonymous int64   `json:"anonymous,omitempty"` // idle, abuse: not backed by a file
	Allocs    float64 `json:"allocs,omitempty"`    // allocations per operation
	AllocSize float64 `json:"alloc_bytes,omitempty"`
}

// The workloads.
const (
	addPeer      = "add-peer"
	readOne      = "read"
	listNames    = "list"
	listContents = "list-contents"
	onDisk       = "disk"
	importDirs   = "import"
	catFiles     = "cat"
	exportDirs   = "export"
	exportLive   = "export-live"
	copyDirs     = "cp"
	makeDirs     = "make"
	idleMemory   = "idle"
	unchanged    = "unchanged"
	fsyncPair    = "fsync-pair"
	askedCommit  = "commit that another process asks for"
	ownCommit    = "commit"

	watchWriters    = "writers beside watchers"
	watchDelivery   = "delivery to watchers"
	removeOne       = "remove"
	removeBefore    = "writers before removes"
	removeMeanwhile = "writers beside removes"
	besideAbuses    = "honest clients of a socket"
	mirrorRead      = "mirror, read"
	mirrorParents   = "mirror, parents"
)

// sample is what a stretch of operations took.
type sample struct {
	latencies    []time.Duration
	elapsed      time.Duration
	user, system time.Duration // of the process meanwhile
}

func (s sample) result(r result) result {
	slices.Sort(s.latencies)
	r.Ops, r.Seconds = len(s.latencies), s.elapsed.Seconds()
	r.P50, r.P99, r.Max = micros(percentile(s.latencies, 50)), micros(percentile(s.latencies, 99)), micros(percentile(s.latencies, 100))
	if r.Ops > 0 {
		r.User, r.System = micros(s.user)/float64(r.Ops), micros(s.system)/float64(r.Ops)
	}
	return r
}

// percentile of sorted durations.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// results are all measurements of a run.
type results []result

// pick returns one figure of every round of a measurement.
func (rs results) pick(workload, candidate string, pods, writers int, figure func(result) float64) []float64 {
	var out []float64
	for _, r := range rs {
		if r.Workload == workload && r.Candidate == candidate && r.Pods == pods && r.Writers == writers {
			out = append(out, figure(r))
		}
	}
	return out
}

// median of the rounds, 0 when there was none.
func (rs results) median(workload, candidate string, pods, writers int, figure func(result) float64) float64 {
	return medianOf(rs.pick(workload, candidate, pods, writers, figure))
}

// medianOf sorts and returns the median, 0 of none.
func medianOf(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}

// The figures.
func rate(r result) float64   { return float64(r.Ops) / r.Seconds }
func cost(r result) float64   { return r.Seconds / float64(r.Ops) * 1e6 } // µs an operation
func p50(r result) float64    { return r.P50 }
func p99(r result) float64    { return r.P99 }
func user(r result) float64   { return r.User }
func system(r result) float64 { return r.System }
func cpu(r result) float64    { return r.User + r.System }
func perPod(r result) float64 { return float64(r.Bytes) / float64(r.Pods) }

// writeRaw keeps every measurement, one JSON object a line, the machine first.
func (rs results) writeRaw(path string, env environment) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	if err := enc.Encode(env); err != nil {
		return err
	}
	for _, r := range rs {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("%+v: %w", r, err)
		}
	}
	return w.Flush()
}
