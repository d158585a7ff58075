package socketstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func begin(t *testing.T, rs *results, id, retry string, want outcome) {
	t.Helper()
	got, err := rs.begin(t.Context(), id, retry)
	if err != nil || got != want {
		t.Errorf("begin %q %q gives %v, %v, want %v", id, retry, got, err, want)
	}
}

func TestResultsAreRemembered(t *testing.T) {
	rs := newResults()
	first := rs.mark()
	begin(t, rs, "made", "", unheard)
	rs.finish("made", "", true)
	begin(t, rs, "made", "", made)
	begin(t, rs, "made", first, made)

	// One that was refused may be sent again, as long as it is no repetition.
	begin(t, rs, "refused", "", unheard)
	rs.finish("refused", "", false)
	begin(t, rs, "refused", "", unheard)
	rs.finish("refused", "", false)
	begin(t, rs, "refused", first, unheard)
	rs.finish("refused", first, false)
	begin(t, rs, "refused", "", refused) // the first, which was slow
	begin(t, rs, "refused", first, refused)

	// Another server's mark, or none.
	for _, mark := range []string{newResults().mark(), "x", rs.server, rs.server + "/x"} {
		id := "of " + mark
		begin(t, rs, id, mark, unknown)
		begin(t, rs, id, "", refused)
	}
}

func TestResultsAreForgotten(t *testing.T) {
	rs := newResults()
	early := rs.mark()
	for i := range maxResults {
		id := fmt.Sprint(i)
		begin(t, rs, id, "", unheard)
		rs.finish(id, "", true)
	}
	begin(t, rs, "0", early, made)
	begin(t, rs, "new", early, unheard) // nothing has been forgotten
	rs.finish("new", early, true)
	late := rs.mark()
	begin(t, rs, "0", early, unknown)
	begin(t, rs, "never sent", early, unknown)
	begin(t, rs, "never sent either", late, unheard)
	rs.finish("never sent either", late, true)
	if len(rs.byID) > maxResults {
		t.Errorf("%d results are kept", len(rs.byID))
	}
}

// A change that is sent again while it is being made is waited for.
func TestResultsAreWaitedFor(t *testing.T) {
	rs := newResults()
	mark := rs.mark()
	for _, wasMade := range []bool{true, false} {
		id := fmt.Sprint(wasMade)
		begin(t, rs, id, "", unheard)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := rs.begin(ctx, id, mark); !errors.Is(err, context.Canceled) {
			t.Errorf("begin whose context has ended: %v", err)
		}
		got := make(chan outcome)
		go func() {
			o, err := rs.begin(t.Context(), id, mark)
			if err != nil {
				t.Error(err)
			}
			got <- o
		}()
		rs.finish(id, "", wasMade)
		want := made
		if !wasMade {
			want = unheard
		}
		if o := <-got; o != want {
			t.Errorf("waiting gives %v, want %v", o, want)
		}
	}
}
