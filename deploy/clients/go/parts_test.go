package gleand

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// refusal is an error as the server makes it. A duration under 0 is no RetryInfo.
func refusal(code codes.Code, reason string, wait time.Duration) error {
	st := status.New(code, "not now")
	if reason != "" {
		st, _ = st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "gleand.v1"})
	}
	if wait >= 0 {
		retry := &errdetails.RetryInfo{}
		// By reflection: the type of a duration is not the same in old and new libraries.
		delay := reflect.ValueOf(retry).Elem().FieldByName("RetryDelay")
		delay.Set(reflect.New(delay.Type().Elem()))
		delay.Elem().FieldByName("Seconds").SetInt(int64(wait / time.Second))
		delay.Elem().FieldByName("Nanos").SetInt(int64(wait % time.Second))
		st, _ = st.WithDetails(retry)
	}
	return st.Err()
}

func TestDelay(t *testing.T) {
	const none = -time.Second
	for _, c := range []struct {
		code     codes.Code
		reason   string
		retry    time.Duration
		pushback string
		number   int
		random   float64
		wait     time.Duration
		ok       bool
	}{
		{codes.Unavailable, "DRAINING", time.Second, "", 1, 0, time.Second, true},
		{codes.Unavailable, "DRAINING", time.Second, "", 1, 1, 1200 * time.Millisecond, true},
		{codes.Unavailable, "WARMING_UP", time.Second, "300", 1, 0, time.Second, true},
		{codes.Unavailable, "DRAINING", none, "300", 1, 0.5, 330 * time.Millisecond, true},
		{codes.Unavailable, "DRAINING", time.Second, "-1", 1, 0, 0, false},
		{codes.Unavailable, "DRAINING", none, "soon", 1, 0, 0, false},
		{codes.Unavailable, "", none, "", 1, 1, 200 * time.Millisecond, true},
		{codes.Unavailable, "", none, "", 3, 1, 800 * time.Millisecond, true},
		{codes.Unavailable, "", none, "", 3, 0.25, 200 * time.Millisecond, true},
		{codes.Unavailable, "", none, "", 9, 1, 10 * time.Second, true},
		{codes.ResourceExhausted, "QUEUE_FULL", 0, "", 1, 1, 0, true},
		{codes.ResourceExhausted, "RESULT_TOO_LARGE", none, "", 1, 0, 0, false},
		{codes.Unknown, "", none, "", 1, 1, 200 * time.Millisecond, true},
		{codes.Internal, "", none, "", 2, 1, 400 * time.Millisecond, true},
		{codes.Internal, "WORKER_FAILED", none, "", 1, 0, 0, false},
		{codes.InvalidArgument, "", none, "", 1, 0, 0, false},
		{codes.DeadlineExceeded, "DEADLINE_EXCEEDED", none, "", 1, 0, 0, false},
	} {
		trailer := metadata.MD{}
		if c.pushback != "" {
			trailer.Set("grpc-retry-pushback-ms", c.pushback)
		}
		wait, ok := newError(refusal(c.code, c.reason, c.retry), trailer).delay(c.number, func() float64 { return c.random })
		if ok != c.ok || (wait-c.wait).Round(time.Microsecond) != 0 {
			t.Errorf("%+v: %v %v", c, wait, ok)
		}
	}
}

func TestNoCodePointAndNoShortWordIsCut(t *testing.T) {
	long := strings.Repeat("x", wordBytesMax)
	for waiting, count := range map[string]int{
		"short":                0,
		"one two":              4,
		long:                   64,
		long + "é"[:1]:         64,
		long + "漢"[:2]:         64,
		long + "😀"[:3]:         64,
		long + "😀":             68,
		long + "é漢":            69,
		"one " + long + "\x80": 69,
	} {
		if got := (&once{waiting: []byte(waiting)}).words(); got != count {
			t.Errorf("%q: %d, not %d", waiting, got, count)
		}
	}
}
