package jsonexport_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"podstore/store"
	"podstore/store/jsonexport"
)

// exampleTree makes a directory with two Pods and a copy of one, and returns
// its path and what removes it.
func exampleTree() (root string, remove func()) {
	root, err := os.MkdirTemp("", "pods")
	if err != nil {
		panic(err)
	}
	for name, content := range map[string]string{
		"planner":  `{"pod_name": "planner"}`,
		"reviewer": `{"pod_name": "reviewer", "peers": [{"pod_name": "planner"}]}`,
		"copied":   `{"pod_name": "planner"}`,
	} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(root, name, "metadata.json"), []byte(content), 0o600); err != nil {
			panic(err)
		}
	}
	return root, func() { os.RemoveAll(root) }
}

// openStore is any store: here, another directory.
func openStore(path string) store.MetadataStore {
	d, err := jsonexport.OpenDir(path, nil)
	if err != nil {
		panic(err)
	}
	return d
}

func ExampleImport() {
	root, remove := exampleTree()
	defer remove()
	dst := openStore(filepath.Join(root, "..", filepath.Base(root)+"-store"))
	defer os.RemoveAll(store.RootDir(dst))

	report, err := jsonexport.Import(context.Background(), dst, root, jsonexport.ImportOptions{
		Progress: func(r jsonexport.Result, done, total int) {
			fmt.Println(done, "of", total, r.Pod, r.Outcome)
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Counts[jsonexport.Imported], "imported")
	// Output:
	// 1 of 3 copied refused
	// 2 of 3 planner imported
	// 3 of 3 reviewer imported
	// 2 imported
}

func ExampleExport() {
	root, remove := exampleTree()
	defer remove()
	target, err := os.MkdirTemp("", "export")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(target)

	report, err := jsonexport.Export(context.Background(), openStore(root), target, jsonexport.ExportOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Counts)
	data, err := os.ReadFile(filepath.Join(target, "planner", "metadata.json"))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", data)
	// Output:
	// map[damaged:1 exported:2]
	// {
	//   "pod_name": "planner"
	// }
}

func ExampleVerify() {
	root, remove := exampleTree()
	defer remove()
	s := openStore(root)
	if err := store.Do(context.Background(), s, "copied", store.Delete{}); err != nil {
		panic(err)
	}
	_, err := jsonexport.Verify(context.Background(), s, root, jsonexport.VerifyOptions{
		Progress: func(r jsonexport.Result, done, total int) { fmt.Println(r.Pod, r.Outcome) },
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// planner not-canonical
	// reviewer not-canonical
}
