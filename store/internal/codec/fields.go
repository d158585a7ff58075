package codec

import "podstore/store"

// fields say how each field is stored. A new field goes here, into [store.Field] and
// into [store.Metadata]; TestEveryFieldIsStored fails if one of them lacks it.
var fields = [store.NumFields]struct {
	text   bool // the field has strings, which all share one allocation
	encode func(e *Encoder, m *store.Metadata)
	decode func(d *decoder, m *store.Metadata)
}{
	Active: {
		encode: func(e *Encoder, m *store.Metadata) { e.active(m.Active) },
		decode: func(d *decoder, m *store.Metadata) { m.Active = d.active() },
	},
	Children: {
		text:   true,
		encode: func(e *Encoder, m *store.Metadata) { e.children(m.Children) },
		decode: func(d *decoder, m *store.Metadata) { m.Children = d.children() },
	},
	Extra: {
		encode: func(e *Encoder, m *store.Metadata) { e.extra(m.Extra) },
		decode: func(d *decoder, m *store.Metadata) { m.Extra = d.extra() },
	},
	Manifest: {
		encode: func(e *Encoder, m *store.Metadata) { e.manifest(m.Manifest) },
		decode: func(d *decoder, m *store.Metadata) { m.Manifest = d.manifest() },
	},
	Peers: {
		text:   true,
		encode: func(e *Encoder, m *store.Metadata) { e.peers(m.Peers) },
		decode: func(d *decoder, m *store.Metadata) { m.Peers = d.peers() },
	},
	Reclaimed: {
		text:   true,
		encode: func(e *Encoder, m *store.Metadata) { e.reclaimed(m.Reclaimed) },
		decode: func(d *decoder, m *store.Metadata) { m.Reclaimed = d.reclaimed() },
	},
}
