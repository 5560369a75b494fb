package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

var slogLevels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// Missing lists the files that the configuration names and that can't be
// opened: a warning for a check, an error for a server.
func (c *Config) Missing() Problems {
	var ps Problems
	for _, f := range c.named {
		text := ""
		switch st, err := os.Stat(f.path); {
		case errors.Is(err, fs.ErrNotExist):
			text = fmt.Sprintf("%s: no file %s", f.key, f.path)
		case err != nil:
			text = fmt.Sprintf("%s: %v", f.key, err)
		case st.IsDir():
			text = fmt.Sprintf("%s: %s is a folder, not a file", f.key, f.path)
		default:
			continue
		}
		ps = append(ps, Problem{c.File, f.line, f.col, text})
	}
	ps.sort()
	return ps
}
