package store

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// SessionID names a session: the log of one conversation, made of segments.
// It is a type of its own so that it cannot be passed where a [SegmentID] is
// meant.
type SessionID uuid.UUID

// SegmentID names one segment of a session.
type SegmentID uuid.UUID

// NewSessionID returns a UUID v7: ordered by time, and within a process each is
// greater than the one before. Safe for concurrent use.
func NewSessionID() SessionID { return SessionID(newV7()) }

// NewSegmentID returns a UUID v7 with the same properties as [NewSessionID].
func NewSegmentID() SegmentID { return SegmentID(newV7()) }

func newV7() uuid.UUID {
	// NewV7 fails only when the system's random source does, and crypto/rand
	// ends the program before it reports that.
	return uuid.Must(uuid.NewV7())
}

// ParseSessionID reads a UUID in one of four forms: hyphenated, 32 digits,
// {hyphenated}, urn:uuid:hyphenated. Hex digits may be of either case, nothing
// else is accepted; the error matches [ErrInvalid].
func ParseSessionID(s string) (SessionID, error) {
	id, err := parseUUID(s)
	return SessionID(id), err
}

// ParseSegmentID reads a UUID in the forms of [ParseSessionID].
func ParseSegmentID(s string) (SegmentID, error) {
	id, err := parseUUID(s)
	return SegmentID(id), err
}

// parseUUID narrows uuid.Parse, which takes any two characters as braces and a
// URN prefix of either case.
func parseUUID(s string) (uuid.UUID, error) {
	ok := false
	switch len(s) {
	case 32, 36:
		ok = true
	case 38:
		ok = s[0] == '{' && s[37] == '}'
	case 45:
		ok = strings.HasPrefix(s, "urn:uuid:")
	}
	if ok {
		if id, err := uuid.Parse(s); err == nil {
			return id, nil
		}
	}
	return uuid.Nil, fmt.Errorf("%w UUID %.64q: expected a form such as 0197f1d2-5a3b-7c4d-8e6f-0123456789ab", ErrInvalid, s)
}

// String is the lower-case hyphenated form.
func (id SessionID) String() string { return uuid.UUID(id).String() }

// String is the lower-case hyphenated form.
func (id SegmentID) String() string { return uuid.UUID(id).String() }

// MarshalText returns the form of String.
func (id SessionID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// MarshalText returns the form of String.
func (id SegmentID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads the forms of [ParseSessionID].
func (id *SessionID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseSessionID(string(text))
	return err
}

// UnmarshalText reads the forms of [ParseSessionID].
func (id *SegmentID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseSegmentID(string(text))
	return err
}
