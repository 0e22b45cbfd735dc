// Package gleand streams documents to a gleand server and goes on when a server is full, stops or breaks.
//
// A source that can be read twice (File, Bytes) is sent anew from byte 0 where the server is UNAVAILABLE or refuses with
// QUEUE_FULL, four times at most. What was handed to the caller is not handed out again as long as the server that goes on
// has the same fingerprint; with another one a Discard comes first: everything before it is void.
//
// A source that is read once (Reader) is sent once. A server that stops in order says so while it still reads: the document
// ends there, and the rest goes to the next server as a document of its own. A Part comes before its events; offsets and
// ordinals go on. Where the stream is cut instead, the error is ErrSourceLost.
package gleand

import (
	"context"
	"io"
	"math/rand"
	"sync"
	"time"

	gleandv1 "gleand/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// AttemptsMax is how often one document is sent at most.
const AttemptsMax = 4

// statusWait is how long the status may take to come after done, which is all that a caller wants.
const statusWait = 3 * time.Second

// Client sends documents over a connection. It holds nothing else, so that any number of documents may use it at once.
type Client struct {
	// Conn is made by Dial, or by the caller. Its own retries should be off: they know nothing of ordinals.
	Conn grpc.ClientConnInterface
	// APIKey is sent with each attempt unless it is empty.
	APIKey string
}

// Stats tells what a document took.
type Stats struct {
	Attempts  int      // streams opened
	Restarts  int      // of them, again after a failure
	Refused   int      // streams that failed before anything of the document was sent
	Parts     int      // further documents that a source which is read once became
	Discards  int      // restarts with another fingerprint
	Instances []string // who accepted, stream by stream
}

// Item is an Event, a Discard or a Part.
type Item interface{ item() }

// Event is an event of the server. Each part of a document ends with its own Done.
type Event struct{ *gleandv1.Event }

// Discard tells that everything handed out before is void: a server with another fingerprint goes on, from the start.
type Discard struct{ Fingerprint string }

// Part tells that what follows was read as a document of its own, which starts there in the whole input.
type Part struct {
	Number                   int
	Bytes, CodePoints, UTF16 int64
}

func (Event) item()   {}
func (Discard) item() {}
func (Part) item()    {}

// Extract sends a document and calls handle with each Item, in the caller's goroutine and in order. The server waits while
// handle runs. An error of handle ends the document and is returned as it is.
//
// The deadline of ctx ends all attempts together. Errors of the server are *Error; those of the source come as they are.
// The Stats are right also where there is an error.
func (c Client) Extract(ctx context.Context, config *gleandv1.Config, source Source, handle func(Item) error) (Stats, error) {
	var stats Stats
	src, err := source.open()
	if err != nil {
		return stats, err
	}
	defer src.close()
	if c.APIKey != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.APIKey)
	}
	d := &document{conn: c.Conn, config: config, source: src, handle: handle, stats: &stats, handed: newHanded()}
	for {
		if err := d.attempts(ctx); err != nil {
			if own, ok := err.(callersError); ok {
				err = own.error
			}
			return stats, err
		}
		place, more, err := src.nextPart(ctx, d.codePoints)
		if err != nil || !more {
			return stats, err
		}
		stats.Parts++
		place.Number = stats.Parts + 1
		d.handed.startPart(place)
		if err := handle(place); err != nil {
			return stats, err
		}
	}
}

// document is what the attempts at one document share.
type document struct {
	conn       grpc.ClientConnInterface
	config     *gleandv1.Config
	source     source
	handle     func(Item) error
	stats      *Stats
	handed     *handed
	codePoints int64 // of the last part, as the server counted them
}

// attempts sends one part, as often as it takes.
func (d *document) attempts(ctx context.Context) error {
	for number := 1; ; number++ {
		d.stats.Attempts++
		err := d.attempt(ctx)
		broken, ok := err.(*Error)
		if !ok {
			return err
		}
		wait, ok := broken.delay(number, rand.Float64)
		if !ok {
			return err
		}
		if d.source.sent() == 0 {
			d.stats.Refused++
		}
		if !d.source.canGoBack() {
			return broken.because(ErrSourceLost)
		}
		if number == AttemptsMax {
			return broken.because(ErrGaveUp)
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return broken.because(ErrGaveUp)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return newError(ctx.Err(), nil)
		case <-timer.C:
		}
		d.stats.Restarts++
		if err := d.source.goBack(); err != nil {
			return err
		}
	}
}

// attempt is one stream. A goroutine sends while this one receives, so that neither waits for ever. It has ended, and
// nothing touches the source any more, when attempt returns.
func (d *document) attempt(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := gleandv1.NewExtractionServiceClient(d.conn).ExtractStream(ctx)
	if err != nil {
		return newError(err, nil)
	}
	s := &sender{accepted: newFlag(), draining: newFlag(), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		if s.err = s.send(ctx, stream, d.config, d.source); s.err != nil {
			cancel() // the receiver waits for the server, which waits for the document
		}
	}()
	defer func() {
		cancel()
		<-s.ended
		// Where sending failed first, the stream's own error is only that it was cancelled.
		if _, ok := err.(*Error); ok && s.err != nil {
			err = s.err
		}
	}()
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return &Error{Status: status.New(codes.Unavailable, "the server ended the stream before the document was done")}
		}
		if err != nil {
			return newError(err, stream.Trailer())
		}
		event := response.GetEvent()
		switch kind := event.GetKind().(type) {
		case *gleandv1.Event_Ready:
			d.stats.Instances = append(d.stats.Instances, kind.Ready.GetInstance())
			if d.handed.goOn(kind.Ready.GetFingerprint()) {
				d.stats.Discards++
				if err := d.handle(Discard{kind.Ready.GetFingerprint()}); err != nil {
					return callersError{err}
				}
			}
			s.accepted.raise()
		case *gleandv1.Event_Draining:
			s.draining.raise()
		case *gleandv1.Event_Done:
			d.codePoints = kind.Done.GetCodepoints()
		}
		if d.handed.isNews(event) {
			if err := d.handle(Event{event}); err != nil {
				return callersError{err}
			}
		}
		if event.GetDone() != nil {
			bound := time.AfterFunc(statusWait, cancel)
			defer bound.Stop()
			stream.Recv() // nothing but the status comes after it
			return nil
		}
	}
}

// sender is the writing half of a stream.
type sender struct {
	accepted flag          // raised at ready
	draining flag          // raised at draining
	ended    chan struct{} // closed when err is set
	err      error
}

// flag is raised once, however often that is said.
type flag struct {
	raised chan struct{}
	once   *sync.Once
}

func newFlag() flag   { return flag{make(chan struct{}), new(sync.Once)} }
func (f flag) raise() { f.once.Do(func() { close(f.raised) }) }

// send sends the messages of one stream. Nothing is taken from the source before the server has accepted the document.
// It returns nil where the stream breaks: the receiver learns why.
func (s *sender) send(ctx context.Context, stream gleandv1.ExtractionService_ExtractStreamClient, config *gleandv1.Config,
	src source) error {
	if stream.Send(&gleandv1.ExtractStreamRequest{Kind: &gleandv1.ExtractStreamRequest_Config{Config: config}}) != nil {
		return nil
	}
	select {
	case <-s.accepted.raised:
	case <-ctx.Done():
		return nil
	}
	for {
		data, err := src.next(ctx, s.draining.raised)
		if ctx.Err() != nil {
			return nil
		}
		if err == errEndHere {
			if src.sent() == 0 { // another stream may have all of it
				return &Error{Status: status.New(codes.Unavailable, "the server stops, and was sent nothing yet")}
			}
			flush := &gleandv1.ExtractStreamRequest_Flush{Flush: &gleandv1.Flush{}}
			if stream.Send(&gleandv1.ExtractStreamRequest{Kind: flush}) != nil {
				return nil
			}
			break
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return callersError{err}
		}
		chunk := &gleandv1.ExtractStreamRequest_Chunk{Chunk: &gleandv1.Chunk{Data: data}}
		if stream.Send(&gleandv1.ExtractStreamRequest{Kind: chunk}) != nil {
			return nil
		}
	}
	total := &gleandv1.Finish_TotalBytes{TotalBytes: src.sent()}
	finish := &gleandv1.ExtractStreamRequest_Finish{Finish: &gleandv1.Finish{OptionalTotalBytes: total}}
	if stream.Send(&gleandv1.ExtractStreamRequest{Kind: finish}) != nil {
		return nil
	}
	stream.CloseSend() // its error is the receiver's, too
	return nil
}
