package gleand

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	gleandv1 "gleand/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const word = "Ann"

var text = strings.Repeat("😀 Ann and Bob met Ann. "+strings.Repeat("Nobody was there, é, 漢字 or not. ", 12), 500)

// turn is what the server does with one stream.
type turn struct {
	refuse      error  // before ready
	fingerprint string // of ready
	cutAt       int    // UNAVAILABLE once it has so many bytes
	drainAt     int    // draining once it has so many bytes; -1: at once
	noStatus    bool   // done, and nothing more as long as the client waits
}

// server finds a word. Each stream takes its turn, the last one for ever.
type server struct {
	gleandv1.UnimplementedExtractionServiceServer
	mutex   sync.Mutex
	turns   []turn
	streams int
}

func (s *server) ExtractStream(stream gleandv1.ExtractionService_ExtractStreamServer) error {
	s.mutex.Lock()
	now := s.turns[0]
	if len(s.turns) > 1 {
		s.turns = s.turns[1:]
	}
	s.streams++
	s.mutex.Unlock()
	if request, err := stream.Recv(); err != nil || request.GetConfig() == nil {
		return errors.New("no config")
	}
	if now.refuse != nil {
		return now.refuse
	}
	send := func(event *gleandv1.Event) { stream.Send(&gleandv1.ExtractStreamResponse{Event: event}) }
	send(&gleandv1.Event{Kind: &gleandv1.Event_Ready{Ready: &gleandv1.Ready{Fingerprint: now.fingerprint, Instance: "i"}}})
	var data []byte
	var ordinal int64
	searched, isDraining, isFlushed := 0, now.drainAt < 0, false
	if isDraining {
		send(&gleandv1.Event{Kind: &gleandv1.Event_Draining{Draining: &gleandv1.Draining{}}})
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		data = append(data, request.GetChunk().GetData()...)
		isFlushed = isFlushed || request.GetFlush() != nil
		for {
			at := bytes.Index(data[searched:], []byte(word))
			if at < 0 {
				break
			}
			send(mention(data, searched+at, ordinal))
			searched += at + len(word)
			ordinal++
		}
		if finish := request.GetFinish(); finish != nil {
			if finish.GetTotalBytes() != int64(len(data)) || isFlushed != isDraining || !utf8.Valid(data) {
				return status.Error(codes.InvalidArgument, "a wrong end")
			}
			send(&gleandv1.Event{Kind: &gleandv1.Event_Done{Done: &gleandv1.Done{Codepoints: int64(utf8.RuneCount(data))}}})
			if now.noStatus {
				<-stream.Context().Done()
			}
			return nil
		}
		if now.cutAt > 0 && len(data) >= now.cutAt {
			return refusal(codes.Unavailable, "DRAINING", 0)
		}
		if now.drainAt > 0 && len(data) >= now.drainAt && !isDraining {
			isDraining = true
			send(&gleandv1.Event{Kind: &gleandv1.Event_Draining{Draining: &gleandv1.Draining{}}})
		}
	}
}

func mention(data []byte, at int, ordinal int64) *gleandv1.Event {
	codePoints := utf8.RuneCount(data[:at])
	units := codePoints + bytes.Count(data[:at], []byte("😀"))
	span := func(start int) *gleandv1.Range {
		return &gleandv1.Range{Start: int64(start), End: int64(start + len(word))}
	}
	found := &gleandv1.Mention{TaskId: "t", Ordinal: ordinal, ByteRange: span(at), CodepointRange: span(codePoints),
		Utf16Range: span(units)}
	return &gleandv1.Event{Kind: &gleandv1.Event_Mentions{Mentions: &gleandv1.Mentions{Mentions: []*gleandv1.Mention{found}}}}
}

func serve(t *testing.T, turns ...turn) (Client, *server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service, host := &server{turns: turns}, grpc.NewServer()
	gleandv1.RegisterExtractionServiceServer(host, service)
	go host.Serve(listener)
	t.Cleanup(host.Stop)
	conn, err := Dial(listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return Client{Conn: conn}, service
}

// place is an ordinal and a start in bytes, code points and UTF-16 units.
type place [4]int64

func placeOf(m *gleandv1.Mention) place {
	return place{m.Ordinal, m.ByteRange.Start, m.CodepointRange.Start, m.Utf16Range.Start}
}

// read gives what a caller has at the end, and what came between.
func read(client Client, source Source, timeout time.Duration, onDraining ...func()) (places []place, between []Item,
	stats Stats, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	stats, err = client.Extract(ctx, &gleandv1.Config{}, source, func(item Item) error {
		switch item := item.(type) {
		case Discard:
			places, between = nil, append(between, item)
		case Part:
			between = append(between, item)
		case Event:
			for _, result := range item.Results() {
				places = append(places, placeOf(result.(*gleandv1.Mention)))
			}
			if item.GetDraining() != nil && onDraining != nil {
				onDraining[0]()
			}
		}
		return nil
	})
	return places, between, stats, err
}

func expected() (places []place) {
	for at := 0; ; at += len(word) {
		next := strings.Index(text[at:], word)
		if next < 0 {
			return places
		}
		at += next
		places = append(places, placeOf(mention([]byte(text), at, int64(len(places))).GetMentions().Mentions[0]))
	}
}

func mustEqual(t *testing.T, what string, got, want interface{}) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %.300v, not %.300v", what, got, want)
	}
}

func TestWhatWasCutIsSentAgainAndDroppedByOrdinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	full := turn{refuse: refusal(codes.ResourceExhausted, "QUEUE_FULL", time.Millisecond)}
	for _, source := range []Source{File(path), Bytes([]byte(text))} {
		client, _ := serve(t, full, turn{cutAt: 80_000}, turn{cutAt: 66_000}, turn{})
		places, between, stats, err := read(client, source, time.Minute)
		mustEqual(t, "error", err, nil)
		mustEqual(t, "places", places, expected())
		mustEqual(t, "between", len(between), 0)
		mustEqual(t, "stats", stats, Stats{Attempts: 4, Restarts: 3, Refused: 1, Instances: []string{"i", "i", "i"}})
	}
}

func TestAnotherFingerprintVoidsWhatWasHandedOut(t *testing.T) {
	client, _ := serve(t, turn{cutAt: 80_000}, turn{fingerprint: "abcd"})
	places, between, stats, err := read(client, Bytes([]byte(text)), time.Minute)
	mustEqual(t, "error", err, nil)
	mustEqual(t, "places", places, expected())
	mustEqual(t, "between", between, []Item{Discard{"abcd"}})
	mustEqual(t, "discards", stats.Discards, 1)
}

// gated is a source that stops at some bytes until it is let on, so that draining comes before its end.
type gated struct {
	text     string
	position int
	closed   []int
	gates    chan struct{}
}

func (g *gated) Read(buffer []byte) (int, error) {
	if len(g.closed) > 0 && g.closed[0] == g.position {
		<-g.gates
		g.closed = g.closed[1:]
	}
	end := len(g.text)
	if len(g.closed) > 0 {
		end = g.closed[0]
	}
	if g.position == len(g.text) {
		return 0, io.EOF
	}
	count := copy(buffer, g.text[g.position:end])
	g.position += count
	return count, nil
}

func TestDrainingMakesPartsOfWhatIsReadOnce(t *testing.T) {
	full := turn{refuse: refusal(codes.ResourceExhausted, "QUEUE_FULL", time.Millisecond)}
	client, _ := serve(t, turn{drainAt: 20_000}, full, turn{drainAt: 50_000}, turn{})
	source := &gated{text: text, closed: []int{30_000, 100_000}, gates: make(chan struct{}, 2)}
	places, between, stats, err := read(client, Reader(source), time.Minute, func() { source.gates <- struct{}{} })
	mustEqual(t, "error", err, nil)
	mustEqual(t, "places", places, expected())
	mustEqual(t, "stats", []int{stats.Attempts, stats.Parts, len(between)}, []int{4, 2, 2})
	for i, item := range between {
		part := item.(Part)
		mustEqual(t, "number", part.Number, i+2)
		mustEqual(t, "code points", part.CodePoints, int64(utf8.RuneCountInString(text[:part.Bytes])))
		if text[part.Bytes-1] != ' ' {
			t.Errorf("part %d starts within a word, at %d", part.Number, part.Bytes)
		}
	}
}

func TestDrainingBeforeAnythingWasSentLeavesAllToAnotherAttempt(t *testing.T) {
	client, _ := serve(t, turn{drainAt: -1}, turn{})
	source := &gated{text: text, closed: []int{0}, gates: make(chan struct{}, 1)}
	places, between, stats, err := read(client, Reader(source), time.Minute, func() { source.gates <- struct{}{} })
	mustEqual(t, "error", err, nil)
	mustEqual(t, "places", places, expected())
	mustEqual(t, "between", len(between), 0)
	mustEqual(t, "stats", stats, Stats{Attempts: 2, Restarts: 1, Refused: 1, Instances: []string{"i", "i"}})
}

func TestDrainingNeedNotWaitForTheSource(t *testing.T) {
	client, _ := serve(t, turn{drainAt: 4}, turn{})
	input, output := io.Pipe()
	go output.Write([]byte("Ann A"))
	var starts []int64
	_, err := client.Extract(context.Background(), &gleandv1.Config{}, Reader(input), func(item Item) error {
		if event, ok := item.(Event); ok {
			for _, found := range event.GetMentions().GetMentions() {
				starts = append(starts, found.ByteRange.Start)
			}
			if event.GetDone() != nil && len(starts) == 1 {
				go func() { output.Write([]byte("nn")); output.Close() }()
			}
		}
		return nil
	})
	mustEqual(t, "error", err, nil)
	mustEqual(t, "starts", starts, []int64{0, 4})
}

func TestErrors(t *testing.T) {
	full := turn{refuse: refusal(codes.ResourceExhausted, "QUEUE_FULL", 100*time.Millisecond)}
	client, service := serve(t, full)
	_, _, stats, err := read(client, Bytes([]byte(text)), time.Minute)
	mustEqual(t, "gave up, attempts, refused", []interface{}{errors.Is(err, ErrGaveUp), service.streams, stats.Refused},
		[]interface{}{true, 4, 4})
	client, service = serve(t, turn{refuse: refusal(codes.ResourceExhausted, "QUEUE_FULL", time.Minute)})
	_, _, _, err = read(client, Bytes([]byte(text)), 30*time.Second)
	mustEqual(t, "no time, attempts", []interface{}{errors.Is(err, ErrGaveUp), service.streams}, []interface{}{true, 1})

	client, _ = serve(t, turn{cutAt: 20_000})
	_, _, _, err = read(client, Reader(strings.NewReader(text)), time.Minute)
	var failed *Error
	if !errors.Is(err, ErrSourceLost) || !errors.As(err, &failed) || status.Code(err) != codes.Unavailable {
		t.Errorf("not lost: %v", err)
	}

	broken := errors.New("the disk")
	client, _ = serve(t, turn{})
	_, _, _, err = read(client, Reader(io.MultiReader(strings.NewReader("Ann "), iotest.ErrReader(broken))), time.Minute)
	mustEqual(t, "the source's error", err, broken)
	for _, now := range []turn{{}, {drainAt: 4}} {
		client, service := serve(t, now)
		silent, output := io.Pipe()
		go output.Write([]byte("Ann "))
		_, _, _, err = read(client, Reader(silent), 500*time.Millisecond)
		mustEqual(t, "the deadline, streams", []interface{}{errors.Is(err, context.DeadlineExceeded), service.streams},
			[]interface{}{true, 1})
	}
	_, err = client.Extract(context.Background(), &gleandv1.Config{}, Bytes([]byte(text)), func(Item) error { return broken })
	mustEqual(t, "the caller's error", err, broken)
}

func TestErrorsOfTheCallerAreNotThoseOfTheServer(t *testing.T) {
	other := &Error{Status: status.New(codes.Unavailable, "another call")}
	for _, before := range []string{"", "Ann "} {
		client, service := serve(t, turn{})
		source := Reader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(other)))
		_, _, _, err := read(client, source, time.Minute)
		mustEqual(t, "the source's error, streams", []interface{}{err, service.streams}, []interface{}{other, 1})
	}
	isDiscard := func(item Item) bool { _, ok := item.(Discard); return ok }
	for _, failsAt := range []func(Item) bool{func(Item) bool { return true }, isDiscard} {
		client, service := serve(t, turn{cutAt: 80_000}, turn{fingerprint: "abcd"})
		var streams int
		_, err := client.Extract(context.Background(), &gleandv1.Config{}, Bytes([]byte(text)), func(item Item) error {
			if streams == 0 && failsAt(item) {
				streams = service.streams
				return other
			}
			return nil
		})
		mustEqual(t, "the caller's error, streams", []interface{}{err, service.streams}, []interface{}{other, streams})
	}
}

func TestAStatusThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	client, _ := serve(t, turn{noStatus: true})
	start := time.Now()
	places, _, stats, err := read(client, Bytes([]byte(text)), 10*statusWait)
	mustEqual(t, "error, in time", []interface{}{err, time.Since(start) < 5*statusWait}, []interface{}{nil, true})
	mustEqual(t, "places", places, expected())
	mustEqual(t, "stats", stats, Stats{Attempts: 1, Instances: []string{"i"}})
}
