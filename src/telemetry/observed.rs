//! Values that are read only when somebody asks for them.
//!
//! Must hold: nothing here panics. A panic in a callback ends the thread that pushes metrics (opentelemetry-rust 3640), and
//! nobody would notice.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::{instruments as table, process};

/// What the daemon knows about itself at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Windows that wait for a worker.
    pub queue_windows: u64,
    /// Their pieces.
    pub queue_pieces: u64,
    /// Pieces that admission counts.
    pub backlog_pieces: u64,
    /// Each device, and whether it can score.
    pub devices: Vec<(String, bool)>,
    /// Whether new streams are served.
    pub ready: bool,
    /// Whether no forward is stuck.
    pub live: bool,
    /// 0 serving, 1 lame duck, 2 draining, 3 ended.
    pub drain_state: u8,
}

type Read = dyn Fn() -> Gauges + Send + Sync;

/// The place for the closure that reads them, empty until the daemon has what it reads.
#[derive(Default)]
pub(super) struct Observed(RwLock<Option<Arc<Read>>>);

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}

impl Observed {
    /// Makes every observable instrument.
    pub(super) fn register(meter: &Meter) -> Arc<Self> {
        let observed = Arc::<Self>::default();
        observed.number(meter, table::QUEUE_WINDOWS, |gauges| gauges.queue_windows);
        observed.number(meter, table::QUEUE_PIECES, |gauges| gauges.queue_pieces);
        observed.number(meter, table::BACKLOG, |gauges| gauges.backlog_pieces);
        observed.number(meter, table::READY, |gauges| gauges.ready.into());
        observed.number(meter, table::LIVE, |gauges| gauges.live.into());
        observed.number(meter, table::DRAIN_STATE, |gauges| gauges.drain_state.into());
        observed.devices(meter);
        register_process(meter);
        observed
    }

    pub(super) fn set(&self, read: Option<Arc<Read>>) {
        // The old one is dropped outside of the lock: it may own anything.
        let old = {
            let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, read)
        };
        drop(old);
    }

    fn read(&self) -> Option<Gauges> {
        let read = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        catch_unwind(AssertUnwindSafe(|| read())).ok()
    }

    fn number(self: &Arc<Self>, meter: &Meter, row: table::Row, value: fn(&Gauges) -> u64) {
        let observed = Arc::clone(self);
        meter
            .u64_observable_gauge(row.name)
            .with_unit(row.unit)
            .with_description(row.what)
            .with_callback(move |instrument| {
                if let Some(gauges) = observed.read() {
                    instrument.observe(value(&gauges), &[]);
                }
            })
            .build();
    }

    fn devices(self: &Arc<Self>, meter: &Meter) {
        let (observed, row) = (Arc::clone(self), table::DEVICE_HEALTHY);
        meter
            .u64_observable_gauge(row.name)
            .with_unit(row.unit)
            .with_description(row.what)
            .with_callback(move |instrument| {
                for (device, healthy) in observed.read().unwrap_or_default().devices {
                    instrument.observe(healthy.into(), &[KeyValue::new("device", device)]);
                }
            })
            .build();
    }
}

fn register_process(meter: &Meter) {
    let (cpu, memory, files) = (table::CPU_TIME, table::MEMORY, table::OPEN_FILES);
    meter
        .f64_observable_counter(cpu.name)
        .with_unit(cpu.unit)
        .with_description(cpu.what)
        .with_callback(|instrument| {
            if let Some(seconds) = process::cpu_seconds() {
                instrument.observe(seconds, &[]);
            }
        })
        .build();
    for (row, read) in
        [(memory, process::resident_bytes as fn() -> _), (files, process::open_files)]
    {
        meter
            .i64_observable_up_down_counter(row.name)
            .with_unit(row.unit)
            .with_description(row.what)
            .with_callback(move |instrument| {
                if let Some(value) = read() {
                    instrument.observe(value, &[]);
                }
            })
            .build();
    }
}
