package jsonlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"podstore/store"
	"podstore/store/jsonlstore"
)

func Example() {
	root, err := os.MkdirTemp("", "sessions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	ctx := context.Background()

	logs, err := jsonlstore.Open(root, nil)
	if err != nil {
		log.Fatal(err)
	}
	session, segment := store.NewSessionID(), store.NewSegmentID()
	for _, entry := range []string{`{"kind": "user", "text": "hello"}`, `{"kind": "assistant", "text": "hi"}`} {
		if err := logs.Append(ctx, session, segment, json.RawMessage(entry)); err != nil {
			log.Fatal(err)
		}
	}
	for entry, err := range logs.ReadAll(ctx, session, segment) {
		if errors.Is(err, store.ErrCorrupt) {
			fmt.Println("damaged:", err) // names file, line and column
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", entry)
	}
	// Output:
	// {"kind":"user","text":"hello"}
	// {"kind":"assistant","text":"hi"}
}
