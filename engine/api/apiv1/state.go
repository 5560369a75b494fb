package apiv1

import "time"

// Load is a dump that is being loaded, or was.
type Load struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"` // file, or "body"
	Collector      string     `json:"collector"`
	State          string     `json:"state"` // waiting, loading, done, failed, cancelled
	Error          *string    `json:"error"`
	StartedAt      *time.Time `json:"started_at"`
	FinishedAt     *time.Time `json:"finished_at"`
	Bytes          uint64     `json:"bytes"`       // read so far, as they came
	BytesTotal     *uint64    `json:"bytes_total"` // null: not known
	Records        uint64     `json:"records"`
	Routes         uint64     `json:"routes"` // paths announced
	Withdrawn      uint64     `json:"withdrawn"`
	Damaged        uint64     `json:"damaged"`
	DamagedRecords []Damage   `json:"damaged_records"` // the first of them
	Truncated      bool       `json:"truncated"`
	RoutesPerSec   float64    `json:"routes_per_second"`
	SecondsLeft    *float64   `json:"seconds_left"` // null: not known
}

// Damage is one record that could not be read.
type Damage struct {
	Offset uint64 `json:"offset"` // octets from the start of the decompressed file
	Reason string `json:"reason"`
}

// Loads answers GET /api/v1/loads, newest last.
type Loads struct {
	Loads []Load  `json:"loads"`
	Next  *string `json:"next"`
}

// LoadStarted answers POST /api/v1/load.
type LoadStarted struct {
	ID string `json:"id"`
}

// LoadFile is the JSON body of POST /api/v1/load: a file of the server.
type LoadFile struct {
	File      string `json:"file"`
	Collector string `json:"collector,omitempty"`
}

// Stats answers GET /api/v1/stats.
type Stats struct {
	Version       string            `json:"version"`
	StartedAt     time.Time         `json:"started_at"`
	UptimeSeconds float64           `json:"uptime_seconds"`
	Ready         bool              `json:"ready"`
	Prefixes      uint64            `json:"prefixes"`
	Paths         uint64            `json:"paths"`
	Families      []FamilyStats     `json:"families"`
	Peers         int               `json:"peers"`
	AttributeSets uint64            `json:"attribute_sets"`
	ASPaths       uint64            `json:"as_paths"`
	Memory        map[string]uint64 `json:"memory"` // bytes by part
	Shards        int               `json:"shards"`
	Views         int               `json:"views"` // open now
	Refused       uint64            `json:"refused"`
	Lookups       map[string]uint64 `json:"lookups"` // addresses asked for, by kind
	RIBVersion    string            `json:"rib_version"`
}

// FamilyStats counts one family, all its route distinguishers together.
type FamilyStats struct {
	Family   string `json:"family"`
	Prefixes uint64 `json:"prefixes"`
	Paths    uint64 `json:"paths"`
}
