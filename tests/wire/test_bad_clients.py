"""Clients that do wrong get the documented status and reason, or are slowed; the next one is served."""

import threading
import unittest

import client
import grpc
from daemon import Daemon
from failure import Failure, failure
from schema import ROOT, extraction_grpc, models_grpc, v1

Code = grpc.StatusCode
TEXT = "Mary Shelley wrote Frankenstein near Geneva in 1816."
BOOK = (ROOT / "tests/data/frankenstein.txt").read_bytes()


def config_message(**config):
    return v1.ExtractStreamRequest(config=client.entities_config(["person"], **config))


def chunk(data, **fields):
    return v1.ExtractStreamRequest(chunk=v1.Chunk(data=data, **fields))


def instruction(text, **fields):
    return v1.Task(open=v1.OpenTask(instruction=text, **fields))


def questions(*texts, **fields):
    asked = [v1.Question(text=text) for text in texts]
    return v1.Task(questions=v1.QuestionsTask(questions=asked, **fields))


def summary(**fields):
    return v1.Task(summary=v1.SummaryTask(**fields))


def classify(*names, **fields):
    return v1.Task(classify=v1.ClassifyTask(labels=client.labels(names), **fields))


def relations(*types, **fields):
    return v1.Task(relations=v1.RelationsTask(relations=types, **fields))


PERSON = [v1.Label(name="person")]
QUESTION = "Who wrote the book?"
FINISH = v1.ExtractStreamRequest(finish=v1.Finish())
FLUSH = v1.ExtractStreamRequest(flush=v1.Flush())


class BadClients(unittest.TestCase):
    """Each test has a connection of its own, and its end sees that the next client is served."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(**cls.settings)
        cls.addClassCleanup(cls.daemon.stop)

    def setUp(self):
        self.channel = self.daemon.channel()
        self.addCleanup(self.channel.close)
        self.stub = extraction_grpc.ExtractionServiceStub(self.channel)
        self.addCleanup(self.assert_next_client_is_served)

    def assert_next_client_is_served(self):
        with self.daemon.channel() as channel:
            request = v1.ExtractRequest(config=client.entities_config(["person"], include_text=True), text=TEXT)
            response = extraction_grpc.ExtractionServiceStub(channel).Extract(request, timeout=60)
            self.assertIn("Mary Shelley", [mention.text for mention in response.results.mentions])

    def stream_failure(self, *messages):
        return failure(lambda: list(self.stub.ExtractStream(iter(messages), timeout=60)))

    def assert_failure(self, actual, code, reason, field=None):
        self.assertEqual((actual.code, actual.reason), (code, reason), actual.message)
        if field is not None:
            self.assertEqual(actual.fields, [field])

    def config_failure(self, config, code, reason, field=None):
        """The same from both methods."""
        request = v1.ExtractRequest(config=config, text=TEXT)
        self.assert_failure(failure(lambda: self.stub.Extract(request, timeout=60)), code, reason, field)
        message = v1.ExtractStreamRequest(config=config)
        self.assert_failure(self.stream_failure(message, chunk(TEXT.encode()), FINISH), code, reason, field)


class BadConfigs(BadClients):
    def test_no_config(self):
        request = v1.ExtractRequest(text=TEXT)
        self.assert_failure(failure(lambda: self.stub.Extract(request, timeout=60)), Code.INVALID_ARGUMENT, "CONFIG_MISSING")
        self.assert_failure(self.stream_failure(chunk(b"text"), FINISH), Code.INVALID_ARGUMENT, "CONFIG_MISSING")

    def test_two_configs(self):
        actual = self.stream_failure(config_message(), config_message(), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "CONFIG_REPEATED")

    def test_no_task(self):
        self.config_failure(v1.Config(), Code.INVALID_ARGUMENT, "UNKNOWN_TASK", "config.tasks")

    def test_a_task_without_a_kind(self):
        config = v1.Config(tasks=[v1.Task(id="x")])
        self.config_failure(config, Code.INVALID_ARGUMENT, "UNKNOWN_TASK", "config.tasks[0]")

    def test_two_tasks_of_one_id(self):
        task = client.entities_config(["person"]).tasks[0]
        self.config_failure(v1.Config(tasks=[task, task]), Code.INVALID_ARGUMENT, "DUPLICATE_TASK", "config.tasks[1].id")

    def test_no_labels(self):
        self.config_failure(
            client.entities_config([]), Code.INVALID_ARGUMENT, "LABELS_EMPTY", "config.tasks[0].entities.labels"
        )

    def test_too_many_labels(self):
        model = models_grpc.ModelServiceStub(self.channel).GetModel(v1.GetModelRequest(), timeout=60).model
        labels = [f"label {index}" for index in range(model.limits.labels_max + 1)]
        self.config_failure(
            client.entities_config(labels), Code.INVALID_ARGUMENT, "TOO_MANY_LABELS", "config.tasks[0].entities.labels"
        )

    def test_an_empty_label(self):
        config = client.entities_config(["person", " \t "])
        self.config_failure(config, Code.INVALID_ARGUMENT, "LABEL_EMPTY", "config.tasks[0].entities.labels[1].name")

    def test_duplicate_labels_with_other_thresholds(self):
        labels = [v1.Label(name="person", threshold=0.3), v1.Label(name="person", threshold=0.4)]
        config = client.entities_config(labels)
        self.config_failure(config, Code.INVALID_ARGUMENT, "DUPLICATE_LABEL", "config.tasks[0].entities.labels[1].name")

    def test_duplicate_labels_with_equal_settings_are_one(self):
        config = client.entities_config(["person", "location", "person"])
        response = self.stub.Extract(v1.ExtractRequest(config=config, text=TEXT), timeout=60)
        self.assertIn(0, [mention.label_index for mention in response.results.mentions])
        self.assertNotIn(2, [mention.label_index for mention in response.results.mentions])

    def test_a_special_token_in_a_label(self):
        config = client.entities_config(["person", "a <<ENT>> b"])
        self.config_failure(config, Code.INVALID_ARGUMENT, "LABEL_SPECIAL_TOKEN", "config.tasks[0].entities.labels[1].name")

    def test_a_special_token_in_a_description(self):
        config = client.entities_config([v1.Label(name="person", description="who [SEP] what")])
        self.config_failure(
            config, Code.INVALID_ARGUMENT, "LABEL_SPECIAL_TOKEN", "config.tasks[0].entities.labels[0].description"
        )

    def test_a_label_that_the_tokenizer_cannot_read(self):
        config = client.entities_config(["\u200b\u0007"])
        self.config_failure(config, Code.INVALID_ARGUMENT, "LABEL_UNREADABLE", "config.tasks[0].entities.labels[0].name")

    def test_a_label_that_is_too_long(self):
        config = client.entities_config(["x" * 100_000])
        self.config_failure(config, Code.INVALID_ARGUMENT, "LABEL_TOO_LONG", "config.tasks[0].entities.labels[0].name")

    def test_a_description_that_leaves_no_room_for_text(self):
        label = v1.Label(name="person", description="a b c d e f g h " * 60)
        config = client.entities_config([label])
        self.config_failure(
            config, Code.INVALID_ARGUMENT, "PROMPT_TOO_LONG", "config.tasks[0].entities.labels[0].description"
        )

    def test_thresholds_out_of_range(self):
        for threshold in (0.0, 1.0, -0.5, 1.5, float("nan"), float("inf")):
            with self.subTest(threshold=threshold):
                config = client.entities_config([v1.Label(name="person", threshold=threshold)])
                self.config_failure(
                    config,
                    Code.INVALID_ARGUMENT,
                    "THRESHOLD_OUT_OF_RANGE",
                    "config.tasks[0].entities.labels[0].threshold",
                )

    def test_a_task_threshold_out_of_range(self):
        config = client.entities_config(["person"])
        config.tasks[0].entities.threshold = 0.0
        self.config_failure(
            config, Code.INVALID_ARGUMENT, "THRESHOLD_OUT_OF_RANGE", "config.tasks[0].entities.threshold"
        )

    def test_all_mistakes_are_told_at_once(self):
        labels = ["", v1.Label(name="person", threshold=2.0), "a <<SEP>> b"]
        request = v1.ExtractRequest(config=client.entities_config(labels), text=TEXT)
        actual = failure(lambda: self.stub.Extract(request, timeout=60))
        self.assertGreaterEqual(len(actual.fields), 2, actual.fields)

    def test_forty_labels_with_long_descriptions_work_in_groups(self):
        filler = "as it is named in a contract, a letter, a novel or a report of the nineteenth century"
        labels = [v1.Label(name=f"kind {index}", description=f"kind {index} of thing {filler}") for index in range(39)]
        labels.append(v1.Label(name="who", description="person"))
        config = client.entities_config(labels)
        events = client.stream(self.channel, config, TEXT.encode() * 20)
        plan = events[0].ready.tasks[0]
        self.assertGreater(plan.label_groups, 1)
        self.assertEqual(plan.passes_per_window, plan.label_groups)
        self.assertIn(("who", 39), [(mention.label, mention.label_index) for mention in client.mentions(events)])

    def test_a_model_that_is_not_there(self):
        config = client.entities_config(["person"], model="no such model")
        self.config_failure(config, Code.NOT_FOUND, "MODEL_NOT_FOUND", "config.model")

    def test_a_resume_token(self):
        config = client.entities_config(["person"], resume_token=b"token")
        self.config_failure(config, Code.UNIMPLEMENTED, "RESUME_NOT_BUILT", "config.resume_token")

    def test_an_encoding_or_a_mode_that_does_not_exist(self):
        config = client.entities_config(["person"], offset_encodings=[77])
        self.config_failure(config, Code.INVALID_ARGUMENT, "CONFIG_INVALID", "config.offset_encodings[0]")
        config = client.entities_config(["person"], result_mode=77)
        self.config_failure(config, Code.INVALID_ARGUMENT, "CONFIG_INVALID", "config.result_mode")


class BadTasks(BadClients):
    """Mistakes of the tasks other than entities; each is INVALID_ARGUMENT."""

    def assert_refused(self, task, reason, field):
        config = v1.Config(tasks=[task])
        self.config_failure(config, Code.INVALID_ARGUMENT, reason, f"config.tasks[0].{field}")

    def limits(self):
        return models_grpc.ModelServiceStub(self.channel).GetModel(v1.GetModelRequest(), timeout=60).model.limits

    def test_questions_that_are_none_or_too_many(self):
        self.assert_refused(questions(), "LABELS_EMPTY", "questions.questions")
        self.assert_refused(questions(QUESTION, " \t "), "LABEL_EMPTY", "questions.questions[1].text")
        many = [QUESTION] * (self.limits().questions_max + 1)
        self.assertEqual(len(many), 33)
        self.assert_refused(questions(*many), "TOO_MANY_LABELS", "questions.questions")

    def test_wordings_that_leave_no_room_for_text(self):
        words = "a " * 500
        self.assertLessEqual(len(words), self.limits().label_bytes_max)
        self.assert_refused(questions(QUESTION, words), "PROMPT_TOO_LONG", "questions.questions[1].text")
        self.assert_refused(instruction(words), "PROMPT_TOO_LONG", "open.instruction")
        classes = [f"a class of documents that has the number {number}" for number in range(200)]
        self.assert_refused(classify(*classes), "PROMPT_TOO_LONG", "classify.labels")
        relation = v1.RelationType(name=words, head_labels=PERSON)
        self.assert_refused(relations(relation), "PROMPT_TOO_LONG", "relations.relations[0].name")
        relation = v1.RelationType(name="met", description=words, head_labels=PERSON)
        self.assert_refused(relations(relation), "PROMPT_TOO_LONG", "relations.relations[0].description")

    def test_wordings_that_are_empty_unreadable_or_too_long(self):
        long = "x" * (self.limits().label_bytes_max + 1)
        reasons = {"": "LABEL_EMPTY", " \n ": "LABEL_EMPTY", long: "LABEL_TOO_LONG", "\u0007": "LABEL_UNREADABLE"}
        for text, reason in reasons.items():
            with self.subTest(reason=reason):
                self.assert_refused(instruction(text), reason, "open.instruction")
                self.assert_refused(questions(text), reason, "questions.questions[0].text")
                self.assert_refused(classify("news", text), reason, "classify.labels[1].name")
                relation = v1.RelationType(name=text, head_labels=PERSON)
                self.assert_refused(relations(relation), reason, "relations.relations[0].name")

    def test_numbers_out_of_range(self):
        for number in (17, -1):
            self.assert_refused(questions(QUESTION, answers_max=number), "CONFIG_INVALID", "questions.answers_max")
        for number in (4097, -1):
            self.assert_refused(summary(words_max=number), "CONFIG_INVALID", "summary.words_max")
        relation = v1.RelationType(name="met", head_labels=PERSON)
        self.assert_refused(relations(relation, distance_words_max=-1), "CONFIG_INVALID", "relations.distance_words_max")

    def test_an_overlap_that_does_not_exist(self):
        relation = v1.RelationType(name="met", head_labels=PERSON)
        entities = v1.Task(entities=v1.EntitiesTask(labels=PERSON, overlap=77))
        for task in (entities, instruction("Find ships", overlap=77), relations(relation, overlap=77)):
            self.assert_refused(task, "CONFIG_INVALID", f"{task.WhichOneof('kind')}.overlap")

    def test_relations_without_anything_to_relate(self):
        self.assert_refused(relations(), "LABELS_EMPTY", "relations.relations")
        untyped = [v1.RelationType(name="met"), v1.RelationType(name="wrote to")]
        self.assert_refused(relations(*untyped), "LABELS_EMPTY", "relations.relations")

    def test_names_in_relations(self):
        reason, path = "DUPLICATE_LABEL", "relations.relations"
        tails = [v1.Label(name="person", threshold=0.4)]
        relation = v1.RelationType(name="met", head_labels=PERSON, tail_labels=tails)
        self.assert_refused(relations(relation), reason, f"{path}[0].tail_labels[0].name")
        first = v1.RelationType(name="met", head_labels=PERSON)
        heads = [v1.Label(name="place"), v1.Label(name="person", description="who")]
        second = v1.RelationType(name="saw", head_labels=heads)
        self.assert_refused(relations(first, second), reason, f"{path}[1].head_labels[1].name")
        reason = "LABEL_SPECIAL_TOKEN"
        relation = v1.RelationType(name="met <<ENT>> at", head_labels=PERSON)
        self.assert_refused(relations(relation), reason, f"{path}[0].name")
        relation = v1.RelationType(name="met", description="met [SEP] at", head_labels=PERSON)
        self.assert_refused(relations(relation), reason, f"{path}[0].description")
        relation = v1.RelationType(name="met", head_labels=PERSON, tail_labels=[v1.Label(name="<<SEP>>")])
        self.assert_refused(relations(relation), reason, f"{path}[0].tail_labels[0].name")

    def test_the_same_relation_may_stand_between_other_labels(self):
        first = v1.RelationType(name="works for", head_labels=PERSON, tail_labels=[v1.Label(name="company")])
        second = v1.RelationType(name="works for", head_labels=PERSON, tail_labels=[v1.Label(name="university")])
        request = v1.ExtractRequest(config=v1.Config(tasks=[relations(first, second)]), text=TEXT)
        self.stub.Extract(request, timeout=60)

    def test_two_classes_of_one_name(self):
        news = [v1.Label(name="news", threshold=threshold) for threshold in (0.3, 0.4)]
        self.assert_refused(classify(*news), "DUPLICATE_LABEL", "classify.labels[1].name")
        self.assert_refused(classify(), "LABELS_EMPTY", "classify.labels")

    def test_thresholds_out_of_range(self):
        asked = v1.Question(text=QUESTION, threshold=0.0)
        relation = v1.RelationType(name="met", head_labels=PERSON)
        strict = v1.RelationType(name="met", head_labels=PERSON, threshold=1.0)
        typed = v1.RelationType(name="met", tail_labels=[v1.Label(name="person", threshold=float("nan"))])
        tasks = {
            "open.threshold": instruction("Find ships", threshold=1.0),
            "questions.threshold": questions(QUESTION, threshold=-0.5),
            "questions.questions[0].threshold": v1.Task(questions=v1.QuestionsTask(questions=[asked])),
            "summary.threshold": summary(threshold=float("inf")),
            "classify.threshold": classify("news", threshold=0.0),
            "classify.labels[1].threshold": classify("news", v1.Label(name="novel", threshold=1.5)),
            "relations.threshold": relations(relation, threshold=1.0),
            "relations.argument_threshold": relations(relation, argument_threshold=0.0),
            "relations.relations[0].threshold": relations(strict),
            "relations.relations[0].tail_labels[0].threshold": relations(typed),
        }
        for field, task in tasks.items():
            with self.subTest(field=field):
                self.assert_refused(task, "THRESHOLD_OUT_OF_RANGE", field)

    def test_mistakes_of_all_tasks_are_told_at_once(self):
        tasks = [questions("", QUESTION, answers_max=17), instruction(""), summary(words_max=-1)]
        for number, task in enumerate(tasks):
            task.id = f"task {number}"
        request = v1.ExtractRequest(config=v1.Config(tasks=tasks), text=TEXT)
        actual = failure(lambda: self.stub.Extract(request, timeout=60))
        fields = ["questions.answers_max", "questions.questions[0].text", "open.instruction", "summary.words_max"]
        expected = [f"config.tasks[{task}].{field}" for task, field in zip((0, 0, 1, 2), fields, strict=True)]
        self.assertEqual(actual.fields, expected)


class BadInput(BadClients):
    def test_a_gap(self):
        actual = self.stream_failure(config_message(), chunk(b"Mary", offset_bytes=0), chunk(b"x", offset_bytes=5), FINISH)
        self.assert_failure(actual, Code.OUT_OF_RANGE, "CHUNK_GAP", "chunk.offset_bytes")
        self.assertEqual(actual.metadata, {"received_bytes": "4", "offset_bytes": "5"})

    def test_a_negative_offset(self):
        actual = self.stream_failure(config_message(), chunk(b"Mary", offset_bytes=-1), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "OFFSET_NEGATIVE", "chunk.offset_bytes")

    def test_invalid_utf8(self):
        actual = self.stream_failure(config_message(), chunk(b"Mary \xff Shelley"), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "INVALID_UTF8", "config.invalid_utf8")
        self.assertEqual(actual.metadata["offset_bytes"], "5")
        request = v1.ExtractRequest(config=client.entities_config(["person"]), data=b"Mary \xff Shelley")
        actual = failure(lambda: self.stub.Extract(request, timeout=60))
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "INVALID_UTF8", "config.invalid_utf8")

    def test_a_code_point_that_never_ends(self):
        actual = self.stream_failure(config_message(), chunk("Mary €".encode()[:-1]), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "INVALID_UTF8", "config.invalid_utf8")

    def test_a_flush_inside_a_code_point(self):
        actual = self.stream_failure(config_message(), chunk("€".encode()[:1]), FLUSH, chunk("€".encode()[1:]), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "FLUSH_INSIDE_CODE_POINT")

    def test_a_chunk_that_is_too_large(self):
        actual = self.stream_failure(config_message(), chunk(b"a " * (1 << 20)), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "CHUNK_TOO_LARGE", "chunk.data")

    def test_a_wrong_total(self):
        finish = v1.ExtractStreamRequest(finish=v1.Finish(total_bytes=3))
        actual = self.stream_failure(config_message(), chunk(b"Mary"), finish)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "TOTAL_MISMATCH", "finish.total_bytes")

    def test_an_end_without_finish(self):
        actual = self.stream_failure(config_message(), chunk(TEXT.encode()))
        self.assert_failure(actual, Code.ABORTED, "INPUT_INCOMPLETE")

    def test_what_follows_finish_is_not_read(self):
        messages = [config_message(), chunk(TEXT.encode()), FINISH, chunk(b" more"), config_message()]
        events = [response.event for response in self.stub.ExtractStream(iter(messages), timeout=60)]
        self.assertEqual(events[-1].done.received_bytes, len(TEXT.encode()))

    def test_a_message_without_a_kind(self):
        actual = self.stream_failure(config_message(), v1.ExtractStreamRequest(), FINISH)
        self.assert_failure(actual, Code.INVALID_ARGUMENT, "UNEXPECTED_MESSAGE")

    def test_a_message_of_300_megabytes(self):
        before = self.daemon.rss_bytes()
        request = v1.ExtractRequest(config=client.entities_config(["person"]), data=bytes(300_000_000))
        actual = failure(lambda: self.stub.Extract(request, timeout=60))
        self.assert_failure(actual, Code.OUT_OF_RANGE, "MESSAGE_TOO_LARGE")
        actual = self.stream_failure(config_message(), chunk(bytes(300_000_000)), FINISH)
        self.assert_failure(actual, Code.OUT_OF_RANGE, "MESSAGE_TOO_LARGE")
        self.assertLess(self.daemon.rss_bytes() - before, 100_000_000)

    def test_bytes_that_are_no_message(self):
        method = self.channel.unary_unary("/gleand.v1.ExtractionService/Extract")
        actual = failure(lambda: method(b"\xff\xff\xff", timeout=60))
        self.assert_failure(actual, Code.INTERNAL, "MESSAGE_UNREADABLE")

    def test_a_method_that_does_not_exist(self):
        method = self.channel.unary_unary("/gleand.v1.ExtractionService/Guess")
        self.assert_failure(failure(lambda: method(b"", timeout=60)), Code.UNIMPLEMENTED, "METHOD_UNKNOWN")

    def test_methods_that_come_later(self):
        request = v1.ExtractDocumentRequest(config=client.entities_config(["person"]), text=TEXT)
        actual = failure(lambda: list(self.stub.ExtractDocument(request, timeout=60)))
        self.assert_failure(actual, Code.UNIMPLEMENTED, "METHOD_NOT_BUILT")
        message = v1.ExtractManyRequest(config=client.entities_config(["person"]))
        actual = failure(lambda: list(self.stub.ExtractMany(iter([message]), timeout=60)))
        self.assert_failure(actual, Code.UNIMPLEMENTED, "METHOD_NOT_BUILT")

    def test_a_reset_in_the_middle(self):
        released = threading.Event()
        self.addCleanup(released.set)

        def requests():
            yield config_message()
            yield chunk(BOOK[:65536])
            released.wait(60)

        call = self.stub.ExtractStream(requests(), timeout=60)
        next(call)
        call.cancel()
        with self.assertRaises(grpc.RpcError) as raised:
            list(call)
        self.assertEqual(raised.exception.code(), Code.CANCELLED)


class SlowClients(BadClients):
    """The clocks of a daemon that waits for two seconds only."""

    seconds = 2
    settings = {
        "log_level": "debug",
        "server__input_idle_ms": 1000 * seconds,
        "server__write_stall_ms": 1000 * seconds,
        "server__results_held_bytes_max": 65536,
    }

    def test_a_client_that_never_finishes(self):
        released = threading.Event()
        self.addCleanup(released.set)

        def requests():
            yield config_message()
            yield chunk(TEXT.encode())
            released.wait(60)

        actual = failure(lambda: list(self.stub.ExtractStream(requests(), timeout=60)))
        self.assert_failure(actual, Code.ABORTED, "IDLE_TIMEOUT")

    def test_a_client_that_never_reads_is_slowed_and_then_ended(self):
        config = client.entities_config(["person", "location", "date", "thing"], include_text=True)
        config.tasks[0].entities.threshold = 0.01
        config.tasks[0].entities.multi_label = True
        text = BOOK[:16384].decode(errors="ignore").encode()
        stopped = threading.Event()
        self.addCleanup(stopped.set)
        sent = 0

        def requests():
            nonlocal sent
            yield v1.ExtractStreamRequest(config=config)
            while not stopped.is_set():
                yield chunk(text)
                sent += len(text)

        # Small windows, so that the test is about the daemon's buffers and not about this library's.
        channel = self.daemon.channel(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
        self.addCleanup(channel.close)
        call = extraction_grpc.ExtractionServiceStub(channel).ExtractStream(requests(), timeout=300)
        self.daemon.wait_for_log("WRITE_STALLED", 240)
        # Only flow control kept it from sending more.
        self.assertLess(sent, 16 << 20)
        stopped.set()
        with self.assertRaises(grpc.RpcError) as raised:
            list(call)
        actual = Failure(raised.exception)
        self.assert_failure(actual, Code.ABORTED, "WRITE_STALLED")
        self.assertIn("read while you write", actual.message)


# A base for others, not a test of its own.
del BadClients
