package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		short    = flag.Bool("short", false, "small counts, to see that everything runs; the figures mean nothing")
		out      = flag.String("out", "", "file for the report, its curves beside it (default standard output, without curves)")
		raw      = flag.String("raw", "", "file for every measurement, one JSON object a line")
		dir      = flag.String("dir", os.TempDir(), "where to put the files, on a disk")
		only     = flag.String("candidates", "", "only candidates whose name matches this regular expression")
		parts    = flag.String("parts", "", "only parts that match: trees, stores, manifests, history, processes, watch, mirror, remove, unchanged")
		sizes    = flag.String("pods", "", "numbers of Pods, with commas")
		writers  = flag.String("writers", "", "numbers of writers, with commas")
		rounds   = flag.Int("rounds", 0, "rounds, at every size")
		span     = flag.Duration("time", 0, "time of each measurement of writers")
		cpu      = flag.String("cpuprofile", "", "file for a CPU profile of the run")
		mem      = flag.String("memprofile", "", "file for a profile of allocations")
		isJob    = flag.Bool("job-child", false, "used by the program itself")
		idleName = flag.String("idle-child", "", "used by the program itself")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *isJob {
		return jobInThisProcess()
	}
	if *idleName != "" {
		return idleInThisProcess(*idleName, *dir)
	}
	b := &bench{plan: fullPlan(), began: time.Now()}
	if *short {
		b.plan = shortPlan()
	}
	if err := b.choose(*only, *parts, *sizes, *writers, *rounds); err != nil {
		return err
	}
	b.span = cmp.Or(*span, b.span)
	b.oneProcess = *cpu != "" || *mem != ""
	var err error
	if b.dir, err = os.MkdirTemp(*dir, "podstore-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	stop, err := profile(*cpu, *mem)
	if err != nil {
		return err
	}
	env := describe(b.dir)
	err = b.run()
	stop()
	if err != nil {
		return err
	}
	if *raw != "" {
		if err := b.results.writeRaw(*raw, env); err != nil {
			return err
		}
	}
	report := b.report(env, *raw, *out != "")
	if *out == "" {
		_, err = os.Stdout.WriteString(report)
		return err
	}
	if err := b.drawCurves(filepath.Dir(*out)); err != nil {
		return err
	}
	return os.WriteFile(*out, []byte(report), 0o644)
}

// choose narrows the plan.
func (b *bench) choose(only, parts, sizes, writers string, rounds int) (err error) {
	if only != "" {
		if b.only, err = regexp.Compile(only); err != nil {
			return err
		}
	}
	if parts != "" {
		if b.what, err = regexp.Compile(parts); err != nil {
			return err
		}
	}
	if sizes != "" {
		if b.sizes, err = numbers(sizes); err != nil {
			return err
		}
		for len(b.rounds) < len(b.sizes) {
			b.rounds = append(b.rounds, b.rounds[len(b.rounds)-1])
		}
	}
	if writers != "" {
		if b.writers, err = numbers(writers); err != nil {
			return err
		}
	}
	for i := range b.rounds {
		b.rounds[i] = cmp.Or(rounds, b.rounds[i])
	}
	b.copies = cmp.Or(rounds, b.copies)
	return nil
}

func numbers(list string) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a list of positive numbers", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// profile starts what is asked for and returns what ends it.
func profile(cpu, mem string) (stop func(), err error) {
	var files []*os.File
	if cpu != "" {
		f, err := os.Create(cpu)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
	}
	if mem != "" {
		runtime.MemProfileRate = 4096
	}
	return func() {
		if cpu != "" {
			pprof.StopCPUProfile()
		}
		if mem != "" {
			if f, err := os.Create(mem); err == nil {
				_ = pprof.Lookup("allocs").WriteTo(f, 0)
				files = append(files, f)
			}
		}
		for _, f := range files {
			f.Close()
		}
	}, nil
}
