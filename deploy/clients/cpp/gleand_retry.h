// When another attempt may help, and how long to wait before it.
#ifndef GLEAND_RETRY_H_
#define GLEAND_RETRY_H_

#include <chrono>
#include <optional>
#include <string>

#include <grpcpp/grpcpp.h>

namespace gleand::client {

inline constexpr int kAttemptsMax = 4;

using Seconds = std::chrono::duration<double>;

// What comes after the failure of attempt `number` (from 1); nothing where another attempt would be of no use. `pushback` is the
// trailer grpc-retry-pushback-ms, `random` a number from [0, 1).
std::optional<Seconds> DelayBeforeNext(const grpc::Status& status, const std::optional<std::string>& pushback, int number,
                                       double random);

// The name of a code, as UNAVAILABLE.
std::string CodeName(grpc::StatusCode code);

}  // namespace gleand::client

#endif  // GLEAND_RETRY_H_
