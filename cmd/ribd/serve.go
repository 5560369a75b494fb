package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"ribd/engine"
	"ribd/engine/config"
)

// drainTime is how long requests that run may take to end.
const drainTime = 15 * time.Second

// serveCommand runs the server. Flags win over the configuration file.
type serveCommand struct {
	Config string   `help:"Configuration file." type:"path" placeholder:"FILE"`
	Load   []string `help:"MRT dump to load at start, after those of the configuration; - is standard input. May repeat." sep:"none" placeholder:"FILE"`
	Strict bool     `help:"A damaged or truncated dump is an error."`
	HTTP   []string `name:"http" help:"Where the API listens, in place of http.listen: ADDRESS:PORT or unix:PATH. Port 0 takes a free one. May repeat." placeholder:"ADDR"`
	BGP    []string `name:"bgp" help:"Where BGP listens, in place of bgp.listen. May repeat." placeholder:"ADDR"`
}

// Run serves until a signal or an error.
func (c *serveCommand) Run(e *env) error {
	cfg, err := c.configuration()
	if err != nil {
		return err
	}
	status := &statusLine{out: e.errs}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := newLog(cfg.Log.Format, level, status)
	o := engine.Options{Config: cfg, Version: version, Log: log, Level: level, Stdin: e.in, Strict: c.Strict}
	if c.Config != "" {
		o.Reread = c.configuration
	}
	for _, f := range c.Load {
		o.Loads = append(o.Loads, engine.Load{File: f})
	}
	log.Info("ribd", "version", version, "pid", os.Getpid())

	// The first signal drains; the second one does not wait.
	ctx, stop := signal.NotifyContext(e.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1) // from here on SIGHUP ends nothing
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	eng, err := engine.Start(o)
	if err != nil {
		return err
	}
	go func() {
		for {
			select {
			case <-hup:
				eng.Reload(ctx) // what comes of it is in the log
			case <-ctx.Done():
				return
			}
		}
	}()
	done := make(chan struct{})
	if width, ok := terminal(e.errs); ok {
		go showProgress(ctx, done, eng, status, width)
	} else {
		close(done)
	}
	err = eng.Wait(ctx)
	if err == nil {
		log.Info("ending: requests that run have time to end", "limit", drainTime)
	}
	stop()
	<-done
	quit, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if serr := eng.Shutdown(quit); err == nil {
		err = serr
	}
	if err == nil {
		log.Info("ended")
	}
	return err
}

// configuration reads the file and puts the flags over it.
func (c *serveCommand) configuration() (*config.Config, error) {
	cfg := config.Default()
	if c.Config != "" {
		var err error
		if cfg, err = config.Load(c.Config); err != nil {
			return nil, err
		}
	}
	if len(c.HTTP) > 0 {
		cfg.HTTP.Listen = nil
	}
	for _, s := range c.HTTP {
		l, err := config.ParseListen(s)
		if err != nil {
			return nil, usageError("--http: " + err.Error())
		}
		cfg.HTTP.Listen = append(cfg.HTTP.Listen, l)
	}
	if len(c.BGP) > 0 {
		cfg.BGP.Listen = nil
	}
	for _, s := range c.BGP {
		l, err := config.ParseListen(s)
		if err == nil && l.Network != "tcp" {
			err = fmt.Errorf("%s: BGP listens on TCP only", s)
		}
		if err != nil {
			return nil, usageError("--bgp: " + err.Error())
		}
		cfg.BGP.Listen = append(cfg.BGP.Listen, l)
	}
	return cfg, nil
}

func newLog(format config.LogFormat, level slog.Leveler, out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// terminal returns how wide the terminal is that w writes to.
func terminal(w io.Writer) (width func() int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	return func() int {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 20 {
			return n - 1
		}
		return 79
	}, true
}

// showProgress keeps a line about the start's loads on the terminal until they
// are over.
func showProgress(ctx context.Context, done chan struct{}, eng *engine.Engine, s *statusLine, width func() int) {
	defer close(done)
	defer s.set("")
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if ok, _ := eng.Ready(); ok {
				return
			}
			s.set(eng.Progress(width()))
		}
	}
}
