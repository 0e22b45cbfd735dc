#include "gleand_source.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace gleand::client {
namespace {

constexpr std::size_t kChunkBytes = 64 << 10;
// A word whose end is not known yet is held back, so that a document may end wherever it was sent to; a longer one is not.
constexpr std::size_t kWordBytesMax = 64;

// What can be read again: draining means nothing to it, because it is read to the end here or sent anew elsewhere.
class Again : public Source {
 public:
  void Begin() override { left_ = false; }
  bool Drain() override { return true; }
  void Leave() override { left_ = true; }
  std::int64_t Sent() const override { return sent_; }
  bool AwaitPart(std::optional<std::chrono::steady_clock::time_point>) override { return true; }
  std::optional<Place> NextPart() override { return std::nullopt; }

  Step Take(std::string* data) override {
    if (left_) return Step::kLeft;
    *data = Read();
    sent_ += static_cast<std::int64_t>(data->size());
    return data->empty() ? Step::kEnd : Step::kData;
  }

  bool GoBack() override {
    sent_ = 0;
    Rewind();
    return true;
  }

 protected:
  virtual std::string Read() = 0;
  virtual void Rewind() = 0;

  std::atomic<std::int64_t> sent_ = 0;

 private:
  std::atomic<bool> left_ = false;
};

class BytesSource final : public Again {
 public:
  explicit BytesSource(std::string bytes) : bytes_(std::move(bytes)) {}

 private:
  std::string Read() override { return bytes_.substr(static_cast<std::size_t>(sent_.load()), kChunkBytes); }
  void Rewind() override {}

  const std::string bytes_;
};

class FileSource final : public Again {
 public:
  explicit FileSource(std::filesystem::path path) : path_(std::move(path)), state_(State()), file_(path_, std::ios::binary) {
    if (!file_) throw std::runtime_error(path_.string() + ": cannot be opened");
  }

 private:
  using FileState = std::pair<std::uintmax_t, std::filesystem::file_time_type>;

  FileState State() const { return {std::filesystem::file_size(path_), std::filesystem::last_write_time(path_)}; }

  std::string Read() override {
    std::string data(kChunkBytes, '\0');
    file_.read(data.data(), static_cast<std::streamsize>(data.size()));
    if (file_.bad()) throw std::runtime_error(path_.string() + ": cannot be read");
    data.resize(static_cast<std::size_t>(file_.gcount()));
    return data;
  }

  void Rewind() override {
    file_.clear();
    file_.seekg(0);
    if (State() != state_) throw std::runtime_error(path_.string() + ": the file has changed since it was read first");
  }

  const std::filesystem::path path_;
  const FileState state_;
  std::ifstream file_;
};

// The thread that reads may outlive the source, since a call of `read` cannot be ended; what both know is therefore shared.
class OnceSource final : public Source {
 public:
  explicit OnceSource(std::function<std::string()> read) : shared_(std::make_shared<Shared>()), read_(std::move(read)) {}

  ~OnceSource() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->abandoned = true;
    shared_->changed.notify_all();
  }

  void Begin() override {
    draining_ = left_ = false;
    if (read_) std::thread(ReadAhead, shared_, std::exchange(read_, nullptr)).detach();
  }

  Step Take(std::string* data) override {
    std::unique_lock lock(shared_->mutex);
    const auto ready = [&] { return left_ || draining_ || shared_->ended || WholeWords(shared_->waiting(), false) > 0; };
    shared_->changed.wait(lock, ready);
    if (left_) return Step::kLeft;
    if (draining_) return Step::kDrained;
    const std::string_view waiting = shared_->waiting();
    if (waiting.empty()) {
      if (shared_->error) std::rethrow_exception(shared_->error);
      return Step::kEnd;
    }
    *data = waiting.substr(0, WholeWords(waiting, shared_->ended));
    shared_->taken += data->size();
    counter_.Add(*data);
    sent_ += static_cast<std::int64_t>(data->size());
    shared_->changed.notify_all();
    return Step::kData;
  }

  bool Drain() override {
    const std::lock_guard lock(shared_->mutex);
    draining_ = true;
    shared_->changed.notify_all();
    return sent_ > 0;
  }

  void Leave() override {
    const std::lock_guard lock(shared_->mutex);
    left_ = true;
    shared_->changed.notify_all();
  }

  std::int64_t Sent() const override {
    const std::lock_guard lock(shared_->mutex);
    return sent_;
  }

  bool GoBack() override { return Sent() == 0; }

  bool AwaitPart(std::optional<std::chrono::steady_clock::time_point> deadline) override {
    std::unique_lock lock(shared_->mutex);
    const auto known = [&] { return shared_->ended || !shared_->waiting().empty(); };
    if (deadline) return shared_->changed.wait_until(lock, *deadline, known);
    shared_->changed.wait(lock, known);
    return true;
  }

  std::optional<Place> NextPart() override {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->waiting().empty()) {
      if (shared_->error) std::rethrow_exception(shared_->error);
      return std::nullopt;
    }
    sent_ = 0;
    counter_.EndDocument();
    return counter_.place();
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::string read;       // what was read ahead
    std::size_t taken = 0;  // of it, what is with the server
    bool ended = false, abandoned = false;
    std::exception_ptr error;

    std::string_view waiting() const { return std::string_view(read).substr(taken); }
  };

  static void ReadAhead(std::shared_ptr<Shared> shared, std::function<std::string()> read) {
    std::exception_ptr error;
    try {
      for (std::string piece = read(); !piece.empty(); piece = read()) {
        std::unique_lock lock(shared->mutex);
        shared->read.erase(0, std::exchange(shared->taken, 0));
        shared->read += piece;
        shared->changed.notify_all();
        shared->changed.wait(lock, [&] { return shared->abandoned || shared->waiting().size() < kChunkBytes; });
        if (shared->abandoned) return;
      }
    } catch (...) {  // told by whoever takes next
      error = std::current_exception();
    }
    const std::lock_guard lock(shared->mutex);
    shared->error = error;
    shared->ended = true;
    shared->changed.notify_all();
  }

  const std::shared_ptr<Shared> shared_;
  std::function<std::string()> read_;  // until the first stream begins
  // Under the mutex of what is shared.
  bool draining_ = false, left_ = false;
  std::int64_t sent_ = 0;
  TextCounter counter_;
};

}  // namespace

std::unique_ptr<Source> File(const std::filesystem::path& path) { return std::make_unique<FileSource>(path); }

std::unique_ptr<Source> Bytes(std::string bytes) { return std::make_unique<BytesSource>(std::move(bytes)); }

std::unique_ptr<Source> Once(std::function<std::string()> read) { return std::make_unique<OnceSource>(std::move(read)); }

std::size_t WholeWords(std::string_view waiting, bool ended) {
  const std::string_view text = waiting.substr(0, kChunkBytes);
  if (ended && text.size() == waiting.size()) return text.size();
  const std::size_t last = text.size() > kWordBytesMax ? text.size() - kWordBytesMax : 0;
  const std::size_t blank = text.substr(last).find_last_of(" \t\n\r\f");
  if (blank != std::string_view::npos) return last + blank + 1;
  if (text.size() < kWordBytesMax) return 0;
  // A code point that is not whole yet: one to three bytes from its lead byte on.
  for (std::size_t count = 1; count <= 3; ++count) {
    const auto lead = static_cast<unsigned char>(text[text.size() - count]);
    if (lead >= 0xC0) {
      const std::size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
      return whole > count ? text.size() - count : text.size();
    }
  }
  return text.size();
}

void TextCounter::Add(std::string_view bytes) {
  place_.bytes += static_cast<std::int64_t>(bytes.size());
  for (const char character : bytes) {
    const auto byte = static_cast<unsigned char>(character);
    if (missing_ > 0) {
      const bool goes_on = byte >= low_ && byte <= high_;
      low_ = 0x80;
      high_ = 0xBF;
      if (goes_on) {
        if (--missing_ == 0) Count(utf16_);
        continue;
      }
      EndDocument();  // of what was begun; this byte begins something new
    }
    if (byte < 0xC2 || byte > 0xF4) {
      Count(1);
      continue;
    }
    missing_ = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    utf16_ = missing_ == 3 ? 2 : 1;
    if (byte == 0xE0) low_ = 0xA0;   // less would be a longer form of fewer bytes
    if (byte == 0xED) high_ = 0x9F;  // more would be a surrogate
    if (byte == 0xF0) low_ = 0x90;
    if (byte == 0xF4) high_ = 0x8F;  // more would be past U+10FFFF
  }
}

void TextCounter::EndDocument() {
  if (std::exchange(missing_, 0) > 0) Count(1);
}

void TextCounter::Count(int utf16) {
  place_.codepoints += 1;
  place_.utf16 += utf16;
}

}  // namespace gleand::client
