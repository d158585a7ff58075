package podjson_test

import (
	"encoding/json"
	"fmt"

	"podstore/store"
	"podstore/store/podjson"
)

func ExampleEncode() {
	data, err := podjson.Encode(&store.Metadata{
		PodName:  "planner",
		Peers:    []store.Peer{{PodName: "reviewer"}},
		Manifest: json.RawMessage(`{"temperature": 1e0, "model": "large"}`),
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", data)
	// Output:
	// {
	//   "pod_name": "planner",
	//   "peers": [
	//     {
	//       "pod_name": "reviewer"
	//     }
	//   ],
	//   "resolved_manifest_snapshot": {
	//     "model": "large",
	//     "temperature": 1.0
	//   }
	// }
}

func ExampleDecode() {
	m, err := podjson.Decode([]byte(`{"pod_name": "planner", "resolved_manifest_snapshot": {"b": 1, "a": 2}}`))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %s\n", m.PodName, m.Manifest)

	_, err = podjson.Decode([]byte("{\n  \"pod_name\": \"planner\",\n  \"peers\": null\n}"))
	fmt.Println(err)
	// Output:
	// planner {"a":2,"b":1}
	// decode line 3 column 12: invalid: peers: expected an array, found null
}
