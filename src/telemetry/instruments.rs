//! The table of instruments: each is declared here once, with its name, unit, meaning and buckets.
//!
//! The Prometheus names follow from these: dots become underscores, a unit is added (`s` is `_seconds`, `By` is `_bytes`, `1` is
//! `_ratio`, `{thing}` nothing), and a counter gets `_total`.

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};

use super::rpc;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) what: &'static str,
    /// Upper bounds; empty where it is no histogram.
    buckets: &'static [f64],
}

const fn row(name: &'static str, unit: &'static str, what: &'static str) -> Row {
    Row { name, unit, what, buckets: &[] }
}

const fn spread(
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    buckets: &'static [f64],
) -> Row {
    Row { name, unit, what, buckets }
}

/// From one refused call to a stream of hours.
const CALL_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0,
    1_800.0, 3_600.0, 7_200.0, 14_400.0,
];
/// From one small window on a GPU to a full batch on a slow core.
const COMPUTE_SECONDS: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// As compute, and the waits of a queue that is full.
const WAIT_SECONDS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];
/// 1 KiB to 1 GiB.
const BYTES: &[f64] = &[
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];
/// Pieces of a window: the limits of the encoders are among them.
const WINDOW_PIECES: &[f64] = &[
    16.0, 32.0, 64.0, 128.0, 192.0, 256.0, 384.0, 512.0, 768.0, 1_024.0, 2_048.0, 4_096.0, 8_192.0,
];
const BATCH_PIECES: &[f64] = &[
    64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0, 8_192.0, 16_384.0, 32_768.0, 65_536.0,
    131_072.0,
];
const BATCH_WINDOWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const SHARE: &[f64] = &[0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

pub(super) const CALL_DURATION: Row = spread(
    rpc::SERVER_CALL_DURATION,
    "s",
    "How long calls took, whole streams included.",
    CALL_SECONDS,
);
pub(super) const STREAMS_ACTIVE: Row =
    row("gleand.streams.active", "{stream}", "Streams that are open.");
pub(super) const CONNECTIONS_ACTIVE: Row =
    row("gleand.connections.active", "{connection}", "Connections to the data port that are open.");
pub(super) const STREAM_DURATION: Row = spread(
    "gleand.stream.duration",
    "s",
    "How long streams were open, by the reason that ended them.",
    CALL_SECONDS,
);
pub(super) const DOCUMENT_SIZE: Row =
    spread("gleand.document.size", "By", "Bytes of the documents that were read.", BYTES);
pub(super) const WORDS: Row = row("gleand.words", "{word}", "Words that were read.");
pub(super) const RESULTS: Row = row("gleand.results", "{result}", "Final results that were sent.");
pub(super) const FIRST_RESULT: Row = spread(
    "gleand.first_result.duration",
    "s",
    "Time from the start of a stream to its first result.",
    CALL_SECONDS,
);
pub(super) const WATERMARK_LAG: Row = spread(
    "gleand.watermark.lag",
    "By",
    "Bytes received and not yet decided, each time the watermark moves.",
    BYTES,
);
pub(super) const WINDOWS: Row =
    row("gleand.windows", "{window}", "Windows by what became of them.");
pub(super) const WINDOW_PIECES_SPREAD: Row = spread(
    "gleand.window.pieces",
    "{piece}",
    "Pieces of a window, its prompt included.",
    WINDOW_PIECES,
);
pub(super) const QUEUE_WINDOWS: Row =
    row("gleand.queue.windows", "{window}", "Windows that wait for a worker.");
pub(super) const QUEUE_PIECES: Row =
    row("gleand.queue.pieces", "{piece}", "Pieces of the windows that wait for a worker.");
pub(super) const QUEUE_DURATION: Row = spread(
    "gleand.queue.duration",
    "s",
    "How long windows waited from cut to the start of their batch.",
    WAIT_SECONDS,
);
pub(super) const BACKLOG: Row =
    row("gleand.backlog.pieces", "{piece}", "Pieces that admission counts as promised work.");
pub(super) const BATCH_WINDOWS_SPREAD: Row =
    spread("gleand.batch.windows", "{window}", "Windows of a batch.", BATCH_WINDOWS);
pub(super) const BATCH_PIECES_SPREAD: Row =
    spread("gleand.batch.pieces", "{piece}", "Pieces of a batch, without padding.", BATCH_PIECES);
pub(super) const BATCH_PADDING: Row =
    spread("gleand.batch.padding", "1", "Share of a batch that is padding.", SHARE);
pub(super) const BATCH_DURATION: Row =
    spread("gleand.batch.duration", "s", "How long a batch was scored.", COMPUTE_SECONDS);
pub(super) const REJECTED: Row =
    row("gleand.rejected", "{call}", "Calls refused at the door, by reason.");
pub(super) const CANCELLED: Row = row(
    "gleand.cancelled",
    "{window}",
    "Windows that nobody waited for any more, by where that was seen.",
);
pub(super) const WORKER_PANICS: Row =
    row("gleand.worker.panics", "{panic}", "Panics that were caught while scoring.");
pub(super) const DEVICE_HEALTHY: Row =
    row("gleand.device.healthy", "", "1 while a device has a worker that can score.");
pub(super) const READY: Row = row("gleand.ready", "", "1 while new streams are served.");
pub(super) const LIVE: Row = row("gleand.live", "", "0 once a forward is stuck.");
pub(super) const DRAIN_STATE: Row =
    row("gleand.drain.state", "", "0 serving, 1 lame duck, 2 draining, 3 ended.");
pub(super) const BUILD_INFO: Row =
    row("gleand.build.info", "", "Always 1; its attributes say what runs.");
pub(super) const CERTIFICATE_EXPIRY: Row = row(
    "gleand.certificate.expiry",
    "s",
    "Unix time at which the first certificate of a file expires.",
);
pub(super) const RELOAD: Row =
    row("gleand.reload", "{reload}", "Changed files that were read again, by result.");
pub(super) const RELOAD_FAILING: Row = row(
    "gleand.reload.failing",
    "",
    "1 while the newest file is broken and the one before it is in use.",
);
pub(super) const HANDSHAKE_FAILURES: Row =
    row("gleand.handshake.failures", "{handshake}", "Connections without a handshake, by reason.");
pub(super) const WINDOWS_OMITTED: Row = row(
    "gleand.trace.windows.omitted",
    "{window}",
    "Windows of sampled streams that have no trace span of their own.",
);
pub(super) const CPU_TIME: Row =
    row("process.cpu.time", "s", "Processor time of the process, user and kernel.");
pub(super) const MEMORY: Row = row("process.memory.usage", "By", "Resident memory of the process.");
pub(super) const OPEN_FILES: Row = row(
    "process.unix.file_descriptor.count",
    "{file_descriptor}",
    "File descriptors that the process has open.",
);

/// Names that Prometheus gives to what OpenTelemetry names otherwise. A gauge that ends in `_count` looks like a
/// part of a histogram, and promtool refuses it.
pub(super) const PROMETHEUS_NAMES: [(&str, &str); 1] =
    [("process_unix_file_descriptor_count", "process_open_fds")];

impl Row {
    pub(super) fn counter(self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_unit(self.unit).with_description(self.what).build()
    }

    pub(super) fn up_down(self, meter: &Meter) -> UpDownCounter<i64> {
        let builder = meter.i64_up_down_counter(self.name);
        builder.with_unit(self.unit).with_description(self.what).build()
    }

    pub(super) fn gauge(self, meter: &Meter) -> Gauge<i64> {
        meter.i64_gauge(self.name).with_unit(self.unit).with_description(self.what).build()
    }

    pub(super) fn spread(self, meter: &Meter) -> Histogram<f64> {
        let builder = meter.f64_histogram(self.name).with_boundaries(self.buckets.to_vec());
        builder.with_unit(self.unit).with_description(self.what).build()
    }

    pub(super) fn spread_of_counts(self, meter: &Meter) -> Histogram<u64> {
        let builder = meter.u64_histogram(self.name).with_boundaries(self.buckets.to_vec());
        builder.with_unit(self.unit).with_description(self.what).build()
    }
}
