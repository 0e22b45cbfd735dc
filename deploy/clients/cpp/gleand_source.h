// Where the bytes of a document come from.
#ifndef GLEAND_SOURCE_H_
#define GLEAND_SOURCE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gleand::client {

// A position in the whole input, in the three units in which gleand counts.
struct Place {
  std::int64_t bytes = 0;
  std::int64_t codepoints = 0;
  std::int64_t utf16 = 0;
};

// A source belongs to one extraction. The writer thread of a stream calls Take, everything else is called by the thread that
// reads; the writer of one stream has ended before the next stream begins.
class Source {
 public:
  enum class Step { kData, kEnd, kDrained, kLeft };

  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // A stream was accepted: what it sends is counted from 0.
  virtual void Begin() = 0;
  // The next bytes, or why there are none. Throws what the source throws.
  virtual Step Take(std::string* data) = 0;
  // The server is about to stop. False where it was sent nothing: then another one may have all.
  virtual bool Drain() = 0;
  // The stream has ended: Take returns kLeft, also where it waits.
  virtual void Leave() = 0;
  // Bytes of this document that were taken.
  virtual std::int64_t Sent() const = 0;
  // Makes ready to be sent again from the start of this document. False where that cannot be.
  virtual bool GoBack() = 0;
  // Waits until it is known whether there is a next document. False where the deadline comes first; nothing: no deadline.
  virtual bool AwaitPart(std::optional<std::chrono::steady_clock::time_point> deadline) = 0;
  // Where the next document of this source starts, once AwaitPart was true; nothing at the end. Throws what the source throws.
  virtual std::optional<Place> NextPart() = 0;
};

// A regular file. It is sent again where need be, and must not change meanwhile.
std::unique_ptr<Source> File(const std::filesystem::path& path);

// Bytes in memory, sent again where need be.
std::unique_ptr<Source> Bytes(std::string bytes);

// A source that is read once, by calls of `read` in a thread of its own; the empty string is the end. A call may block: the
// thread is then left behind when the extraction ends, so `read` must own what it uses.
std::unique_ptr<Source> Once(std::function<std::string()> read);

// How many bytes of `waiting` may be sent so that a document may end behind them: no code point is cut, and no word unless it is
// long. `ended`: nothing follows `waiting`.
std::size_t WholeWords(std::string_view waiting, bool ended);

// Counts text that comes in pieces. Each maximal part that is not UTF-8 counts as one U+FFFD, as gleand counts it.
class TextCounter {
 public:
  void Add(std::string_view bytes);
  // What follows is a document of its own.
  void EndDocument();
  const Place& place() const { return place_; }

 private:
  void Count(int utf16);

  Place place_;
  int missing_ = 0;  // continuation bytes of the code point that is being read
  int utf16_ = 1;    // its UTF-16 code units
  unsigned char low_ = 0x80, high_ = 0xBF;  // what its next byte may be
};

}  // namespace gleand::client

#endif  // GLEAND_SOURCE_H_
