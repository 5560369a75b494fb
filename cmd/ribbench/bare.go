package main

import (
	"os"
	"os/signal"
	"syscall"

	"ribd/internal/benchkit"
)

type bareCommand struct {
	Answers string `arg:"" type:"existingfile"`
}

// Run serves until it is told to stop.
func (c *bareCommand) Run() error {
	a, err := benchkit.ReadAnswers(c.Answers)
	if err != nil {
		return err
	}
	signals, stop := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		close(stop)
	}()
	return benchkit.ServeBare(a, os.Stdout, stop)
}
