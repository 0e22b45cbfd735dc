"""Every task finds what it is for, the same however the text comes, and as the prompts of the reference have it."""

import re
import subprocess
import sys
import tempfile
import threading
import unittest

import client
from client import bits, labels, line
from daemon import Daemon
from schema import ROOT, extraction_grpc, v1

TEXT = """\
Ada Lovelace was born in London in 1815. Her father, the poet Lord Byron, left England a few weeks later and never saw \
her again. Her mother had her taught mathematics, which was unusual for a girl of that time.

At a party in June 1833 she met Charles Babbage, who worked at the University of Cambridge and was building a machine of \
brass wheels in his house in Marylebone. Ten years later Lovelace translated an article by the Italian engineer Luigi \
Menabrea – in French – about the Analytical Engine and added notes that were three times as long as the article. Note G \
describes step by step how the machine would compute Bernoulli numbers; it is often called “the first computer program”.

Lovelace died of cancer in 1852. The programming language Ada, developed for the United States Department of Defense, \
was named after her in 1980.
"""
BOOK = (ROOT / "tests/data/frankenstein.txt").read_bytes()
LETTER, BEGINNING = (BOOK[:end].decode(errors="ignore").encode() for end in (8_000, 20_000))
WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")
# A mark that ends a sentence, with what closes it, or a blank line; and the blanks behind.
BORDER = re.compile(r"(?:[.!?…][\"'”’)\]]*(?=\s)|(?=\s*\n\s*\n))\s+")
QUESTIONS = ["Where was Ada Lovelace born?", "Who is the father of Ada Lovelace?", "What is the price of butter?"]
CLASSES = ["biography", "history", "recipe", "contract"]


def entities(*names, **fields):
    return v1.Task(id="entities", entities=v1.EntitiesTask(labels=labels(names), **fields))


def open_task(instruction, **fields):
    return v1.Task(id="open", open=v1.OpenTask(instruction=instruction, **fields))


def questions(*texts, **fields):
    asked = [v1.Question(text=text) for text in texts]
    return v1.Task(id="questions", questions=v1.QuestionsTask(questions=asked, **fields))


def summary(**fields):
    return v1.Task(id="summary", summary=v1.SummaryTask(**fields))


def relations(text, **fields):
    asked = v1.RelationsTask(relations=client.relation_types(text), **fields)
    return v1.Task(id="relations", relations=asked)


def classify(*names, **fields):
    return v1.Task(id="classify", classify=v1.ClassifyTask(labels=labels(names), **fields))


SHORT_TASKS = [
    entities("person", "location", "date"),
    open_task("Find all names of persons"),
    questions(*QUESTIONS),
    summary(threshold=0.15),
    relations("works for(person->organization)"),
    classify(*CLASSES),
]
LONG_TASKS = [
    entities("person", "location"),
    open_task("Find all ships"),
    questions("Who wrote the letters?", "Where did he arrive?", answers_max=3),
    summary(whole_sentences=True),
    relations("sister of(person->person),lives in(person->location|country)"),
    classify("novel", "recipe", "contract", multi_label=True, threshold=0.01),
]


def kind(task):
    return task.WhichOneof("kind")


def span(part):
    return part.byte_range.start, part.byte_range.end


def lines(found):
    """The lines of each task."""
    return {task: [line(result) for result in results] for task, results in found.items()}


class Tasks(unittest.TestCase):
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(**cls.settings)
        cls.addClassCleanup(cls.daemon.stop)
        cls.channel = cls.daemon.channel()
        cls.addClassCleanup(cls.channel.close)
        cls.stub = extraction_grpc.ExtractionServiceStub(cls.channel)

    def events(self, document, tasks, chunk_bytes=65536, **fields):
        config = v1.Config(tasks=tasks, include_text=True, offset_encodings=[v1.OFFSET_ENCODING_UTF16], **fields)
        return client.stream(self.channel, config, document, chunk_bytes)

    def unary(self, text, tasks):
        config = v1.Config(tasks=tasks, include_text=True)
        response = self.stub.Extract(v1.ExtractRequest(config=config, text=text), timeout=60)
        return client.unary_results(response.results)

    def one(self, text, task):
        return self.unary(text, [task]).get(task.id, [])


class Alone(Tasks):
    # The windows of all tasks alike, as one model may be at its best with others for each.
    settings = {"window__words_max": 320}

    def assert_texts(self, document, parts):
        for part in parts:
            self.assertEqual(client.slices(document, part), [part.text] * 3)
            self.assertTrue(part.text)

    def assert_scores(self, parts, threshold):
        for part in parts:
            self.assertGreater(part.score, threshold)
            self.assertLessEqual(part.score, 1)

    def assert_mentions(self, document, names, found):
        self.assert_texts(document, found)
        self.assert_scores(found, 0.5)
        self.assertEqual([mention.label for mention in found], [names[mention.label_index] for mention in found])
        spans = [span(mention) for mention in found]
        self.assertEqual(spans, sorted(spans))

    def assert_relations(self, document, asked, found):
        self.assert_scores(found, 0.5)
        for relation in found:
            relation_type = asked[relation.relation_index]
            self.assertEqual(relation.relation, relation_type.name)
            sides = (relation.head, relation_type.head_labels), (relation.tail, relation_type.tail_labels)
            for argument, allowed in sides:
                self.assertEqual(argument.label, allowed[argument.label_index].name)
            self.assert_texts(document, [relation.head, relation.tail])
            self.assert_scores([relation.head, relation.tail], 0.5)

    def assert_answers(self, document, task, found):
        numbers = [answer.question_index for answer in found]
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(set(numbers), set(range(len(task.questions))))
        for number in range(len(task.questions)):
            answers = [answer for answer in found if answer.question_index == number]
            self.assertLessEqual(len(answers), max(task.answers_max, 1))
            self.assertEqual([answer.rank for answer in answers], list(range(len(answers))))
            scores = [answer.score for answer in answers]
            self.assertEqual(scores, sorted(scores, reverse=True))
            if answers[0].no_answer:
                self.assertEqual((len(answers), scores[0], answers[0].text), (1, 0, ""))
                self.assertFalse(answers[0].HasField("byte_range"))
            else:
                self.assert_texts(document, answers)
                self.assert_scores(answers, 0.3)

    def assert_summary(self, document, threshold, found):
        self.assert_texts(document, found)
        self.assert_scores(found, threshold)
        for before, after in zip(found, found[1:]):
            self.assertLessEqual(before.byte_range.end, after.byte_range.start)

    def assert_classes(self, document, names, found):
        text = document.decode()
        for result in found:
            self.assertEqual(result.label, names[result.label_index])
            self.assertEqual(span(result), (0, len(document)))
            self.assertEqual((result.codepoint_range.start, result.codepoint_range.end), (0, len(text)))
            units = len(text.encode("utf-16-le")) // 2
            self.assertEqual((result.utf16_range.start, result.utf16_range.end), (0, units))
        scores = [result.score for result in found]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def assert_right(self, document, task, found):
        self.assertGreater(len(found), 0, task)
        self.assertEqual([result.ordinal for result in found], list(range(len(found))))
        asked = getattr(task, kind(task))
        match kind(task):
            case "entities":
                self.assert_mentions(document, [label.name for label in asked.labels], found)
            case "open":
                self.assert_mentions(document, ["match"], found)
            case "questions":
                self.assert_answers(document, asked, found)
            case "summary":
                self.assert_summary(document, asked.threshold or 0.35, found)
            case "relations":
                self.assert_relations(document, asked.relations, found)
            case "classify":
                self.assert_classes(document, [label.name for label in asked.labels], found)

    def assert_plan(self, task, plan):
        passes = len(task.questions.questions) if kind(task) == "questions" else 1
        self.assertEqual((plan.task_id, plan.passes_per_window), (task.id, passes))
        self.assertEqual(plan.relation_passes_max > 0, kind(task) == "relations")

    def test_each_task_alone_finds_something_in_a_short_text(self):
        document = TEXT.encode()
        for task in SHORT_TASKS:
            with self.subTest(task=task.id):
                events = self.events(document, [task])
                found = client.results(events)
                self.assertEqual(list(found), [task.id])
                self.assert_right(document, task, found[task.id])
                self.assert_plan(task, events[0].ready.tasks[0])
                done = events[-1].done
                counts = [(count.task_id, count.results) for count in done.results]
                self.assertEqual(counts, [(task.id, len(found[task.id]))])
                self.assertEqual(done.windows, 1)

    def test_all_tasks_together_find_in_a_long_text_what_each_finds_alone(self):
        events = self.events(BEGINNING, LONG_TASKS)
        found = client.results(events)
        for task, plan, count in zip(LONG_TASKS, events[0].ready.tasks, events[-1].done.results, strict=True):
            with self.subTest(task=task.id):
                self.assert_right(BEGINNING, task, found[task.id])
                self.assert_plan(task, plan)
                self.assertEqual((count.task_id, count.results), (task.id, len(found[task.id])))
                alone = client.results(self.events(BEGINNING, [task]))
                self.assertEqual(lines(alone), {task.id: [line(result) for result in found[task.id]]})

    def test_what_a_reader_of_the_short_text_would_say_is_found(self):
        found = self.unary(TEXT, SHORT_TASKS)
        names = {(mention.text, mention.label) for mention in found["entities"]}
        self.assertLessEqual({("Ada Lovelace", "person"), ("Marylebone", "location"), ("June 1833", "date")}, names)
        self.assertLessEqual({"Lord Byron", "Charles Babbage"}, {mention.text for mention in found["open"]})
        self.assertEqual([answer.text for answer in found["questions"]], ["London", "Lord Byron", ""])
        self.assertEqual([answer.no_answer for answer in found["questions"]], [False, False, True])
        triples = {(relation.head.text, relation.relation, relation.tail.text) for relation in found["relations"]}
        self.assertEqual(triples, {("Charles Babbage", "works for", "University of Cambridge")})
        self.assertEqual([result.label for result in found["classify"]], ["biography"])

    def test_arguments_of_relations_are_what_an_entities_task_finds(self):
        asked = relations("works for(person->organization),place of birth(person->location)", threshold=0.2)
        found = self.one(TEXT, asked)
        self.assertGreater(len(found), 3)
        mentions = self.one(TEXT, entities("person", "organization", "location"))
        known = {(span(mention), mention.label, bits(mention.score)) for mention in mentions}
        for relation in found:
            for argument in (relation.head, relation.tail):
                self.assertIn((span(argument), argument.label, bits(argument.score)), known)

    def test_without_argument_labels_of_its_own_a_relation_takes_all_of_the_task(self):
        asked = relations("works for(person->organization),met", threshold=0.1)
        meetings = [relation for relation in self.one(TEXT, asked) if relation.relation_index == 1]
        self.assertEqual({relation.tail.label for relation in meetings}, {"person", "organization"})
        for relation in meetings:
            for argument in (relation.head, relation.tail):
                self.assertEqual(argument.label, ["person", "organization"][argument.label_index])

    def test_a_distance_keeps_the_pairs_that_stand_near(self):
        def found(words):
            task = relations("works for(person->organization)", threshold=0.2, distance_words_max=words)
            return {(span(relation.head), span(relation.tail)): relation for relation in self.one(TEXT, task)}

        near, wide = found(8), found(0)
        self.assertGreater(len(near), 0)
        self.assertLess(set(near), set(wide))
        for (first, second) in map(sorted, near):
            self.assertLessEqual(len(WORD.findall(TEXT.encode()[first[1] : second[0]].decode())), 8)

    def test_a_summary_keeps_to_its_words(self):
        for whole_sentences in (False, True):
            every = self.one(TEXT, summary(threshold=0.1, whole_sentences=whole_sentences))
            self.assertGreater(sum(len(WORD.findall(part.text)) for part in every), 60)
            for words_max in (1, 20, 60):
                with self.subTest(whole_sentences=whole_sentences, words_max=words_max):
                    task = summary(threshold=0.1, whole_sentences=whole_sentences, words_max=words_max)
                    kept = self.one(TEXT, task)
                    self.assertLessEqual(sum(len(WORD.findall(part.text)) for part in kept), words_max)
                    self.assertEqual([part.ordinal for part in kept], list(range(len(kept))))
                    without = [(span(part), bits(part.score)) for part in every]
                    self.assertLessEqual({(span(part), bits(part.score)) for part in kept}, set(without))
                    self.assertEqual([span(part) for part in kept], sorted(span(part) for part in kept))
                    self.assertEqual(len(kept) > 0, words_max > 1)

    def test_whole_sentences_start_and_end_where_sentences_do(self):
        text = BOOK[:16_000].decode(errors="ignore")
        gaps = [match for match in BORDER.finditer(text)]
        starts = {0} | {gap.end() for gap in gaps}
        ends = {gap.start() + len(gap.group().rstrip()) for gap in gaps}
        found = {}
        for whole_sentences in (False, True):
            task = summary(threshold=0.1, whole_sentences=whole_sentences)
            found[whole_sentences] = client.results(self.events(text.encode(), [task]))["summary"]
        for part in found[True]:
            self.assertIn(part.codepoint_range.start, starts, part.text)
            self.assertIn(part.codepoint_range.end, ends, part.text)
        self.assert_summary(text.encode(), 0.1, found[True])
        narrow, wide = ([span(part) for part in found[whole_sentences]] for whole_sentences in (False, True))
        self.assertNotEqual(narrow, wide)
        for start, end in narrow:
            self.assertTrue(any(first <= start and end <= last for first, last in wide))

    def test_classes_are_the_best_one_or_all_over_their_threshold(self):
        every = self.one(TEXT, classify(*CLASSES, multi_label=True, threshold=1e-12))
        self.assertEqual({result.label for result in every}, set(CLASSES))
        best = self.one(TEXT, classify(*CLASSES, threshold=0.999999))
        self.assertEqual([line(result) for result in best], [line(every[0])])
        own = [v1.Label(name=name, threshold=0.999999 if name == every[0].label else 1e-12) for name in CLASSES]
        others = self.one(TEXT, classify(*own, multi_label=True))
        self.assertEqual([result.label for result in others], [result.label for result in every[1:]])


class Streaming(Tasks):
    def test_chunks_of_any_size_and_one_call_give_equal_lines(self):
        expected = lines(self.unary(LETTER.decode(), LONG_TASKS))
        self.assertEqual(set(expected), {task.id for task in LONG_TASKS})
        for chunk_bytes in (1, 7, 65536):
            with self.subTest(chunk_bytes=chunk_bytes):
                found = client.results(self.events(LETTER, LONG_TASKS, chunk_bytes))
                self.assertEqual(lines(found), expected)

    def test_interim_results_come_before_the_end_and_change_nothing(self):
        tasks = [
            entities("person"),
            questions("Who wrote the letters?", "Where did he arrive?"),
            summary(words_max=50),
            classify("novel", "recipe"),
        ]
        final_only = self.events(LETTER, tasks, 1000)
        events = self.events(LETTER, tasks, 1000, result_mode=v1.RESULT_MODE_INTERIM)
        self.assertEqual([event for event in final_only if event.WhichOneof("kind") == "interim"], [])
        at = [number for number, event in enumerate(events) if event.WhichOneof("kind") == "interim"]
        self.assertEqual({events[number].interim.task_id for number in at}, {"questions", "summary", "classify"})
        told = [number for number in at if events[number].interim.task_id == "questions"]
        self.assertGreater(len(told), 1)
        first_answer = next(number for number, event in enumerate(events) if event.WhichOneof("kind") == "answers")
        self.assertLess(told[-1], first_answer)
        for number in told:
            found = client.unary_results(events[number].interim.results)
            self.assertEqual(list(found), ["questions"])
            self.assertEqual({answer.question_index for answer in found["questions"]}, {0, 1})
        self.assertEqual(lines(client.results(events)), lines(client.results(final_only)))
        self.assertEqual(events[-1].done.results, final_only[-1].done.results)
        self.assertEqual(events[0].ready.fingerprint, final_only[0].ready.fingerprint)

    def test_after_a_flush_results_arrive_before_more_text_is_sent(self):
        first, rest = (part.encode() for part in TEXT.split("\n\n", 1))
        tasks = [entities("person"), summary(threshold=0.1, whole_sentences=True), questions(QUESTIONS[0])]
        expected = client.results(self.events(first, tasks[:2]))
        self.assertEqual(set(expected), {"entities", "summary"})
        arrived = threading.Event()

        def requests():
            yield v1.ExtractStreamRequest(config=v1.Config(tasks=tasks))
            yield v1.ExtractStreamRequest(chunk=v1.Chunk(data=first))
            yield v1.ExtractStreamRequest(flush=v1.Flush())
            if arrived.wait(30):
                yield v1.ExtractStreamRequest(chunk=v1.Chunk(data=b"\n\n" + rest))
                yield v1.ExtractStreamRequest(finish=v1.Finish())

        early, late = [], []
        for response in self.stub.ExtractStream(requests(), timeout=60):
            (late if arrived.is_set() else early).append(response.event)
            if not arrived.is_set() and lines(client.results(early)) == lines(expected):
                arrived.set()
        self.assertTrue(arrived.is_set())
        found = client.results(late)
        self.assertEqual(set(found), {"entities", "summary", "questions"})
        for part in found["entities"] + found["summary"]:
            self.assertGreater(part.byte_range.start, len(first))

    def test_the_example_client_prints_a_line_a_result(self):
        tasks = [
            entities("person", "location"),
            open_task("Find all names of persons"),
            questions(*QUESTIONS),
            summary(whole_sentences=True),
            relations("works for(person->organization)"),
            classify(*CLASSES),
        ]
        document = BOOK[:4_000].decode(errors="ignore").encode()
        expected = lines(client.results(self.events(document, tasks, 1000)))
        self.assertEqual(set(expected) | {"relations"}, {task.id for task in LONG_TASKS})
        asked = [part for question in QUESTIONS for part in ("--ask", question)]
        command = [sys.executable, client.__file__, "--server", self.daemon.address, "--chunk-bytes", "1000", "--offsets"]
        command += ["--labels", "person,location", "--open", "Find all names of persons", *asked, "--summary"]
        command += ["--relations", "works for(person->organization)", "--classify", ",".join(CLASSES)]
        with tempfile.NamedTemporaryFile() as file:
            file.write(document)
            file.flush()
            done = subprocess.run([*command, file.name], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        printed = {}
        for text in done.stdout.splitlines():
            printed.setdefault(text.split()[0], []).append(text)
        self.assertEqual(printed, expected)

    def test_a_document_without_words_has_no_answers_and_nothing_else(self):
        for document in (b"", b" \n\t\n "):
            with self.subTest(document=document):
                events = self.events(document, SHORT_TASKS)
                found = client.results(events)
                self.assertEqual(list(found), ["questions"])
                self.assertEqual([answer.question_index for answer in found["questions"]], [0, 1, 2])
                self.assertEqual([answer.no_answer for answer in found["questions"]], [True] * 3)
                self.assertEqual([count.results for count in events[-1].done.results], [0, 0, 3, 0, 0, 0])


class Reference(Tasks):
    """The prompts of the reference (models/default/README.md), written out and given to an entities task, score alike."""

    settings = {"window__words_max": 320}

    def behind(self, prompt, label, threshold):
        """Place in TEXT and score of what is found behind the prompt; no span reaches into it from before."""
        text = f"{prompt} \n {TEXT}"
        start = len(text.encode()) - len(TEXT.encode())
        found = self.one(text, entities(label, threshold=threshold))
        crossing = [mention.text for mention in found if span(mention)[0] < start < span(mention)[1]]
        self.assertEqual(crossing, [])
        shifted = [(span(mention)[0] - start, span(mention)[1] - start, bits(mention.score)) for mention in found]
        return [place for place in shifted if place[0] >= 0]

    def assert_alike(self, found, expected):
        self.assertEqual([(*span(part), bits(part.score)) for part in found], expected)
        self.assertGreater(len(found), 0)

    def test_open(self):
        for instruction in ("Find all names of persons", "Find all machines", "List every year"):
            for threshold in (0.5, 0.2):
                with self.subTest(instruction=instruction, threshold=threshold):
                    found = self.one(TEXT, open_task(instruction, threshold=threshold))
                    self.assert_alike(found, self.behind(instruction, "match", threshold))

    def test_questions(self):
        for question in ("Where was Ada Lovelace born?", "When did Lovelace die?", "What did Lovelace die of?"):
            for threshold in (0.3, 0.05):
                with self.subTest(question=question, threshold=threshold):
                    found = self.one(TEXT, questions(question, threshold=threshold, answers_max=16))
                    expected = self.behind(f"Answer the following question: {question}", "answer", threshold)
                    found.sort(key=span)
                    self.assertLess(len(found), 16)
                    self.assert_alike(found, expected)

    def test_summary(self):
        prompt = "Summarize the following text highlighting the most important information:"
        for threshold in (0.2, 0.1):
            with self.subTest(threshold=threshold):
                self.assert_alike(self.one(TEXT, summary(threshold=threshold)), self.behind(prompt, "summary", threshold))

    def test_classify(self):
        prompt = f"Classify text into the following classes: {', '.join(CLASSES)}"
        task = entities("match", threshold=0.001, overlap=v1.OVERLAP_NESTED)
        expected = {mention.text: bits(mention.score) for mention in self.one(f"{prompt} \n {TEXT}", task)}
        found = self.one(TEXT, classify(*CLASSES, multi_label=True, threshold=1e-12))
        scores = {result.label: bits(result.score) for result in found}
        selected = {name: expected[name] for name in CLASSES if name in expected}
        self.assertGreater(len(selected), 1)
        self.assertEqual({name: scores[name] for name in selected}, selected)

    def test_relations(self):
        _, middle, last = TEXT.split("\n\n")
        asked = [
            (middle, "person", "works for", "organization"),
            (middle, "person", "met", "person"),
            (last, "programming language", "named after", "person"),
        ]
        prompt = "Extract relationships between entities from the text:  \n "
        for text, head, name, tail in asked:
            with self.subTest(relation=name):
                found = self.one(text, relations(f"{name}({head}->{tail})", threshold=0.01))
                self.assertGreater(len(found), 0)
                arguments = self.one(text, entities(*dict.fromkeys((head, tail))))
                heads = list(dict.fromkeys(mention.text for mention in arguments if mention.label == head))
                labels_of_heads = [f"{text_of_head} <> {name}" for text_of_head in heads]
                task = entities(*labels_of_heads, threshold=0.01, overlap=v1.OVERLAP_NESTED, multi_label=True)
                expected = {
                    (mention.label, mention.text, span(mention)[0] - len(prompt), bits(mention.score))
                    for mention in self.one(prompt + text, task)
                }
                for relation in found:
                    label = f"{relation.head.text} <> {name}"
                    self.assertIn((label, relation.tail.text, span(relation.tail)[0], bits(relation.score)), expected)


# A base for others, not a test of its own.
del Tasks
