package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ribd/engine/api"
	"ribd/engine/config"
	"ribd/engine/metrics"
	"ribd/engine/mrt"
	"ribd/engine/store"
	"ribd/shard"
	"ribd/shard/rib"
)

// Load is a dump to load at start: a file, or - for standard input.
type Load struct {
	File, Collector string
}

// Options of an Engine. Config is required.
type Options struct {
	Config  *config.Config
	Version string
	Log     *slog.Logger // nil: slog.Default
	// Loads are loaded after those of the configuration.
	Loads []Load
	// Stdin is what a load of - reads; nil: os.Stdin.
	Stdin io.Reader
	// Strict makes a damaged or truncated dump an error.
	Strict bool
	// Reread reads the configuration again for a reload, the flags of the
	// command line over it; nil: there is nothing to read again.
	Reread func() (*config.Config, error)
	// Level is the level of Log, for a reload to change; may be nil.
	Level *slog.LevelVar
	// ReadyAfter is how long readiness waits for End-of-RIB of the configured
	// peers. 0: a minute.
	ReadyAfter time.Duration
}

// Engine is a running ribd.
type Engine struct {
	log     *slog.Logger
	started time.Time
	rib     *shard.RIB
	loader  *mrt.Loader
	server  *api.Server
	bgp     *bgp
	store   *store.Store // nil: nothing is kept
	metrics *metrics.Set
	memory  *memoryKeeper

	rereadFile func() (*config.Config, error)
	level      *slog.LevelVar
	readyAfter time.Duration

	addrs []net.Addr
	bound []net.Listener

	ctx    context.Context // of the loads
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ready  atomic.Bool // the start's loads are over
	heard  atomic.Bool // the peers have sent End-of-RIB, or had their time
	failed chan error  // the first error that ends the engine
	stop   sync.Once
}

// Start binds the listeners, opens the tables, serves and begins to load. When
// it returns without an error the API answers; see Ready for the loads.
func Start(o Options) (_ *Engine, err error) {
	cfg := o.Config
	if ps := cfg.Missing(); len(ps) > 0 {
		return nil, ps
	}
	e := &Engine{
		log: o.Log, started: time.Now(), failed: make(chan error, 1), metrics: metrics.New(),
		rereadFile: o.Reread, level: levelOf(o.Level, cfg), readyAfter: cmp.Or(o.ReadyAfter, time.Minute),
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	tokens, tlsConfig, err := secrets(cfg)
	if err != nil {
		return nil, err
	}
	files, err := loadList(cfg, o.Loads)
	if err != nil {
		return nil, err
	}
	listeners, err := listen(cfg.HTTP.Listen)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	if e.rib, err = shard.Open(ribOptions(cfg)); err != nil {
		return nil, err
	}
	e.memory = keepMemory(cfg.MemoryLimit, e.rib.SlabBytes, e.log)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.loader = mrt.New(e.rib, mrt.Options{Log: e.log, MaxQueued: len(files) + 256})
	if err = e.startSessions(cfg); err == nil {
		e.server, err = api.New(api.Options{
			RIB: e.rib, Metrics: e.metrics, Log: e.log, Version: o.Version, Started: e.started,
			Allow: cfg.HTTP.Allow, Tokens: tokens, TLS: tlsConfig,
			Loads: loads{e.ctx, e.loader, o.Strict}, Drop: e.drop, Ready: e.Ready,
			Peers: e.bgp, AdjOut: e.bgp.adjOut, Reload: e.Reload, ConfigDiff: e.configDiff,
			Flow:       e.bgp.flow,
			Announcing: api.Announcing{Origin: e.bgp.origin, Told: e.bgp.told, Preview: e.bgp.preview},
		})
	}
	if err == nil {
		e.serve(listeners)
		err = e.startLoads(files, o.Stdin, o.Strict)
	}
	if err != nil {
		e.Shutdown(context.Background())
		return nil, err
	}
	return e, nil
}

// startSessions opens what is kept from before, compiles the policies and starts
// the sessions.
func (e *Engine) startSessions(cfg *config.Config) (err error) {
	if cfg.PersistDir != "" {
		if e.store, err = store.Open(cfg.PersistDir); err != nil {
			return err
		}
	}
	s, err := newBGP(e.rib, e.log, cfg, e.store)
	if err != nil {
		return err
	}
	e.bgp = s
	e.metrics.Register(s.collect)
	if err = s.begin(); err != nil {
		return err
	}
	w := &peerWait{e: e, deferral: e.started.Add(restartTime(s.cfg))}
	w.end = e.started.Add(max(e.readyAfter, restartTime(s.cfg)))
	if !w.look() {
		e.wg.Go(w.run)
	}
	return nil
}

// peerWait waits until the configured peers have sent what they have, or had
// their time for it: for readiness, and after a restart to send them anything.
type peerWait struct {
	e             *Engine
	deferral, end time.Time
	released      bool
}

// look says whether there is nothing left to wait for.
func (w *peerWait) look() bool {
	now := time.Now()
	if _, defers := w.e.bgp.sessions.Deferring(); !w.released && (!defers || now.After(w.deferral)) {
		w.e.bgp.out.Release()
		w.released = true
	}
	if _, waits := w.e.bgp.sessions.Waiting(); !w.released || waits && !now.After(w.end) {
		return false
	}
	w.e.heard.Store(true)
	return true
}

func (w *peerWait) run() {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for !w.look() {
		select {
		case <-w.e.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// drop takes a peer of a dump away. The loader knows those that it brought.
func (e *Engine) drop(n rib.PeerNum) {
	if !e.loader.DropPeer(n) {
		e.rib.DropPeer(n)
	}
}

// feedSize is the changes that each shard keeps for those who follow: a peer's
// table may come in faster than they read. Up to 8 MB a shard, while somebody
// follows.
const feedSize = 1 << 17

// ribOptions bounds the tables by the memory limit, where one is configured:
// what is past a bound is refused and counted. The parts' shares come to more
// than the whole, since no two tables need them alike; past the sum of what
// fits, the collector's limit is what presses.
func ribOptions(cfg *config.Config) shard.Options {
	o := shard.Options{Shards: cfg.Shards, FeedSize: feedSize}
	if cfg.MemoryLimit > 0 {
		words := (cfg.MemoryLimit - min(cfg.MemoryLimit/2, leastHeap)) / 4
		o.MaxBlockWords = words / 10 * 7
		o.MaxTrieWords = words / 10 * 4
		o.MaxImageWords = words / 10 * 4
		o.MaxAttrWords = words / 10 * 5
	}
	return o
}

// secrets reads the files of tokens and TLS.
func secrets(cfg *config.Config) ([]api.Token, *tls.Config, error) {
	var tokens []api.Token
	for _, t := range cfg.HTTP.Tokens {
		b, err := os.ReadFile(t.SecretFile)
		if err != nil {
			return nil, nil, fmt.Errorf("http.tokens: %s: %w", t.Name, err)
		}
		secret := strings.TrimSpace(string(b))
		if secret == "" || strings.ContainsAny(secret, " \t\r\n") {
			return nil, nil, fmt.Errorf("http.tokens: %s: %s does not hold one token: one line without spaces", t.Name, t.SecretFile)
		}
		role, err := api.ParseRole(t.Role.String())
		if err != nil {
			return nil, nil, fmt.Errorf("http.tokens: %s: %w", t.Name, err)
		}
		tokens = append(tokens, api.Token{Name: t.Name, Role: role, Secret: secret})
	}
	if cfg.HTTP.TLS == nil {
		return tokens, nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.HTTP.TLS.Cert, cfg.HTTP.TLS.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("http.tls: %s and %s: %w", cfg.HTTP.TLS.Cert, cfg.HTTP.TLS.Key, err)
	}
	return tokens, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// loadList joins the files of the configuration and of the command line, and
// checks that they are there: a server that starts without its table because
// of a slip of the pen is worse than one that does not start.
func loadList(cfg *config.Config, more []Load) ([]Load, error) {
	var files []Load
	for _, l := range cfg.Load {
		files = append(files, Load{l.File, l.Collector})
	}
	files = append(files, more...)
	stdin := 0
	for _, f := range files {
		if f.File == "-" {
			if stdin++; stdin > 1 {
				return nil, errors.New("load: standard input can be loaded once")
			}
			continue
		}
		h, err := os.Open(f.File)
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
		st, err := h.Stat()
		h.Close()
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
		if st.IsDir() {
			return nil, fmt.Errorf("load: %s is a folder, not a file", f.File)
		}
	}
	return files, nil
}

// listen binds every address, or none.
func listen(addrs []config.Listen) (ls []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			ls = nil
		}
	}()
	for _, a := range addrs {
		var l net.Listener
		if a.Network == "unix" {
			l, err = api.ListenUnix(a.Address)
		} else {
			l, err = net.Listen("tcp", a.Address)
		}
		if err != nil {
			return ls, listenError(a, err)
		}
		ls = append(ls, &onceListener{Listener: l})
	}
	return ls, nil
}

// onceListener may be closed twice: by the server and, where the server had not
// begun with it when it was shut down, by the engine.
type onceListener struct {
	net.Listener
	once sync.Once
	err  error
}

func (l *onceListener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

func listenError(a config.Listen, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("api: %s is taken: another ribd, or another program, listens there; --http 127.0.0.1:0 takes a free port", a)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("api: %s: no right to listen there", a)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("api: %s: %w", a, err)
}

func (e *Engine) serve(listeners []net.Listener) {
	e.bound = listeners
	for _, l := range listeners {
		addr := l.Addr()
		e.addrs = append(e.addrs, addr)
		text := addr.String()
		if addr.Network() == "unix" {
			text = "unix:" + text
		}
		e.log.Info("listening", "api", "http", "addr", text)
		e.wg.Go(func() {
			if err := e.server.Serve(l); err != nil {
				e.fail(fmt.Errorf("api: %s: %w", text, err))
			}
		})
	}
}

// fail notes the error that ends the engine; the first one counts.
func (e *Engine) fail(err error) {
	select {
	case e.failed <- err:
	default:
	}
}

// Addrs returns the addresses that the API listens on, in the order of the
// configuration.
func (e *Engine) Addrs() []net.Addr { return e.addrs }

// BGPAddrs returns the addresses that BGP listens on now: none without an AS
// number.
func (e *Engine) BGPAddrs() []net.Addr { return e.bgp.sessions.Addrs() }

// Ready says whether the start is over, and if not what is waited for: the loads,
// and End-of-RIB from the configured peers for a while.
func (e *Engine) Ready() (ok bool, waits string) {
	switch {
	case !e.ready.Load():
		return false, "dumps are being loaded"
	case !e.heard.Load():
		return false, "peers have not sent End-of-RIB yet"
	}
	return true, ""
}

// Wait returns nil when ctx ends, or the error that the engine can't go on
// after. Shutdown is called after it.
func (e *Engine) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.failed:
		return err
	}
}

// Shutdown ends the engine: it stops listening, lets requests that run end
// until ctx is done, cancels the loads and gives the tables back.
func (e *Engine) Shutdown(ctx context.Context) error {
	var err error
	e.stop.Do(func() {
		e.cancel() // loads: a request that sends one can't end before it does
		if e.bgp != nil {
			e.bgp.shutdown(ctx)
		}
		if e.server != nil {
			if err = e.server.Shutdown(ctx); err != nil {
				err = fmt.Errorf("api: some connections were cut off: %w", err)
			}
		}
		for _, l := range e.bound {
			l.Close()
		}
		e.loader.Close()
		e.wg.Wait()
		e.memory.stop()
		if e.store != nil {
			e.store.Close()
		}
		if err == nil {
			e.rib.Close()
		}
		// After an error a handler may run still, and reads the tables: they
		// stay until the process ends.
	})
	return err
}
