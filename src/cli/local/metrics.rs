//! The counters of a running engine as Prometheus text. Names and labels are part of the
//! interface: `docs/serving.md` lists them, a test compares.

use std::sync::atomic::Ordering::Relaxed;

use crate::cli::local::status::{held_by, lag};
use crate::clock;
use crate::runtime::supervisor::Running;
use crate::serve::exposition::Exposition;

/// Everything but what HTTP counts itself.
pub(super) fn write(running: &Running, out: &mut Exposition) {
    records(running, out);
    time(running, out);
    features(running, out);
    state(running, out);
    checkpoints(running, out);
}

fn records(running: &Running, out: &mut Exposition) {
    out.family(
        "skewless_records_total",
        "counter",
        "Records by what became of them; their sum is what was read.",
    );
    for source in &running.progress.sources {
        for (partition, counts) in source.partition_counts() {
            let partition = partition.to_string();
            for (verdict, count) in [
                ("admitted", counts.admitted),
                ("late", counts.late),
                ("future", counts.future),
                ("rejected", counts.rejected),
            ] {
                let labels =
                    [("source", &*source.name), ("partition", &*partition), ("verdict", verdict)];
                out.sample(&labels, count);
            }
        }
    }
    out.family("skewless_records_read_total", "counter", "Records read.");
    for source in &running.progress.sources {
        for (partition, counts) in source.partition_counts() {
            let labels = [("source", &*source.name), ("partition", &*partition.to_string())];
            out.sample(&labels, counts.read);
        }
    }
    out.family("skewless_rejected_total", "counter", "Rejected records by reason.");
    for source in &running.progress.sources {
        for (reason, count) in [("decode", &source.decode), ("event_time", &source.event_time)] {
            out.sample(&[("source", &source.name), ("reason", reason)], count.load(Relaxed));
        }
    }
    out.family(
        "skewless_source_lag_records",
        "gauge",
        "Records behind the ends last seen, where ends are known.",
    );
    for source in &running.progress.sources {
        if let Some(lag) = lag(source) {
            out.sample(&[("source", &source.name)], lag);
        }
    }
    out.family(
        "skewless_skipped_offsets_total",
        "counter",
        "Offsets that were deleted before they were read, where 'on_gap' = 'skip' accepts it.",
    );
    for source in &running.progress.sources {
        out.sample(&[("source", &source.name)], source.lag.skipped());
    }
    out.family("skewless_null_keys_total", "counter", "Rows without a key, never written online.");
    out.sample(&[], running.progress.null_keys.load(Relaxed));
}

/// Seconds since the epoch.
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

fn time(running: &Running, out: &mut Exposition) {
    let sources = || running.progress.sources.iter().zip(&running.pipeline.sources);
    out.family(
        "skewless_watermark_seconds",
        "gauge",
        "Watermark of a source, seconds since the epoch; none before the first record.",
    );
    for (source, _) in sources() {
        let watermark = source.watermark.load(Relaxed);
        if watermark != i64::MIN {
            out.sample(&[("source", &source.name)], seconds(watermark));
        }
    }
    out.family(
        "skewless_partition_watermark_seconds",
        "gauge",
        "Watermark of a partition, seconds since the epoch.",
    );
    for (source, _) in sources() {
        for (partition, progress) in source.partitions() {
            if progress.watermark.0 != i64::MIN {
                let labels = [("source", &*source.name), ("partition", &*partition.to_string())];
                out.sample(&labels, seconds(progress.watermark.0));
            }
        }
    }
    out.family(
        "skewless_newest_event_seconds",
        "gauge",
        "Newest admitted event time, seconds since the epoch.",
    );
    for (source, _) in sources() {
        let newest = source.newest_event.load(Relaxed);
        if newest != i64::MIN {
            out.sample(&[("source", &source.name)], seconds(newest));
        }
    }
    out.family(
        "skewless_watermark_held_by",
        "gauge",
        "1 for a partition that is idle for longer than idle_timeout and holds the watermark back.",
    );
    for (source, of) in sources() {
        for partition in held_by(source, &of.def) {
            let labels = [("source", &*source.name), ("partition", &*partition.to_string())];
            out.sample(&labels, 1);
        }
    }
}

fn features(running: &Running, out: &mut Exposition) {
    let features = || running.progress.features.iter();
    out.family("skewless_final_rows_total", "counter", "Final rows.");
    for feature in features() {
        out.sample(&[("feature", &feature.name)], feature.final_rows.load(Relaxed));
    }
    out.family("skewless_online_writes_total", "counter", "Entities written to an online store.");
    for feature in features() {
        out.sample(&[("feature", &feature.name)], feature.current_writes.load(Relaxed));
    }
    out.family(
        "skewless_expression_errors_total",
        "counter",
        "Rows with a failed expression: NULL.",
    );
    for feature in &running.pipeline.features {
        out.sample(&[("feature", &feature.def.name)], feature.plan.errors.get());
    }
    out.single(
        "skewless_online_errors_total",
        "counter",
        "Writes to an online store that failed; they are repeated.",
        running.progress.online_errors.load(Relaxed),
    );
    out.single(
        "skewless_online_reseeds_total",
        "counter",
        "How often an online store came back empty and was filled from state.",
        running.progress.reseeds.load(Relaxed),
    );
}

fn state(running: &Running, out: &mut Exposition) {
    let progress = &running.progress;
    out.single("skewless_lanes", "gauge", "Parallel pipelines.", progress.keys.len());
    out.family("skewless_state_bytes", "gauge", "Estimate of the state held.");
    for (lane, bytes) in progress.state_bytes.iter().enumerate() {
        out.sample(&[("lane", &lane.to_string())], bytes.load(Relaxed));
    }
    out.family("skewless_group_state_bytes", "gauge", "Estimate of what a state group holds.");
    for (group, bytes) in progress.group_bytes() {
        out.sample(&[("group", group)], bytes);
    }
    let waiting = progress.buffered_bytes.load(Relaxed);
    out.single("skewless_waiting_bytes", "gauge", "Rows that wait to be written.", waiting);
    out.family("skewless_keys", "gauge", "Keys held, in all state groups.");
    for (lane, keys) in progress.keys.iter().enumerate() {
        out.sample(&[("lane", &lane.to_string())], keys.load(Relaxed));
    }
}

fn checkpoints(running: &Running, out: &mut Exposition) {
    let progress = &running.progress;
    let epoch = progress.epoch.load(Relaxed);
    out.single("skewless_checkpoint_epoch", "gauge", "Newest committed checkpoint.", epoch);
    let at = progress.checkpoint_at.load(Relaxed);
    if at > 0 {
        let age = seconds((clock::wall_now().0 - at).max(0));
        out.single("skewless_checkpoint_age_seconds", "gauge", "Since the last commit.", age);
        let took = progress.checkpoint_us.load(Relaxed) as f64 / 1e6;
        let help = "How long writing the last checkpoint took.";
        out.single("skewless_checkpoint_duration_seconds", "gauge", help, took);
        let bytes = progress.checkpoint_bytes.load(Relaxed);
        out.single("skewless_checkpoint_bytes", "gauge", "State that a restart reads.", bytes);
        let bytes = progress.checkpoint_written.load(Relaxed);
        let help = "State that the last checkpoint wrote.";
        out.single("skewless_checkpoint_written_bytes", "gauge", help, bytes);
    }
}
