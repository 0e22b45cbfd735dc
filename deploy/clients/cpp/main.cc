// Prints one line a mention: task ordinal start end label_index score_bits. README.md has the contract.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <system_error>

#include <getopt.h>
#include <unistd.h>

#include "gleand_client.h"

namespace {

namespace client = gleand::client;
namespace v1 = gleand::v1;

constexpr char kUsage[] =
    "usage: gleand-client --labels NAME,... [--server HOST:PORT] [--timeout SECONDS] [--api-key-file FILE]\n"
    "                     [--tls | --ca FILE [--cert FILE --key FILE]] [--stats] FILE\n"
    "FILE is the document; - reads standard input, once.\n";

struct UsageError {};

struct Arguments {
  std::string server = "127.0.0.1:50051", labels, file, api_key_file, ca, cert, key;
  std::optional<std::chrono::milliseconds> timeout;
  bool tls = false, stats = false;
};

Arguments Parse(int count, char** values) {
  enum Flag { kServer = 1, kLabels, kTimeout, kApiKeyFile, kTls, kCa, kCert, kKey, kStats };
  const option flags[] = {{"server", required_argument, nullptr, kServer}, {"labels", required_argument, nullptr, kLabels},
                          {"timeout", required_argument, nullptr, kTimeout},
                          {"api-key-file", required_argument, nullptr, kApiKeyFile},
                          {"tls", no_argument, nullptr, kTls}, {"ca", required_argument, nullptr, kCa},
                          {"cert", required_argument, nullptr, kCert}, {"key", required_argument, nullptr, kKey},
                          {"stats", no_argument, nullptr, kStats}, {}};
  Arguments arguments;
  for (int flag; (flag = getopt_long(count, values, "", flags, nullptr)) != -1;) {
    switch (flag) {
      case kServer: arguments.server = optarg; break;
      case kLabels: arguments.labels = optarg; break;
      case kTimeout: {
        char* end = nullptr;
        const double seconds = std::strtod(optarg, &end);
        if (end == optarg || *end != '\0' || !(seconds >= 0 && seconds < 1e9)) throw UsageError();
        arguments.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
        break;
      }
      case kApiKeyFile: arguments.api_key_file = optarg; break;
      case kTls: arguments.tls = true; break;
      case kCa: arguments.ca = optarg; break;
      case kCert: arguments.cert = optarg; break;
      case kKey: arguments.key = optarg; break;
      case kStats: arguments.stats = true; break;
      default: throw UsageError();
    }
  }
  if (optind != count - 1 || arguments.labels.empty()) throw UsageError();
  arguments.file = values[optind];
  return arguments;
}

std::string ReadFile(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return text;
}

std::string WithoutSpace(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text.erase(0, text.find_first_not_of(" \t\r\n"));
}

std::string ReadStandardInput() {
  std::string data(64 << 10, '\0');
  ssize_t count;
  while ((count = read(STDIN_FILENO, data.data(), data.size())) < 0 && errno == EINTR) {
  }
  if (count < 0) throw std::system_error(errno, std::generic_category(), "standard input");
  data.resize(static_cast<std::size_t>(count));
  return data;
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const Arguments& arguments) {
  const bool tls = arguments.tls || !arguments.ca.empty() || !arguments.cert.empty() || !arguments.key.empty();
  if (!tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({ReadFile(arguments.ca), ReadFile(arguments.key), ReadFile(arguments.cert)});
}

v1::Config ConfigFor(const std::string& labels) {
  v1::Config config;
  v1::Task* task = config.add_tasks();
  task->set_id("entities");
  std::istringstream names(labels);
  for (std::string name; std::getline(names, name, ',');) task->mutable_entities()->add_labels()->set_name(name);
  return config;
}

void Print(const v1::Mention& mention) {
  std::uint32_t bits;
  const float score = mention.score();
  static_assert(sizeof bits == sizeof score);
  std::memcpy(&bits, &score, sizeof bits);
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", bits);
  std::cout << mention.task_id() << ' ' << mention.ordinal() << ' ' << mention.byte_range().start() << ' '
            << mention.byte_range().end() << ' ' << mention.label_index() << ' ' << hex << std::endl;
}

void PrintStats(const client::Attempts& took) {
  std::cerr << "attempts=" << took.attempts << " restarts=" << took.restarts << " refused=" << took.refused
            << " parts=" << took.parts << " discards=" << took.discards << " instances=";
  for (std::size_t at = 0; at < took.instances.size(); ++at) std::cerr << (at > 0 ? "," : "") << took.instances[at];
  std::cerr << std::endl;
}

int Run(const Arguments& arguments) {
  const auto channel = client::Connect(arguments.server, Credentials(arguments));
  client::Options options;
  options.api_key = WithoutSpace(ReadFile(arguments.api_key_file));
  options.timeout = arguments.timeout;
  std::optional<client::Extraction> extraction;
  int status = EXIT_SUCCESS;
  try {
    auto source = arguments.file == "-" ? client::Once(ReadStandardInput) : client::File(arguments.file);
    extraction.emplace(channel, ConfigFor(arguments.labels), std::move(source), std::move(options));
    for (const client::Told& told : *extraction) {
      if (std::holds_alternative<client::Discard>(told)) std::cout << "discard" << std::endl;
      if (const auto* event = std::get_if<v1::Event>(&told)) {
        for (const v1::Mention& mention : event->mentions().mentions()) Print(mention);
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    status = EXIT_FAILURE;
  }
  if (arguments.stats) PrintStats(extraction ? extraction->attempts() : client::Attempts());
  return status;
}

}  // namespace

int main(int count, char** values) {
  try {
    return Run(Parse(count, values));
  } catch (const UsageError&) {
    std::cerr << kUsage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
