package config

import (
	"log/slog"
	"net/netip"
	"time"

	"ribd/wire"
)

// Config is a whole configuration file, checked, with the defaults filled in.
type Config struct {
	// File is the name that the file was read by, "" for the defaults alone.
	File string
	// AS is this router's AS number; without one (0) no session starts.
	AS uint32
	// RouterID is this router's BGP identifier, invalid where none is set.
	RouterID netip.Addr
	// ClusterID is this route reflector's cluster (RFC 4456); the router id
	// unless set.
	ClusterID netip.Addr
	// Shards is the number of shards, 0 for one a core that Go may use.
	Shards int
	// MemoryLimit is the limit of all memory in octets, slabs included; 0 is
	// what the control group or the machine gives.
	MemoryLimit uint64
	Log         Log
	Shutdown    Shutdown
	HTTP        HTTP
	BGP         BGP
	// Load holds the dumps to load, in this order.
	Load []Dump
	// PersistDir is the folder of what survives a restart, "" for none.
	PersistDir   string
	PeerDefaults PeerSettings
	Groups       map[string]PeerSettings
	Peers        []Peer
	Policies     map[string]Policy
	PrefixSets   map[string][]PrefixRange
	Guards       Guards
	Blackhole    Blackhole

	named  []fileRef // files that the file names
	values []value   // all that the file says, key by key
}

// fileRef is a file that a key names.
type fileRef struct {
	key, path string
	line, col int
}

// Log is how the daemon logs.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// HTTP is the API's server.
type HTTP struct {
	Listen []Listen
	Tokens []Token
	// TLS is nil where the API speaks plain HTTP.
	TLS *TLS
	// Allow holds who may connect over TCP; loopback unless set.
	Allow []netip.Prefix
}

// BGP is the transport of sessions.
type BGP struct {
	Listen []Listen
}

// Listen is one address to listen on.
type Listen struct {
	// Network is "tcp" or "unix".
	Network string
	// Address is host:port or the path of a socket.
	Address string
}

// String returns the address as it is written in the file.
func (l Listen) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Address
	}
	return l.Address
}

// Token is a bearer token of the API. The secret stays in its file.
type Token struct {
	Name       string
	Role       Role
	SecretFile string
}

// TLS names the files of a certificate and its key, in PEM.
type TLS struct {
	Cert, Key string
}

// Dump is a dump to load at start.
type Dump struct {
	File      string
	Collector string
}

// PeerSettings is what a peer may inherit from its group and from
// peer_defaults.
type PeerSettings struct {
	AS           ASSet
	LocalAS      LocalAS
	LocalAddress netip.Addr
	Port         uint16
	Mode         Mode
	HoldTime     time.Duration
	SendHoldTime time.Duration // RFC 9687, 0 is off
	ConnectRetry time.Duration // between attempts to connect, before jitter and back-off
	DelayOpen    time.Duration // before our OPEN, 0 is off (RFC 4271 section 8.1.1)
	// AdvertisementInterval is the least time between two rounds of changes to
	// this peer (RFC 4271 section 9.2.1.1), 0 is off.
	AdvertisementInterval time.Duration
	Families              []wire.Family
	AddPath               AddPath
	ExtendedMessages      bool
	ExtendedNextHop       bool
	GracefulRestart       GracefulRestart
	LocalRole             SessionRole
	RoleStrict            bool
	MD5File               string
	TTLSecurity           uint8 // hops, RFC 5082; 0 is off
	Multihop              uint8 // the TTL to send with; 0 is off
	MaxPrefixes           map[wire.Family]MaxPrefixes
	EnforceFirstAS        bool
	AllowOwnAS            uint8
	RemovePrivateAS       bool
	NextHop               NextHop
	RouteServer           bool // route_server_client
	RouteReflector        bool // route_reflector_client
	RejectASSets          bool // RFC 9774
	FlowSpec              FlowSpecValidation
	FlowSpecRedirect      FlowSpecRedirect
	Import, Export        string // a policy's name, accept-all, reject-all, or "" for the default of RFC 8212
}

// Peer is one configured peer or range of peers.
type Peer struct {
	// Address is the peer's, invalid for a range.
	Address netip.Addr
	// Prefix is the range that any peer may come from, invalid for one peer.
	Prefix      netip.Prefix
	Name        string
	Description string
	Group       string
	// MaxPeers bounds the sessions of a range; 0 is no bound.
	MaxPeers int
	PeerSettings
}

// ASSet is the AS numbers that a peer may have.
type ASSet struct {
	Any     bool
	Numbers []uint32
}

// LocalAS is the AS number that one peer sees us as.
type LocalAS struct {
	AS        uint32 // 0: the router's own
	NoPrepend bool
	ReplaceAS bool
}

// AddPath is what is asked of Add-Path (RFC 7911), for all families of a
// session or for some by name.
type AddPath struct {
	Receive  bool
	Send     AddPathSend
	ByFamily map[wire.Family]FamilyAddPath
}

// FamilyAddPath is AddPath for one family.
type FamilyAddPath struct {
	Receive bool
	Send    AddPathSend
}

// AddPathSend is how many paths of a prefix are sent: 0 is off (the best one
// alone), AddPathAll is all, any other number is that many of the best.
type AddPathSend uint16

// AddPathAll sends every path.
const AddPathAll AddPathSend = 65535

// GracefulRestart is RFC 4724, 8538 and 9494.
type GracefulRestart struct {
	Enabled       bool
	RestartTime   time.Duration
	HelperOnly    bool
	Notification  bool
	LLGRStaleTime time.Duration
}

// MaxPrefixes bounds the prefixes of a family, counted before policy.
type MaxPrefixes struct {
	Warn, Limit  uint32
	Action       LimitAction
	RestartAfter time.Duration
}

// Policy is an ordered list of terms; what reaches its end is rejected.
type Policy []Term

// Term is one condition and what to do where it holds.
type Term struct {
	// If is the condition as written, "" where the term always holds.
	If     string
	Then   Actions
	Line   int
	IfLine int
	IfCol  int
	// IfSource is the file from (IfLine, IfCol) on: the condition as it is
	// written there, quotes and all, and what follows it.
	IfSource string
	Verdict  Verdict
}

// Actions changes a route.
type Actions struct {
	LocalPref, MED                    *uint32
	NextHop                           netip.Addr
	AddCommunities, RemoveCommunities []wire.CommunityMatch
	AddLarge, RemoveLarge             []wire.LargeMatch
	AddExtended, RemoveExtended       []wire.ExtMatch
	PrependAS                         uint32
	PrependTimes                      uint8
}

// PrefixRange is a prefix and the lengths below it that count.
type PrefixRange struct {
	Prefix   netip.Prefix
	Min, Max uint8
}

// Guards holds for every blackhole route and filtering rule that is
// originated here.
type Guards struct {
	Protected          []netip.Prefix
	MinLength4         uint8
	MinLength6         uint8
	MaxRules           int           // 0 is no bound
	MaxRulesPerPeer    int           // 0 is no bound
	MaxTTL, DefaultTTL time.Duration // 0 is no bound, and no end
}

// Blackhole is how blackhole routes are made (RFC 7999).
type Blackhole struct {
	NextHop4, NextHop6 netip.Addr
	Communities        []wire.CommunityMatch
}

// Default returns the configuration of no file: loopback, an empty table.
func Default() *Config {
	return &Config{
		Log:          Log{Level: slog.LevelInfo},
		HTTP:         HTTP{Listen: []Listen{{"tcp", "127.0.0.1:8080"}}, Allow: loopback()},
		BGP:          BGP{Listen: []Listen{{"tcp", "127.0.0.1:1790"}}},
		PeerDefaults: defaultPeer(),
		Guards:       Guards{MinLength4: 24, MinLength6: 48, MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour},
	}
}

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func defaultPeer() PeerSettings {
	return PeerSettings{
		Port:             179,
		HoldTime:         90 * time.Second,
		SendHoldTime:     8 * time.Minute,
		ConnectRetry:     120 * time.Second,
		Families:         []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast},
		AddPath:          AddPath{Receive: true},
		ExtendedMessages: true,
		GracefulRestart:  GracefulRestart{Enabled: true, RestartTime: 120 * time.Second, HelperOnly: true, Notification: true},
		EnforceFirstAS:   true,
		RejectASSets:     true,
	}
}
