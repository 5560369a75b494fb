package rib

// Summary is what the decision process and the packed answers need of a set. It
// is a copy.
type Summary struct {
	LocalPref, MED         uint32 // 100 and 0 where the set has none
	NeighborAS, OriginAS   uint32
	ASPath                 ASPathID
	PathLen                uint16 // RFC 4271 9.1.2.2, RFC 5065; 65535 stands for more
	Origin                 uint8
	HasLocalPref, HasMED   bool
	HasNeighbor, HasOrigin bool // of NeighborAS, OriginAS: false for an empty path, OriginAS of a final AS_SET
}

// Attrs interns attribute sets. Methods may be called by any goroutine.
type Attrs struct{}

// Intern returns the id of a set; ok is false when the tables are full: the routes are refused. canonical is copied where it is new.
func (a *Attrs) Intern(canonical []byte) (id AttrID, ok bool) { panic("first") }

// Bytes returns the canonical bytes of a set, in place: they stay for at least 10 minutes after its end. ok is false for an id that is not in use.
func (a *Attrs) Bytes(id AttrID) (canonical []byte, ok bool) { panic("first") }
func (a *Attrs) Summary(id AttrID) (s Summary, ok bool)      { panic("first") }

// ASPathBytes returns the value of an AS_PATH (4-octet segments), in place.
func (a *Attrs) ASPathBytes(id ASPathID) (value []byte, ok bool) { panic("first") }

// MaxSet and MaxASPath bound the ids in use (exclusive): sizes for bitmaps.
func (a *Attrs) MaxSet() AttrID                            { panic("first") }
func (a *Attrs) MaxASPath() ASPathID                       { panic("first") }
func (a *Attrs) Sets(yield func(AttrID, []byte) bool)      { panic("first") } // iter.Seq2
func (a *Attrs) ASPaths(yield func(ASPathID, []byte) bool) { panic("first") } // iter.Seq2
func (a *Attrs) Stats() AttrsStats                         { panic("first") }

type AttrsStats struct {
	Sets, ASPaths, Ended int    // ended: no longer in use, id not yet free
	SetBytes             uint64 // canonical bytes of the sets
	MemoryBytes          uint64 // all that the tables take
	Refused              uint64 // sets that the caps did not allow
}
