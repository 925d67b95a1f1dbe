//! Every limit in one place, with the reason for its size.

/// Bytes of SQL text accepted in one submission.
pub const SQL_TEXT_BYTES_MAX: usize = 1 << 20;
/// Tokens in one statement; far above any feature, far below what makes planning slow.
pub const SQL_TOKENS_MAX: usize = 50_000;
/// Terms in one chain of operators (`a OR b OR …`): planning is quadratic in it and recursive.
pub const SQL_CHAIN_TERMS_MAX: usize = 256;
/// Nested parentheses and sub-queries.
pub const SQL_DEPTH_MAX: usize = 50;
/// Arms of UNION in one query.
pub const SQL_UNION_ARMS_MAX: usize = 64;
/// Stack of the thread that parses and plans.
pub const PLANNING_STACK_BYTES: usize = 64 << 20;
/// size / slide of a hopping window (one week by one minute).
pub const HOP_PANES_MAX: i64 = 10_080;
/// Rows in a ROWS frame.
pub const ROWS_FRAME_MAX: u64 = 1_000_000;
/// Nesting of arrays and objects in one JSON message.
pub const JSON_DEPTH_MAX: usize = 64;
/// Default of `message.max_bytes`.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a rejected message kept in its dead letter when the message was oversize.
pub const DEAD_LETTER_OVERSIZE_BYTES: usize = 120;
/// Default of `max_future`: 1 hour in µs.
pub const MAX_FUTURE_US: i64 = 3_600_000_000;
/// Default of `idle_timeout`: 1 minute in µs.
pub const IDLE_TIMEOUT_US: i64 = 60_000_000;
/// Default of `offline.interval`: 5 minutes in µs.
pub const OFFLINE_INTERVAL_US: i64 = 300_000_000;
/// Bytes of final rows carried before they are written early.
pub const OFFLINE_BYTES_MAX: usize = 128 << 20;
/// Bytes of rows that wait while an epoch is written; more means back-pressure on the lanes.
pub const HELD_BYTES_MAX: usize = 128 << 20;
/// State files added to one that holds everything before that is written anew. They are read in
/// one pass, so it bounds the requests of a restart; its bytes are bounded by the size rule.
pub const STATE_CHAIN_MAX: usize = 50;
/// Longest name of a source, feature or column.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a value quoted in an error message.
pub const ERROR_VALUE_BYTES: usize = 120;
/// Rows a source hands on at a time.
pub const BATCH_ROWS: usize = 8_192;
/// Messages waiting for one lane; full means back-pressure on the source.
pub const LANE_QUEUE: usize = 16;
/// Rows a lane works on before it looks for waiting probes.
pub const LANE_SLICE_ROWS: usize = 1_024;
