package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"ribd/engine/api/apiv1"
	"ribd/engine/flow"
	"ribd/engine/metrics"
	"ribd/shard"
	"ribd/shard/rib"
)

// Loads is what loads dumps. All methods are for any goroutine.
type Loads interface {
	// Body begins to load what r gives, of size octets or -1 for not known, and
	// returns at once. r is read from another goroutine until done is closed; an
	// error of r ends the load as failed.
	Body(r io.Reader, size int64, collector string) (id string, done <-chan struct{}, err error)
	// File begins to load a file of the server, and returns at once. An error that
	// wraps fs.ErrNotExist or fs.ErrPermission is the caller's.
	File(path, collector string) (id string, err error)
	// List tells of all loads, oldest first.
	List() []apiv1.Load
	// Get tells of one.
	Get(id string) (apiv1.Load, bool)
}

// Options of a Server. RIB is required; the zero value of the rest is a server
// for loopback without tokens, loads or a notion of readiness.
type Options struct {
	RIB     *shard.RIB
	Metrics *metrics.Set // nil: its own
	Log     *slog.Logger // nil: slog.Default

	Version string    // of the program
	Started time.Time // of the program; zero: now

	Allow  []netip.Prefix // who may connect; none: loopback
	Tokens []Token        // none: changes by the Unix socket and loopback alone
	TLS    *tls.Config    // of TCP listeners; nil: plain

	Loads Loads // nil: POST load answers 501
	// Drop removes a peer that was loaded; it is asked only for peers of source mrt.
	// nil: RIB.DropPeer.
	Drop func(rib.PeerNum)
	// Peers runs the sessions; nil: there are none, and what would change them
	// answers 501.
	Peers Peers
	// AdjOut is what a peer is sent now, by its id; nil, or an answer of nil: it is
	// sent nothing.
	AdjOut func(peerID string) AdjOut
	// Announcing is of what is originated here; without Origin, announcing and what
	// it has announced answer 501.
	Announcing
	// Flow is the Flow Spec rules in order; nil: what asks for them answers 501.
	Flow *flow.Tables
	// Reload carries out the configuration file as it is now, ConfigDiff tells what
	// that would change; nil: 501.
	Reload     func(context.Context) (apiv1.Reload, error)
	ConfigDiff func(context.Context) (apiv1.ConfigDiff, error)
	// Ready says whether the start is over, and if not what it waits for. nil: ready.
	Ready func() (ok bool, waits string)

	CacheBytes   int           // rendered attribute sets; 0: 32 MiB
	ReadTimeout  time.Duration // for a request's head, and for each part of a body; 0: 30 s
	WriteTimeout time.Duration // for each part of an answer, 64 KiB at most; 0: 30 s
	IdleTimeout  time.Duration // between requests; 0: 2 minutes
	MaxConns     int           // connections at a time; 0: 16,384
	MaxStreams   int           // lists and batches at a time; past it 503; 0: 1,024
}

func (o *Options) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.ReadTimeout, 30*time.Second)
	def(&o.WriteTimeout, 30*time.Second)
	def(&o.IdleTimeout, 2*time.Minute)
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16384
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 1024
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Drop == nil {
		o.Drop = o.RIB.DropPeer
	}
}

// Server serves the API on any number of listeners. Its methods are for any
// goroutine.
type Server struct {
	opts     Options
	rib      *shard.RIB
	log      *slog.Logger
	metrics  *metrics.Set
	tokens   tokens
	http     *fasthttp.Server
	exact    map[string]*endpoint
	lookup   *endpoint // the one that has to be fast
	none     *metrics.Endpoint
	attrs    *attrCache
	peers    peerCache
	calls    sync.Pool
	streams  atomic.Int64
	onces    sync.Map     // Idempotency-Keys of requests that are being carried out
	previews atomic.Int32 // long lists that are shown as messages
	connsMu  sync.Mutex
	conns    map[net.Conn]bool             // all that are open
	lines    map[*fasthttp.RequestCtx]bool // requests whose bodies are lines
	stopping atomic.Bool

	shownTime time.Duration

	mu        sync.Mutex
	listeners []net.Listener
}

// New makes a server; Serve starts it.
func New(o Options) (*Server, error) {
	if o.RIB == nil {
		return nil, errors.New("api: no RIB is given")
	}
	o.defaults()
	t, err := newTokens(o.Tokens)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{opts: o, rib: o.RIB, log: o.Log, metrics: o.Metrics, tokens: t, attrs: newAttrCache(o.CacheBytes), shownTime: shownTime, conns: map[net.Conn]bool{}, lines: map[*fasthttp.RequestCtx]bool{}}
	s.none = s.metrics.Endpoint("none")
	s.exact = s.routes()
	s.lookup = s.exact["/api/v1/lookup/{address}"]
	s.metrics.Register(s.collect)
	s.http = &fasthttp.Server{
		Handler:           s.handle,
		ErrorHandler:      s.protocolError,
		ConnState:         s.connState,
		Name:              "ribd",
		Concurrency:       o.MaxConns,
		ReadTimeout:       o.ReadTimeout,
		WriteTimeout:      o.WriteTimeout,
		IdleTimeout:       o.IdleTimeout,
		ReadBufferSize:    16 << 10,
		WriteBufferSize:   8 << 10,
		StreamRequestBody: true,
		// With StreamRequestBody this bounds no body: it is how much of one is read
		// before the handler is called. Batches answer while they are being read, so
		// nothing is waited for.
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true,
		Logger:                       quiet{s.log},
	}
	return s, nil
}

// quiet takes what fasthttp logs: broken connections, of interest to nobody.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("http", "text", fmt.Sprintf(format, args...))
	}
}

// Serve takes connections from a listener until Shutdown, which makes it return
// nil. A TCP listener gets TLS where that is configured; addresses that may not
// connect are turned away. The listener is closed at the end.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	if s.stopping.Load() {
		return l.Close()
	}
	tcp := l.Addr().Network() != "unix"
	l = allowListener{l, s}
	if tcp && s.opts.TLS != nil {
		l = tls.NewListener(l, s.opts.TLS)
	}
	err := s.http.Serve(l)
	if s.stopping.Load() || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown stops listening, lets requests that run end, tells streams that they
// are cut off, and returns when all connections are closed or ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	s.mu.Lock()
	for _, l := range s.listeners {
		_ = l.Close() // fasthttp knows only those that it has begun to serve
	}
	s.listeners = nil
	s.mu.Unlock()
	ended := make(chan struct{})
	defer close(ended)
	go s.stopReading(ended)
	return s.http.ShutdownWithContext(ctx)
}

// Handler is the server without its listeners, for tests.
func (s *Server) Handler() fasthttp.RequestHandler { return s.handle }

// ListenUnix listens on a Unix socket that its owner and group may use, in place
// of one that a server left behind when it died.
func ListenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another server answers there", path)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// listenUnix makes the socket in a folder of its own first, so that nobody can
// connect before its mode is set.
func listenUnix(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(dirOf(path), ".ribd-")
	if err != nil {
		return net.Listen("unix", path)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tmp := dir + "/s"
	l, err := net.Listen("unix", tmp)
	if err != nil { // the name may be too long for a socket
		return net.Listen("unix", path)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return l, nil
	}
	u.SetUnlinkOnClose(false)
	if err := os.Chmod(tmp, 0o660); err == nil {
		err = os.Rename(tmp, path)
		if err == nil {
			return unixListener{u, path}, nil
		}
	}
	_ = l.Close()
	return net.Listen("unix", path)
}

// unixListener removes its socket's name at the end.
type unixListener struct {
	*net.UnixListener
	path string
}

func (l unixListener) Close() error {
	err := l.UnixListener.Close()
	_ = os.Remove(l.path)
	return err
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	} else if i == 0 {
		return "/"
	}
	return "."
}

// call is the working memory of one request, reused from request to request.
type call struct {
	s       *Server
	ctx     *fasthttp.RequestCtx
	rd      *shard.Reader
	q       query
	arg     []byte // the variable part of the path
	filter  filter
	keep    func(*rib.Path) bool // filter.keep, bound once
	paths   []rib.Path
	buf     []byte
	in      []byte // part of a body
	text    []byte // arg, where it had escapes
	now     uint32 // of the request, in seconds since 1970
	packed  packedBatch
	flow    *flowMatcher    // nil: it has matched no packet yet
	holds   bool            // a stream goes on after the handler
	counted bool            // in s.streams
	reads   bool            // in s.lines
	until   <-chan struct{} // another goroutine reads the body until it is closed
}

func (s *Server) acquire(ctx *fasthttp.RequestCtx) *call {
	c, _ := s.calls.Get().(*call)
	if c == nil {
		c = &call{s: s, rd: s.rib.NewReader()}
		c.filter.init(s.rib)
		c.keep = c.filter.keep
		// The pool may drop a call at any collection: its reader goes with it.
		runtime.AddCleanup(c, func(rd *shard.Reader) { rd.Close() }, c.rd)
	}
	c.ctx = ctx
	c.holds = false
	return c
}

// maxKept bounds the buffers that a call keeps for its next request.
const maxKept = 256 << 10

func (s *Server) release(c *call) {
	c.leave()
	c.ctx, c.arg = nil, nil
	if cap(c.buf) > maxKept {
		c.buf = nil
	}
	if cap(c.in) > maxKept {
		c.in = nil
	}
	if cap(c.paths) > 4096 {
		c.paths = nil
	}
	c.filter.release()
	if c.flow != nil { // so that rules which have gone go
		c.flow.rules4, c.flow.rules6 = nil, nil
	}
	s.calls.Put(c)
}

// leave ends what the server knows of a request.
func (c *call) leave() {
	if c.counted {
		c.s.streams.Add(-1)
		c.counted = false
	}
	if c.reads {
		c.s.connsMu.Lock()
		delete(c.s.lines, c.ctx)
		c.s.connsMu.Unlock()
		c.reads = false
	}
}

// bug logs a panic, and leaves the call, which may be in any state: it is not used
// again.
func (c *call) bug(r any) {
	c.logBug(r)
	c.leave()
}

func (c *call) logBug(r any) {
	c.s.log.Error("BUG: a request failed", "path", shown(c.ctx.Path()), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}

// stream counts a request among those that may run long, or refuses it.
func (c *call) stream() *problem {
	if c.s.streams.Add(1) > int64(c.s.opts.MaxStreams) {
		c.s.streams.Add(-1)
		c.s.metrics.Overload.Inc()
		return overload("too many lists and batches are being answered: try again")
	}
	c.counted = true
	return nil
}

func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	start := time.Now()
	m := s.none
	c := s.acquire(ctx)
	c.now = uint32(start.Unix())
	defer func() {
		if r := recover(); r != nil {
			c.bug(r)
			(&problem{status: fasthttp.StatusInternalServerError, detail: "this is a bug of ribd; its log tells more"}).write(ctx)
			m.Done(fasthttp.StatusInternalServerError, time.Since(start))
			return
		}
		m.Done(ctx.Response.StatusCode(), time.Since(start))
		if !c.holds {
			s.release(c)
		}
	}()
	e, p := s.dispatch(c)
	if e != nil {
		m = e.metrics
	}
	if p != nil {
		p.write(ctx)
	}
}

// protocolError answers what fasthttp could not read as a request.
func (s *Server) protocolError(ctx *fasthttp.RequestCtx, err error) {
	p := &problem{status: fasthttp.StatusBadRequest, detail: "this is not an HTTP request that ribd can read"}
	var small *fasthttp.ErrSmallBuffer
	var op *net.OpError
	switch {
	case errors.As(err, &small):
		p.status, p.detail = fasthttp.StatusRequestHeaderFieldsTooLarge, "the head of the request is over 16 KiB"
	case errors.As(err, &op) && op.Timeout():
		p.status, p.detail = fasthttp.StatusRequestTimeout, "the request did not come in time"
	}
	p.write(ctx)
	s.none.Done(p.status, 0)
}
