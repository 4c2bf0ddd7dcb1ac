// Command ferretdb serves the MongoDB protocol from a folder of SQLite files, for tests on machines that cannot have
// MongoDB itself.
//
// FerretDB's own command cannot be installed as a module, since its build needs generated files; its embeddable package
// can.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	address := flag.String("address", "127.0.0.1:27017", "address to listen on")
	data := flag.String("data", ".", "existing folder for the databases")
	flag.Parse()

	// FerretDB takes the folder as a URI: a relative one needs no escapes, whatever the folder is called.
	if err := os.Chdir(*data); err != nil {
		log.Fatal(err)
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *address},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: "file:./",
	})
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
