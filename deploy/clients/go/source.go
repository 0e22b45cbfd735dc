package gleand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

const (
	chunkBytes = 64 << 10
	// A word whose end is not known yet is held back, so that a document may end wherever it was sent to; a longer one is not.
	wordBytesMax = 64
)

// Source is where a document comes from: File, Bytes or Reader.
type Source struct{ open func() (source, error) }

// File is a file, which is read again for a further attempt and must not change meanwhile.
func File(path string) Source {
	return Source{func() (source, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		return &again{reader: file, file: file, info: info}, nil
	}}
}

// Bytes are sent as they are. They must not change before Extract returns.
func Bytes(data []byte) Source {
	return Source{func() (source, error) { return &again{reader: bytes.NewReader(data)}, nil }}
}

// Reader is read once, in a goroutine of its own and at most two pieces ahead. A Read that has begun when Extract returns
// goes on, and what it reads is lost.
func Reader(reader io.Reader) Source {
	return Source{func() (source, error) { return &once{reader: reader, stop: make(chan struct{})}, nil }}
}

// errEndHere asks that the document end where it was sent to.
var errEndHere = errors.New("the server stops")

// source is used by one goroutine at a time.
type source interface {
	// next is what to send next; io.EOF at the end.
	next(ctx context.Context, draining <-chan struct{}) ([]byte, error)
	// sent is how many bytes next gave since the part began.
	sent() int64
	canGoBack() bool
	goBack() error
	// nextPart waits until there is anything of a further part. It is told how many code points the last one had.
	nextPart(ctx context.Context, codePoints int64) (place Part, more bool, err error)
	close()
}

// again is a file or bytes.
type again struct {
	reader io.ReadSeeker
	file   *os.File // nil for bytes
	info   os.FileInfo
	count  int64
}

// next has no use for draining: the document goes on here, or is sent anew elsewhere.
func (a *again) next(context.Context, <-chan struct{}) ([]byte, error) {
	buffer := make([]byte, chunkBytes) // the message that holds it may outlive Send
	count, err := io.ReadFull(a.reader, buffer)
	a.count += int64(count)
	if count > 0 && err == io.ErrUnexpectedEOF {
		err = nil
	}
	return buffer[:count], err
}

func (a *again) sent() int64     { return a.count }
func (a *again) canGoBack() bool { return true }

func (a *again) goBack() error {
	a.count = 0
	if a.file != nil {
		info, err := a.file.Stat()
		if err != nil {
			return err
		}
		if info.Size() != a.info.Size() || !info.ModTime().Equal(a.info.ModTime()) {
			return fmt.Errorf("%s has changed since it was read first", a.file.Name())
		}
	}
	_, err := a.reader.Seek(0, io.SeekStart)
	return err
}

func (a *again) nextPart(context.Context, int64) (Part, bool, error) { return Part{}, false, nil }

func (a *again) close() {
	if a.file != nil {
		a.file.Close()
	}
}

// once is a reader. A goroutine reads ahead, so that draining need not wait for it.
type once struct {
	reader  io.Reader
	pieces  chan []byte // nil until something is taken; closed at the end
	readErr error       // why it ended, once pieces is closed; nil at the end of the input
	stop    chan struct{}

	waiting []byte
	ended   bool
	count   int64
	astral  int64 // code points of this part that have two UTF-16 units
	place   Part  // where this part starts
}

func (o *once) read() {
	defer close(o.pieces)
	buffer := make([]byte, chunkBytes)
	for {
		count, err := o.reader.Read(buffer)
		if count > 0 {
			select {
			case o.pieces <- append([]byte(nil), buffer[:count]...):
			case <-o.stop:
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				o.readErr = err
			}
			return
		}
	}
}

// fill waits for one piece, or for what comes first.
func (o *once) fill(ctx context.Context, draining <-chan struct{}) error {
	if o.pieces == nil {
		o.pieces = make(chan []byte)
		go o.read()
	}
	select {
	case piece, ok := <-o.pieces:
		o.waiting = append(o.waiting, piece...)
		o.ended = !ok
		return nil
	case <-draining:
		return errEndHere
	case <-ctx.Done():
		return newError(ctx.Err(), nil)
	}
}

// next gives whole words.
func (o *once) next(ctx context.Context, draining <-chan struct{}) ([]byte, error) {
	for {
		select {
		case <-draining:
			return nil, errEndHere
		default:
		}
		if count := o.words(); count > 0 {
			chunk := append([]byte(nil), o.waiting[:count]...)
			o.waiting = append(o.waiting[:0], o.waiting[count:]...)
			o.count += int64(count)
			o.astral += astral(chunk)
			return chunk, nil
		}
		if o.ended && o.readErr != nil {
			return nil, o.readErr
		}
		if o.ended {
			return nil, io.EOF
		}
		if err := o.fill(ctx, draining); err != nil {
			return nil, err
		}
	}
}

// words is how many bytes may go, so that a document may end behind them.
func (o *once) words() int {
	text := o.waiting
	if len(text) > chunkBytes {
		text = text[:chunkBytes]
	} else if o.ended {
		return len(text)
	}
	for end := len(text); end > 0 && end > len(text)-wordBytesMax; end-- {
		switch text[end-1] {
		case ' ', '\t', '\n', '\r', '\f':
			return end
		}
	}
	if len(text) < wordBytesMax {
		return 0
	}
	// A code point that is not whole yet: one to three bytes from its first one on.
	for count := 1; count < utf8.UTFMax; count++ {
		if tail := text[len(text)-count:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(text) - count
			}
			break
		}
	}
	return len(text)
}

func astral(text []byte) (count int64) {
	for len(text) > 0 {
		_, size := utf8.DecodeRune(text)
		if size == utf8.UTFMax {
			count++
		}
		text = text[size:]
	}
	return count
}

func (o *once) sent() int64     { return o.count }
func (o *once) canGoBack() bool { return o.count == 0 }
func (o *once) goBack() error   { return nil } // nothing was sent: all of it still waits

func (o *once) nextPart(ctx context.Context, codePoints int64) (Part, bool, error) {
	for len(o.waiting) == 0 && !o.ended {
		if err := o.fill(ctx, nil); err != nil {
			return Part{}, false, err
		}
	}
	if len(o.waiting) == 0 {
		return Part{}, false, o.readErr
	}
	o.place.Bytes += o.count
	o.place.CodePoints += codePoints
	o.place.UTF16 += codePoints + o.astral
	o.count, o.astral = 0, 0
	return o.place, true, nil
}

func (o *once) close() { close(o.stop) }
