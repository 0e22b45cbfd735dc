// Command gleand-client prints one line a mention: task ordinal start end label_index score_bits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"gleand"
	gleandv1 "gleand/v1"

	"google.golang.org/genproto/googleapis/rpc/code"
)

type options struct {
	server, labels, apiKeyFile, file string
	useTLS, showStats                bool
	security                         gleand.TLS
	timeout                          float64
}

func main() {
	var o options
	flag.StringVar(&o.server, "server", "127.0.0.1:50051", "`HOST:PORT`")
	flag.StringVar(&o.labels, "labels", "", "entities of these types (`NAME,...`)")
	flag.BoolVar(&o.useTLS, "tls", false, "with the authorities of the system")
	flag.StringVar(&o.security.CAFile, "ca", "", "authorities of the server's certificate (PEM `FILE`); implies --tls")
	flag.StringVar(&o.security.CertFile, "cert", "", "certificate of this client (PEM `FILE`)")
	flag.StringVar(&o.security.KeyFile, "key", "", "its private key (PEM `FILE`)")
	flag.StringVar(&o.apiKeyFile, "api-key-file", "", "`FILE` with the API key that the server asks for")
	flag.Float64Var(&o.timeout, "timeout", math.Inf(1), "ends all attempts (`SECONDS`)")
	flag.BoolVar(&o.showStats, "stats", false, "tell on stderr what it took")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: gleand-client --labels NAME,... [options] FILE    (- reads standard input, once)")
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.labels == "" || flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	o.file = flag.Arg(0)
	stats, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", explain(err))
	}
	if o.showStats {
		fmt.Fprintf(os.Stderr, "attempts=%d restarts=%d refused=%d parts=%d discards=%d instances=%s\n", stats.Attempts,
			stats.Restarts, stats.Refused, stats.Parts, stats.Discards, strings.Join(stats.Instances, ","))
	}
	if err != nil {
		os.Exit(1)
	}
}

func run(o options) (gleand.Stats, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.timeout < math.MaxInt64/float64(time.Second) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(o.timeout*float64(time.Second)))
		defer cancel()
	}
	client := gleand.Client{}
	if o.apiKeyFile != "" {
		key, err := os.ReadFile(o.apiKeyFile)
		if err != nil {
			return gleand.Stats{}, err
		}
		client.APIKey = strings.TrimSpace(string(key))
	}
	var security *gleand.TLS
	if o.useTLS || o.security != (gleand.TLS{}) {
		security = &o.security
	}
	conn, err := gleand.Dial(o.server, security)
	if err != nil {
		return gleand.Stats{}, err
	}
	defer conn.Close()
	client.Conn = conn

	task := &gleandv1.EntitiesTask{}
	for _, name := range strings.Split(o.labels, ",") {
		task.Labels = append(task.Labels, &gleandv1.Label{Name: name})
	}
	entities := &gleandv1.Task{Id: "entities", Kind: &gleandv1.Task_Entities{Entities: task}}
	source := gleand.File(o.file)
	if o.file == "-" {
		source = gleand.Reader(os.Stdin)
	}
	return client.Extract(ctx, &gleandv1.Config{Tasks: []*gleandv1.Task{entities}}, source, show)
}

// show prints to standard output itself, so that each line is out when it is printed.
func show(item gleand.Item) error {
	switch item := item.(type) {
	case gleand.Discard:
		_, err := fmt.Println("discard")
		return err
	case gleand.Event:
		for _, m := range item.GetMentions().GetMentions() {
			span := m.GetByteRange()
			if _, err := fmt.Printf("%s %d %d %d %d %08x\n", m.GetTaskId(), m.GetOrdinal(), span.GetStart(), span.GetEnd(),
				m.GetLabelIndex(), math.Float32bits(m.GetScore())); err != nil {
				return err
			}
		}
	}
	return nil
}

func explain(err error) string {
	var failed *gleand.Error
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s: %v", code.Code(failed.Status.Code()), failed)
	}
	return err.Error()
}
