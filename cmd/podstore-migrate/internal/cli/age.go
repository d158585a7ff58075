package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseAge parses Go's durations, such as 1h30m, and whole days and weeks.
func parseAge(s string) (time.Duration, error) {
	bad := errors.New("expected an age such as 30d, 2w, 12h or 1h30m")
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseUint(number, 10, 31)
			if d := time.Duration(n) * length; err == nil && n > 0 && d/length == time.Duration(n) {
				return d, nil
			}
			return 0, bad
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, bad
	}
	return d, nil
}

// timeText is a time in RFC 3339, or "" if it is not known.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// knownTime is a time in JSON, null if it is not known.
func knownTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339Nano)
	return &s
}

// ago is the time since t, in one unit, or "" if t is not known.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(0, time.Since(t))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
