// Streams documents to gleand and goes on when a server is full, stops or breaks.
//
//   gleand::client::Extraction extraction(Connect("gleand:50051"), config, File("book.txt"));
//   for (const Told& told : extraction) ...
//
// A source that can be read twice (File, Bytes) is sent anew from byte 0 where the server is UNAVAILABLE or refuses with
// QUEUE_FULL, in four attempts at most. What was told is not told again as long as the server that goes on has the same
// fingerprint; with another one a Discard comes first.
//
// A source that is read once (Once) is sent once. A server that stops in order says so while it still reads: the document ends
// there, and the rest goes to the next server as a document of its own. A Part comes before its events; offsets and ordinals go
// on. Where the stream is cut instead, SourceLost is thrown.
#ifndef GLEAND_CLIENT_H_
#define GLEAND_CLIENT_H_

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "gleand/v1/config.pb.h"
#include "gleand/v1/events.pb.h"
#include "gleand_source.h"

namespace gleand::client {

// What it took.
struct Attempts {
  int attempts = 0;  // streams opened
  int restarts = 0;  // of them, again after a failure
  int refused = 0;   // streams that failed before anything of the document was sent
  int parts = 0;     // further documents that a source which is read once became
  int discards = 0;  // restarts with another fingerprint
  std::vector<std::string> instances;  // who accepted a stream, in order
};

// Everything told before is void: a server with another fingerprint goes on, from the start of the document.
struct Discard {
  std::string fingerprint;
};

// What follows was read as a document of its own, which starts at `start` of the whole input.
struct Part {
  int number;
  Place start;
};

using Told = std::variant<v1::Event, Discard, Part>;

// A call failed with a status that another attempt does not help.
class RpcError : public std::runtime_error {
 public:
  explicit RpcError(const grpc::Status& status);
  RpcError(const std::string& what, grpc::Status status) : std::runtime_error(what), status_(std::move(status)) {}
  const grpc::Status& status() const { return status_; }

 private:
  grpc::Status status_;
};

// The stream was cut, and what was sent cannot be read again.
class SourceLost : public RpcError {
  using RpcError::RpcError;
};

// There is no attempt left, or no time for one.
class GaveUp : public RpcError {
  using RpcError::RpcError;
};

struct Options {
  std::string api_key;                               // empty: none
  std::optional<std::chrono::milliseconds> timeout;  // ends all attempts
};

// A channel without the library's own retries, which know nothing of ordinals.
std::shared_ptr<grpc::Channel> Connect(const std::string& server, const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                                                                      grpc::InsecureChannelCredentials());

// One document, read from one thread; ends the stream when it is destroyed. Each part ends with its own `done`.
class Extraction {
 public:
  Extraction(const std::shared_ptr<grpc::Channel>& channel, v1::Config config, std::unique_ptr<Source> source,
             Options options = {});
  ~Extraction();

  // The next event, or what comes between events; nothing at the end. Waits for it, also over several attempts. Throws RpcError
  // and what the source throws; then there is nothing more.
  std::optional<Told> Next();

  const Attempts& attempts() const;

  struct End {};
  class Iterator {
   public:
    explicit Iterator(Extraction* extraction) : extraction_(extraction), told_(extraction->Next()) {}
    Told& operator*() { return *told_; }
    Iterator& operator++() {
      told_ = extraction_->Next();
      return *this;
    }
    bool operator!=(End) const { return told_.has_value(); }

   private:
    Extraction* extraction_;
    std::optional<Told> told_;
  };
  // For range-based loops, once.
  Iterator begin() { return Iterator(this); }
  static End end() { return {}; }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gleand::client

#endif  // GLEAND_CLIENT_H_
