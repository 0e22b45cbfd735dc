package gleand

import gleandv1 "gleand/v1"

// Result is a mention, relation, answer, class or span of a summary.
type Result interface {
	GetTaskId() string
	GetOrdinal() int64
	GetScore() float32
}

// Results are the results that an event tells, in order; none where it tells something else.
func (e Event) Results() []Result {
	switch kind := e.GetKind().(type) {
	case *gleandv1.Event_Mentions:
		return listed(kind.Mentions.GetMentions())
	case *gleandv1.Event_Relations:
		return listed(kind.Relations.GetRelations())
	case *gleandv1.Event_Answers:
		return listed(kind.Answers.GetAnswers())
	case *gleandv1.Event_Classes:
		return listed(kind.Classes.GetClasses())
	case *gleandv1.Event_Summary:
		return listed(kind.Summary.GetSpans())
	}
	return nil
}

func listed[R Result](list []R) []Result {
	results := make([]Result, len(list))
	for i, result := range list {
		results[i] = result
	}
	return results
}

// handed is what the caller has: results that come again are dropped, those of a later part are moved to their place.
type handed struct {
	fingerprint string
	place       Part
	next        map[string]int64 // by task: the ordinal of this part that comes next
	before      map[string]int64 // by task: results of the parts before
}

func newHanded() *handed {
	return &handed{next: map[string]int64{}, before: map[string]int64{}}
}

// goOn takes the server that goes on. True where everything handed out is void.
func (h *handed) goOn(fingerprint string) bool {
	isVoid := len(h.next) > 0 && h.fingerprint != fingerprint
	if isVoid {
		h.next = map[string]int64{}
	}
	h.fingerprint = fingerprint
	return isVoid
}

func (h *handed) startPart(place Part) {
	for task, count := range h.next {
		h.before[task] += count
	}
	h.next, h.place = map[string]int64{}, place
}

// isNews makes of an event what the caller wants to see. False where there is nothing new in it.
func (h *handed) isNews(event *gleandv1.Event) bool {
	switch kind := event.GetKind().(type) {
	case *gleandv1.Event_Mentions:
		return keepNew(h, &kind.Mentions.Mentions)
	case *gleandv1.Event_Relations:
		return keepNew(h, &kind.Relations.Relations)
	case *gleandv1.Event_Answers:
		return keepNew(h, &kind.Answers.Answers)
	case *gleandv1.Event_Classes:
		return keepNew(h, &kind.Classes.Classes)
	case *gleandv1.Event_Summary:
		return keepNew(h, &kind.Summary.Spans)
	case *gleandv1.Event_Interim:
		results := kind.Interim.GetResults()
		moveAll(h.place, results.GetMentions())
		moveAll(h.place, results.GetRelations())
		moveAll(h.place, results.GetAnswers())
		moveAll(h.place, results.GetClasses())
		moveAll(h.place, results.GetSummarySpans())
	case *gleandv1.Event_Progress:
		kind.Progress.WatermarkBytes += h.place.Bytes
		kind.Progress.WatermarkCodepoints += h.place.CodePoints
		kind.Progress.ReceivedBytes += h.place.Bytes
	}
	return true
}

func keepNew[R Result](h *handed, list *[]R) bool {
	kept := (*list)[:0]
	for _, result := range *list {
		task := result.GetTaskId()
		if result.GetOrdinal() < h.next[task] {
			continue
		}
		h.next[task] = result.GetOrdinal() + 1
		move(result, h.before[task], h.place)
		kept = append(kept, result)
	}
	*list = kept
	return len(kept) > 0
}

func moveAll[R Result](place Part, list []R) {
	for _, result := range list {
		move(result, 0, place)
	}
}

// move moves a result from its part of the input to the whole of it.
func move(result Result, ordinals int64, place Part) {
	switch r := result.(type) {
	case *gleandv1.Mention:
		r.Ordinal += ordinals
		moveRanges(place, r.ByteRange, r.CodepointRange, r.Utf16Range)
	case *gleandv1.Relation:
		r.Ordinal += ordinals
		for _, argument := range []*gleandv1.Argument{r.Head, r.Tail} {
			moveRanges(place, argument.GetByteRange(), argument.GetCodepointRange(), argument.GetUtf16Range())
		}
	case *gleandv1.Answer:
		r.Ordinal += ordinals
		moveRanges(place, r.ByteRange, r.CodepointRange, r.Utf16Range)
	case *gleandv1.ClassScore:
		r.Ordinal += ordinals
		moveRanges(place, r.ByteRange, r.CodepointRange, r.Utf16Range)
	case *gleandv1.SummarySpan:
		r.Ordinal += ordinals
		moveRanges(place, r.ByteRange, r.CodepointRange, r.Utf16Range)
	}
}

func moveRanges(place Part, bytes, codePoints, utf16 *gleandv1.Range) {
	for _, moved := range []struct {
		span *gleandv1.Range
		by   int64
	}{{bytes, place.Bytes}, {codePoints, place.CodePoints}, {utf16, place.UTF16}} {
		if moved.span != nil {
			moved.span.Start += moved.by
			moved.span.End += moved.by
		}
	}
}
