package gleand

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	// ErrSourceLost is where the stream was cut, and what was sent cannot be read again.
	ErrSourceLost = errors.New("the stream was cut, and its source cannot be read twice")
	// ErrGaveUp is where there is no attempt left, or no time for one.
	ErrGaveUp = errors.New("gave up")
)

const (
	backoffFirst = 200 * time.Millisecond
	backoffMax   = 10 * time.Second
	// A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
	toldJitter = 0.2
	// More than anybody waits, and well within a time.Duration.
	toldMax = 365 * 24 * time.Hour
)

// Error is how the last stream ended. errors.Is knows ErrSourceLost, ErrGaveUp, context.DeadlineExceeded and
// context.Canceled; status.FromError knows the rest.
type Error struct {
	Status *status.Status
	// Reason is a name of ErrorReason without its prefix; empty where the error is none of the server's.
	Reason string

	trailer metadata.MD
	kind    error // ErrSourceLost, ErrGaveUp or nil
}

// callersError is an error of the source or of handle. It may be an *Error itself, of another call, and is no reason for another
// attempt then.
type callersError struct{ error }

func newError(err error, trailer metadata.MD) *Error {
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	e := &Error{Status: st, trailer: trailer}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			e.Reason = info.GetReason()
		}
	}
	return e
}

func (e *Error) because(kind error) *Error {
	return &Error{Status: e.Status, Reason: e.Reason, trailer: e.trailer, kind: kind}
}

// Error says which of the two it is, if one, and what the server said.
func (e *Error) Error() string {
	if e.kind == nil {
		return e.Status.Message()
	}
	return e.kind.Error() + ": " + e.Status.Message()
}

// GRPCStatus is for status.FromError.
func (e *Error) GRPCStatus() *status.Status { return e.Status }

// Is is for errors.Is.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Status.Code() == codes.DeadlineExceeded
	case context.Canceled:
		return e.Status.Code() == codes.Canceled
	}
	return e.kind != nil && target == e.kind
}

// delay tells how long to wait after the attempt of that number; false where another attempt would be of no use.
func (e *Error) delay(number int, random func() float64) (time.Duration, bool) {
	switch code := e.Status.Code(); {
	case code == codes.Unavailable:
	case code == codes.ResourceExhausted && e.Reason == "QUEUE_FULL":
	case (code == codes.Unknown || code == codes.Internal) && e.Reason == "":
		// Every error of the server has a reason: without one the connection broke.
	default:
		return 0, false
	}
	told := -1.0 // milliseconds
	if pushback := e.trailer.Get("grpc-retry-pushback-ms"); len(pushback) > 0 {
		// What is no number from 0 asks for no further attempt.
		wait, err := strconv.ParseUint(pushback[len(pushback)-1], 10, 32)
		if err != nil {
			return 0, false
		}
		told = float64(wait)
	}
	for _, detail := range e.Status.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			wait := retry.GetRetryDelay()
			told = float64(wait.GetSeconds())*1e3 + float64(wait.GetNanos())/1e6
		}
	}
	if told >= 0 {
		told = math.Min(told*(1+toldJitter*random()), float64(toldMax/time.Millisecond))
		return time.Duration(told * float64(time.Millisecond)), true
	}
	wait := backoffFirst << (number - 1)
	if wait > backoffMax {
		wait = backoffMax
	}
	return time.Duration(random() * float64(wait)), true
}
