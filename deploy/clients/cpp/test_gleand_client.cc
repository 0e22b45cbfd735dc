// What the client does when a server refuses, stops or breaks, seen against a server that finds the word "Ann".
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "gleand/v1/extraction.grpc.pb.h"
#include "gleand_client.h"
#include "gleand_retry.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace client = gleand::client;
namespace v1 = gleand::v1;

namespace {

const std::string kWord = "Ann";

std::string Text() {
  std::string text;
  for (int at = 0; at < 500; ++at) {
    text += "😀 Ann and Bob met Ann. ";
    for (int more = 0; more < 12; ++more) text += "Nobody was there, é, 漢字 or not. ";
  }
  return text;
}

grpc::Status Failure(grpc::StatusCode code, const std::string& reason, std::optional<int> retry_ms = std::nullopt) {
  google::rpc::Status status;
  status.set_code(code);
  if (!reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    status.add_details()->PackFrom(info);
  }
  if (retry_ms) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(*retry_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(*retry_ms % 1000 * 1'000'000);
    status.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, "not now", status.SerializeAsString());
}

// What a server does with one stream: cut it or announce its stop after so many bytes.
struct Turn {
  // kLate and kNever: a status some time after done, and none as long as the client waits.
  enum What { kFind, kRefuse, kCut, kDrain, kLate, kNever } what = kFind;
  std::size_t bytes = 0;
  std::string fingerprint = "00ff";
};

v1::Mention Mention(std::string_view text, std::size_t at, int ordinal) {
  client::TextCounter before;
  before.Add(text.substr(0, at));
  v1::Mention mention;
  mention.set_task_id("t");
  mention.set_ordinal(ordinal);
  const auto set = [](v1::Range* range, std::int64_t start) {
    range->set_start(start);
    range->set_end(start + 3);
  };
  set(mention.mutable_byte_range(), before.place().bytes);
  set(mention.mutable_codepoint_range(), before.place().codepoints);
  set(mention.mutable_utf16_range(), before.place().utf16);
  return mention;
}

// Each stream does what its turn says, the last turn for ever.
class Server final : public v1::ExtractionService::Service {
 public:
  Server(std::initializer_list<Turn> turns) : turns_(turns) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Server() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::shared_ptr<grpc::Channel> Connect() const { return client::Connect("127.0.0.1:" + std::to_string(port_)); }
  int streams() const { return streams_; }
  // Whether the client cancelled the stream after done, once the server has waited with the status.
  bool AwaitCancelled() const {
    while (!waited_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return cancelled_;
  }

  grpc::Status ExtractStream(grpc::ServerContext* context,
                             grpc::ServerReaderWriter<v1::ExtractStreamResponse, v1::ExtractStreamRequest>* stream) override {
    const Turn& turn = turns_[std::min(static_cast<std::size_t>(streams_++), turns_.size() - 1)];
    v1::ExtractStreamRequest request;
    if (!stream->Read(&request) || !request.has_config()) return Failure(grpc::INVALID_ARGUMENT, "CONFIG_MISSING");
    if (turn.what == Turn::kRefuse) return Failure(grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", 300);
    v1::ExtractStreamResponse ready, draining, done;
    ready.mutable_event()->mutable_ready()->set_fingerprint(turn.fingerprint);
    draining.mutable_event()->mutable_draining();
    done.mutable_event()->mutable_done();
    stream->Write(ready);

    std::string text;
    std::size_t searched = 0;
    int found = 0;
    bool flushed = false, told = false;
    while (stream->Read(&request)) {
      text += request.chunk().data();
      flushed = flushed || request.has_flush();
      for (std::size_t at; (at = text.find(kWord, searched)) != std::string::npos; searched = at + kWord.size()) {
        v1::ExtractStreamResponse response;
        *response.mutable_event()->mutable_mentions()->add_mentions() = Mention(text, at, found++);
        stream->Write(response);
      }
      if (request.has_finish()) {
        const bool whole = request.finish().total_bytes() == static_cast<std::int64_t>(text.size());
        if (!whole || flushed != told) return Failure(grpc::INVALID_ARGUMENT, "TOTAL_MISMATCH");
        stream->Write(done);
        const int waits = turn.what == Turn::kLate ? 60 : turn.what == Turn::kNever ? 4'000 : 0;
        for (int at = 0; at < waits && !cancelled_; ++at) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
          cancelled_ = context->IsCancelled();
        }
        waited_ = true;
        return grpc::Status::OK;
      }
      if (turn.what == Turn::kCut && text.size() >= turn.bytes) return Failure(grpc::UNAVAILABLE, "DRAINING", 1);
      if (turn.what == Turn::kDrain && text.size() >= turn.bytes && !told) {
        told = true;
        stream->Write(draining);
      }
    }
    return Failure(grpc::ABORTED, "INPUT_INCOMPLETE");
  }

 private:
  const std::vector<Turn> turns_;
  std::atomic<int> streams_ = 0;
  std::atomic<bool> waited_ = false, cancelled_ = false;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// What a caller has at the end, and what came between.
struct Read {
  std::vector<std::array<std::int64_t, 4>> places;  // ordinal and starts
  std::vector<client::Part> parts;
  std::vector<std::string> discards;

  explicit Read(client::Extraction& extraction, std::atomic<int>* drainings = nullptr) {
    for (const client::Told& told : extraction) {
      if (const auto* part = std::get_if<client::Part>(&told)) parts.push_back(*part);
      if (const auto* discard = std::get_if<client::Discard>(&told)) {
        discards.push_back(discard->fingerprint);
        places.clear();
      }
      if (const auto* event = std::get_if<v1::Event>(&told)) {
        if (event->has_draining() && drainings) ++*drainings;
        for (const v1::Mention& mention : event->mentions().mentions()) Add(mention);
      }
    }
  }
  explicit Read(std::string_view text) {
    int ordinal = 0;
    for (std::size_t at = 0; (at = text.find(kWord, at)) != std::string_view::npos; ++at) Add(Mention(text, at, ordinal++));
  }

 private:
  void Add(const v1::Mention& mention) {
    places.push_back({mention.ordinal(), mention.byte_range().start(), mention.codepoint_range().start(),
                      mention.utf16_range().start()});
  }
};

// A source of small pieces, each after a call of `wait` with its place.
std::function<std::string()> Pieces(const std::string& text, std::function<void(std::size_t)> wait = [](std::size_t) {}) {
  return [text, wait, at = std::size_t{0}]() mutable {
    wait(at);
    const std::string piece = text.substr(at, 999);
    at += piece.size();
    return piece;
  };
}

}  // namespace

TEST_CASE("the delay is that of the server, else doubles; what another attempt cannot help has none") {
  const auto delay = [](const grpc::Status& status, std::optional<std::string> pushback, int number, double random) {
    const auto seconds = client::DelayBeforeNext(status, pushback, number, random);
    return seconds ? seconds->count() : -1;
  };
  const grpc::Status unavailable = Failure(grpc::UNAVAILABLE, "DRAINING");
  CHECK(delay(unavailable, {}, 1, 0.5) == doctest::Approx(0.1));
  CHECK(delay(unavailable, {}, 3, 0.5) == doctest::Approx(0.4));
  CHECK(delay(unavailable, {}, 9, 0.5) == doctest::Approx(5));
  CHECK(delay(unavailable, "300", 1, 0) == doctest::Approx(0.3));
  CHECK(delay(unavailable, "300", 1, 0.5) == doctest::Approx(0.33));
  CHECK(delay(Failure(grpc::UNAVAILABLE, "DRAINING", 1500), "300", 1, 1) == doctest::Approx(1.8));
  CHECK(delay(Failure(grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", 2000), {}, 1, 0) == doctest::Approx(2));
  CHECK(delay(grpc::Status(grpc::UNKNOWN, "reset"), {}, 1, 0.5) == doctest::Approx(0.1));
  CHECK(delay(grpc::Status(grpc::INTERNAL, "reset"), {}, 1, 0.5) == doctest::Approx(0.1));
  CHECK(delay(unavailable, "-1", 1, 0.5) == -1);
  CHECK(delay(unavailable, "", 1, 0.5) == -1);
  CHECK(delay(Failure(grpc::INTERNAL, "WORKER_FAILED"), {}, 1, 0.5) == -1);
  CHECK(delay(Failure(grpc::RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", 2000), {}, 1, 0.5) == -1);
  CHECK(delay(Failure(grpc::INVALID_ARGUMENT, "LABELS_EMPTY"), {}, 1, 0.5) == -1);
}

TEST_CASE("what was refused or cut is sent again, and nothing is told twice") {
  Server server{{Turn::kRefuse}, {Turn::kCut, 80'000}, {Turn::kCut, 66'000}, {}};
  client::Extraction extraction(server.Connect(), {}, client::Bytes(Text()));
  const Read read(extraction);
  CHECK(read.places == Read(Text()).places);
  CHECK(read.discards.empty());
  CHECK(extraction.attempts().attempts == 4);
  CHECK(extraction.attempts().restarts == 3);
  CHECK(extraction.attempts().refused == 1);
  CHECK(extraction.attempts().instances.size() == 3);
}

TEST_CASE("another fingerprint voids what was told") {
  Server server{{Turn::kCut, 80'000}, {Turn::kFind, 0, "abcd"}};
  client::Extraction extraction(server.Connect(), {}, client::Bytes(Text()));
  const Read read(extraction);
  CHECK(read.places == Read(Text()).places);
  CHECK(read.discards == std::vector<std::string>{"abcd"});
}

TEST_CASE("four attempts and the timeout are the end") {
  Server server{{Turn::kRefuse}};
  client::Extraction extraction(server.Connect(), {}, client::Bytes(Text()));
  CHECK_THROWS_AS(Read{extraction}, client::GaveUp);
  CHECK(server.streams() == 4);
  client::Extraction hurried(server.Connect(), {}, client::Bytes(Text()), {"", std::chrono::milliseconds(250)});
  CHECK_THROWS_AS(Read{hurried}, client::GaveUp);
  CHECK(server.streams() == 5);
}

TEST_CASE("draining ends a document between words, and the rest is a document of its own") {
  Server server{{Turn::kDrain, 20'000}, {Turn::kRefuse}, {Turn::kDrain, 50'000}, {}};
  // The source has no more until the client knows that the server stops.
  const auto drainings = std::make_shared<std::atomic<int>>(0);
  const auto wait = [drainings](std::size_t at) {
    const int wanted = (at > 25'000) + (at > 90'000);
    while (*drainings < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  client::Extraction extraction(server.Connect(), {}, client::Once(Pieces(Text(), wait)));
  const Read read(extraction, drainings.get());
  CHECK(read.places == Read(Text()).places);
  REQUIRE(read.parts.size() == 2);
  CHECK(read.parts[1].number == 3);
  for (const client::Part& part : read.parts) {
    client::TextCounter before;
    before.Add(Text().substr(0, static_cast<std::size_t>(part.start.bytes)));
    CHECK(part.start.utf16 == before.place().utf16);
    CHECK(Text()[static_cast<std::size_t>(part.start.bytes) - 1] == ' ');
  }
  CHECK(extraction.attempts().attempts == 4);
}

TEST_CASE("a cut and an error of a source that is read once are told") {
  Server server{{Turn::kCut, 20'000}, {}};
  client::Extraction cut(server.Connect(), {}, client::Once(Pieces(Text())));
  CHECK_THROWS_AS(Read{cut}, client::SourceLost);
  const auto broken = []() -> std::string { throw std::out_of_range("the disk"); };
  client::Extraction error(server.Connect(), {}, client::Once(broken));
  CHECK_THROWS_WITH_AS(Read{error}, "the disk", std::out_of_range);
}

TEST_CASE("an error of the source that looks like one of the server is the source's") {
  Server server{{}};
  const auto other = []() -> std::string { throw client::RpcError(grpc::Status(grpc::UNAVAILABLE, "another call")); };
  client::Extraction error(server.Connect(), {}, client::Once(other));
  CHECK_THROWS_WITH_AS(Read{error}, "UNAVAILABLE: another call", client::RpcError);
  CHECK(server.streams() == 1);
}

TEST_CASE("the timeout holds between two parts, where no stream is open") {
  Server server{{Turn::kDrain, 4}, {}};
  const auto silent = [count = 0]() mutable {
    if (count++ > 0) std::this_thread::sleep_for(std::chrono::hours(1));
    return std::string("Ann ");
  };
  client::Extraction extraction(server.Connect(), {}, client::Once(silent), {"", std::chrono::milliseconds(700)});
  bool is_done = false;
  try {
    for (const client::Told& told : extraction) {
      if (const auto* event = std::get_if<v1::Event>(&told)) is_done = is_done || event->has_done();
    }
    FAIL("the source has an end");
  } catch (const client::RpcError& error) {
    CHECK(error.status().error_code() == grpc::DEADLINE_EXCEEDED);
  }
  CHECK(is_done);
  CHECK(server.streams() == 1);
}

TEST_CASE("the status after done is read, so that nothing is reset; one that does not come is not waited for") {
  Server late{{Turn::kLate}};
  client::Extraction first(late.Connect(), {}, client::Bytes(Text()));
  CHECK(Read(first).places == Read(Text()).places);
  CHECK(!late.AwaitCancelled());
  Server never{{Turn::kNever}};
  client::Extraction second(never.Connect(), {}, client::Bytes(Text()));
  const auto start = std::chrono::steady_clock::now();
  CHECK(Read(second).places == Read(Text()).places);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(15));
  CHECK(never.AwaitCancelled());
}

TEST_CASE("a caller may leave at any time, also where the source never has anything") {
  Server server{{}};
  client::Extraction extraction(server.Connect(), {}, client::Once([] {
    std::this_thread::sleep_for(std::chrono::hours(1));
    return std::string();
  }));
  CHECK(std::get<v1::Event>(*extraction.Next()).has_ready());
}

TEST_CASE("no code point and no short word is cut") {
  const std::string word(64, 'x');
  CHECK(client::WholeWords("short", false) == 0);
  CHECK(client::WholeWords("short", true) == 5);
  CHECK(client::WholeWords("one two", false) == 4);
  CHECK(client::WholeWords(word, false) == 64);
  CHECK(client::WholeWords(word + "\xC3", false) == 64);
  CHECK(client::WholeWords(word + "\xF0\x9F\x98", false) == 64);
  CHECK(client::WholeWords(word + "😀", false) == 68);
}

TEST_CASE("text that is not UTF-8 counts as gleand counts it") {
  client::TextCounter counter;
  for (const char byte : std::string("a\x80\xE6\xBC\xF0\x9F\x98\xED\xA0\xC3")) counter.Add({&byte, 1});
  counter.EndDocument();
  CHECK(counter.place().bytes == 10);
  CHECK(counter.place().codepoints == 7);  // a, U+FFFD for 80, E6 BC, F0 9F 98, ED, A0, C3
  CHECK(counter.place().utf16 == 7);
}
