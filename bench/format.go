package main

import (
	"fmt"
	"math"
	"strconv"
)

// round prints a figure with as many digits as it deserves: three.
func round(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v >= 1000:
		digits := math.Pow(10, math.Floor(math.Log10(v))-2)
		return grouped(int64(math.Round(v/digits) * digits))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// grouped prints an integer with commas.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration prints microseconds in the unit that suits.
func duration(us float64) string {
	switch {
	case us >= 1e6:
		return round(us/1e6) + " s"
	case us >= 1e3:
		return round(us/1e3) + " ms"
	}
	return round(us) + " µs"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// kilobytes prints a size in KB of 1,024 bytes.
func kilobytes(n int) string { return fmt.Sprintf("%d KB", n>>10) }

func podCount(n int) string    { return grouped(int64(n)) + " Pods" }
func directories(n int) string { return grouped(int64(n)) + " directories" }
