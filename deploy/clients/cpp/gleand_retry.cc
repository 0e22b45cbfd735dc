#include "gleand_retry.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace gleand::client {
namespace {

constexpr Seconds kBackoffFirst{0.2}, kBackoffMax{10};
// A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
constexpr double kToldJitter = 0.2;

}  // namespace

std::optional<Seconds> DelayBeforeNext(const grpc::Status& status, const std::optional<std::string>& pushback, int number,
                                       double random) {
  std::string reason;
  std::optional<Seconds> told;
  google::rpc::Status details;
  details.ParseFromString(status.error_details());  // of the trailer grpc-status-details-bin
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      reason = info.reason();
    } else if (detail.UnpackTo(&retry)) {
      told = Seconds(static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() / 1e9);
    }
  }

  const grpc::StatusCode code = status.error_code();
  const bool refused = code == grpc::UNAVAILABLE || (code == grpc::RESOURCE_EXHAUSTED && reason == "QUEUE_FULL");
  // Every error of the server has a reason: without one the connection broke.
  const bool broken = (code == grpc::UNKNOWN || code == grpc::INTERNAL) && reason.empty();
  if (!refused && !broken) return std::nullopt;
  if (pushback) {
    if (pushback->empty() || pushback->find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
    if (!told) told = Seconds(std::strtod(pushback->c_str(), nullptr) / 1000);
  }
  if (told) return *told * (1 + kToldJitter * random);
  return std::min(kBackoffMax, kBackoffFirst * std::exp2(number - 1)) * random;
}

std::string CodeName(grpc::StatusCode code) {
  static constexpr std::array kNames = {
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto number = static_cast<std::size_t>(code);
  return number < kNames.size() ? kNames[number] : std::to_string(code);
}

}  // namespace gleand::client
