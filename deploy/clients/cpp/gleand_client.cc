#include "gleand_client.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "gleand/v1/extraction.grpc.pb.h"
#include "gleand_retry.h"

namespace gleand::client {
namespace {

using Clock = std::chrono::steady_clock;
using google::protobuf::RepeatedPtrField;

// How long the status may take to come after `done`, which is all that a caller wants.
constexpr std::chrono::seconds kStatusWait{3};

void Shift(v1::Range* range, std::int64_t by) {
  range->set_start(range->start() + by);
  range->set_end(range->end() + by);
}

// Moves a result to its place in the whole input.
template <typename Result>
void Move(Result* result, const Place& by) {
  if (result->has_byte_range()) Shift(result->mutable_byte_range(), by.bytes);
  if (result->has_codepoint_range()) Shift(result->mutable_codepoint_range(), by.codepoints);
  if (result->has_utf16_range()) Shift(result->mutable_utf16_range(), by.utf16);
}

void Move(v1::Relation* relation, const Place& by) {
  Move(relation->mutable_head(), by);
  Move(relation->mutable_tail(), by);
}

template <typename Result>
void MoveAll(RepeatedPtrField<Result>* results, const Place& by) {
  for (Result& result : *results) Move(&result, by);
}

// What the caller has: results that come again are dropped, those of a later part are moved to their place.
class Handed {
 public:
  // Whether a server with this fingerprint makes void what the caller has.
  bool GoOn(const std::string& fingerprint) {
    const bool changed = fingerprint_ != fingerprint;
    const bool is_void = changed && !next_.empty();
    if (changed) next_.clear();
    fingerprint_ = fingerprint;
    return is_void;
  }

  void StartPart(const Place& start) {
    for (const auto& [task, count] : next_) before_[task] += count;
    next_.clear();
    fingerprint_.clear();
    start_ = start;
  }

  // Makes of an event what the caller wants of it. False where there is nothing new in it.
  bool KeepNews(v1::Event* event) {
    switch (event->kind_case()) {
      case v1::Event::kMentions: return KeepNew(event->mutable_mentions()->mutable_mentions());
      case v1::Event::kRelations: return KeepNew(event->mutable_relations()->mutable_relations());
      case v1::Event::kAnswers: return KeepNew(event->mutable_answers()->mutable_answers());
      case v1::Event::kSummary: return KeepNew(event->mutable_summary()->mutable_spans());
      case v1::Event::kClasses: return KeepNew(event->mutable_classes()->mutable_classes());
      case v1::Event::kInterim: MoveInterim(event->mutable_interim()->mutable_results()); return true;
      case v1::Event::kProgress: MoveProgress(event->mutable_progress()); return true;
      default: return true;
    }
  }

 private:
  template <typename Result>
  bool KeepNew(RepeatedPtrField<Result>* results) {
    int kept = 0;
    for (int at = 0; at < results->size(); ++at) {
      Result* result = results->Mutable(at);
      std::int64_t& next = next_[result->task_id()];
      if (result->ordinal() < next) continue;
      next = result->ordinal() + 1;
      const auto before = before_.find(result->task_id());
      if (before != before_.end()) result->set_ordinal(result->ordinal() + before->second);
      Move(result, start_);
      results->SwapElements(at, kept++);
    }
    results->DeleteSubrange(kept, results->size() - kept);
    return kept > 0;
  }

  void MoveInterim(v1::Results* results) {
    MoveAll(results->mutable_mentions(), start_);
    MoveAll(results->mutable_relations(), start_);
    MoveAll(results->mutable_answers(), start_);
    MoveAll(results->mutable_summary_spans(), start_);
    MoveAll(results->mutable_classes(), start_);
  }

  void MoveProgress(v1::Progress* progress) {
    progress->set_watermark_bytes(progress->watermark_bytes() + start_.bytes);
    progress->set_watermark_codepoints(progress->watermark_codepoints() + start_.codepoints);
    progress->set_received_bytes(progress->received_bytes() + start_.bytes);
  }

  std::string fingerprint_;
  Place start_;
  // By task: the ordinal that is expected next in this part, and the number of results in the parts before.
  std::map<std::string, std::int64_t> next_, before_;
};

// One stream. A thread writes the document while the caller's reads, so that neither waits for ever; it starts when the server
// has accepted the document.
class Stream {
 public:
  Stream(v1::ExtractionService::Stub* stub, const v1::Config& config, Source* source, const Options& options,
         std::optional<Clock::time_point> deadline)
      : source_(source) {
    if (!options.api_key.empty()) context_.AddMetadata("authorization", "Bearer " + options.api_key);
    if (deadline) {
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(*deadline - Clock::now());
      context_.set_deadline(std::chrono::system_clock::now() + left);
    }
    call_ = stub->ExtractStream(&context_);
    v1::ExtractStreamRequest request;
    *request.mutable_config() = config;
    call_->Write(request);  // where it fails, so does Read
  }

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  ~Stream() {
    context_.TryCancel();
    JoinWriter();
    if (!finished_) call_->Finish();
  }

  bool Read(v1::ExtractStreamResponse* response) { return call_->Read(response); }

  void Accepted() {
    if (writer_.joinable()) return;
    source_->Begin();
    writer_ = std::thread([this] { Write(); });
  }

  // After `done`: reads the status, for some seconds, since a stream that is cancelled before counts as reset.
  void AwaitEnd() {
    std::promise<void> ended;
    std::thread bound([this, end = ended.get_future()] {
      if (end.wait_for(kStatusWait) == std::future_status::timeout) context_.TryCancel();
    });
    v1::ExtractStreamResponse nothing;
    while (call_->Read(&nothing)) continue;
    JoinWriter();
    call_->Finish();
    finished_ = true;
    ended.set_value();
    bound.join();
  }

  // Why there is nothing more to read. Throws what the source threw.
  grpc::Status Finish() {
    JoinWriter();
    finished_ = true;
    grpc::Status status = call_->Finish();
    if (error_) std::rethrow_exception(error_);
    return status;
  }

  std::optional<std::string> Trailer(const std::string& name) const {
    const auto& trailers = context_.GetServerTrailingMetadata();
    const auto found = trailers.find(name);
    if (found == trailers.end()) return std::nullopt;
    return std::string(found->second.data(), found->second.size());
  }

 private:
  void Write() {
    try {
      v1::ExtractStreamRequest request;
      Source::Step step;
      while ((step = source_->Take(request.mutable_chunk()->mutable_data())) == Source::Step::kData) {
        if (!call_->Write(request)) return;
      }
      if (step == Source::Step::kLeft) return;
      if (step == Source::Step::kDrained) {
        request.mutable_flush();
        if (!call_->Write(request)) return;
      }
      request.mutable_finish()->set_total_bytes(source_->Sent());
      call_->WriteLast(request, grpc::WriteOptions());
    } catch (...) {
      error_ = std::current_exception();
      context_.TryCancel();
    }
  }

  void JoinWriter() {
    source_->Leave();
    if (writer_.joinable()) writer_.join();
  }

  Source* const source_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExtractStreamRequest, v1::ExtractStreamResponse>> call_;
  std::thread writer_;
  std::exception_ptr error_;  // of the writer, read when it has ended
  bool finished_ = false;
};

}  // namespace

class Extraction::Impl {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel, v1::Config config, std::unique_ptr<Source> source, Options options)
      : stub_(v1::ExtractionService::NewStub(channel)),
        config_(std::move(config)),
        options_(std::move(options)),
        source_(std::move(source)) {
    if (options_.timeout) deadline_ = Clock::now() + *options_.timeout;
  }

  std::optional<Told> Next() {
    try {
      while (pending_.empty() && !ended_) Step();
    } catch (...) {
      ended_ = true;
      stream_.reset();
      throw;
    }
    if (pending_.empty()) return std::nullopt;
    Told told = std::move(pending_.front());
    pending_.pop_front();
    return told;
  }

  const Attempts& attempts() const { return attempts_; }

 private:
  void Step() {
    if (part_is_done_) return StartPart();
    if (!stream_) {
      attempts_.attempts += 1;
      stream_ = std::make_unique<Stream>(stub_.get(), config_, source_.get(), options_, deadline_);
    }
    v1::ExtractStreamResponse response;
    if (stream_->Read(&response)) return Take(response.mutable_event());
    const grpc::Status status = stream_->Finish();
    if (status.ok()) return TryAgain(grpc::Status(grpc::UNAVAILABLE, "the server ended the stream before the document was done"));
    TryAgain(status);
  }

  void Take(v1::Event* event) {
    if (event->has_ready()) {
      attempts_.instances.push_back(event->ready().instance());
      if (handed_.GoOn(event->ready().fingerprint())) {
        attempts_.discards += 1;
        pending_.emplace_back(Discard{event->ready().fingerprint()});
      }
      stream_->Accepted();
    } else if (event->has_draining() && !source_->Drain()) {
      return TryAgain(grpc::Status(grpc::UNAVAILABLE, "the server stops, and was sent nothing yet"));
    } else if (event->has_done()) {
      part_is_done_ = true;
      stream_->AwaitEnd();
      stream_.reset();
    }
    if (handed_.KeepNews(event)) pending_.emplace_back(std::move(*event));
  }

  // The source may have no more for a long time: what the part ended with is told before.
  void StartPart() {
    if (!source_->AwaitPart(deadline_)) throw RpcError(grpc::Status(grpc::DEADLINE_EXCEEDED, "the timeout is over"));
    const std::optional<Place> start = source_->NextPart();
    part_is_done_ = false;
    ended_ = !start;
    if (ended_) return;
    attempt_ = 1;
    attempts_.parts += 1;
    handed_.StartPart(*start);
    pending_.emplace_back(Part{attempts_.parts + 1, *start});
  }

  // Waits, and leaves no stream behind; throws where there is no other attempt.
  void TryAgain(const grpc::Status& status) {
    const double random = std::uniform_real_distribution<double>()(random_);
    const auto delay = DelayBeforeNext(status, stream_->Trailer("grpc-retry-pushback-ms"), attempt_, random);
    if (!delay) throw RpcError(status);
    stream_.reset();
    const std::string& message = status.error_message();
    if (source_->Sent() == 0) attempts_.refused += 1;
    if (!source_->GoBack()) throw SourceLost("the stream was cut, and its source cannot be read twice: " + message, status);
    if (attempt_ == kAttemptsMax) {
      throw GaveUp("gave up after " + std::to_string(kAttemptsMax) + " attempts: " + message, status);
    }
    if (deadline_ && Clock::now() + *delay >= *deadline_) {
      throw GaveUp("the timeout leaves no time for another attempt: " + message, status);
    }
    std::this_thread::sleep_for(*delay);
    attempt_ += 1;
    attempts_.restarts += 1;
  }

  const std::unique_ptr<v1::ExtractionService::Stub> stub_;
  const v1::Config config_;
  const Options options_;
  const std::unique_ptr<Source> source_;
  std::optional<Clock::time_point> deadline_;
  Handed handed_;
  Attempts attempts_;
  std::mt19937 random_{std::random_device{}()};
  std::unique_ptr<Stream> stream_;  // ends before the source that its writer takes from
  std::deque<Told> pending_;
  int attempt_ = 1;  // of this part
  bool part_is_done_ = false, ended_ = false;
};

RpcError::RpcError(const grpc::Status& status)
    : RpcError(CodeName(status.error_code()) + ": " + status.error_message(), status) {}

std::shared_ptr<grpc::Channel> Connect(const std::string& server, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Nothing else tells one who only reads that the other end is gone. The server takes a ping every 30 s; the library would end
  // them after two where nothing is written.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Newer versions wait for any ping as long as this says, a minute if it says nothing.
  arguments.SetInt("grpc.http2.ping_timeout_ms", 20'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(server, credentials, arguments);
}

Extraction::Extraction(const std::shared_ptr<grpc::Channel>& channel, v1::Config config, std::unique_ptr<Source> source,
                       Options options)
    : impl_(std::make_unique<Impl>(channel, std::move(config), std::move(source), std::move(options))) {}

Extraction::~Extraction() = default;

std::optional<Told> Extraction::Next() { return impl_->Next(); }

const Attempts& Extraction::attempts() const { return impl_->attempts(); }

}  // namespace gleand::client
